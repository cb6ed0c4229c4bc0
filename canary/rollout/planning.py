"""`canary rollout plan`: the steps of the rollout that the stack's file asks for, from where the requests go now."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from canary.exit_codes import ExitCode
from canary.rollout.errors import explained, of_text
from canary.rollout.place import Place
from canary.rollout.reading import SECONDS, without_rollout
from canary.rollout.words import headline, rules_words, time_words
from rollout.going_back import kept_for
from rollout.holding import pods_for
from rollout.record import Phase
from rollout.verbs import SHORTEST_STEP_DEADLINE
from traffic.model.rollout import AUTO_FACTOR
from traffic.model.rollout_fields import AUTO
from traffic.proportions import percent_words

if TYPE_CHECKING:
    from lightkube import Client
    from rich.console import Console

    from rollout.record import Record, Weights
    from rollout.schedule import Schedule
    from stacks.rollout_states import RolloutState
    from traffic.model import RolloutStrategy


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A rollout as it would begin now; `schedule` is None if there is nothing to move.

    `ready_to` and `ready_from` are the ready pods of its versions, and `record` is the rollout that is in the cluster.
    """

    schedule: Schedule | None
    record: Record | None
    ready_to: int = 0
    ready_from: int = 0

    def pods(self, step: int) -> int:
        """Return the ready pods of the new version that a step needs."""
        assert self.schedule is not None
        planned = self.schedule.steps[step]
        weight = max(weights.get(self.schedule.target, 0.0) for weights in planned.weights.values())
        return pods_for(weight, self.ready_from, self.strategy(step).capacity.headroom)

    def strategy(self, step: int) -> RolloutStrategy:
        """Return the strategy of the rule that a step raises."""
        assert self.schedule is not None
        return self.schedule.rules[self.schedule.steps[step].rule].strategy


def planned(place: Place) -> Planned:
    """Return the rollout that the file asks for; raises CommandError if it has none, or if it cannot be planned."""
    from kube.client import query
    from rollout.schedule import ScheduleError
    from stacks.rollout_plans import rollout_plan

    refused = without_rollout(place)
    if refused is not None:
        raise refused
    settings = place.settings
    assert settings is not None
    with explained(place):
        state, ready = query(place.cluster, lambda client: _look(client, place), within=SECONDS)
    if state.unreadable is not None:
        raise of_text(state.unreadable, ExitCode.FAILED, place)
    record = None if state.stored is None else state.stored.record
    try:
        found = rollout_plan(settings, place.service, _begins(place, state))
    except ScheduleError as error:
        raise of_text(str(error), ExitCode.CONFIG, place) from None
    if found is None:
        return Planned(schedule=None, record=record)
    schedule = found.schedule
    from_ready = ready.get(schedule.origin or "", 0)
    if record is not None and record.phase.active and (record.started_at is not None or not from_ready):
        from_ready = record.from_.ready_pods
    return Planned(schedule=schedule, record=record, ready_to=ready.get(schedule.target, 0), ready_from=from_ready)


def _begins(place: Place, state: RolloutState) -> Weights:
    """Where the requests were when the rollout of the file began; where they are now if it has not begun."""
    record = None if state.stored is None else state.stored.record
    settings = place.settings
    if record is None or state.stored is None or settings is None or not record.phase.active:
        return state.now
    towards = {rule.to for rule in settings.services[place.service].rolled}
    is_over = record.phase is Phase.COMPLETED and kept_for(record, state.stored.server_time) <= 0
    if is_over or towards != {record.target.version}:
        return state.now
    return {**state.now, **record.plan.start}


def _look(client: Client, place: Place) -> tuple[RolloutState, dict[str, int]]:
    from rollout.capacity import ready_pods
    from stacks.rollout_states import RolloutState, read_rollout_states
    from traffic.model import version_label

    settings = place.settings
    assert settings is not None
    state = read_rollout_states(client, settings).get(place.service, RolloutState())
    ready = ready_pods(client, place.namespace, place.service)
    versions = settings.services[place.service].versions
    return state, {version: len(ready.get(version_label(place.service, version), ())) for version in versions}


