"""Kiali, the console of the mesh, configured for the mesh's Prometheus, Jaeger and Grafana."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pulumi
import pulumi_kubernetes as k8s
import yaml

from components.base import Component
from components.telemetry import grafana, workload

NAME = "kiali"
PORT, METRICS = 20001, 9090
USER = 1000
"""User of the official image."""

CONFIG, CONFIG_FILE = "/kiali-configuration", "config.yaml"
CREDENTIALS = "/kiali-override-secrets"
"""Folder of Kiali's credentials: the content of `<credential>/value.txt` takes the place of the setting."""

SIGNING_KEY = "signing-key"
SIGNING_KEY_LENGTH = 32
"""Kiali accepts 16, 24 or 32 bytes."""

READ = ("get", "list", "watch")
OBJECTS = {
    "": ("namespaces", "pods", "replicationcontrollers", "services"),
    "apps": ("daemonsets", "deployments", "replicasets", "statefulsets"),
    "batch": ("cronjobs", "jobs"),
}
"""Kubernetes' objects, by API group, that Kiali shows, and labels or annotates where it may change objects."""

MESH_GROUPS = (
    "networking.istio.io",
    "security.istio.io",
    "extensions.istio.io",
    "telemetry.istio.io",
    "gateway.networking.k8s.io",
    "inference.networking.k8s.io",
)


@dataclass(frozen=True, kw_only=True)
class KialiTracing:
    """The tracing backend that Kiali queries, by gRPC or HTTP, and the URL at which browsers reach it."""

    internal_url: pulumi.Input[str]
    external_url: pulumi.Input[str] | None = None
    use_grpc: bool = True
    provider: Literal["jaeger"] = "jaeger"


@dataclass(frozen=True, kw_only=True)
class KialiDashboard:
    """A Grafana dashboard by its title.

    `variables` names the URL parameters that Kiali fills in: `namespace`, and on the page of a service, workload or
    application `service` (the fully qualified host name), `workload` or `app`. Where it lacks that one, there is no
    link.
    """

    name: str
    variables: Mapping[str, str] = field(default_factory=dict)


CANARY_DASHBOARD = KialiDashboard(name="Canary", variables={"namespace": "var-namespace", "app": "var-service"})
"""This project's dashboard. It expects a service's short name, which is the label `app` of its pods."""

ISTIO_DASHBOARDS = (
    KialiDashboard(
        name="Istio Service Dashboard",
        variables={"datasource": "var-datasource", "namespace": "var-namespace", "service": "var-service"},
    ),
    KialiDashboard(
        name="Istio Workload Dashboard",
        variables={"datasource": "var-datasource", "namespace": "var-namespace", "workload": "var-workload"},
    ),
    KialiDashboard(name="Istio Mesh Dashboard"),
    KialiDashboard(name="Istio Control Plane Dashboard"),
    KialiDashboard(name="Istio Performance Dashboard"),
    KialiDashboard(name="Istio Wasm Extension Dashboard"),
)
"""Istio's dashboards (Kiali: "Grafana")."""


@dataclass(frozen=True, kw_only=True)
class KialiGrafana:
    """The Grafana that Kiali links to. Without the URL at which browsers reach it, there are no links.

    Kiali searches Grafana for the dashboards by name, and links to those that it finds. If that needs a login,
    `admin_secret` names the Secret of a `Grafana` in Kiali's namespace. `datasource_uid` is that of its Prometheus.
    """

    internal_url: pulumi.Input[str]
    external_url: pulumi.Input[str] | None = None
    dashboards: Sequence[KialiDashboard] = (CANARY_DASHBOARD, *ISTIO_DASHBOARDS)
    datasource_uid: str = grafana.PROMETHEUS_UID
    admin_secret: pulumi.Input[str] | None = None


@dataclass(frozen=True, kw_only=True)
class KialiArgs:
    """Kiali 2 for the mesh whose root namespace is `istio_namespace`.

    With the authentication `token`, users log in with the token of a ServiceAccount; they see the namespaces that it
    may get. With `anonymous`, everyone who reaches the port sees what Kiali sees. In `view_only_mode` Kiali changes
    nothing, whoever asks: the mesh's objects belong to the stack, and its next run would undo the change. Pods of
    `allowed_namespaces` may reach the port. `ready_within` is in seconds.
    """

    namespace: pulumi.Input[str]
    image: pulumi.Input[str]
    prometheus_url: pulumi.Input[str]
    istio_namespace: pulumi.Input[str] = "istio-system"
    authentication: Literal["token", "anonymous"] = "token"
    view_only_mode: bool = True
    tracing: KialiTracing | None = None
    grafana: KialiGrafana | None = None
    web_root: str = "/kiali"
    resources: pulumi.Input[k8s.core.v1.ResourceRequirementsArgs] | None = None
    allowed_namespaces: Sequence[str] = ()
    ready_within: int = 300


