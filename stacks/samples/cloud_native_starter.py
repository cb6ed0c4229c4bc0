"""cloud-native-starter: an API in two versions, which puts articles and their authors together.

Version v1 answers with five articles, v2 with ten. Only the API may call the other two, whom it is known to by its
certificate; everything else in the namespace is denied.
"""

from __future__ import annotations

from typing import Any

NAMESPACE = "starter"
HOST = "starter.localhost"
WEB_API, ARTICLES, AUTHORS = "web-api", "articles", "authors"
PRINCIPAL = f"cluster.local/ns/{NAMESPACE}/sa/{WEB_API}"
"""The identity of the API's pods: that of their service account."""


def _version(image: str, port: int, **more: Any) -> dict[str, Any]:
    probe = {"httpGet": {"path": "/health", "port": port}, "periodSeconds": 2}
    return {"image": f"istio-canary/{image}:1.0.0", "port": port, "replicas": 1, "readinessProbe": probe, **more}


def _inside(service: str, port: int, methods: list[str]) -> dict[str, Any]:
    """A service for the API alone."""
    return {
        "namespace": NAMESPACE,
        "gateways": ["mesh"],
        "port": port,
        "versions": {"v1": _version(service, port)},
        "route": [{"to": "v1"}],
        "authorization": {"allow": [{"principals": [PRINCIPAL], "methods": methods}]},
    }


SETTINGS: dict[str, Any] = {
    "namespaces": {NAMESPACE: {"mtls": "STRICT", "denyByDefault": True}},
    "services": {
        WEB_API: {
            "namespace": NAMESPACE,
            "hosts": [HOST],
            "port": 9080,
            "versions": {
                "v1": _version(WEB_API, 9080, args=["-amount=5"]),
                "v2": _version(WEB_API, 9080, args=["-amount=10"]),
            },
            "route": [
                {
                    "match": [{"uri": {"prefix": "/web-api/v1/getmultiple"}}, {"uri": {"prefix": "/openapi"}}],
                    "to": {"v1": 50, "v2": 50},
                },
                {"directResponse": {"status": 404}},
            ],
            "authorization": {"allow": [{"methods": ["GET"]}]},
        },
        ARTICLES: _inside(ARTICLES, 8080, ["GET", "POST"]),
        AUTHORS: _inside(AUTHORS, 3000, ["GET"]),
    },
    "egress": {
        "blog": {
            "hosts": ["blog.example.com"],
            "ports": [{"number": 80, "protocol": "HTTP"}, {"number": 443, "protocol": "TLS"}],
        }
    },
}