def as_json(place: Place, found: Planned) -> dict[str, Any]:
    """Return the document of `--json`."""
    document: dict[str, Any] = {"stack": place.stack, "service": place.service, "namespace": place.namespace}
    schedule = found.schedule
    document["rollout"] = None if found.record is None else {
        "id": found.record.id, "phase": found.record.phase.value, "step": found.record.step + 1
    }  # fmt: skip
    if schedule is None:
        return {**document, "from": None, "target": None, "holdSeconds": 0, "steps": []}
    return {
        **document,
        "from": schedule.origin,
        "target": schedule.target,
        "holdSeconds": sum(step.hold_seconds for step in schedule.steps),
        "start": schedule.start,
        "steps": [
            {
                "step": index + 1,
                "rule": schedule.rules[step.rule].text,
                "weight": step.weight,
                "weights": step.weights,
                "holdSeconds": step.hold_seconds,
                "approve": step.approve,
                "pods": found.pods(index),
            }
            for index, step in enumerate(schedule.steps)
        ],
        "ready": {schedule.target: found.ready_to, str(schedule.origin): found.ready_from},
    }


def show(console: Console, place: Place, found: Planned) -> None:
    """Print the plan."""
    for line in _head(place, found):
        console.print(line, markup=False, style="bold", soft_wrap=True)
    if found.schedule is not None:
        console.print(_table(found, found.schedule))
        for line in _rest(found, found.schedule):
            console.print(line, markup=False, soft_wrap=True)
    console.print(_next(place, found), markup=False, soft_wrap=True)


def _head(place: Place, found: Planned) -> Iterator[str]:
    schedule = found.schedule
    if schedule is None:
        yield f"{place.service}: nothing to move: its requests are where the rollout ends, or there is no route yet"
        return
    total = sum(step.hold_seconds for step in schedule.steps)
    steps = len(schedule.steps)
    long = "as long as a person decides at each step" if _by_hand(schedule) else f"at least {time_words(total)}"
    yield f"{place.service}: {schedule.origin} -> {schedule.target}, {steps} step{'s' if steps > 1 else ''}, {long}"


def _by_hand(schedule: Schedule) -> bool:
    return any(rule.strategy.promote == "hand" for rule in schedule.rules)


def _table(found: Planned, schedule: Schedule) -> Any:
    from canary.rollout.table import new_table

    table = new_table()
    several = len(schedule.rules) > 1
    table.add_column("step", justify="right")
    if several:
        table.add_column("rule")
    table.add_column("weight", justify="right")
    table.add_column("kept for")
    table.add_column(f"pods of {schedule.target}", justify="right")
    for index, step in enumerate(schedule.steps):
        kept = time_words(step.hold_seconds) if step.hold_seconds else "-"
        if found.strategy(index).promote == "hand":
            kept = "until a person promotes"
        kept += ", then an approval" if step.approve else ""
        rule = [rules_words(schedule.rules, step)] if several else []
        table.add_row(str(index + 1), *rule, percent_words(step.weight), kept, str(found.pods(index)))
    return table


def _rest(found: Planned, schedule: Schedule) -> Iterator[str]:
    """What the table has no room for."""
    strategy = found.strategy(0)
    scale = "pods that lack are added before each step" if strategy.capacity.scale else "no pods are added by itself"
    yield f"ready:    {found.ready_to} of {schedule.target}, {found.ready_from} of {schedule.origin}; {scale}"
    limit = strategy.limits
    broken = f"at most {limit.errors} of the new version's requests fail, else it {strategy.on_harm}s" if limit else ""
    yield f"limits:   {broken or 'none: nothing but its pods and persons takes it back'}"
    deadline = strategy.deadline
    each = (
        f"{AUTO_FACTOR} times its `for`, at least {time_words(SHORTEST_STEP_DEADLINE)}"
        if deadline.step == AUTO
        else deadline.step
    )
    yield f"deadline: each step {each}; all of it {deadline.total}; then it {deadline.then}s"
    for window in strategy.windows:
        days = ", ".join(window.days) or "every day"
        yield f"window:   {days}, {window.from_} to {window.to} {window.zone}"
    for hook in strategy.hooks:
        from rollout.outgoing import shown

        yield f"hook:     {hook.at} asks {shown(hook.url)}; if it says no: {hook.then}"
    yield f"way back: {schedule.origin} stays for {strategy.keep_previous} after the end"


def _next(place: Place, found: Planned) -> str:
    record = found.record
    if record is not None and record.phase.active:
        return f"in the cluster: {headline(record)}"
    if found.schedule is None:
        return f"`{place.up}` makes the cluster what the file says"
    return f"`{place.up}` writes it, `{place.command('start')}` begins it"