class Kiali(Component):
    """Kiali's Deployment, Service `kiali` on port 20001, ConfigMap, rights, Secret and NetworkPolicy.

    It may read the workloads, ConfigMaps, logs and Istio objects of the whole cluster, and forward ports to pods, from
    which it reads Envoy's and istiod's state. If it is not in istiod's root namespace, istiod needs `istiod_env`.

    Other pods do not reach the port, and only Prometheus' reaches Kiali's own metrics; a port-forward does, because it
    comes from the pod's own node. An ingress in front of Kiali needs a NetworkPolicy of its own, since policies add up
    (Kubernetes: "Network Policies").
    """

    url: pulumi.Output[str]
    """URL of Kiali inside the cluster, with the web root."""

    def __init__(self, name: str, args: KialiArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("istio-canary:index:Kiali", name, opts)
        account = workload.service_account(f"{name}-account", NAME, args.namespace, self._child())
        workload.cluster_role(
            name, NAME, args.namespace, permissions(args.authentication, args.view_only_mode), self._child()
        )
        ports = [
            workload.service_port("http", PORT, app_protocol="http"),
            workload.service_port("http-metrics", METRICS, app_protocol="http"),
        ]
        service = workload.cluster_ip_service(f"{name}-service", NAME, NAME, args.namespace, ports, self._child())
        self._deployment(name, args, account.metadata.name)
        rules = [*workload.allow([PORT], [], args.allowed_namespaces), *workload.allow([METRICS], ["prometheus"])]
        workload.network_policy(f"{name}-policy", NAME, args.namespace, rules, self._child())

        self.url = pulumi.Output.concat(
            "http://", service.metadata.name, ".", args.namespace, f":{PORT}{args.web_root.rstrip('/')}"
        )
        self.register_outputs({"url": self.url})

    def _deployment(self, name: str, args: KialiArgs, account: pulumi.Input[str]) -> None:
        text = pulumi.Output.from_input(configuration(args)).apply(lambda known: str(yaml.safe_dump(known)))
        config = workload.config_map(f"{name}-config", NAME, args.namespace, {CONFIG_FILE: text}, self._child())
        secret = workload.generated_secret(
            f"{name}-signing-key", NAME, args.namespace, SIGNING_KEY, None, self._child(), SIGNING_KEY_LENGTH
        )
        mounts = [
            workload.config_mount("configuration", config.metadata.name, CONFIG),
            _credential_mount("login-token-signing-key", secret.metadata.name, SIGNING_KEY),
        ]
        if args.grafana is not None and args.grafana.admin_secret is not None:
            mounts.append(_credential_mount("grafana-password", args.grafana.admin_secret, grafana.PASSWORD_KEY))
        annotations: dict[str, pulumi.Input[str]] = {
            "kiali.io/dashboards": "go,kiali",
            "prometheus.io/scrape": "true",
            "prometheus.io/port": str(METRICS),
            "prometheus.io/scheme": "http",
            workload.CHECKSUM: text.apply(lambda known: workload.checksum({CONFIG_FILE: known})[workload.CHECKSUM]),
        }
        workload.deployment(f"{name}-server", _server(args, account, mounts, annotations), self._child())


def istiod_env(kiali_namespace: str, istio_namespace: str) -> dict[str, str]:
    """Return the environment variables that istiod needs for a Kiali in `kiali_namespace`.

    istiod answers on its debug endpoints to callers from its root namespace, `istio_namespace`, and from the namespaces
    in this variable, separated by commas without spaces (Istio: "pilot-discovery", environment variables).
    """
    return {} if kiali_namespace == istio_namespace else {"DEBUG_ENDPOINT_AUTH_ALLOWED_NAMESPACES": kiali_namespace}


def permissions(authentication: str, view_only_mode: bool) -> list[k8s.rbac.v1.PolicyRuleArgs]:
    """Return the rules of Kiali's ClusterRole.

    Kiali changes objects by its own rights only for anonymous users; for others it uses the token that they logged in
    with (Kiali: "Namespace access control").
    """
    may_change = authentication == "anonymous" and not view_only_mode
    rules = [
        _rule([""], ["configmaps", "endpoints", "pods/log"], READ),
        _rule([""], ["pods/portforward"], ["create"]),
        *(_rule([group], names, [*READ, *(["patch"] if may_change else [])]) for group, names in OBJECTS.items()),
        _rule(MESH_GROUPS, ["*"], [*READ, *(["create", "delete", "patch"] if may_change else [])]),
        _rule(["admissionregistration.k8s.io"], ["mutatingwebhookconfigurations"], READ),
    ]
    if authentication == "token":
        rules.append(_rule(["authentication.k8s.io"], ["tokenreviews"], ["create"]))
    return rules


def _rule(groups: Sequence[str], resources: Sequence[str], verbs: Sequence[str]) -> k8s.rbac.v1.PolicyRuleArgs:
    return k8s.rbac.v1.PolicyRuleArgs(api_groups=list(groups), resources=list(resources), verbs=list(verbs))


def configuration(args: KialiArgs) -> dict[str, Any]:
    """Return Kiali's config.yaml as data (Kiali: "Kiali CR Reference").

    It has no `login_token.signing_key`. The form `secret:<name>:<key>` is resolved by Kiali's operator and chart, which
    mount the Secret, as here; the server would take this text itself as the key.
    """
    api_links = {
        "title": "API Documentation",
        "annotation": "kiali.io/api-spec",
        "icon_annotation": "kiali.io/api-type",
    }
    return {
        "additional_display_details": [api_links],
        "auth": {"strategy": args.authentication},
        "deployment": {
            "cluster_wide_access": True,
            "instance_name": NAME,
            "namespace": args.namespace,
            "view_only_mode": args.view_only_mode,
        },
        "external_services": {
            "custom_dashboards": {"enabled": True},
            "grafana": _grafana(args.grafana),
            "istio": {"root_namespace": args.istio_namespace},
            "prometheus": {"enabled": True, "url": args.prometheus_url},
            "tracing": _tracing(args.tracing),
        },
        # KIA1301: a workload without an AuthorizationPolicy, which is the normal case.
        "kiali_feature_flags": {"validations": {"ignore": ["KIA1301"]}},
        "server": {
            "observability": {"metrics": {"enabled": True, "port": METRICS}},
            "port": PORT,
            "web_root": args.web_root,
        },
    }


def _tracing(tracing: KialiTracing | None) -> dict[str, Any]:
    if tracing is None:
        return {"enabled": False}
    return {
        "enabled": True,
        "provider": tracing.provider,
        "internal_url": tracing.internal_url,
        "use_grpc": tracing.use_grpc,
        **_external_url(tracing.external_url),
    }


def _grafana(args: KialiGrafana | None) -> dict[str, Any]:
    """Return Grafana's section; without one, Kiali would look for a Grafana in istio-system."""
    if args is None:
        return {"enabled": False}
    login = {} if args.admin_secret is None else {"auth": {"type": "basic", "username": grafana.ADMIN_USER}}
    return {
        "enabled": True,
        "internal_url": args.internal_url,
        "datasource_uid": args.datasource_uid,
        "dashboards": [
            {"name": dashboard.name} | ({"variables": dict(dashboard.variables)} if dashboard.variables else {})
            for dashboard in args.dashboards
        ],
        **_external_url(args.external_url),
        **login,
    }


def _external_url(url: pulumi.Input[str] | None) -> dict[str, pulumi.Input[str]]:
    return {} if url is None else {"external_url": url}


def _credential_mount(credential: str, secret: pulumi.Input[str], key: str) -> workload.Mount:
    """Mount a key of a Secret where Kiali looks for this credential."""
    source = k8s.core.v1.SecretVolumeSourceArgs(
        secret_name=secret, items=[k8s.core.v1.KeyToPathArgs(key=key, path="value.txt")]
    )
    return workload.Mount(
        volume=k8s.core.v1.VolumeArgs(name=credential, secret=source),
        mount=k8s.core.v1.VolumeMountArgs(name=credential, mount_path=f"{CREDENTIALS}/{credential}", read_only=True),
    )


def _server(
    args: KialiArgs,
    account: pulumi.Input[str],
    mounts: Sequence[workload.Mount],
    annotations: Mapping[str, pulumi.Input[str]],
) -> workload.ServerArgs:
    health = f"{args.web_root.rstrip('/')}/healthz"
    namespace = k8s.core.v1.EnvVarSourceArgs(
        field_ref=k8s.core.v1.ObjectFieldSelectorArgs(field_path="metadata.namespace")
    )
    return workload.ServerArgs(
        name=NAME,
        namespace=args.namespace,
        image=args.image,
        user=USER,
        command=["/opt/kiali/kiali", "-config", f"{CONFIG}/{CONFIG_FILE}"],
        env=[k8s.core.v1.EnvVarArgs(name="ACTIVE_NAMESPACE", value_from=namespace)],
        ports={"http": PORT, "http-metrics": METRICS},
        mounts=mounts,
        annotations=annotations,
        startup_probe=workload.probe(health, "http", period_seconds=2, failure_threshold=90),
        readiness_probe=workload.probe(health, "http", period_seconds=5),
        liveness_probe=workload.probe(health, "http", timeout_seconds=10, failure_threshold=6),
        service_account=account,
        resources=args.resources,
        ready_within=args.ready_within,
    )
