"""Which http routes of which VirtualService have the weights of a rule of a rollout.

Kept in the plan, so that whoever has no stack file can read the weights of a rule from a VirtualService.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rollout.decision import RoutesSeen
from rollout.record import Record
from rollout.routes import RouteInCluster
from traffic.model import RouteTable
from traffic.model.backend import EgressTable

Places = dict[str, dict[str, tuple[int, ...]]]
"""Indices of http routes by rule key and VirtualService."""


def places(
    routes: RouteTable,
    service: str,
    keys: Iterable[str],
    versions: tuple[str, str],
    *,
    gateway_namespace: str,
    gateway_namespaces: Mapping[str, str] | None = None,
    version_header: str | None = None,
    egress: EgressTable | None = None,
) -> Places:
    """Return the places of the rules `keys` of a service's route, for `Plan.places`.

    They are found by rendering the route with other weights of the two `versions` for one rule after the other. The
    other arguments are those of `routes_of_steps`.
    """
    raise NotImplementedError


def weights_seen(
    record: Record, routes: Mapping[str, RouteInCluster], steps: Mapping[str, Any] | None = None
) -> tuple[RoutesSeen, ...]:
    """Return each of the record's VirtualServices with its weights of the rollout's rules.

    http routes that are those of a stored step have its weights; others are read at the plan's places. A rule that a
    VirtualService does not have counts as it is wanted; one that cannot be read there has no weights.
    """
    raise NotImplementedError
