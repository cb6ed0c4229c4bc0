"""What a change of versions has to wait for, so that no request is sent to pods that are not there.

A version that comes is made known to every Envoy before a route names it; one that gets no more requests keeps its
pods and its subset until every Envoy has let go of it (Istio: "Traffic Management Best Practices", "Avoid 503 errors
while reconfiguring service routes").
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from stacks.applied import AppliedRoutes
from stacks.problems import Problem, SettingsError, key_path
from stacks.settings import ServiceSettings, Settings
from traffic.model import Target, target


@dataclass(frozen=True, kw_only=True)
class Handover:
    """What changes for the Envoys when a service's versions or routes do.

    `entering` get requests from now on: every Envoy must know their pods before the route is written. `ceasing` get
    none any more, or lose pods without getting any: their pods stay as they are until no Envoy sends them any.
    `leaving` are no versions any more: their subsets go, once no Envoy uses them.
    """

    entering: frozenset[Target] = frozenset()
    ceasing: frozenset[Target] = frozenset()
    leaving: frozenset[Target] = frozenset()


def used_by(name: str, service: ServiceSettings) -> frozenset[Target]:
    """Return the versions to which the route of a service sends requests, or copies of them."""
    destinations: list[str] = []
    for rule in service.route:
        destinations += [destination for destination, weight in rule.weights.items() if weight > 0]
        destinations += [mirror.to for mirror in rule.mirrors]
    return frozenset(target(name, destination) for destination in destinations)


def used_in(settings: Settings) -> frozenset[Target]:
    """Return the versions to which any route of the stack sends requests."""
    return frozenset(used for name, service in settings.services.items() for used in used_by(name, service))


def handovers(settings: Settings, applied: AppliedRoutes) -> dict[str, Handover]:
    """Return, by service, what the change from `applied` to `settings` means for the Envoys that call it."""
    used = used_in(settings)
    known: dict[str, set[Target]] = {name: set() for name in settings.services}
    for subset in applied.subsets:
        known[subset.service].add(subset)
    return {name: _handover(name, settings, applied, used, known[name]) for name in settings.services}


def refuse_loss(settings: Settings, applied: AppliedRoutes, file: str) -> None:
    """Raise SettingsError if a version is taken away that the routes in the cluster still send requests to."""
    problems = [
        _still_used(gone, applied.shares[gone], settings.services[name])
        for name, handover in handovers(settings, applied).items()
        for gone in sorted(handover.leaving & applied.used)
    ]
    if problems:
        raise SettingsError(problems, file)


def _handover(
    name: str, settings: Settings, applied: AppliedRoutes, used: frozenset[Target], known: set[Target]
) -> Handover:
    service = settings.services[name]
    versions = frozenset(Target(name, version) for version in service.versions)
    called = used_by(name, service) if name in applied.routed else frozenset()
    return Handover(
        entering=frozenset(target for target in called - applied.used if _has_pods(settings, target)),
        ceasing=frozenset(
            target for target in versions - used if target in applied.used or _loses_pods(service, applied, target)
        ),
        leaving=frozenset(known) - versions,
    )


def _loses_pods(service: ServiceSettings, applied: AppliedRoutes, idle: Target) -> bool:
    """An earlier run may have written the routes and ended before every Envoy had taken them."""
    return service.versions[idle.version].replicas < applied.replicas.get(idle, 0)


def _has_pods(settings: Settings, used: Target) -> bool:
    return settings.services[used.service].versions[used.version].replicas > 0


def _still_used(gone: Target, share: str, service: ServiceSettings) -> Problem:
    return Problem(
        path=key_path(("services", gone.service, "versions", gone.version)),
        what=f"{gone.version} is taken away while the cluster still sends it requests ({share})",
        given=f"the versions {_names(service.versions)}",
        allowed="a version is taken away once no route sends it anything",
        remedy=f"put {gone.version} back, send its share elsewhere (in weights: `{gone.version}: 0`; no mirror to it), "
        "`canary up`, and take it away after that",
    )


def _names(versions: Iterable[str]) -> str:
    return ", ".join(versions)
