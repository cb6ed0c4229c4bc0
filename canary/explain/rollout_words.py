"""What an explanation says of a rollout: the file alone does not tell how far it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stacks.settings.model import Settings
    from traffic.simulate import Decision


def rollout_details(settings: Settings, decision: Decision) -> Iterator[str]:
    """Yield what a rollout does to requests that its rule decides, one sentence each; `settings` are the file's."""
    from stacks.engine_words import explained
    from stacks.rollout_words import gates_words, rollout_words, steps_words
    from stacks.rollouts import given_from, group_name, strategy_of
    from stacks.settings.engines import engines_of

    if decision.service is None or decision.index is None:
        return
    service = settings.services[decision.service]
    moved = engines_of(settings).get(decision.service)
    if moved is not None and moved.index == decision.index:
        yield from explained(moved, decision.service, service)
        return
    rule = service.route[decision.index]
    strategy = strategy_of(settings, rule)
    if strategy is None:
        return
    origin = given_from(service, rule)
    group = group_name(settings, decision.service)
    words = rollout_words(rule, strategy, origin, group)
    yield f"A rollout moves these requests: {words}. Steps: {steps_words(strategy)}."
    if strategy.gates is not None:
        yield f"Its gates: {gates_words(strategy.gates)}."
    where = (
        f"until it does, they go to {origin}"
        if origin
        else f"until it does, they go where they go now, not to {rule.to} (write `from` to see it here)"
    )
    status = f"`canary rollout status {group or decision.service}`"
    yield f"How far it is, only its record in the cluster tells ({status}); {where}."
