"""A stack's values, read piece by piece: what is malformed is skipped, so that it hides no mistake elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Strict, TypeAdapter, ValidationError

from stacks.mesh_traffic import traffic_of
from stacks.samples import SETTINGS
from stacks.settings.fields import ChartSource
from stacks.settings.mesh import GatewaySettings, MeshSettings
from stacks.settings.mesh_reference import REFERENCE
from stacks.settings.model import Sample, Settings
from stacks.settings.nearest_key import condition_meant
from stacks.settings.problems import Location
from stacks.settings.revisions import NamespaceSettings
from traffic.default_protocol import with_protocol
from traffic.fields import Host, OpenPort
from traffic.model import (
    ISTIOS_MESH,
    OUTSIDE,
    Authorization,
    ExternalService,
    JwtRule,
    Match,
    MeshTraffic,
    Mtls,
    MutualTls,
    OutsideVersion,
    Rule,
    ServiceProtocol,
    ServiceRouting,
    SharedGateway,
    TrafficPolicy,
    VersionRouting,
    own_gateway,
)
from traffic.model.outside import kind_of_version
from traffic.model.protocols import NamedPorts

T = TypeVar("T")

MATCHES: TypeAdapter[tuple[Match, ...]] = TypeAdapter(tuple[Match, ...])
RULE: TypeAdapter[Rule] = TypeAdapter(Rule)
HOST: TypeAdapter[str] = TypeAdapter(Host)
PORT: TypeAdapter[int] = TypeAdapter(OpenPort)
CHARTS: TypeAdapter[str] = TypeAdapter(ChartSource)
MTLS: TypeAdapter[Mtls] = TypeAdapter(Mtls)
MESH: TypeAdapter[MeshSettings] = TypeAdapter(MeshSettings)
GATEWAY: TypeAdapter[SharedGateway] = TypeAdapter(SharedGateway)
NAMESPACE: TypeAdapter[NamespaceSettings] = TypeAdapter(NamespaceSettings)
EGRESS: TypeAdapter[ExternalService] = TypeAdapter(ExternalService)
LABELS: TypeAdapter[dict[str, str]] = TypeAdapter(dict[str, str])
OUTSIDE_VERSION: TypeAdapter[OutsideVersion] = TypeAdapter(OutsideVersion)
FIELDS: Mapping[str, TypeAdapter[Any]] = {
    "trafficPolicy": TypeAdapter(TrafficPolicy),
    "mtls": TypeAdapter(MutualTls),
    "authorization": TypeAdapter(Authorization),
    "jwt": TypeAdapter(tuple[JwtRule, ...]),
    "protocol": TypeAdapter(Annotated[ServiceProtocol, Strict(False)]),
    "ports": TypeAdapter(NamedPorts),
}


@dataclass(frozen=True)
class Service:
    """One service: `given` are its values, `rules` the rules of its route, None where one is malformed.

    `matching` are the rules reduced to their matches. `routing` has what could be read; `is_placed` is whether hosts,
    gateways and ports are all well-formed, so that it is known where requests enter.
    """

    name: str
    given: Mapping[str, Any]
    routing: ServiceRouting
    rules: tuple[Rule | None, ...]
    matching: tuple[Rule | None, ...]
    is_placed: bool

    @property
    def location(self) -> Location:
        """Its location in the settings."""
        return ("services", self.name)

    @property
    def versions(self) -> dict[str, Any]:
        """The versions as given, without those that have no value."""
        return {name: given for name, given in block(self.given.get("versions")).items() if given is not None}

    @property
    def deployed(self) -> dict[str, Any]:
        """The versions that the stack deploys, as given."""
        return {name: given for name, given in self.versions.items() if kind_of_version(given) != OUTSIDE}

    @property
    def has_own_gateway(self) -> bool:
        """Whether it has its own Gateway."""
        return own_gateway(self.name) in self.routing.gateways


@dataclass(frozen=True)
class Release:
    """A release of Istio as given: where, its version, its charts, and the tag of its images if there is one."""

    location: Location
    version: Any
    charts: Any
    tag: Any
    at_charts: Location = ("mesh", "charts")
    at_tag: Location = ("mesh", "values", "istiod", "global", "tag")

    @property
    def charts_folder(self) -> Path | None:
        """The folder of the charts, or None where they come from a repository or are malformed."""
        charts = _read(CHARTS, self.charts)
        return None if charts is None else MeshSettings(charts=charts).charts_folder


class View:
    """All values of a stack; `settings` are given if they are valid as a whole.

    `stack` is the stack's name, None if it is not known. `written` are the values without what strategies decide,
    `given` those of the stack's file alone, without samples.
    """

    unlisted: AbstractSet[Sample] = frozenset()
    """Samples that are not chosen though the stack has settings for them, which is reported for each as a whole."""

    def __init__(
        self,
        values: Mapping[str, Any],
        settings: Settings | None,
        stack: str | None,
        written: Mapping[str, Any],
        given: Mapping[str, Any],
    ) -> None:
        self.values = values
        self.stack = stack
        self.written = written
        self.given = given
        self._settings = settings

    def is_given(self, location: Location) -> bool:
        """Whether the stack's file has the key; if not, it is a sample's."""
        return has(self.given, location)

    def is_removed(self, location: Location) -> bool:
        """Whether the stack's file removes what a sample has there, by `null`."""
        return has(self.given, location) and not has(self.values, location)

    def is_unlisted(self, block: str, name: str) -> bool:
        """Whether an unlisted sample has the entry."""
        return any(name in SETTINGS[sample].get(block, {}) for sample in self.unlisted)

    @cached_property
    def services(self) -> dict[str, Service]:
        """The services by name."""
        if self._settings is not None:
            given = block(self.values.get("services"))
            return {name: self._spoken(_whole(name, given[name], one)) for name, one in self._settings.services.items()}
        services = block(self.values.get("services"))
        return {
            name: self._spoken(_piecewise(name, given)) for name, given in services.items() if isinstance(given, dict)
        }

    def _spoken(self, service: Service) -> Service:
        return replace(service, routing=with_protocol(service.routing, self.gateways))

    @cached_property
    def gateways(self) -> dict[str, SharedGateway | None]:
        """The shared Gateways by name, None where one is malformed."""
        return self._named("gateways", GATEWAY)

    @cached_property
    def well_formed_gateways(self) -> dict[str, SharedGateway]:
        """The shared Gateways that are well-formed."""
        return {name: gateway for name, gateway in self.gateways.items() if gateway is not None}

    def other_gateway(self, service: Service, among: Iterable[str] = ()) -> str | None:
        """The service's first Gateway `among` these of another deployment than mesh.gateway; of all if none is given.

        None if there is none.
        """
        elsewhere = {name for name, gateway in self.well_formed_gateways.items() if gateway.selector}
        asked = elsewhere.intersection(among) if among else elsewhere
        return next((name for name in service.routing.gateways if name in asked), None)

    @property
    def telemetry(self) -> dict[str, Any]:
        """The values of the telemetry."""
        return block(self.values.get("telemetry"))

    @property
    def mesh(self) -> dict[str, Any]:
        """The values of the mesh."""
        return block(self.values.get("mesh"))

    @property
    def installs_mesh(self) -> bool:
        """Whether this stack installs the mesh."""
        return self.mesh.get("install", True) is True

    def of_mesh(self, key: str) -> Any:
        """A value of the mesh, or its default."""
        return self.mesh.get(key, default_of(MeshSettings, key))

    @cached_property
    def mesh_traffic(self) -> MeshTraffic:
        """What the mesh decides about requests; Istio's defaults where its values are malformed."""
        mesh = self._settings.mesh if self._settings is not None else _read(MESH, self.mesh)
        return ISTIOS_MESH if mesh is None else traffic_of(mesh)

    def of_gateway(self, key: str) -> Any:
        """A value of the mesh's gateway, or its default."""
        return block(self.mesh.get("gateway")).get(key, default_of(GatewaySettings, key))

    @cached_property
    def gateway_ports(self) -> list[int] | None:
        """Ports of the gateway's Service, or None where they are malformed."""
        ports = self.of_gateway("ports")
        well_formed = isinstance(ports, (list, tuple)) and all(is_count(port) for port in ports)
        return list(ports) if well_formed else None

    @cached_property
    def namespaces(self) -> dict[str, NamespaceSettings | None]:
        """The settings of namespaces by name, None where they are malformed."""
        return self._named("namespaces", NAMESPACE)

    @cached_property
    def egress(self) -> dict[str, ExternalService | None]:
        """The entries of `egress` by name, None where one is malformed."""
        return self._named("egress", EGRESS)

    @property
    def mtls_of_mesh(self) -> Mtls | None:
        """The mesh's mutual TLS mode, None if it is not known."""
        is_known = self.installs_mesh or (REFERENCE in self.mesh and "mtls" in self.mesh)
        return _read(MTLS, self.of_mesh("mtls"), strict=False) if is_known else None

    @cached_property
    def releases(self) -> list[Release]:
        """Istio's releases that the stack installs, or that the mesh of another stack has: one for each revision."""
        own = Release(("mesh", "version"), self.of_mesh("version"), self.of_mesh("charts"), _tag(self.mesh))
        given = block(self.mesh.get("revisions"))
        return [_of_revision(own, name, block(one)) for name, one in given.items()] or [own]

    def _named(self, key: str, adapter: TypeAdapter[T]) -> dict[str, T | None]:
        """The entries of a block by name, None where one is malformed."""
        if self._settings is not None:
            return dict(getattr(self._settings, key))
        return {name: _read(adapter, one) for name, one in block(self.values.get(key)).items()}


