"""Rules on who may call whom and how, and on what containers may do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from policies.mesh import applying, containers, istiod, pod_spec, with_requests, workloads
from policies.resource import UNKNOWN, Resource, items, mapping, texts
from policies.rule import PROD, Context, Problem, Rule, Severity

STRICT = "STRICT"
PLAIN = ("HTTP", "HTTP2", "GRPC", "GRPC-WEB")
"""A Gateway's protocols without TLS (Istio: Gateway, Port)."""
REGISTRY_ONLY = "REGISTRY_ONLY"


def tls_at_the_gateway(context: Context) -> Iterator[Problem]:
    """What users send is encrypted: a port without TLS only redirects."""
    for gateway in context.resources.of_kind("Gateway"):
        for index, server in enumerate(items(gateway.spec.get("servers"))):
            if _is_plain(server) and mapping(server, "tls").get("httpsRedirect") is not True:
                port = mapping(server, "port").get("number")
                yield Problem(
                    gateway,
                    f"servers[{index}] takes plain HTTP at port {port}",
                    "write tls: {httpsRedirect: true}, and a server with protocol HTTPS and a certificate",
                )
    for ingress in context.resources.of_kind("Ingress"):
        if not items(ingress.spec.get("tls")):
            yield Problem(ingress, "it has no tls: users reach it by plain HTTP", "use a Gateway with a certificate")


def _is_plain(server: Mapping[str, Any]) -> bool:
    return str(mapping(server, "port").get("protocol")).upper() in PLAIN


def redirected(gateway: Resource) -> Mapping[str, Any] | None:
    """Return the Gateway with a redirect at each plain port whose hosts it serves with TLS as well.

    This is safe, since the same hosts answer at the port that users are sent to.
    """
    if gateway.kind != "Gateway":
        return None
    servers = items(gateway.spec.get("servers"))
    encrypted = {host for one in servers if not _is_plain(one) for host in texts(one.get("hosts"))}
    changed = [
        {**one, "tls": {**mapping(one, "tls"), "httpsRedirect": True}}
        if _is_plain(one) and texts(one.get("hosts")) and set(texts(one.get("hosts"))) <= encrypted
        else dict(one)
        for one in servers
    ]
    return None if changed == servers else {**gateway.props, "spec": {**gateway.spec, "servers": changed}}


def mtls_strict(context: Context) -> Iterator[Problem]:
    """Pods take mutual TLS only: others in the cluster could read plain text, or pretend to be a service.

    The policy of the pods counts before that of the namespace, and that before the mesh's (Istio:
    PeerAuthentication).
    """
    for policy in context.resources.of_kind("PeerAuthentication"):
        places = {"mtls": policy.spec.get("mtls")} | {
            f"portLevelMtls.{port}": given for port, given in policy.mapping("spec", "portLevelMtls").items()
        }
        for place, given in places.items():
            mode = mapping(given).get("mode")
            if mode not in (None, "UNSET", STRICT, UNKNOWN):
                yield Problem(policy, f"{place} has the mode {mode}, which takes plain text", "write mode: STRICT")
    for workload in with_requests(context.resources):
        policies = applying(context.resources, "PeerAuthentication", workload)
        if not any(policy.mapping("spec", "mtls").get("mode") not in (None, "UNSET") for policy in policies):
            yield Problem(
                workload,
                "no PeerAuthentication of the stack applies to its pods",
                f"write mesh.mtls: STRICT, or in an existing mesh namespaces.{workload.namespace}.mtls: STRICT",
            )


def authorization_not_empty(context: Context) -> Iterator[Problem]:
    """Somebody has decided who may call a service: without an ALLOW policy all of the mesh may."""
    seen: set[tuple[str, Any]] = set()
    for workload in with_requests(context.resources):
        service = workload.namespace, mapping(workload.props, "metadata", "labels").get("app")
        policies = applying(context.resources, "AuthorizationPolicy", workload)
        allowing = [one for one in policies if one.spec.get("action", "ALLOW") in ("ALLOW", "CUSTOM")]
        for policy in allowing:
            if any(
                not any(rule.get(key) for key in ("from", "to", "when")) for rule in items(policy.spec.get("rules"))
            ):
                yield from _once(seen, (policy.urn, ""), Problem(
                    policy, "one of its rules is empty and allows every request", "say who is allowed, with `from`"
                ))  # fmt: skip
        if not allowing:
            yield from _once(seen, service, Problem(
                workload,
                "no AuthorizationPolicy says who may call it, so everything in the mesh may",
                "write authorization: {allow: [{namespaces: [istio-ingress]}]}, for example",
            ))  # fmt: skip


