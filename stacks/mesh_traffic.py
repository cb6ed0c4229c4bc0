"""What the mesh of a stack decides about requests: its own keys, and the values of Istio's charts where they say more.

With `mesh.install: false`, the own keys say what the existing mesh has, and the rest is assumed. With
`mesh.stackReference`, they are those of the other stack (`stacks.settings.mesh_reference`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

from stacks.mesh_keys import (
    CONFIG_ANNOTATION,
    GATEWAY,
    HONOURED,
    ISTIOD,
    OTHERS,
    PROXY_CONFIG,
    Decides,
    Table,
)
from traffic.model import ISTIOS_MESH, MeshTraffic, OutboundTrafficPolicy, PathNormalization, Retries

if TYPE_CHECKING:
    from stacks.settings.mesh import MeshSettings
    from stacks.settings.model import Settings
    from stacks.settings.problems import Location

MESH_CONFIG: Location = ("istiod", "meshConfig")
RETRIES: Location = (*MESH_CONFIG, "defaultHttpRetryPolicy")
NORMALIZATION: Location = (*MESH_CONFIG, "pathNormalization", "normalization")
OUTBOUND: Location = (*MESH_CONFIG, "outboundTrafficPolicy", "mode")
PROXIES: Location = (*MESH_CONFIG, "defaultConfig", "gatewayTopology", "numTrustedProxies")
ANNOTATION: Location = ("gateway", "podAnnotations", CONFIG_ANNOTATION)
"""Places below `mesh.values`."""


@dataclass(frozen=True)
class Unsimulated:
    """A value below `mesh.values` that the simulator leaves out: where it is, and what it decides."""

    location: Location
    given: Any
    decides: str

    @property
    def words(self) -> str:
        """What it decides, as the end of a sentence."""
        return f"is not simulated: {self.decides}"


def mesh_traffic(settings: Settings) -> MeshTraffic:
    """Return the facts about the stack's mesh."""
    return traffic_of(settings.mesh)


def traffic_of(mesh: MeshSettings) -> MeshTraffic:
    """Return the facts about a mesh."""
    retries, normalization = read_retries(at(mesh, RETRIES)), read_normalization(at(mesh, NORMALIZATION))
    return MeshTraffic(
        default_retries=retries or mesh.retries,
        path_normalization=normalization or mesh.path_normalization,
        num_trusted_proxies=_trusted_proxies(mesh),
        outbound_traffic_policy=read_mode(at(mesh, OUTBOUND)) or mesh.outbound_traffic_policy,
    )


def _trusted_proxies(mesh: MeshSettings) -> int:
    """The annotation of the gateway's pods goes before the mesh's default; its gatewayTopology replaces the other."""
    annotation = at(mesh, ANNOTATION)
    of_pods = read_proxy_config(annotation) if annotation is not None else own_proxy_config(mesh)
    if of_pods and of_pods.get("gatewayTopology") is not None:
        topology = of_pods["gatewayTopology"]
        return (read_number(topology.get("numTrustedProxies")) or 0) if isinstance(topology, Mapping) else 0
    return read_number(at(mesh, PROXIES)) or 0


def own_mesh_config(mesh: MeshSettings) -> dict[str, Any]:
    """Return what the own keys of the mesh add to MeshConfig."""
    from traffic.render.spec import non_default_fields

    config: dict[str, Any] = {}
    if mesh.retries is not None:
        config["defaultHttpRetryPolicy"] = non_default_fields(mesh.retries)
    if mesh.path_normalization is not ISTIOS_MESH.path_normalization:
        config["pathNormalization"] = {"normalization": mesh.path_normalization.value}
    return config


def own_proxy_config(mesh: MeshSettings) -> dict[str, Any]:
    """Return what the own keys of the gateway add to the ProxyConfig of its pods.

    See Istio's page "Configuring Gateway Network Topology": the annotation replaces the pods, MeshConfig would not.
    """
    number = mesh.gateway.num_trusted_proxies
    return {"gatewayTopology": {"numTrustedProxies": number}} if number else {}


def unsimulated(settings: Settings) -> tuple[Unsimulated, ...]:
    """Return the chart values that may change what happens to a request, and that the simulator leaves out."""
    values = settings.mesh.values
    found = [*_walk(values.istiod, ISTIOD, ("istiod",)), *_walk(values.gateway, GATEWAY, ("gateway",))]
    annotation = at(settings.mesh, ANNOTATION)
    if isinstance(annotation, str):
        config = read_proxy_config(annotation)
        found += _walk(config, PROXY_CONFIG, ANNOTATION) if config is not None else ()
    return tuple(found)