def _tag(mesh: dict[str, Any]) -> Any:
    return at(mesh, ("values", "istiod", "global", "tag"))


def _of_revision(own: Release, name: str, given: dict[str, Any]) -> Release:
    place: Location = ("mesh", "revisions", name)
    tag = at(given, ("values", "global", "tag"))
    return Release(
        (*place, "version") if "version" in given else own.location,
        given.get("version", own.version),
        given.get("charts", own.charts),
        own.tag if tag is None else tag,
        (*place, "charts") if "charts" in given else own.at_charts,
        own.at_tag if tag is None else (*place, "values", "global", "tag"),
    )


def block(value: Any) -> dict[str, Any]:
    """Return `value` if it is a mapping, else an empty one."""
    return value if isinstance(value, dict) else {}


def at(values: Any, location: Location) -> Any:
    """Return the value at a location, None where there is none."""
    for part in location:
        values = block(values).get(str(part))
    return values


def has(values: Any, location: Location) -> bool:
    """Whether there is a value at a location, which may be null."""
    for part in location:
        if isinstance(part, int):
            if not isinstance(values, list) or part >= len(values):
                return False
        elif not isinstance(values, Mapping) or part not in values:
            return False
        values = values[part]
    return True


def entries(value: Any) -> list[Any]:
    """Return `value` if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def is_count(value: Any) -> bool:
    """Whether the value is a whole number."""
    return isinstance(value, int) and not isinstance(value, bool)


def default_of(model: type[Any], key: str) -> Any:
    """Return the default of a key, by its name in the file."""
    return next(field.default for name, field in model.model_fields.items() if (field.alias or name) == key)


def _read(adapter: TypeAdapter[T], value: Any, strict: bool | None = None) -> T | None:
    try:
        return adapter.validate_python(value, by_name=False, by_alias=True, strict=strict)
    except ValidationError:
        return None


def _whole(name: str, given: Mapping[str, Any], service: ServiceRouting) -> Service:
    routing = service.placed(name)
    routing = routing.model_copy(update={"hosts": _each_once(routing.hosts)})
    return Service(name, given, routing, service.route, service.route, is_placed=True)


def _piecewise(name: str, given: Mapping[str, Any]) -> Service:
    def kept(key: str, fits: Callable[[Any], bool], default: Any) -> tuple[Any, bool]:
        value = given.get(key, default)
        return (value, True) if fits(value) else (default, False)

    namespace, _ = kept("namespace", _is_text, name)
    port, port_fits = kept("port", _is_port, default_of(ServiceRouting, "port"))
    gateway_port, gateway_port_fits = kept("gatewayPort", _is_port, default_of(ServiceRouting, "gatewayPort"))
    ingress_class, _ = kept("ingressClassName", _is_text, None)
    gateways, gateways_fit = kept("gateways", _are_texts, [own_gateway(name)])
    hosts = entries(given.get("hosts"))
    well_formed = [host for host in hosts if _is_text(host) and _read(HOST, host) is not None]
    rules = tuple(_read(RULE, rule) for rule in entries(given.get("route")))
    matching = tuple(rule or _matching(raw) for rule, raw in zip(rules, entries(given.get("route")), strict=True))
    fields = {key: _read(adapter, given[key]) for key, adapter in FIELDS.items() if key in given}
    routing = ServiceRouting.model_construct(
        namespace=namespace or name,
        hosts=_each_once(well_formed),
        port=port,
        **({"protocol": fields["protocol"]} if fields.get("protocol") else {}),
        ports=fields.get("ports") or (),
        gateway_port=gateway_port,
        ingress_class_name=ingress_class,
        gateways=tuple(gateways),
        selector=_read(LABELS, given.get("selector", {})) or {},
        versions={version: _version(one) for version, one in block(given.get("versions")).items()},
        route=tuple(rule for rule in rules if rule is not None),
        traffic_policy=fields.get("trafficPolicy"),
        mtls=fields.get("mtls"),
        authorization=fields.get("authorization"),
        jwt=fields.get("jwt") or (),
    )
    is_placed = port_fits and gateway_port_fits and gateways_fit and len(hosts) == len(well_formed)
    is_placed &= isinstance(given.get("hosts", []), list) and fields.get("ports", ()) is not None
    return Service(name, given, routing, rules, matching, is_placed)


def _each_once(hosts: Iterable[str]) -> tuple[str, ...]:
    """The hosts without those given twice: `hosts.check` reports them, and a Gateway's server cannot have them."""
    return tuple(dict.fromkeys(hosts))


