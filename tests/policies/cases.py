"""For each rule, a change with which the stack prod breaks it, made to its settings or to what it registers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from policies.resource import Resource
from tests.policies.registered import changed, committed, registered, values_of

SHOP = "services.shop"
CANARY = f"{SHOP}.versions.canary"
ROUTE = "VirtualService shop/shop"
DEPLOYMENT = "Deployment shop/shop-canary"
Change = Callable[[Any], object]


@dataclass(frozen=True)
class Case:
    """What breaks `rule`, the words that its message has, and the name of the object that it is about.

    Either `settings` are changed, or the `resource` (`<Kind> <namespace>/<name>`) after it was registered: for what
    the settings do not allow.
    """

    rule: str
    name: str
    words: str
    change: Change
    resource: str = ""
    about: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)

    def resources(self) -> list[Resource]:
        """What is registered with the change."""
        if self.resource:
            return changed(committed("prod"), self.resource, self.change)
        values = values_of("prod")
        values.pop("telemetry")  # half of all resources, which no change of settings is about
        self.change(values)
        return registered(values)


def sets(path: str, value: Any) -> Change:
    """A change that sets the value at a path, in which numbers are positions; None removes it."""

    def change(values: Any) -> None:
        *parents, last = path.split(".")
        for part in parents:
            values = values[int(part) if isinstance(values, list) else part]
        key: Any = int(last) if isinstance(values, list) else last
        if value is None:
            del values[key]
        else:
            values[key] = value

    return change


def all_of(*changes: Change) -> Change:
    """Several changes."""
    return lambda values: [change(values) for change in changes]


CONTAINER = "spec.template.spec.containers.0"

CASES = [
    Case("weights-sum-to-100", "weights that sum to 90", "85 + 5 = 90",
         sets("spec.http.3.route.0.weight", 85), ROUTE),
    Case("weights-sum-to-100", "one destination with half of the weight", "50 = 50",
         sets("spec.http.0.route.0.weight", 50), ROUTE),
    Case("versions-exist", "a subset that is not declared", "declares the subset next",
         sets("spec.http.0.route.0.destination.subset", "next"), ROUTE),
    Case("versions-exist", "a version without a Deployment", "no Deployment has pods with its labels",
         sets("spec.subsets.1.labels.version", "other"), "DestinationRule shop/shop", about="shop/shop"),
    Case("versions-have-pods", "a version without pods that gets requests", "subset canary, which has 0 replicas",
         sets("spec.replicas", 0), DEPLOYMENT, about="shop/shop"),
    Case("cohort-before-weight", "a share for a version that no header reaches", "sends 5 % of all requests to",
         sets(f"{SHOP}.route.0", None), about="shop/shop"),
    Case("cohort-before-weight", "only the cookie that keeps users on their version",
         "which no rule with a header", all_of(sets(f"{SHOP}.route.0.match", [{"uri": {"prefix": "/x"}}])),
         about="shop/shop"),
    Case("hosts-not-open", "a service with the host *", "hosts has the host '*'",
         all_of(sets(f"{SHOP}.hosts", ["*"]), sets("services.website.gateways", ["website-gateway"]),
                sets("gateways.public.servers.1.hosts", ["*"]), sets("gateways.public.servers.0.hosts", ["*"])),
         about="shop/shop"),
    Case("hosts-not-open", "a gateway for all hosts", "servers[1] has the host '*'",
         sets("gateways.public.servers.1.hosts", ["*"]), about="istio-ingress/public"),
    Case("retries-bounded", "many attempts", "up to 6 requests of one (attempts 5); allowed are 4",
         all_of(sets(f"{SHOP}.route.1.retries.attempts", 5), sets(f"{SHOP}.route.1.timeout", "10s")),
         about="shop/shop"),
    Case("retries-bounded", "tries that take long", "tries up to 3 times 20 s, 60 s in total",
         all_of(sets(f"{SHOP}.route.1.retries.perTryTimeout", "20s"), sets(f"{SHOP}.route.1.timeout", None)),
         about="shop/shop"),
    Case("retries-bounded", "a bound of one's own", "allowed are 2",
         lambda values: None, about="shop/shop", parameters={"mostRequests": 2}),
    Case("timeouts-set", "a route without a timeout", "http[0] has no timeout",
         sets(f"{SHOP}.route.0.timeout", None), about="shop/shop"),
    Case("timeouts-set", "a timeout of 0, which is none", "http[0] has no timeout",
         sets("spec.http.0.timeout", "0s"), ROUTE),
    Case("image-pinned", "the tag latest", "the image shop:latest of shop has the tag latest",
         sets(f"{CANARY}.image", "shop:latest")),
    Case("image-pinned", "no tag, at a registry with a port", "registry:5000/shop of shop has no tag",
         sets(f"{CANARY}.image", "registry:5000/shop")),
    Case("image-pinned", "a chart without a version", "the chart istiod has no version",
         sets("version", None), "Release istio-system/istiod"),
    Case("image-digest", "a tag", "registry.example.com/shop:1.5.0 of shop has no digest", lambda values: None),
    Case("requests-and-limits", "no resources", "no resources.requests.cpu, resources.requests.memory, resources.limit",
         sets(f"{CANARY}.resources", None)),
    Case("requests-and-limits", "no limit of the memory", "the container shop has no resources.limits.memory",
         sets(f"{CANARY}.resources.limits", {"cpu": "1"})),
    Case("probes", "no readiness probe", "the container shop has no readinessProbe",
         sets(f"{CONTAINER}.readinessProbe", None), DEPLOYMENT),
    Case("probes", "another probe that is asked for", "the container shop has no livenessProbe",
         lambda values: None, parameters={"probes": ["livenessProbe"]}),
    Case("replicas-and-budget", "one pod", "has replicas: 1; at least 2 are needed",
         all_of(sets(f"{CANARY}.replicas", 1), sets(f"{CANARY}.podDisruptionBudget", {"minAvailable": 0}))),
    Case("replicas-and-budget", "an autoscaler that may leave one pod", "has minReplicas: 1; at least 2 are needed",
         all_of(sets(f"{CANARY}.autoscaling", {"maxReplicas": 5, "memory": 80}), sets(f"{CANARY}.replicas", None),
                sets(f"{CANARY}.podDisruptionBudget", {"minAvailable": 0}))),
    Case("replicas-and-budget", "no budget", "no PodDisruptionBudget has its pods",
         sets(f"{SHOP}.podDisruptionBudget", None)),
    Case("sidecar-injection", "a namespace without injection", "does not inject its sidecar into the pods of shop/",
         sets("metadata.labels", {}), "Namespace shop", about="shop/shop-canary"),
    Case("sidecar-injection", "pods that refuse the sidecar", "does not inject its sidecar",
         sets("spec.template.metadata.labels", {"app": "shop", "version": "shop-canary",
                                               "sidecar.istio.io/inject": "false"}), DEPLOYMENT),
    Case("istio-objects-valid", "a field that the CRD does not know", 'unknown field "spec.http[0].rout"',
         sets("spec.http.0.rout", 1), ROUTE),
    Case("tls-at-the-gateway", "a port that does not redirect", "servers[0] takes plain HTTP at port 80",
         sets("gateways.public.servers.0.tls", None), about="istio-ingress/public"),
    Case("mtls-strict", "a mesh that takes plain text", "mtls has the mode PERMISSIVE, which takes plain text",
         sets("mesh.mtls", "PERMISSIVE"), about="istio-system/default"),
    Case("mtls-strict", "a port that takes plain text", "portLevelMtls.8080 has the mode DISABLE",
         sets(f"{SHOP}.mtls", {"mode": "STRICT", "portLevelMtls": {8080: "DISABLE"}}), about="shop/shop"),
    Case("mtls-strict", "an existing mesh, of which nothing is known", "no PeerAuthentication of the stack applies",
         sets("mesh", {"install": False, "gateway": {"ports": [80, 443]}})),
    Case("authorization-not-empty", "a service that all may call", "no AuthorizationPolicy says who may call it",
         sets("services.website.authorization", None), about="website-istio-ns/web-v"),
    Case("authorization-not-empty", "a rule that allows everything", "is empty and allows every request",
         sets("spec.rules.0", {}), "AuthorizationPolicy shop/shop-allow", about="shop/shop-allow"),
    Case("no-privileged-containers", "a privileged container", "the container shop is privileged",
         sets(f"{CONTAINER}.securityContext.privileged", True), DEPLOYMENT),
    Case("no-privileged-containers", "a capability that is as good", "SYS_ADMIN, which are as good as privileged",
         sets(f"{CONTAINER}.securityContext.capabilities.add", ["SYS_ADMIN"]), DEPLOYMENT),
    Case("no-privileged-containers", "the node's network", "its pods have hostNetwork",
         sets("spec.template.spec.hostNetwork", True), DEPLOYMENT),
    Case("run-as-non-root", "user 0", "the container shop runs as user 0",
         sets(f"{CANARY}.securityContext", {"runAsUser": 0, "runAsNonRoot": False})),
    Case("run-as-non-root", "any user", "the container shop may run as root",
         sets(f"{CANARY}.securityContext", {"runAsNonRoot": False})),
    Case("egress-not-open", "calls to every host", "outboundTrafficPolicy is ALLOW_ANY",
         sets("mesh.outboundTrafficPolicy", "ALLOW_ANY"), about="istio-system/istiod"),
    Case("secrets-not-plain", "a password in a variable", "has the value of DB_PASSWORD in its spec",
         sets(f"{CANARY}.env", {"DB_PASSWORD": "hunter2"})),
    Case("secrets-not-plain", "a token in a file", "shop.properties has values for api.token in plain text",
         sets(f"{CANARY}.configFiles", {"/config": {"shop.properties": "port=1\napi.token=abc\n"}}),
         about="shop/shop-canary-"),
    Case("consoles-not-public", "a console at a node port", "the type NodePort",
         sets("spec.type", "NodePort"), "Service istio-system/kiali", about="istio-system/kiali"),
    Case("consoles-not-routed", "a route to a console", "leads from a gateway to the console kiali.istio-system.svc",
         sets("spec.http.0.route.0.destination", {"host": "kiali.istio-system.svc.cluster.local"}), ROUTE),
]  # fmt: skip
