"""What `up` applies to every cluster: DNS, and the API server's access to the kubelet.

CoreDNS runs as a Deployment behind the Service kube-dns, as in Kubernetes' page "Customizing DNS Service". It has no
upstream: a name outside the cluster is answered with NXDOMAIN at once.
"""

from __future__ import annotations

from typing import Any

from sandbox.builder.images import coredns_image
from sandbox.layout import Layout

_LABELS = {"k8s-app": "kube-dns", "app.kubernetes.io/managed-by": "istio-canary-sandbox"}

_COREFILE = """\
.:53 {
    errors
    health :8080
    ready :8181
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        pods insecure
        ttl 5
    }
    cache 5
    loop
    reload
}
"""


def manifests(layout: Layout) -> dict[str, Any]:
    """A List of all add-on objects, for a server-side apply."""
    items = [
        *_kubelet_access(),
        _object("v1", "ServiceAccount", "coredns"),
        _coredns_role(),
        _binding("system:coredns", "system:coredns", [{"kind": "ServiceAccount", "name": "coredns"}]),
        _object("v1", "ConfigMap", "coredns", data={"Corefile": _COREFILE}),
        _coredns_service(layout),
        _coredns_deployment(),
    ]
    return {"apiVersion": "v1", "kind": "List", "items": items}


def _object(
    api_version: str, kind: str, name: str, namespace: str | None = "kube-system", **rest: Any
) -> dict[str, Any]:
    metadata = {"name": name, "labels": _LABELS} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **rest}


def _binding(name: str, role: str, subjects: list[dict[str, str]]) -> dict[str, Any]:
    def complete(subject: dict[str, str]) -> dict[str, str]:
        if subject["kind"] == "ServiceAccount":
            return subject | {"namespace": "kube-system"}
        return subject | {"apiGroup": "rbac.authorization.k8s.io"}

    return _object(
        "rbac.authorization.k8s.io/v1",
        "ClusterRoleBinding",
        name,
        None,
        roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        subjects=[complete(subject) for subject in subjects],
    )


def _kubelet_access() -> list[dict[str, Any]]:
    """Allow the API server to use the kubelet's logs and exec endpoints (kubectl logs, kubectl exec)."""
    subject = {"kind": "User", "name": "kube-apiserver-kubelet-client"}
    return [_binding("istio-canary-sandbox:apiserver-kubelet", "system:kubelet-api-admin", [subject])]


def _coredns_role() -> dict[str, Any]:
    watch = ["list", "watch"]
    return _object(
        "rbac.authorization.k8s.io/v1",
        "ClusterRole",
        "system:coredns",
        None,
        rules=[
            {"apiGroups": [""], "resources": ["services", "pods", "namespaces"], "verbs": watch},
            {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": watch},
        ],
    )


def _coredns_service(layout: Layout) -> dict[str, Any]:
    ports = [
        {"name": "dns", "port": 53, "protocol": "UDP"},
        {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
    ]
    spec = {"clusterIP": layout.dns_ip, "selector": {"k8s-app": "kube-dns"}, "ports": ports}
    return _object("v1", "Service", "kube-dns", spec=spec)


def _coredns_deployment() -> dict[str, Any]:
    container = {
        "name": "coredns",
        "image": coredns_image(),
        "imagePullPolicy": "IfNotPresent",
        "args": ["-conf", "/etc/coredns/Corefile"],
        "ports": [
            {"name": "dns", "containerPort": 53, "protocol": "UDP"},
            {"name": "dns-tcp", "containerPort": 53, "protocol": "TCP"},
        ],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 1},
        "livenessProbe": {"httpGet": {"path": "/health", "port": 8080}, "initialDelaySeconds": 10},
        "resources": {"requests": {"cpu": "20m", "memory": "30Mi"}, "limits": {"memory": "170Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"add": ["NET_BIND_SERVICE"], "drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns", "readOnly": True}],
    }
    pod = {
        "serviceAccountName": "coredns",
        "priorityClassName": "system-cluster-critical",
        "dnsPolicy": "Default",
        "containers": [container],
        "volumes": [{"name": "config", "configMap": {"name": "coredns"}}],
    }
    spec = {
        "replicas": 1,
        "selector": {"matchLabels": {"k8s-app": "kube-dns"}},
        "template": {"metadata": {"labels": {"k8s-app": "kube-dns"}}, "spec": pod},
    }
    return _object("apps/v1", "Deployment", "coredns", spec=spec)
