"""What a rollout is asked to do without the means: numbers that nothing counts, pods that nothing may add, no time."""

from __future__ import annotations

import math
from collections.abc import Iterator

from stacks.rollouts import given_from, strategy_of
from stacks.settings.model import Settings, VersionSettings
from stacks.settings.problems import Finding, Location, key_path, shown
from traffic.model import RolloutStrategy, Rule


def warnings(settings: Settings) -> Iterator[Finding]:
    """Yield why a rollout would be held for ever, or what it would not compare."""
    strategies: dict[Location, RolloutStrategy] = {}
    for name, service in settings.services.items():
        for index, rule in enumerate(service.route):
            strategy = strategy_of(settings, rule)
            if strategy is None:
                continue
            place: Location = ("services", name, "route", index, "rollout")
            own: Location = ("rollouts", rule.rollout) if isinstance(rule.rollout, str) else place
            strategies.setdefault(own, strategy)
            yield from _too_few_pods(settings, name, rule, strategy, place)
    for own, strategy in strategies.items():
        yield from _no_time_for_latency(strategy, own)
    if settings.telemetry.prometheus_url is None:
        for own, strategy in strategies.items():
            if strategy.limits is not None:
                yield _no_numbers(strategy, own)


def _no_time_for_latency(strategy: RolloutStrategy, location: Location) -> Iterator[Finding]:
    """By time alone, steps may be over before the new version is warm, which nothing else compares."""
    gates = strategy.gates
    if gates is None or gates.promote != "time" or not gates.latency.enabled:
        return
    beside = sum(step.hold_seconds for step in strategy.steps if step.weight < 100)
    if 0 < beside <= gates.latency.warmup_seconds:
        yield Finding(
            (*location, "gates", "latency"),
            f"the steps beside the old version are kept for {beside:g} s in all, and latency leaves out the first "
            f"{gates.latency.warmup_seconds:g} s: it is never compared",
            "steps that are kept for longer than latency.warmup, or promote: proof, which waits for it",
            "write a longer `for`, or latency: {warmup: 0s} if the new version is not cold",
            f"warmup: {gates.latency.warmup}",
        )


def _no_numbers(strategy: RolloutStrategy, location: Location) -> Finding:
    end = "goes back after its first step" if strategy.on_no_data == "abort" else "is held at its first step for ever"
    prometheus = key_path(("telemetry", "prometheus"))
    return Finding(
        (*location, "limits"),
        f"the stack has no Prometheus that counts the requests: without numbers the rollout {end}",
        f"limits with {prometheus}",
        f"write {prometheus}: {{enabled: true}}, or its url if there is one",
        shown(strategy.limits.model_dump(exclude_none=True) if strategy.limits else {}),
    )


def _too_few_pods(
    settings: Settings, name: str, rule: Rule, strategy: RolloutStrategy, location: Location
) -> Iterator[Finding]:
    versions = settings.services[name].deployed
    before, after = versions.get(given_from(settings.services[name], rule) or ""), versions.get(str(rule.to))
    if before is None or after is None:
        return
    now, most = _least(before), _most(after, scales=strategy.capacity.scale)
    if now is None or most is None:
        return
    needed = math.ceil(round(strategy.end / 100 * now * strategy.capacity.headroom, 6))
    if needed <= most:
        return
    key = ("autoscaling", "maxReplicas") if after.autoscaling else ("replicas",)
    place = key_path(("services", name, "versions", str(rule.to), *key))
    more = "" if after.autoscaling else ", or remove capacity.scale: false, so that the rollout adds pods"
    yield Finding(
        location,
        f"the last step needs {needed} ready pods of {rule.to}, which has at most {most}: the rollout would "
        "be held before it",
        f"as many pods as {strategy.end:g} % of those that the requests come from, times capacity.headroom",
        f"write {place}: {needed}{more}",
        f"{now} of {given_from(settings.services[name], rule)}",
    )


def _least(version: VersionSettings) -> int | None:
    """The pods that a version has at least; None if somebody else decides."""
    return version.autoscaling.min_replicas if version.autoscaling else version.replicas


def _most(version: VersionSettings, *, scales: bool) -> int | None:
    """The pods that a version can have at most during a rollout; None if nothing limits them."""
    if version.autoscaling is not None:
        return version.autoscaling.max_replicas
    return None if scales else version.replicas
