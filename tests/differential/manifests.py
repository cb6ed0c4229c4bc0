"""The objects that all tables share: namespaces, pods, Services, gateways and DestinationRules."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.differential.place import (
    CALLERS,
    DOMAIN,
    GATEWAY_NAMESPACE,
    HTTP_PORT,
    HTTPS_PORT,
    IMAGE,
    MORE_PORT,
    NAMESPACE,
    NAMESPACES,
    OWN_PORT,
    PUBLIC,
    SELECTOR,
    UPSTREAMS,
)
from traffic import render
from traffic.model import Server, ServerTls, ServiceRouting, SharedGateway, own_gateway, version_label

Manifest = dict[str, Any]

GATEWAY, CERTIFICATE = "differential-gateway", "differential-certificate"
TRAFFIC_PORT, ADMIN_PORT = 8080, 8081
"""The admin port bypasses the sidecar, so that the test reaches the pod itself."""
ISTIO = "networking.istio.io/v1"


def shared() -> list[Manifest]:
    """Everything except the tables' VirtualServices, in the order to apply it."""
    return [
        *({**_object("v1", "Namespace", name), "metadata": _injected(name)} for name in NAMESPACES),
        *_gateway_pod(),
        *_upstreams(),
        *(
            _pod(caller.name, caller.namespace, caller.labels, version="caller", app_ports=[ADMIN_PORT])
            for caller in CALLERS.values()
        ),
        *_gateways(),
    ]


def sentinel(mark: str) -> Manifest:
    """A route that answers `mark`: a proxy that serves it also has everything that was applied before."""
    spec = {
        "hosts": [sentinel_host()],
        "gateways": [f"{GATEWAY_NAMESPACE}/{PUBLIC}", f"{NAMESPACE}/{own_gateway('shop')}", "mesh"],
        "http": [{"directResponse": {"status": 200, "body": {"string": mark}}}],
    }
    return {**_object(ISTIO, "VirtualService", "zz-sentinel", GATEWAY_NAMESPACE), "spec": spec}


def sentinel_host() -> str:
    return f"sentinel.{DOMAIN}"


def _object(api: str, kind: str, name: str, namespace: str | None = None) -> Manifest:
    place = {"namespace": namespace} if namespace else {}
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name, **place}}


def _injected(name: str) -> Manifest:
    return {"name": name, "labels": {"istio-injection": "enabled"}}


def _upstreams() -> Iterator[Manifest]:
    for upstream in UPSTREAMS.values():
        ports = [{"name": "http", "port": 80, "targetPort": TRAFFIC_PORT}]
        if upstream.has_more_ports:
            ports.append({"name": "http-more", "port": MORE_PORT, "targetPort": TRAFFIC_PORT})
        service = _object("v1", "Service", upstream.name, upstream.namespace)
        yield {**service, "spec": {"selector": {"app": upstream.name}, "ports": ports}}
        routing = ServiceRouting.model_validate(
            {"namespace": upstream.namespace, "versions": {version: {} for version in upstream.versions}}
        )
        rule = _object(ISTIO, "DestinationRule", upstream.name, upstream.namespace)
        yield {**rule, "spec": render.destination_rule(upstream.name, routing)}
        for version in upstream.versions:
            labels = {"app": upstream.name, "version": version_label(upstream.name, version)}
            yield _pod(labels["version"], upstream.namespace, labels, version, [TRAFFIC_PORT, ADMIN_PORT])


def _pod(name: str, namespace: str, labels: dict[str, str], version: str, app_ports: list[int]) -> Manifest:
    listen = ",".join(f":{port}" for port in app_ports)
    metadata = {
        "name": name,
        "namespace": namespace,
        "labels": labels,
        "annotations": {"traffic.sidecar.istio.io/excludeInboundPorts": str(ADMIN_PORT)},
    }
    container = {
        "name": "echo",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "args": [f"-listen={listen}", f"-version={version}", "-grace=1s"],
        "readinessProbe": {"httpGet": {"path": "/_health", "port": ADMIN_PORT}, "periodSeconds": 1},
    }
    spec = {"containers": [container], "terminationGracePeriodSeconds": 1}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _gateway_pod() -> Iterator[Manifest]:
    """A gateway like that of Istio's chart `gateway`, for this test only: other tests restart theirs."""
    here = GATEWAY_NAMESPACE
    yield _object("v1", "ServiceAccount", GATEWAY, here)
    rules = [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "watch", "list"]}]
    yield {**_object("rbac.authorization.k8s.io/v1", "Role", GATEWAY, here), "rules": rules}
    yield {
        **_object("rbac.authorization.k8s.io/v1", "RoleBinding", GATEWAY, here),
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": GATEWAY},
        "subjects": [{"kind": "ServiceAccount", "name": GATEWAY, "namespace": here}],
    }
    yield {**_object("v1", "Secret", CERTIFICATE, here), "type": "kubernetes.io/tls", "data": _certificate()}
    ports = [{"name": f"p{port}", "port": port, "targetPort": port} for port in (HTTP_PORT, HTTPS_PORT, OWN_PORT)]
    yield {**_object("v1", "Service", GATEWAY, here), "spec": {"selector": SELECTOR, "ports": ports}}
    pod = _object("v1", "Pod", GATEWAY, here)
    pod["metadata"] |= {
        "labels": {**SELECTOR, "sidecar.istio.io/inject": "true"},
        "annotations": {"inject.istio.io/templates": "gateway"},
    }
    pod["spec"] = {
        "serviceAccountName": GATEWAY,
        "terminationGracePeriodSeconds": 1,
        "securityContext": {"sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}]},
        "containers": [{"name": "istio-proxy", "image": "auto", "imagePullPolicy": "IfNotPresent"}],
    }
    yield pod


def _gateways() -> Iterator[Manifest]:
    """The shared Gateway, and the own Gateway of each service."""
    everything = (f"*.{DOMAIN}",)
    tls = ServerTls.model_validate({"mode": "SIMPLE", "credentialName": CERTIFICATE})
    servers = (
        Server(port=HTTP_PORT, hosts=everything),
        Server.model_validate({"port": HTTPS_PORT, "protocol": "HTTPS", "hosts": everything, "tls": tls}),
    )
    spec = render.shared_gateway(SharedGateway(servers=servers), SELECTOR)
    yield {**_object(ISTIO, "Gateway", PUBLIC, GATEWAY_NAMESPACE), "spec": spec}
    for upstream in UPSTREAMS.values():
        routing = ServiceRouting.model_validate(
            {"hosts": everything, "gatewayPort": OWN_PORT, "versions": {version: {} for version in upstream.versions}}
        )
        own = _object(ISTIO, "Gateway", own_gateway(upstream.name), upstream.namespace)
        yield {**own, "spec": render.own_gateway(routing, SELECTOR)}


def _certificate() -> dict[str, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, DOMAIN)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(f"*.{DOMAIN}")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    texts = {"tls.crt": certificate.public_bytes(serialization.Encoding.PEM), "tls.key": pem}
    return {file: base64.b64encode(text).decode() for file, text in texts.items()}
