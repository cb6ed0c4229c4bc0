"""Whether an Envoy's routes are those of a VirtualService: pure functions of its config dump.

istiod makes one or more Envoy routes of each http route, in the same order, and names the VirtualService in their
metadata; those that cannot match at a listener are left out. Which push an Envoy has cannot be told from a version.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rollout.observed_routes import full_host

Shares = Mapping[tuple[str, str], float]
"""Part of the requests by host and subset."""

ROUNDING = 1e-6

PSEUDO_HEADERS = {"method": ":method", "authority": ":authority", "scheme": ":scheme"}
"""Envoy's names of the headers that are fields of their own in Istio's matches."""


@dataclass(frozen=True)
class WantedRoute:
    """What the Envoy routes of one http route look like: the names of headers that each of its matches looks at."""

    headers: tuple[frozenset[str], ...]
    shares: Shares


def config_name(namespace: str, virtual_service: str) -> str:
    """Return the name of a VirtualService in the metadata of Envoy's routes."""
    return f"/apis/networking.istio.io/v1/namespaces/{namespace}/virtual-service/{virtual_service}"


def wanted_routes(http: Iterable[Mapping[str, Any]], namespace: str) -> tuple[WantedRoute, ...]:
    """Return what Envoy's routes of these http routes look like."""
    return tuple(
        WantedRoute(
            headers=tuple(_headers(match) for match in entry.get("match") or ()) or (frozenset(),),
            shares=_shares(
                ((full_host(str(one["destination"]["host"]), namespace), str(one["destination"].get("subset") or "")),
                 one.get("weight"))
                for one in entry.get("route") or ()
            ),
        )
        for entry in http
    )  # fmt: skip


def follows(dump: Mapping[str, Any], config: str, wanted: Sequence[WantedRoute]) -> bool:
    """Return whether all of an Envoy's routes of the VirtualService `config` are made of `wanted`, in its order.

    An Envoy without any route of it has nothing to follow.
    """
    known = frozenset(name for one in wanted for names in one.headers for name in names)
    return all(_are_of(routes, wanted, known) for routes in _routes_of(dump, config))


def _are_of(routes: Sequence[Mapping[str, Any]], wanted: Sequence[WantedRoute], known: frozenset[str]) -> bool:
    places = {0}
    for route in routes:
        names, shares = _envoy_headers(route) & known, _envoy_shares(route)
        places = {
            place
            for place in range(min(places), len(wanted))
            if names in wanted[place].headers and _are_same(shares, wanted[place].shares)
        }
        if not places:
            return False
    return True


def _routes_of(dump: Mapping[str, Any], config: str) -> Iterator[list[Mapping[str, Any]]]:
    """The Envoy routes of a VirtualService, by virtual host."""
    for entry in dump.get("configs") or ():
        for host in (entry.get("route_config") or {}).get("virtual_hosts") or ():
            mine = [route for route in host.get("routes") or () if _config_of(route) == config]
            if mine:
                yield mine


def _config_of(route: Mapping[str, Any]) -> str:
    metadata = (route.get("metadata") or {}).get("filter_metadata") or {}
    return str((metadata.get("istio") or {}).get("config", ""))


def _headers(match: Mapping[str, Any]) -> frozenset[str]:
    """The names of the headers that a match looks at; claims (`@request…`) become no headers."""
    named = (*(match.get("headers") or ()), *(match.get("withoutHeaders") or ()))
    return frozenset(
        {name.lower() for name in named if not name.startswith("@")}
        | {pseudo for key, pseudo in PSEUDO_HEADERS.items() if match.get(key)}
    )


def _envoy_headers(route: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(str(one.get("name", "")).lower() for one in (route.get("match") or {}).get("headers") or ())


def _envoy_shares(route: Mapping[str, Any]) -> Shares:
    action = route.get("route") or {}
    weighted = (action.get("weighted_clusters") or {}).get("clusters") or ()
    if weighted:
        return _shares((_host_and_subset(one["name"]), one.get("weight", 0)) for one in weighted)
    return {_host_and_subset(action["cluster"]): 1.0} if "cluster" in action else {}


def _host_and_subset(cluster: str) -> tuple[str, str]:
    """Of a cluster such as `outbound|80|version-1|website.shop.svc.cluster.local`."""
    _, _, subset, host = [*cluster.split("|", 3), "", "", ""][:4]
    return host, subset


def _shares(weights: Iterable[tuple[tuple[str, str], Any]]) -> Shares:
    """Parts that sum to 1; a single destination without a weight gets all."""
    given = list(weights)
    if len(given) == 1:
        return {given[0][0]: 1.0}
    total = sum(float(weight or 0) for _, weight in given)
    found: dict[tuple[str, str], float] = {}
    for place, weight in given:
        if weight:
            found[place] = found.get(place, 0.0) + float(weight) / total
    return found


def _are_same(one: Shares, other: Shares) -> bool:
    return one.keys() == other.keys() and all(abs(one[key] - other[key]) < ROUNDING for key in one)
