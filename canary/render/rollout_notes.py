"""What rendered manifests say of rules with a rollout: one state of them, not the step that the cluster is at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stacks.settings.model import Settings


def rollout_notes(settings: Settings) -> Iterator[str]:
    """Yield a note for each rule with a rollout; `settings` are the file's."""
    from rollout.engines.losses import NAMES
    from stacks.rollout_words import rollout_words
    from stacks.rollouts import given_from, strategy_of
    from stacks.settings.engines import engines_of
    from traffic.words import rule_words

    for name, moved in engines_of(settings).items():
        yield (
            f"{name}: {NAMES[moved.engine]} moves its rollout; rendered with all requests at the stable pods, so "
            "applied in the middle of one, it takes them back until the controller writes its weights again"
        )
    for name, service in settings.services.items():
        for rule in service.route:
            strategy = strategy_of(settings, rule)
            if strategy is None:
                continue
            origin = given_from(service, rule)
            state = (
                f"rendered before its first step, with all requests at {origin}; applied later, it takes them back"
                if origin
                else f"rendered at its end, with all requests at {rule.to}, since the file does not tell where they go "
                "now; write `from`, or applying it moves them all at once"
            )
            yield f"{name}, rule {rule_words(rule)}: {rollout_words(rule, strategy, origin)}; {state}"
