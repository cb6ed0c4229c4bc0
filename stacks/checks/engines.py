"""Checks of rollouts that another engine moves: what Argo Rollouts and Flagger cannot do is refused, and named."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from rollout.engines.losses import ARGO, FLAGGER, NAMES, impossible
from rollout.engines.target import CANARY, STABLE
from stacks.checks.rollouts import Strategies
from stacks.checks.view import Service, View, block
from stacks.settings.problems import Finding, Location, key_path, shown
from traffic.graph import targets_of
from traffic.model import RolloutStrategy, Rule, Target
from traffic.proportions import number_words
from traffic.words import rule_words

OURS = "engine: canary, or no `engine`"
ACTIONS = ("fault", "mirrors", "sticky", "redirect", "direct_response")
"""What a rule may do, and the canary's of Flagger may not."""
POLICIES = ("authorization", "jwt", "mtls", "podDisruptionBudget")
"""Keys of a service that select pods by their labels, which Flagger changes."""


class Moved(NamedTuple):
    """A rule whose rollout another engine moves, its service, and its places."""

    service: Service
    index: int
    rule: Rule
    strategy: RolloutStrategy
    view: View

    @property
    def place(self) -> Location:
        return (*self.service.location, "route", self.index)

    @property
    def of_strategy(self) -> Location:
        named = self.rule.rollout
        return ("rollouts", named) if isinstance(named, str) else (*self.place, "rollout")

    @property
    def name(self) -> str:
        return NAMES[self.strategy.engine]

    def found(self, location: Location, what: str, allowed: str, fix: str, given: str = "") -> Finding:
        """A mistake that is none with this project's own engine."""
        return Finding(location, f"{self.name} moves this rollout: {what}", f"{allowed}; or {OURS}", fix, given)


def check(view: View) -> Iterator[Finding]:
    """Yield what an engine cannot do, and what it needs."""
    strategies = Strategies(view.values)
    for service in view.services.values():
        rolled = [
            (index, rule, strategy)
            for index, rule in enumerate(service.rules)
            if rule is not None and rule.rollout is not None and (strategy := strategies.of(rule)) is not None
        ]
        moved = [Moved(service, *one, view) for one in rolled if one[2].engine != "canary"]
        if not moved:
            continue
        for one in CHECKS:
            yield from one(moved[0])
        yield from _others(moved[0], [(index, rule) for index, rule, _ in rolled])


def _others(moved: Moved, rolled: list[tuple[int, Rule]]) -> Iterator[Finding]:
    for index, _ in rolled:
        if index != moved.index:
            yield moved.found(
                (*moved.service.location, "route", index, "rollout"),
                "it has one weight, so that a second rule cannot rise by steps of its own",
                "one rule with rollout",
                "remove the rollout of one of the rules",
            )


def _keys(moved: Moved) -> Iterator[Finding]:
    strategy = moved.strategy
    for one in impossible(strategy):
        key = {"approve": "steps"}.get(one.key) or type(strategy).model_fields[one.key].alias or one.key
        in_gates = one.key == "promote" and strategy.gates is not None
        yield moved.found(
            (*moved.of_strategy, *(("gates",) if in_gates else ()), key),
            one.what,
            f"a strategy without {key}" if key != "steps" else "steps without approve",
            "remove it" if key != "limits" else "move it: gates: {limits: …}",
        )


def _steps(moved: Moved) -> Iterator[Finding]:
    steps = moved.strategy.steps
    if steps[-1].weight != 100:
        yield moved.found(
            (*moved.of_strategy, "steps", len(steps) - 1, "weight"),
            "it ends with all requests at the new pods; there is no lasting split",
            "100 in the last step",
            "add a last step: {weight: 100}",
            number_words(steps[-1].weight),
        )
    for index, step in enumerate(steps):
        if step.weight != int(step.weight):
            yield moved.found(
                (*moved.of_strategy, "steps", index, "weight"),
                "its weights are whole percents",
                "a whole number",
                f"write weight: {max(round(step.weight), 1)}",
                number_words(step.weight),
            )


