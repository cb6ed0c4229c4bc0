"""Callers of which only the service is named: whether the decision depends on their version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from canary.explain.decision_json import as_json
from canary.explain.decision_words import Explanation
from canary.explain.explanation import Question, request_of

if TYPE_CHECKING:
    from stacks.settings.model import Settings
    from traffic.simulate import Decision, Simulator


@dataclass(frozen=True)
class ByVersion:
    """The explanations of one question by the caller that it may come from: `<service>/<version>`."""

    callers: Mapping[str, Explanation]

    @property
    def lines(self) -> tuple[str, ...]:
        """What happens to the request of each caller, one line for each, and how to ask for one of them."""
        first = next(iter(self.callers))
        each = [f"  from {name} it {one.result.rstrip('.')}. {one.rule}" for name, one in self.callers.items()]
        return ("depends on the caller's version:", *map(str.rstrip, each), f"For more, name it: --from {first}")

    def as_json(self, asked: Explanation, stack: str) -> dict[str, Any]:
        """Return the document of `--json`: as for one decision, without rule and result, and with one by caller."""
        each = {name: as_json(one, stack) for name, one in self.callers.items()}
        allowed = {one["allowed"] for one in each.values()}
        whole = {
            "rule": None,
            "sticks": False,
            "result": {"kind": "depends", "on": "the caller's version"},
            "allowed": allowed.pop() if len(allowed) == 1 else None,
            "words": [f"{asked.request} {self.lines[0]}", *(line.strip() for line in self.lines[1:])],
            "before": [],
            "callers": each,
        }
        return as_json(asked, stack) | whole


def decide(settings: Settings, simulator: Simulator, question: Question) -> dict[str, Decision]:
    """Return the decision by caller: for a service with several versions each of these, if the decision depends on it.

    Otherwise there is one decision, under the caller as it was given, or under nothing for one outside the mesh.
    Raises CommandError as `request_of` does.
    """
    asked = simulator.decide(request_of(settings, question))
    source = question.source or ""
    named = settings.services.get(source)
    if named is None or len(named.versions) < 2:
        return {source: asked}
    found = {}
    for version in named.versions:
        caller = f"{source}/{version}"
        found[caller] = simulator.decide(request_of(settings, replace(question, source=caller)))
    effects = [_effect(one) for one in found.values()]
    if any(effect != effects[0] for effect in effects):
        return found
    # Without a version the caller has fewer labels than any of its pods.
    return {source: asked if _effect(asked) == effects[0] else next(iter(found.values()))}


def _effect(decision: Decision) -> tuple[object, ...]:
    """What of a decision its request can tell: all but the request itself."""
    return (
        decision.service,
        decision.index,
        decision.outcome,
        decision.sticks,
        decision.delay,
        decision.abort,
        dict(decision.cors),
    )


def unknown_labels(settings: Settings, decision: Decision) -> str | None:
    """Return the note that earlier rules look at labels of a caller outside the stack, which only its owner knows."""
    from traffic.simulate import Kind

    caller = decision.request.caller
    if caller is None or caller.labels.get("app") in settings.services:
        return None
    missed = [
        (passed.index, miss.condition.name)
        for passed in decision.passed
        for miss in passed.misses
        if miss.condition.kind is Kind.SOURCE_LABELS and miss.found is None
    ]
    if not missed:
        return None
    labels = " and ".join(dict.fromkeys(name for _, name in missed))
    rules = " and ".join(dict.fromkeys(str(index + 1) for index, _ in missed))
    return f"of a caller outside the stack only the label app is known; rule {rules} would depend on its label {labels}"