def assumed(settings: Settings) -> tuple[str, ...]:
    """Return what is taken for granted about a mesh that the stack does not install; nothing if it does.

    Nor is anything about the mesh of another stack: a run refuses to go on if that has another one.
    """
    mesh = settings.mesh
    if mesh.install or mesh.stack_reference:
        return ()
    retries = "rules without retries are retried twice, Istio's default (mesh.retries)"
    proxies = "the gateway trusts no proxy in front of it (mesh.gateway.numTrustedProxies)"
    paths = "paths are normalised as by Istio's default, BASE (mesh.pathNormalization)"
    return (
        *([] if mesh.retries is not None else [retries]),
        *([] if "path_normalization" in mesh.model_fields_set else [paths]),
        *([] if "num_trusted_proxies" in mesh.gateway.model_fields_set else [proxies]),
        "calls of hosts outside the mesh are allowed (ALLOW_ANY), and the rest of MeshConfig is Istio's default",
    )


def at(mesh: MeshSettings, place: Location) -> Any:
    """Return the value at a place below `mesh.values`, None if there is none."""
    value: Any = {"istiod": mesh.values.istiod, "gateway": mesh.values.gateway}
    for part in place:
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def read_retries(value: Any) -> Retries | None:
    """Return Istio's HTTPRetry as retries, None if it cannot be read; without attempts there are none."""
    if not isinstance(value, Mapping):
        return None
    given = {key: one for key, one in value.items() if one is not None}
    attempts = read_number(given.get("attempts", 0))
    if attempts == 0:
        return Retries(attempts=0)
    if isinstance(given.get("retryOn"), str):
        given["retryOn"] = ",".join(part.strip() for part in given["retryOn"].split(","))
    try:
        return Retries.model_validate({**given, "attempts": attempts}, by_name=False, by_alias=True)
    except ValidationError:
        return None


def read_normalization(value: Any) -> PathNormalization | None:
    """Return the normalisation, None if there is none or it cannot be read."""
    if value == "DEFAULT":
        return PathNormalization.BASE
    return PathNormalization(value) if value in tuple(PathNormalization) else None


def read_mode(value: Any) -> OutboundTrafficPolicy | None:
    """Return the mode for calls to the outside, None if there is none or it cannot be read."""
    return OutboundTrafficPolicy(value) if value in tuple(OutboundTrafficPolicy) else None


def read_number(value: Any) -> int | None:
    """Return a number that may be written as text, as in protobuf's JSON; None if it is none."""
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def read_proxy_config(value: Any) -> Mapping[str, Any] | None:
    """Return the ProxyConfig of an annotation, None if it cannot be read."""
    try:
        config = yaml.safe_load(value) if isinstance(value, str) else None
    except yaml.YAMLError:
        return None
    return {str(key): one for key, one in config.items()} if isinstance(config, Mapping) else None


READERS: Mapping[Location, Callable[[Any], Any]] = {
    RETRIES: read_retries,
    NORMALIZATION: read_normalization,
    OUTBOUND: read_mode,
    PROXIES: read_number,
    ANNOTATION: read_proxy_config,
    (*ANNOTATION, "gatewayTopology", "numTrustedProxies"): read_number,
}


def _walk(values: Mapping[str, Any], table: Table, place: Location) -> Iterator[Unsimulated]:
    for key, value in values.items():
        here = (*place, str(key))
        entry = table.get(str(key), table.get(OTHERS))
        if value is None:
            continue
        if entry is None:
            yield Unsimulated(here, value, "it is unknown here, and may decide what happens to requests")
        elif entry is HONOURED:
            if READERS[here](value) is None:
                yield Unsimulated(here, value, "its value cannot be read here")
        elif isinstance(entry, Decides):
            if not _equal(value, entry.default):
                yield Unsimulated(here, value, f"it decides {entry.what}")
        elif isinstance(entry, Mapping):
            if isinstance(value, Mapping):
                yield from _walk(value, entry, here)
            else:
                yield Unsimulated(here, value, "its value cannot be read here")


def _equal(value: Any, default: Any) -> bool:
    """Whether a value is Istio's default; environment variables are text."""
    if isinstance(default, bool):
        return str(value).lower() == str(default).lower()
    return bool(value == default) or (default is not None and not default and not value)
