"""java-service: a service in Java, one in Go and a page that links both, at a port of the gateway of their own.

Of the Java service, one version has a configuration file and answers `Two`, one has none and answers `One`, and one is
the next release, for callers that send `channel: mobile`.
"""

from __future__ import annotations

from typing import Any

NAMESPACE = "java"
GATEWAY, GATEWAY_PORT = "java-service-istio-lb", 9191
SERVICE = "java-service-lb"
ONE, TWO, MOBILE = "cloudnative-java-service-one", "cloudnative-java-service", "cloudnative-java-service-mobile"
JAVA_PORT, GO_PORT, FRONTEND_PORT = 8080, 8079, 8080
"""Container ports. Not every container runtime lets an ordinary user listen on port 80, the frontend's default."""
JAVA_URL = f"http://java-service.localhost:{GATEWAY_PORT}"
KEEP_THE_ONLY_POD = {"maxUnavailable": 0}
"""Over the service's strategy, which would let the only pod go before the next one is ready."""
GO_HOST, FRONTEND_HOST = "go-service.localhost", "frontend.localhost"


def _java(name: str, tag: str, replicas: int, **more: Any) -> dict[str, Any]:
    probe = {
        "httpGet": {"path": "/health", "port": JAVA_PORT},
        "initialDelaySeconds": 40,  # a Java service takes its time; a stack may set less
        "timeoutSeconds": 1,
        "periodSeconds": 15,
    }
    return {
        "name": name,
        "image": f"istio-canary/java-service:{tag}",
        "port": JAVA_PORT,
        "replicas": replicas,
        "readinessProbe": probe,
        "livenessProbe": probe,
        **more,
    }


def _other(image: str, port: int, **more: Any) -> dict[str, Any]:
    return {
        "image": f"istio-canary/{image}:1.0.0",
        "port": port,
        "replicas": 2,
        "readinessProbe": {"httpGet": {"path": "/health", "port": port}, "periodSeconds": 2},
        "resources": {"requests": {"memory": "64Mi", "cpu": "0.5"}, "limits": {"memory": "64Mi", "cpu": "1"}},
        **more,
    }


def _ramped(min_ready_seconds: int) -> dict[str, Any]:
    return {"ramped": {"maxUnavailable": 1, "maxSurge": 1, "minReadySeconds": min_ready_seconds}}


SETTINGS: dict[str, Any] = {
    "gateways": {GATEWAY: {"servers": [{"port": GATEWAY_PORT, "hosts": ["*"]}]}},
    "services": {
        SERVICE: {
            "namespace": NAMESPACE,
            "hosts": ["*"],
            "port": 9090,
            "gateways": [GATEWAY],
            "strategy": _ramped(5),
            "versions": {
                TWO: _java(
                    "cloudnative-java-service-ramped",
                    "1.0.0",
                    replicas=2,
                    configFiles={"/config": {"application.properties": "instance.name=Two\n"}},
                ),
                ONE: _java(ONE, "1.0.0", replicas=1, strategy=KEEP_THE_ONLY_POD),
                MOBILE: _java(MOBILE, "UPDATE2_0", replicas=1, strategy=KEEP_THE_ONLY_POD),
            },
            "route": [
                {"name": "mobile-route", "match": [{"headers": {"channel": {"exact": "mobile"}}}], "to": MOBILE},
                {"name": "web-route", "to": {ONE: 50, TWO: 50}},
            ],
        },
        "cloudnative-go-service": {
            "namespace": NAMESPACE,
            "hosts": [GO_HOST],
            "port": GO_PORT,
            "gateways": [GATEWAY],
            "strategy": _ramped(10),
            "versions": {"version-1": _other("go-service", GO_PORT, name="cloudnative-go-service")},
        },
        "cloudnative-frontend": {
            "namespace": NAMESPACE,
            "hosts": [FRONTEND_HOST],
            "port": 80,
            "gateways": [GATEWAY],
            "strategy": _ramped(5),
            "versions": {
                "version-1": _other(
                    "frontend",
                    FRONTEND_PORT,
                    name="cloudnative-frontend",
                    args=[f"-listen=:{FRONTEND_PORT}"],
                    env={"JAVA_URL": JAVA_URL, "GO_URL": f"http://{GO_HOST}:{GATEWAY_PORT}"},
                )
            },
        },
    },
}