def _once(seen: set[tuple[str, Any]], key: tuple[str, Any], problem: Problem) -> Iterator[Problem]:
    if key not in seen:
        seen.add(key)
        yield problem


def no_privileged_containers(context: Context) -> Iterator[Problem]:
    """A privileged container is root on its node (Kubernetes: "Pod Security Standards", Baseline)."""
    for workload in workloads(context.resources):
        for container in containers(workload):
            if mapping(container, "securityContext").get("privileged") is True:
                yield Problem(
                    workload, f"the container {container.get('name')} is privileged", "remove privileged: true"
                )
            added = texts(mapping(container, "securityContext", "capabilities").get("add"))
            if "SYS_ADMIN" in added or "ALL" in added:
                yield Problem(
                    workload,
                    f"the container {container.get('name')} has the capabilities {', '.join(added)}, which are as good "
                    "as privileged",
                    "add only the capabilities that it needs",
                )
        for namespace in ("hostNetwork", "hostPID", "hostIPC"):
            if pod_spec(workload).get(namespace) is True:
                yield Problem(workload, f"its pods have {namespace}", f"remove {namespace}: true")


def run_as_non_root(context: Context) -> Iterator[Problem]:
    """No process runs as root (Kubernetes: "Pod Security Standards", Restricted)."""
    for workload in workloads(context.resources):
        pod = mapping(pod_spec(workload), "securityContext")
        for container in containers(workload):
            effective = {**pod, **mapping(container, "securityContext")}
            name = container.get("name")
            if effective.get("runAsUser") == 0:
                yield Problem(workload, f"the container {name} runs as user 0, root", "write runAsUser: 65532")
            elif effective.get("runAsNonRoot") is not True:
                yield Problem(workload, f"the container {name} may run as root", "write runAsNonRoot: true")


def egress_not_open(context: Context) -> Iterator[Problem]:
    """Pods call only hosts that the stack names (Istio: MeshConfig, outboundTrafficPolicy)."""
    release = istiod(context.resources)
    mode = release.mapping("values", "meshConfig", "outboundTrafficPolicy").get("mode") if release else None
    if release is not None and mode not in (REGISTRY_ONLY, UNKNOWN):
        yield Problem(
            release,
            f"pods may call every host: outboundTrafficPolicy is {mode or 'ALLOW_ANY, which is the default'}",
            "write mesh.outboundTrafficPolicy: REGISTRY_ONLY, and the hosts under egress",
        )
    for sidecar in context.resources.of_kind("Sidecar"):
        if sidecar.mapping("spec", "outboundTrafficPolicy").get("mode") == "ALLOW_ANY":
            yield Problem(sidecar, "it lets pods call every host", "write mode: REGISTRY_ONLY")
    for entry in context.resources.of_kind("ServiceEntry"):
        if "*" in texts(entry.spec.get("hosts")):
            yield Problem(entry, "its host is *, which is every host", "name the hosts")


RULES = (
    Rule(
        name="tls-at-the-gateway",
        check=tls_at_the_gateway,
        severity=Severity.CRITICAL,
        description="The gateway takes TLS; its plain ports only redirect.",
        stacks=PROD,
        remediation=redirected,
        remediation_words="a plain port redirects if the Gateway serves the same hosts with TLS",
    ),
    Rule(
        name="mtls-strict",
        check=mtls_strict,
        severity=Severity.CRITICAL,
        description="Pods that get requests take mutual TLS only.",
        stacks=PROD,
    ),
    Rule(
        name="authorization-not-empty",
        check=authorization_not_empty,
        severity=Severity.HIGH,
        description="An AuthorizationPolicy says who may call each service.",
        stacks=PROD,
    ),
    Rule(
        name="no-privileged-containers",
        check=no_privileged_containers,
        severity=Severity.CRITICAL,
        description="No container is privileged or shares its node's namespaces.",
    ),
    Rule(
        name="run-as-non-root",
        check=run_as_non_root,
        severity=Severity.HIGH,
        description="No container runs as root.",
    ),
    Rule(
        name="egress-not-open",
        check=egress_not_open,
        severity=Severity.HIGH,
        description="Pods call only hosts that the stack names.",
        stacks=PROD,
    ),
)
