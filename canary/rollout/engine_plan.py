"""`canary rollout plan --engine`: what is lost when another engine moves a service's rollout, line by line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from canary.command_error import CommandError
from canary.exit_codes import ExitCode
from canary.rollout.place import Place
from rollout.engines.losses import NAMES, impossible, losses

if TYPE_CHECKING:
    from rich.console import Console

    from rollout.engines.losses import Loss
    from rollout.engines.target import OtherEngine
    from traffic.model import RolloutStrategy

NEEDS = {
    "argo": "needs:    Argo Rollouts 1.8 or newer in the cluster, and one version whose image is changed in place",
    "flagger": "needs:    Flagger in the cluster, one version whose image is changed in place, and a service whose "
    "routes this stack has not written",
}
GATES = "gates:    the same statistics, by the gate service (`canary gate serve`)"


@dataclass(frozen=True)
class EnginePlan:
    """What is `lost` with an engine, and what the service's strategy asks for and the engine refuses."""

    engine: OtherEngine
    lost: tuple[str, ...]
    refused: tuple[Loss, ...]


def engine_plan(place: Place, engine: str) -> EnginePlan:
    """Return what an engine would lose; raises CommandError for an engine that does not exist."""
    if engine != "argo" and engine != "flagger":
        raise CommandError(
            "--engine is none that moves rollouts in place of this project",
            ExitCode.CONFIG,
            fix="write --engine argo or --engine flagger; without it, plan shows this project's own rollout",
            details=(f"given:   {engine}", "allowed: argo, flagger"),
        )
    refused = [
        loss for strategy in _strategies(place) for loss in impossible(strategy.model_copy(update={"engine": engine}))
    ]
    return EnginePlan(engine, tuple(losses(engine)), tuple(dict.fromkeys(refused)))


def moved_by(place: Place) -> str | None:
    """Return the name of the engine that moves the service's rollout, None if it is this project, or none."""
    from stacks.settings.engines import engines_of

    given = None if place.settings is None else engines_of(place.settings).get(place.service)
    return None if given is None else NAMES[given.engine]


def as_json(place: Place, found: EnginePlan) -> dict[str, Any]:
    """Return the document of `--json`."""
    return {
        "stack": place.stack,
        "service": place.service,
        "engine": found.engine,
        "lost": list(found.lost),
        "refused": [{"key": one.key, "what": one.what} for one in found.refused],
    }


def show(console: Console, place: Place, found: EnginePlan) -> None:
    """Print what is lost, a line for each."""
    name = NAMES[found.engine]
    console.print(
        f"{place.service}, moved by {name}: what this project's own engine does, and it does not", style="bold"
    )
    for line in found.lost:
        console.print(f"  - {line}", markup=False)
    if found.refused:
        console.print("\nrefused, since the strategy of its rule asks for it:", style="bold")
        for one in found.refused:
            console.print(f"  - {one.key}: {one.what}", markup=False)
    console.print(f"\n{NEEDS[found.engine]}", markup=False)
    console.print(GATES, markup=False)


def _strategies(place: Place) -> list[RolloutStrategy]:
    from stacks.rollouts import strategy_of
    from stacks.settings.engines import engines_of

    settings = place.settings
    if settings is None:
        return []
    moved = engines_of(settings).get(place.service)
    own = [strategy_of(settings, rule) for rule in settings.services[place.service].rolled]
    return [*(one for one in own if one is not None), *([moved.strategy] if moved is not None else [])]