def _version(given: Any) -> VersionRouting:
    if kind_of_version(given) == OUTSIDE:
        outside = _read(OUTSIDE_VERSION, given)
        return OutsideVersion.model_construct() if outside is None else outside
    policy = _read(FIELDS["trafficPolicy"], block(given).get("trafficPolicy"))
    ports = _read(FIELDS["ports"], block(given).get("ports", []))
    return VersionRouting.model_construct(traffic_policy=policy, ports=ports or ())


def _matching(rule: Any) -> Rule | None:
    """A malformed rule reduced to its matches, or None if these are malformed."""
    if not isinstance(rule, dict) or rule.get("match", True) in (None, []) or _has_misplaced_condition(rule):
        return None
    matches = _read(MATCHES, rule["match"]) if "match" in rule else ()
    return Rule.model_construct(match=matches) if matches is not None else None


def _has_misplaced_condition(rule: Mapping[str, Any]) -> bool:
    """Whether it is not known which requests the rule is for, since a key is none of a rule's, but of a match."""
    keys = {info.alias or name for name, info in Rule.model_fields.items()}
    place: Location = ("services", "", "route", 0)
    return any(
        condition_meant((*place, key), value) is not None for key, value in rule.items() if key not in keys
    ) or any(condition_meant((*place, "headers", key), one) for key, one in block(rule.get("headers")).items())


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_port(value: Any) -> bool:
    return is_count(value) and _read(PORT, value) is not None


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_text, value))
