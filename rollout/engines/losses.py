"""What a rollout loses when another engine moves it, in words, and the keys of a strategy that it cannot do."""

from __future__ import annotations

from dataclasses import dataclass

from rollout.engines.target import OtherEngine
from traffic.model.rollout import RolloutStrategy

ARGO, FLAGGER = "argo", "flagger"
NAMES: dict[str, str] = {ARGO: "Argo Rollouts", FLAGGER: "Flagger"}
KINDS: dict[str, str] = {ARGO: "Rollout", FLAGGER: "Canary"}
"""Kinds of the objects that an engine moves rollouts by; each has its service's name."""
BOTH = (ARGO, FLAGGER)


@dataclass(frozen=True)
class Loss:
    """What an engine does not do. `key` is that of the strategy which asks for it, as a field; empty if none does."""

    engines: tuple[str, ...]
    what: str
    key: str = ""


LOSSES = (
    Loss(BOTH, "no durable abort: nothing bars the release, and the next change of the pods brings it back"),
    Loss(BOTH, "no fence: an older `up`, kubectl or Argo CD may bring an aborted release back"),
    Loss(BOTH, "one workload: the version's image is changed in place, and the old pods exist in the engine alone"),
    Loss(BOTH, "no cohort with steps of its own: one rule is rolled out"),
    Loss(BOTH, "no question to the Envoys: a step begins when its weights are written, not when all have them"),
    Loss(BOTH, "no record: status, report, replay, pause, promote, abort and undo are the engine's own"),
    Loss(BOTH, "no agreement with `up`: a changed image begins the next rollout, also in the middle of one"),
    Loss(BOTH, "no rollout of several services as a group"),
    Loss(
        (ARGO,),
        "no change of the route by `up` once it has weights of the engine: matches, timeouts and retries stay as they "
        "are in the cluster",
    ),
    Loss((FLAGGER,), "no rules but the canary's own: Flagger writes the VirtualService"),
    Loss((FLAGGER,), "no access policies by the service's label `app`: the stable pods have another one"),
    Loss((FLAGGER,), "no lasting split, and twice the pods: the stable version runs as a copy"),
    Loss(BOTH, "no steps at chosen times", "windows"),
    Loss(BOTH, "no hooks", "hooks"),
    Loss(BOTH, "no events to receivers but the engine's own", "notify"),
    Loss(BOTH, "no pods before weights by the number of the old ones, and no headroom", "capacity"),
    Loss(BOTH, "no limits without gates: write them into gates", "limits"),
    Loss(BOTH, "no pause in place of going back", "on_harm"),
    Loss(BOTH, "no way back by missing numbers: it holds", "on_no_data"),
    Loss(BOTH, "no third version in the middle of a rollout", "on_supersede"),
    Loss(BOTH, "no rules that rise together", "together"),
    Loss((FLAGGER,), "no deadlines: it holds until its gate lets it go on", "deadline"),
    Loss((FLAGGER,), "no approvals", "approve"),
    Loss((FLAGGER,), "no promotion by hand", "promote"),
    Loss((FLAGGER,), "no old version after the end", "keep_previous"),
    Loss((ARGO,), "no deadline of the whole, and none that goes back: a step's pauses it", "deadline"),
)


def losses(engine: OtherEngine) -> list[str]:
    """Return what is lost with an engine, a line for each."""
    return [one.what for one in LOSSES if engine in one.engines]


def impossible(strategy: RolloutStrategy) -> list[Loss]:
    """Return what a strategy asks for and its engine does not do."""
    return [one for one in LOSSES if one.key and strategy.engine in one.engines and _asks(strategy, one.key)]


def _asks(strategy: RolloutStrategy, key: str) -> bool:
    if key == "approve":
        return any(step.approve for step in strategy.steps)
    if key == "promote":
        return strategy.promotes == "hand"
    if key == "deadline":
        given = strategy.deadline.model_fields_set
        return bool(given) if strategy.engine == FLAGGER else "total" in given or strategy.deadline.then == "abort"
    default = type(strategy).model_fields[key].get_default(call_default_factory=True)
    return bool(getattr(strategy, key) != default)
