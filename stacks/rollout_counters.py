"""Which counters the gates of a rollout compare, by the stack's telemetry and by what else leads to its versions."""

from __future__ import annotations

from metrics.durations import prometheus_seconds
from rollout.planned import PlannedCounters
from rollout.schedule import Schedule
from stacks.settings.model import Settings
from traffic.graph import targets_of
from traffic.hashing import hash_of
from traffic.model import Rule, Target, target


def counters_of(settings: Settings, service: str, found: Schedule) -> PlannedCounters:
    """Return which counters the gates of a rollout compare.

    Envoy counts by version, whichever rule chose it. So the versions' shares are those of the weights, and the split
    is judged, only where one rule alone leads to them; and not where users or keys stay at a pod.
    """
    rolled = [rule for rule in settings.services[service].route if rule.rollout is not None]
    versions = {Target(service, version) for version in (found.origin, found.target) if version is not None}
    return PlannedCounters(
        source=settings.telemetry.metrics.value,
        scrape_seconds=prometheus_seconds(settings.telemetry.scrape_interval),
        split_judged=len(rolled) == 1
        and rolled[0].sticky is None
        and hash_of(settings.services, service, found.target) is None
        and not _called_otherwise(settings, service, versions),
    )


def _called_otherwise(settings: Settings, service: str, versions: set[Target]) -> bool:
    """Whether anything but the weights of a rollout sends requests, or copies of them, to these versions."""
    own = settings.services[service].route
    if any(versions & _called(service, rule) for rule in own):
        return True
    others = ((name, routing) for name, routing in settings.services.items() if name != service)
    return any(versions & targets_of(name, routing) for name, routing in others)


def _called(service: str, rule: Rule) -> set[Target]:
    """What a rule sends requests to, without those of a rollout."""
    by_weight = () if rule.rollout is not None else rule.weights
    return {target(service, one) for one in (*by_weight, *(mirror.to for mirror in rule.mirrors))}
