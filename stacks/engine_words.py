"""What is said of a rollout that another engine moves, the same in all commands that ask no cluster."""

from __future__ import annotations

from collections.abc import Iterator

from rollout.engines.flagger import primary_host
from rollout.engines.losses import ARGO, KINDS, NAMES
from rollout.engines.target import CANARY, STABLE
from stacks.rollout_words import NOT_AT_ONCE, gates_words, steps_words, time_words
from stacks.settings.engines import EngineRollout
from stacks.settings.model import ServiceSettings
from traffic.model import version_label

WRITES = {ARGO: "the weights"}
"""What of the routes an engine writes itself."""
ALL_ROUTES = "all routes of the service"


def object_words(moved: EngineRollout, name: str, service: ServiceSettings) -> str:
    """Return the object that the engine acts by: `Rollout shop in namespace shop`."""
    return f"{KINDS[moved.engine]} {name} in namespace {service.namespace}"


def mover_words(moved: EngineRollout, name: str, service: ServiceSettings) -> str:
    """Return who moves the weights, and of what: `Argo Rollouts (Rollout shop in namespace shop), which writes …`."""
    whose = f" of {STABLE} and {CANARY}, the pods of {moved.version}" if moved.engine == ARGO else ""
    writes = WRITES.get(moved.engine, ALL_ROUTES) + whose
    return f"{NAMES[moved.engine]} ({object_words(moved, name, service)}), which writes {writes}"


def strategy_words(moved: EngineRollout) -> str:
    """Return how it moves them: `rollout careful, at least 20 min, not at once`."""
    named = f"rollout {moved.named}" if moved.named else "its rollout"
    return f"{named}, {time_words(moved.strategy)}, {NOT_AT_ONCE}"


def new_pods_words(moved: EngineRollout, name: str, service: ServiceSettings) -> str:
    """Return what moves requests to pods whose template changes: `to the new pods of main by Argo Rollouts (…): …`."""
    who = f"{NAMES[moved.engine]} ({object_words(moved, name, service)})"
    return f"to the new pods of {moved.version} by {who}: {strategy_words(moved)}"


def pods_words(moved: EngineRollout, name: str) -> str:
    """Return what the destinations are that the file does not name, in a sentence."""
    engine = NAMES[moved.engine]
    if moved.engine == ARGO:
        pods = f"pods of {moved.version} (version={version_label(name, moved.version)})"
        return f"{STABLE} and {CANARY} are {pods}, which {engine} tells apart."
    return f"Between two rollouts {engine} runs {moved.version} as a copy, behind the Service {primary_host(name)}."


def explained(moved: EngineRollout, name: str, service: ServiceSettings) -> Iterator[str]:
    """Yield who moves the requests of the rule, how, and where to see how far it is, one sentence each."""
    engine, strategy, version = NAMES[moved.engine], moved.strategy, moved.version
    yield (
        f"{engine} moves these requests from the old pods of {version} to its new ones, whenever its pod template "
        f"changes: {strategy_words(moved)}. Steps: {steps_words(strategy)}."
    )
    if strategy.gates is not None:
        yield f"Its gates, which the gate service answers for: {gates_words(strategy.gates)}."
    yield (
        f"It does so by the {object_words(moved, name, service)}, and writes {WRITES.get(moved.engine, ALL_ROUTES)} "
        f"itself: those in the cluster are its own, not this file's (`{_see(moved, name, service)}` shows them). Here "
        "is where requests go between two rollouts."
    )
    yield pods_words(moved, name)


def _see(moved: EngineRollout, name: str, service: ServiceSettings) -> str:
    verb = "argo rollouts get rollout" if moved.engine == ARGO else "describe canary"
    return f"kubectl {verb} {name} --namespace={service.namespace}"
