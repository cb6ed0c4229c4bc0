"""Rollouts that another engine moves: taken out of the route when a stack's settings are loaded.

Everything later sees an ordinary route, and no rollout: of Argo Rollouts one whose requests go to the subset `stable`,
with `canary` beside it; of Flagger the one version. What its objects are made from is kept beside (`engines_of`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rollout.engines.target import CANARY, ROUTE, STABLE, OtherEngine
from rollout.schedule import at_weights
from stacks.settings.model import ServiceSettings, Settings
from traffic.model import OutsideVersion, RolloutStrategy, Rule, version_label


@dataclass(frozen=True, kw_only=True)
class EngineRollout:
    """A rollout of a service that `engine` moves: the version whose pods it replaces, and the http route `route`.

    `named` is the name of its strategy in the stack's file, None if it is written in the rule.
    """

    engine: OtherEngine
    version: str
    route: str
    index: int
    strategy: RolloutStrategy
    named: str | None = None


def with_engines(settings: Settings) -> Settings:
    """Return checked settings without the rollouts of other engines, which `engines_of` returns for them."""
    found = dict(_found(settings))
    if not found:
        return settings
    services = {name: _without(name, settings.services[name], given) for name, given in found.items()}
    changed = settings.model_copy(update={"services": {**settings.services, **services}})
    changed._engines = found
    return changed


def engines_of(settings: Settings) -> Mapping[str, EngineRollout]:
    """Return the rollouts of loaded settings that another engine moves, by service."""
    found: Mapping[str, EngineRollout] = settings._engines
    return found


def _found(settings: Settings) -> list[tuple[str, EngineRollout]]:
    found = []
    for name, service in settings.services.items():
        for index, rule in enumerate(service.route):
            given = rule.rollout
            strategy = settings.rollouts[given] if isinstance(given, str) else given
            if strategy is not None and strategy.engine != "canary":
                one = EngineRollout(
                    engine=strategy.engine,
                    version=str(rule.to),
                    route=rule.name or ROUTE,
                    index=index,
                    strategy=strategy,
                    named=given if isinstance(given, str) else None,
                )
                found.append((name, one))
    return found


def _without(name: str, service: ServiceSettings, given: EngineRollout) -> ServiceSettings:
    rule = service.route[given.index]
    if given.engine == "flagger":
        return service.model_copy(update={"route": _replaced(service, given.index, at_weights(rule, _all(rule)))})
    label = version_label(name, given.version)
    pods = OutsideVersion(labels={"version": label}, traffic_policy=service.versions[given.version].traffic_policy)
    moved = at_weights(rule, {STABLE: 100, CANARY: 0}).model_copy(update={"name": given.route})
    return service.model_copy(
        update={
            "versions": {**service.versions, STABLE: pods, CANARY: pods},
            "route": _replaced(service, given.index, moved),
        }
    )


def _all(rule: Rule) -> dict[str, float]:
    return {str(rule.to): 100}


def _replaced(service: ServiceSettings, index: int, rule: Rule) -> tuple[Rule, ...]:
    return (*service.route[:index], rule, *service.route[index + 1 :])
