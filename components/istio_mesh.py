"""The Istio mesh, from Istio's official Helm charts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pulumi_kubernetes as k8s
from pulumi_kubernetes_istio_crds.security.v1 import (
    PeerAuthentication,
    PeerAuthenticationSpecArgs,
    PeerAuthenticationSpecMtlsArgs,
)

from components.base import Component
from components.names import BASE_RELEASE, DEFAULT_REVISION, istiod_release, of_revision
from components.revision_tags import RevisionTags, RevisionTagsArgs
from traffic.ingress import CONTROLLER
from traffic.model import gateway_selector
from traffic.releases import release_number

STATUS_PORT = 15021
PROXY_STARTS_FIRST = {"defaultConfig": {"holdApplicationUntilProxyStarts": True}}

DRAINS = 'proxyMetadata: {EXIT_ON_ZERO_ACTIVE_CONNECTIONS: "true"}'
"""ProxyConfig of the gateway's pods: a pod that is replaced terminates after its last request, or after its
terminationGracePeriodSeconds. Without it, Istio's agent stops Envoy after five seconds, which breaks longer requests.
"""

Values = Mapping[str, Any]


def proxy_config_annotation(proxy_config: str) -> dict[str, str]:
    """Return the annotation of a pod that overrides the mesh's ProxyConfig, given as YAML."""
    return {"proxy.istio.io/config": proxy_config}


@dataclass(frozen=True, kw_only=True)
class GatewayArgs:
    """The ingress gateway: Helm release and Service `name`, listening for HTTP on `ports`.

    `service_type` is the Service's type; `node_ports` are the node ports of some of `ports`; Kubernetes chooses the
    others. `proxy_config` is added to the ProxyConfig of its pods (Istio: MeshConfig, "ProxyConfig"). `revision` is the
    revision or tag that its pods belong to.
    """

    name: str
    namespace: pulumi.Input[str]
    service_type: str
    ports: Sequence[int]
    node_ports: Mapping[int, int] = field(default_factory=dict)
    proxy_config: Values = field(default_factory=dict)
    revision: str = DEFAULT_REVISION


@dataclass(frozen=True, kw_only=True)
class RevisionArgs:
    """An istiod: Istio's release, the charts it comes from, the registry of its images, None for the charts' default,
    and values that override those that all istiods have (deep merge, lists are replaced).
    """

    version: str
    charts: str
    hub: str | None = None
    values: Values = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class IstioMeshArgs:
    """Istio's revisions and settings.

    `revisions` are the istiods by name; `default` is the one without a name. Their `charts` are the URL of a chart
    repository (https:// or oci://) or a folder with the charts base, istiod and gateway; `hub` is the registry of the
    images of istiod, gateway and sidecars. `revision` is the one that checks Istio's objects for the whole cluster;
    `tags` are names for revisions. With `keeps_crds`, the chart base stays at the release that it has, because the
    cluster's CRDs are newer than all revisions.

    `mtls` is the PeerAuthentication mode of the whole mesh; `outbound_traffic_policy` is MeshConfig's mode for hosts
    outside the mesh, None for Istio's default. `push_debounce` is istiod's PILOT_DEBOUNCE_AFTER, such as "10ms".
    `mesh_config` is more of MeshConfig, `istiod_env` more environment variables of istiod. `ingress_classes` are
    IngressClasses that Istio serves at the gateway. `base_values`, `istiod_values` and `gateway_values` override the
    component's values (deep merge, lists are replaced). `ready_within` is in seconds, for each chart.
    """

    revisions: Mapping[str, RevisionArgs]
    namespace: pulumi.Input[str]
    mtls: str
    gateway: GatewayArgs
    revision: str = DEFAULT_REVISION
    tags: Mapping[str, str] = field(default_factory=dict)
    keeps_crds: bool = False
    outbound_traffic_policy: str | None = None
    push_debounce: str | None = None
    mesh_config: Values = field(default_factory=dict)
    istiod_env: Mapping[str, str] = field(default_factory=dict)
    ingress_classes: Sequence[str] = ()
    base_values: Values = field(default_factory=dict)
    istiod_values: Values = field(default_factory=dict)
    gateway_values: Values = field(default_factory=dict)
    ready_within: int = 300


