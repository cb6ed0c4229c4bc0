"""Rules whose rollout goes to another engine, or whose pods change for one: who moves the weights, before and after."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from traffic.diff import ValueChange, value_changes

if TYPE_CHECKING:
    from stacks.settings.engines import EngineRollout
    from stacks.settings.model import Settings
    from traffic.model import Rule


@dataclass(frozen=True)
class Mover:
    """Who moves the weights of a rule on one side: `engine` as the stack's file names it, and in words."""

    engine: str
    words: str


@dataclass(frozen=True)
class EngineChange:
    """A rule, by its service and its index after, or before if it is gone, and who moves its weights on each side.

    None for nobody. Where the engine stays, `new_pods` says what moves the requests to pods whose template changes, and
    `changes` are those of the rule's rollout: its strategy, if it is written in the rule, or that one's name.
    """

    service: str
    index: int
    rule: Rule
    before: Mover | None
    after: Mover | None
    new_pods: str | None = None
    changes: tuple[ValueChange, ...] = ()

    @property
    def stays(self) -> bool:
        """Whether the same engine moves the weights before and after."""
        return self.before is not None and self.after is not None and self.before.engine == self.after.engine

    @property
    def words(self) -> str | None:
        """What moves the rule's requests after the change; None if the file's weights do."""
        return self.new_pods or (self.after.words if self.after else None)


def engines_between(before: Settings, after: Settings) -> tuple[EngineChange, ...]:
    """Return the rules of services of `after` whose engine differs, or whose engine gets new pods to move to."""
    return tuple(change for name in after.services for change in _of_service(name, before, after))


def _of_service(name: str, before: Settings, after: Settings) -> Iterator[EngineChange]:
    from rollout.schedule import rule_key

    routes = [one.services[name].route if name in one.services else () for one in (before, after)]
    olds, news = ({rule_key(rule): (index, rule) for index, rule in enumerate(route)} for route in routes)
    for key in dict.fromkeys((*news, *olds)):
        index, rule = news.get(key) or olds[key]
        old = _mover(before, name, *olds[key]) if key in olds else None
        new = _mover(after, name, *news[key]) if key in news else None
        if not {one.engine for one in (old, new) if one} - {"canary"}:
            continue
        if (old and old.engine) != (new and new.engine):
            yield EngineChange(name, index, rule, old, new)
        else:
            words, changes = _new_pods(name, before, after), _changes(name, before, after)
            if words or changes:
                yield EngineChange(name, index, rule, old, new, words, changes)


def _mover(settings: Settings, name: str, index: int, rule: Rule) -> Mover | None:
    from stacks.engine_words import mover_words, strategy_words
    from stacks.rollout_words import strategy_words as own_words
    from stacks.settings.engines import engines_of

    moved = engines_of(settings).get(name)
    if moved is not None and moved.index == index:
        who = mover_words(moved, name, settings.services[name])
        return Mover(moved.engine, f"{who}: {strategy_words(moved)}")
    return None if rule.rollout is None else Mover("canary", f"this project: {own_words(rule)}")


def _changes(name: str, before: Settings, after: Settings) -> tuple[ValueChange, ...]:
    """How the rule's rollout differs, which its route has no more."""
    from stacks.settings.engines import engines_of

    return tuple(value_changes(*(_written(engines_of(settings)[name]) for settings in (before, after))))


def _written(moved: EngineRollout) -> dict[str, Any]:
    strategy = moved.strategy.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {"rollout": moved.named or strategy}


def _new_pods(name: str, before: Settings, after: Settings) -> str | None:
    """What moves the requests to pods whose template changes, in words; None if it stays."""
    from stacks.engine_words import new_pods_words
    from stacks.settings.engines import engines_of
    from stacks.template_hash import template_hash

    old, new = (engines_of(settings)[name] for settings in (before, after))
    if template_hash(before, name, old.version) == template_hash(after, name, new.version):
        return None
    return new_pods_words(new, name, after.services[name])