def _versions(moved: Moved) -> Iterator[Finding]:
    service, version = moved.service, str(moved.rule.to)
    if len(service.versions) > 1:
        yield moved.found(
            (*service.location, "versions"),
            "it replaces the pods of one workload, whose image is changed in place",
            "one version",
            f"keep {version} alone, with the image that serves now; then change its image, and `up`, to roll out",
            ", ".join(service.versions),
        )
    if moved.rule.from_version is not None:
        yield moved.found(
            (*moved.place, "from"),
            "the requests come from the pods that its own status names",
            "no `from`",
            "remove `from`",
            shown(moved.rule.from_version),
        )
    if version in (STABLE, CANARY):
        yield moved.found(
            (*service.location, "versions", version),
            f"{version} is the name of one of its subsets",
            f"a version that is not called {STABLE} or {CANARY}",
            "rename the version, such as to main",
            shown(version),
        )
    if "autoscaling" in block(service.versions.get(version)):
        yield moved.found(
            (*service.location, "versions", version, "autoscaling"),
            "the autoscaler would scale the Deployment, and the engine runs the pods elsewhere",
            "replicas",
            f"remove autoscaling, and write replicas; or make an autoscaler for the objects of {moved.name} by hand",
        )


def _callers(moved: Moved) -> Iterator[Finding]:
    """Rules that name the version itself: its subset has no pods, or all of them, while the engine moves."""
    version = str(moved.rule.to)
    for other in moved.view.services.values():
        for index, rule in enumerate(other.rules):
            if rule is None or (other.name == moved.service.name and index == moved.index):
                continue
            alone = other.routing.model_copy(update={"route": (rule,)})
            if Target(moved.service.name, version) in targets_of(other.name, alone):
                yield moved.found(
                    (*other.location, "route", index),
                    f"the rule ({rule_words(rule)}) leads to {version}, whose pods are those of no subset of its own",
                    "other rules that lead to other services, redirect, or answer themselves",
                    "remove the rule",
                )


def _flagger(moved: Moved) -> Iterator[Finding]:
    if moved.strategy.engine != FLAGGER:
        return
    service, rule = moved.service, moved.rule
    for index, other in enumerate(service.rules):
        if index != moved.index and other is not None:
            yield moved.found(
                (*service.location, "route", index),
                f"it writes the VirtualService, so that the rule ({rule_words(other)}) would be lost",
                "the canary's rule alone",
                "remove the rule",
            )
    if rule.match:
        yield moved.found(
            (*moved.place, "match"), "its rule is for all requests", "a rule without match", "remove match"
        )
    for action in ACTIONS:
        if getattr(rule, action):
            key = type(rule).model_fields[action].alias or action
            yield moved.found((*moved.place, key), f"it knows no {key}", "a rule without it", f"remove {key}")
    for key in POLICIES:
        if service.given.get(key):
            yield moved.found(
                (*service.location, key),
                f"the stable pods have app: {service.name}-primary, so that {key} would no longer be theirs",
                f"a service without {key}; policies of the namespace hold for all of its pods",
                f"remove {key}, and write it for the namespace, or as objects of your own",
            )
    if service.routing.ingress_class_name is not None or service.routing.has_mesh_virtual_service:
        yield moved.found(
            moved.place,
            "it writes one VirtualService, for gateways and callers inside alike",
            "hosts other than '*' with the gateway mesh, and no Ingress",
            "remove ingressClassName, or mesh from gateways",
        )


def _argo(moved: Moved) -> Iterator[Finding]:
    if moved.strategy.engine == ARGO and moved.rule.sticky is not None:
        yield moved.found(
            (*moved.place, "sticky"),
            "it writes weights into one http route, and sticky needs two",
            "a rule without sticky",
            "remove sticky",
        )


def _means(moved: Moved) -> Iterator[Finding]:
    """What gates need: the counters of Envoy's clusters, and a gate service that the engine reaches."""
    if moved.strategy.gates is None:
        return
    given = block(moved.view.values.get("gateService"))
    if given.get("enabled") is not True and given.get("url") is None:
        place = key_path(("gateService",))
        yield moved.found(
            (*moved.of_strategy, "gates"),
            "there is no gate service that it could ask",
            f"gates with {place}",
            f"write {place}: {{enabled: true}}, or its url",
        )
    if moved.view.telemetry.get("metrics", "istio") != "envoy":
        yield moved.found(
            (*moved.of_strategy, "gates"),
            "its two kinds of pods are told apart by Envoy's clusters alone",
            f"gates with {key_path(('telemetry', 'metrics'))}: envoy",
            f"write {key_path(('telemetry', 'metrics'))}: envoy",
            shown(moved.view.telemetry.get("metrics", "istio")),
        )


CHECKS: tuple[Callable[[Moved], Iterator[Finding]], ...] = (
    _keys,
    _steps,
    _versions,
    _callers,
    _flagger,
    _argo,
    _means,
)