class IstioMesh(Component):
    """Istio's charts base, istiod and gateway, in this order, the mesh's PeerAuthentication, and its IngressClasses.

    The chart base, which has the CRDs, is that of the newest revision, and the chart gateway that of its revision. The
    order makes the first `up` succeed: CRDs exist before istiod, and istiod and its webhooks are ready before the
    first pod that needs injection, including the gateway's (Istio: "Install with Helm"). istiod writes its certificate
    and failure policy into its webhooks; a release is compared by its inputs and rendered charts, so this is no diff.

    Helm's errors fail the run: a chart that is not found, a release that is not ready within `ready_within`, or CRDs
    that belong to another release.
    """

    gateway_service: pulumi.Output[str]
    """Name of the gateway's Service."""
    gateway_namespace: pulumi.Output[str]
    """Namespace of the gateway's Service."""
    control_plane: list[pulumi.Resource]
    """The istiods and their tags; everything that needs Istio's CRDs or sidecars depends on them."""

    def __init__(self, name: str, args: IstioMeshArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("istio-canary:index:IstioMesh", name, opts, formerly="istio-canary:istio_mesh:IstioMesh")
        base = self._base(name, args)
        istiods = [self._istiod(name, args, revision, after=base) for revision in args.revisions]
        self.control_plane = [*istiods, *self._tags(name, args, istiods)]
        self._peer_authentication(name, args)
        self._ingress_classes(name, args)
        gateway = self._gateway(name, args)

        self.gateway_service = gateway.name.apply(str)
        self.gateway_namespace = gateway.namespace.apply(str)
        self.register_outputs({"gateway_service": self.gateway_service, "gateway_namespace": self.gateway_namespace})

    def _base(self, name: str, args: IstioMeshArgs) -> k8s.helm.v3.Release:
        """Not awaited: Helm looks only every two seconds, and CRDs are served long before istiod is ready."""
        values: dict[str, Any] = {"global": {"istioNamespace": args.namespace}}
        if args.revision != DEFAULT_REVISION:
            values["defaultRevision"] = args.revision
        newest = max(args.revisions.values(), key=lambda revision: release_number(revision.version))
        return self._release(
            f"{name}-base",
            args,
            newest,
            "base",
            BASE_RELEASE,
            args.namespace,
            merged(values, args.base_values),
            skip_await=True,
            ignore_changes=["chart", "version", "repositoryOpts"] if args.keeps_crds else None,
        )

    def _istiod(self, name: str, args: IstioMeshArgs, revision: str, after: pulumi.Resource) -> k8s.helm.v3.Release:
        given, release = args.revisions[revision], istiod_release(revision)
        values: dict[str, Any] = {
            "global": {"istioNamespace": args.namespace},
            "meshConfig": merged(PROXY_STARTS_FIRST, args.mesh_config),
        }
        if revision != DEFAULT_REVISION:
            values["revision"] = revision
        if given.hub is not None:
            values["global"]["hub"] = given.hub  # istiod injects the images of the gateway and the sidecars
        if args.outbound_traffic_policy is not None:
            values["meshConfig"]["outboundTrafficPolicy"] = {"mode": args.outbound_traffic_policy}
        env = dict(args.istiod_env)
        if args.push_debounce is not None:
            env["PILOT_DEBOUNCE_AFTER"] = args.push_debounce
        if env:
            values["env"] = env
        values = merged(merged(values, args.istiod_values), given.values)
        return self._release(
            f"{name}-{release}", args, given, "istiod", release, args.namespace, values, depends_on=[after]
        )

    def _tags(self, name: str, args: IstioMeshArgs, istiods: Sequence[pulumi.Resource]) -> list[pulumi.Resource]:
        """A tag moves to a revision only when its istiod is ready."""
        if not args.tags:
            return []
        tags = RevisionTagsArgs(namespace=args.namespace, tags=args.tags)
        return [RevisionTags(f"{name}-tags", tags, self._child(depends_on=list(istiods)))]

    def _gateway(self, name: str, args: IstioMeshArgs) -> k8s.helm.v3.Release:
        revision = args.tags.get(args.gateway.revision, args.gateway.revision)
        values: dict[str, Any] = {
            "labels": gateway_selector(args.gateway.name),
            "podAnnotations": {
                **proxy_config_annotation("\n".join([DRAINS, *_as_yaml(args.gateway.proxy_config)])),
                **of_revision(revision),
            },
            "service": {"type": args.gateway.service_type, "ports": _service_ports(args.gateway)},
        }
        if args.gateway.revision != DEFAULT_REVISION:
            values["revision"] = args.gateway.revision
        return self._release(
            f"{name}-gateway",
            args,
            args.revisions[revision],
            "gateway",
            args.gateway.name,
            args.gateway.namespace,
            merged(values, args.gateway_values),
            depends_on=self.control_plane,
        )

    def _peer_authentication(self, name: str, args: IstioMeshArgs) -> None:
        """In the root namespace and named `default`, it applies to the whole mesh (Istio: PeerAuthentication)."""
        PeerAuthentication(
            f"{name}-peer-authentication",
            metadata=k8s.meta.v1.ObjectMetaArgs(name="default", namespace=args.namespace),
            spec=PeerAuthenticationSpecArgs(mtls=PeerAuthenticationSpecMtlsArgs(mode=args.mtls)),
            opts=self._child(depends_on=self.control_plane),
        )

    def _ingress_classes(self, name: str, args: IstioMeshArgs) -> None:
        """Istio serves Ingresses of a class whose controller it is (Istio: "Kubernetes Ingress")."""
        for ingress_class in args.ingress_classes:
            k8s.networking.v1.IngressClass(
                f"{name}-ingress-class-{ingress_class}",
                metadata=k8s.meta.v1.ObjectMetaArgs(name=ingress_class),
                spec={"controller": CONTROLLER},
                opts=self._child(),
            )

    def _release(
        self,
        name: str,
        args: IstioMeshArgs,
        of: RevisionArgs,
        chart: str,
        release: str,
        namespace: pulumi.Input[str],
        values: Values,
        skip_await: bool | None = None,
        **options: Any,
    ) -> k8s.helm.v3.Release:
        is_repository = of.charts.startswith(("https://", "http://"))
        return k8s.helm.v3.Release(
            name,
            name=release,
            namespace=namespace,
            chart=chart if is_repository else f"{of.charts.rstrip('/')}/{chart}",
            repository_opts=k8s.helm.v3.RepositoryOptsArgs(repo=of.charts) if is_repository else None,
            version=of.version,
            values=dict(values),
            timeout=args.ready_within,
            skip_await=skip_await,
            opts=self._child(**options),
        )


def merged(base: Values, overrides: Values) -> dict[str, Any]:
    """Return `base` with `overrides` applied: mappings are merged key by key, everything else is replaced."""
    result = dict(base)
    for key, value in overrides.items():
        current = result.get(key)
        if isinstance(current, Mapping) and isinstance(value, Mapping):
            value = merged(current, value)
        result[key] = value
    return result


def _as_yaml(proxy_config: Values) -> list[str]:
    """The lines of a mapping as YAML: JSON is YAML."""
    return [f"{key}: {json.dumps(value)}" for key, value in proxy_config.items()]


def _service_ports(gateway: GatewayArgs) -> list[dict[str, Any]]:
    ports = [_service_port("status-port", STATUS_PORT)]
    ports += [_service_port(f"http2-{port}" if index else "http2", port) for index, port in enumerate(gateway.ports)]
    for port in ports:
        if port["port"] in gateway.node_ports:
            port["nodePort"] = gateway.node_ports[port["port"]]
    return ports


def _service_port(name: str, port: int) -> dict[str, Any]:
    return {"name": name, "port": port, "protocol": "TCP", "targetPort": port}
