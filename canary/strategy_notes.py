"""What a service's strategy means for the changes of a run, in a line for each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from canary.engine.diff import VIRTUAL_SERVICE, service_of
from rollout.observed_routes import weights_of
from traffic.render import places_of_weights, routes_in

if TYPE_CHECKING:
    from canary.engine.events import ResourceStep
    from stacks.settings.model import Settings, VersionSettings

DEPLOYMENT = "kubernetes:apps/v1:Deployment"
TEMPLATE = "spec.template"
TAKES_REPLICAS = "metadata.annotations"
"""The difference of a Deployment whose number of pods becomes the stack's, or somebody else's."""
PATCH_FORCE = "pulumi.com/patchForce"
"""The annotation by which the stack takes the number of pods from others."""
LEFT_TO_ROLLOUT = "its number of pods is left to its rollout while it is under way"


def strategy_notes(settings: Settings, steps: Iterable[ResourceStep], stack: str) -> list[str]:
    """Return a line for each version whose pods are replaced, and for each service whose requests move or will move."""
    notes: dict[str, None] = {}
    steps = list(steps)
    # The first `up` of a service sends everything to where its rollout ends: nothing is left to roll out.
    new = {service_of(step.new) for step in steps if step.op == "create" and step.type == VIRTUAL_SERVICE}
    for step in steps:
        if step.op == "update" and step.type == DEPLOYMENT:
            notes |= dict.fromkeys(_of_pods(settings, step))
        elif step.op == "update" and step.type == VIRTUAL_SERVICE:
            notes |= dict.fromkeys(_of_requests(settings, step, stack))
        elif step.op == "create" and step.type == DEPLOYMENT:
            # Later on the record knows how far the rollout is, and the program says it.
            notes |= dict.fromkeys(note for note in _of_rollouts(settings, step, stack) if _service(note) not in new)
    return list(notes)


def _service(note: str) -> str:
    return note.partition(":")[0]


def _of_rollouts(settings: Settings, step: ResourceStep, stack: str) -> Iterator[str]:
    """What rollouts do after the run, of a service whose new version this run makes."""
    from stacks.rollout_words import rollout_words
    from stacks.rollouts import given_from, group_name, strategy_of

    metadata = step.new.get("metadata") or {}
    place = (metadata.get("namespace"), metadata.get("name"))
    for name, service in settings.services.items():
        group = group_name(settings, name)
        for rule in service.route:
            strategy = strategy_of(settings, rule)
            target = service.deployed.get(str(rule.to))
            if strategy is not None and target is not None and place == (service.namespace, target.name):
                words = rollout_words(rule, strategy, given_from(service, rule), group)
                start = f"canary rollout start {group or name} --stack {stack}"
                begins = "" if strategy.auto_start else f"; `{start}` moves it"
                yield f"{name}: {words}{begins}"


def _of_pods(settings: Settings, step: ResourceStep) -> Iterator[str]:
    metadata = step.new.get("metadata") or {}
    for name, service in settings.services.items():
        for key, version in service.deployed.items():
            if (service.namespace, version.name) != (metadata.get("namespace"), metadata.get("name")):
                continue
            if any(difference.path.startswith(TEMPLATE) for difference in step.diff):
                yield f"{name}/{key}: {_engine_words(settings, name) or _pods_words(version)}"
            if any(difference.path == TAKES_REPLICAS for difference in step.diff):
                left = PATCH_FORCE not in (metadata.get("annotations") or {}) and version.replicas is not None
                yield f"{name}/{key}: {LEFT_TO_ROLLOUT if left else _replicas_words(version)}"


def _engine_words(settings: Settings, name: str) -> str:
    """What a changed pod template does where another engine moves the service's rollout; empty where none does."""
    from rollout.engines.losses import NAMES
    from stacks.settings.engines import engines_of

    moved = engines_of(settings).get(name)
    return "" if moved is None else f"its new pods begin a rollout, which {NAMES[moved.engine]} moves"


def _replicas_words(version: VersionSettings) -> str:
    """Who decides about the number of pods from now on."""
    if version.replicas is None:
        return f"its number of pods is left as it is ({version.scaled_by})"
    return f"its number of pods is set to {version.replicas} again, whatever it is now"


def _pods_words(version: VersionSettings) -> str:
    strategy = version.strategy
    if version.replicas == 0:
        return "it has no pods to replace"
    if strategy.type.value == "Recreate":
        return "all pods are deleted before new ones start; requests to it fail until then (Recreate)"
    ready = f", minReadySeconds {version.min_ready_seconds}" if version.min_ready_seconds else ""
    limits = f"maxSurge {strategy.max_surge}, maxUnavailable {strategy.max_unavailable}"
    return f"its pods are replaced a few at a time (RollingUpdate, {limits}{ready})"


def _of_requests(settings: Settings, step: ResourceStep, stack: str) -> Iterator[str]:
    name = service_of(step.new)
    service = settings.services.get(name)
    if service is None or not _move(_weights(step.old, name), _weights(step.new, name)):
        return
    if _is_by_rollout(settings, step):
        yield f"{name}: the rollout did this: the weights are in the cluster already, and no request moves"
        return
    back = f"`canary undo {name} --stack {stack}` goes back"
    active = service.strategy.active
    yield f"{name}: {active} is active (blueGreen); {back}" if active else f"{name}: requests move; {back}"


def _move(old: list[dict[str, float]], new: list[dict[str, float]]) -> bool:
    """Whether requests change their destination; new rules that lead where all requests go already move none."""
    if old == new:
        return False
    before, after = ([{to: weight for to, weight in rule.items() if weight} for rule in rules] for rules in (old, new))
    return before != after and any(rule != before[0] for rule in (*before, *after))


def _is_by_rollout(settings: Settings, step: ResourceStep) -> bool:
    """Whether only weights of rules with a rollout differ: the program renders what the record wants.

    The state has the weights of the last `up`, the cluster those of the rollout.
    """
    name = service_of(step.new)
    service = settings.services.get(name)
    old, new = _weights(step.old, name), _weights(step.new, name)
    if service is None or len(old) != len(new) or old == new:
        return False
    here = (step.new.get("metadata") or {}).get("name")
    places = zip(service.route, places_of_weights(settings.services, name), strict=True)
    rolled = {place[1] for rule, place in places if rule.rollout is not None and place is not None and place[0] == here}
    return all(index in rolled for index, (a, b) in enumerate(zip(old, new, strict=True)) if a != b)


def _weights(properties: Mapping[str, Any], service: str) -> list[dict[str, float]]:
    return [weights_of(rule, service) for rule in routes_in(properties.get("spec") or {})]
