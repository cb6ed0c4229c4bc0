"""Who may call a service, and how (https://istio.io/latest/docs/reference/config/security/)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from traffic.model import AccessRule, Authorization, JwtRule, Mtls, MutualTls
from traffic.render.spec import Spec, non_default_fields

SOURCE = ("principals", "notPrincipals", "namespaces", "notNamespaces", "requestPrincipals", "notRequestPrincipals",
          "ipBlocks", "notIpBlocks", "remoteIpBlocks", "notRemoteIpBlocks")  # fmt: skip
OPERATION = ("methods", "notMethods", "paths", "notPaths", "hosts", "notHosts", "ports")


def peer_authentication(mtls: MutualTls, service: str | None = None, selector: Mapping[str, str] | None = None) -> Spec:
    """Return the spec of a PeerAuthentication for the pods of `service`, or for all of its namespace.

    Istio only applies port-level modes where pods are selected. The ports are the container's, not the Service's.
    """
    spec = _pods_of(service, selector) if service else {}
    if mtls.mode is not None:
        spec["mtls"] = _mode(mtls.mode)
    if mtls.port_level_mtls:
        spec["portLevelMtls"] = {str(port): _mode(mode) for port, mode in sorted(mtls.port_level_mtls.items())}
    return spec


def authorization_policies(
    service: str, authorization: Authorization, selector: Mapping[str, str] | None = None
) -> dict[str, Spec]:
    """Return the specs of the service's AuthorizationPolicies by name: `<service>-allow`, `<service>-deny`.

    An ALLOW without rules allows nothing; Istio evaluates DENY first.
    """
    policies: dict[str, Spec] = {}
    if authorization.allow is not None:
        policies[f"{service}-allow"] = _policy(_pods_of(service, selector), "ALLOW", authorization.allow)
    if authorization.deny is not None:
        policies[f"{service}-deny"] = _policy(_pods_of(service, selector), "DENY", authorization.deny)
    return policies


def gateway_denial(rules: Sequence[AccessRule], selector: Mapping[str, str], ports: Sequence[int] = ()) -> Spec:
    """Return the spec of the AuthorizationPolicy that denies requests at the gateway's pods, which have these labels.

    `ports` are the container ports at which it applies: without any, Istio would also deny all TCP connections there.
    """
    limited = [rule.model_copy(update={"ports": tuple(ports)}) for rule in rules]
    return _policy({"selector": {"matchLabels": dict(sorted(selector.items()))}}, "DENY", limited)


def deny_by_default() -> Spec:
    """Return the spec of the AuthorizationPolicy that allows nothing, so that other policies have to allow requests.

    It applies to its namespace, or to the whole mesh in Istio's root namespace.
    """
    return {"action": "ALLOW"}


def allow_all(selector: Mapping[str, str]) -> Spec:
    """Return the spec of the AuthorizationPolicy that allows all requests to the pods with these labels."""
    return {"selector": {"matchLabels": dict(sorted(selector.items()))}, "action": "ALLOW", "rules": [{}]}


def request_authentication(service: str, jwt: Sequence[JwtRule], selector: Mapping[str, str] | None = None) -> Spec:
    """Return the spec of the RequestAuthentication that validates tokens at the service's pods."""
    return {**_pods_of(service, selector), "jwtRules": [non_default_fields(rule) for rule in jwt]}


def _pods_of(service: str, selector: Mapping[str, str] | None) -> Spec:
    """`selector` are the labels of the service's pods, by default `app: <service>`."""
    return {"selector": {"matchLabels": dict(selector or {"app": service})}}


def _mode(mode: Mtls) -> Spec:
    return {"mode": mode.value}


def _policy(pods: Spec, action: str, rules: Sequence[AccessRule]) -> Spec:
    spec = {**pods, "action": action}
    return {**spec, "rules": [_rule(rule) for rule in rules]} if rules else spec


def _rule(rule: AccessRule) -> Spec:
    """Istio groups the conditions by subject: the caller, the request, and everything else."""
    given = non_default_fields(rule)
    source = {key: given[key] for key in SOURCE if key in given}
    operation = {key: given[key] for key in OPERATION if key in given}
    if "ports" in operation:
        operation["ports"] = [str(port) for port in operation["ports"]]
    spec: Spec = {}
    if source:
        spec["from"] = [{"source": source}]
    if operation:
        spec["to"] = [{"operation": operation}]
    if rule.headers:
        spec["when"] = [
            {"key": f"request.headers[{name}]", "values": list(values)} for name, values in sorted(rule.headers.items())
        ]
    return spec
