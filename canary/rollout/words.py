"""A rollout in words: where it is, which weights it wants, what it waits for, and which command comes next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from canary.exit_codes import ExitCode
from canary.rollout.place import Place
from rollout.going_back import kept_for
from rollout.planned import PlannedRule, PlannedStep
from rollout.record import NOT_STARTED, HoldReason, Phase, Record, Stage, seconds_between
from traffic.proportions import percent_words

if TYPE_CHECKING:
    from canary.rollout.reading import RolloutSeen

BACK = (Phase.ABORTED, Phase.UNDONE)
ENDED = (Phase.COMPLETED, Phase.CLOSED, *BACK)

NEXT_OF_HOLD = {
    HoldReason.APPROVAL: "approve",
    HoldReason.HAND: "promote",
    HoldReason.DRIFT: "resume",
}


def step_of(record: Record) -> int:
    """Return how many steps have been written: 0 before the first one, 2 at `step 2 of 5`."""
    return record.step + 1


def code_of(record: Record) -> ExitCode:
    """Return the exit code of a rollout that has ended, or has not."""
    if record.phase in (Phase.COMPLETED, Phase.CLOSED):
        return ExitCode.OK
    return ExitCode.ABORTED if record.phase.goes_back else ExitCode.HELD


def headline(record: Record) -> str:
    """Return where a rollout is: `website-7: version-1 -> version-2, step 2 of 5, paused`."""
    return f"{record.id}: {record.from_.version} -> {record.target.version}, {where(record)}"


def where(record: Record) -> str:
    """Return the phase in words: `step 2 of 5`, `aborted: too many errors`."""
    steps = len(record.plan.steps)
    reason = f": {record.ended.reason}" if record.ended is not None and record.ended.reason else ""
    text = {
        Phase.PENDING: "not started" if record.started_at is None else "before its first step",
        Phase.PROGRESSING: f"step {step_of(record)} of {steps}",
        Phase.COMPLETED: "completed",
        Phase.CLOSED: "completed and closed",
        Phase.ABORTING: f"going back{reason}",
        Phase.ABORTED: f"aborted{reason}",
        Phase.UNDOING: f"going back{reason}",
        Phase.UNDONE: f"undone{reason}",
    }[record.phase]
    if record.void_since is not None:
        text += ", void"
    return f"{text}, paused" if record.paused is not None else text


def weights_words(weights: Mapping[str, float]) -> str:
    """Return the weights of a rule: `version-1 90 %, version-2 10 %`."""
    return ", ".join(f"{version} {percent_words(weight)}" for version, weight in weights.items())


def waits_for(seen: RolloutSeen, place: Place) -> str:
    """Return what a rollout waits for, with the command that helps; empty if it waits for nothing."""
    record = seen.record
    place = _of_its_group(place, record)
    if record.void_since is not None:
        return f"its VirtualServices were deleted or made anew; `{place.up}` begins a new rollout"
    if record.phase in ENDED:
        return _after_end(record, seen.now, place)
    if record.paused is not None:
        until = f" until {clock(record.paused.until)}" if record.paused.until else ""
        reason = record.paused.reason or "no reason was given"
        verb = "promote" if record.paused.kind == "harm" else "resume"
        more = ("REASON", "--despite-harm") if verb == "promote" else ()
        back = f", `{place.command('abort', 'REASON')}` goes back" if record.target_weight() else ""
        allowed = f"`{place.command(verb, *more)}` lets it go on"
        return f"paused by {record.paused.by}{until}: {reason}; {allowed}{back}{_without_holder(seen, place)}"
    nobody = _without_holder(seen, place)
    if record.held is not None and not _is_resumed(record):
        verb = NEXT_OF_HOLD.get(record.held.reason, "")
        text = place.completed(record.held.text) + _opening(record, seen.now)
        asked = f"; `{place.command(verb)}`" if verb and f"rollout {verb}" not in text else ""
        return f"{text}{asked}{nobody}"
    return f"{_next(record, seen.now)}{nobody}"


def waits_line(seen: RolloutSeen, place: Place) -> str:
    """Return the same as a line for people: `waits for: …`, or `next: …` after the end; empty if there is nothing."""
    text = waits_for(seen, place)
    ended = seen.record.phase in ENDED or seen.record.void_since is not None
    return f"{'next:' if ended else 'waits for:'} {text}" if text else ""


def _of_its_group(place: Place, record: Record) -> Place:
    """The place whose commands are about all that the record moves with."""
    group = record.plan.group
    return place if group is None else replace(place, service=group.name, namespace=group.namespace)


def _opening(record: Record, now: str) -> str:
    """When weights may rise again, if that is what the next step waits for."""
    if record.held is None or record.held.reason is not HoldReason.WINDOW:
        return ""
    from datetime import datetime

    from rollout.windows import WindowError, opening_text

    coming = record.plan.steps[min(record.step + 1, len(record.plan.steps) - 1)]
    windows = record.plan.rules[coming.rule].strategy.windows
    try:
        return f"; next: {opening_text(windows, datetime.fromisoformat(now))}"
    except WindowError as error:
        return f"; {error}"


def _is_resumed(record: Record) -> bool:
    """Whether the routes that somebody has changed are about to be written again."""
    drifted = record.held is not None and record.held.reason is HoldReason.DRIFT
    return drifted and record.stage is Stage.WRITING and not record.phase.goes_back


def _next(record: Record, now: str) -> str:
    """What comes next without anybody's help."""
    if record.phase.goes_back:
        return f"all requests go back to {record.from_.version}"
    if record.phase is Phase.PENDING:
        return "the first step"
    if record.stage is not Stage.OBSERVING:
        return f"every Envoy is to have step {step_of(record)}"
    is_promoted = record.promotion is not None and record.promotion.step == record.step
    held = 0.0 if is_promoted else record.plan.steps[record.step].hold_seconds
    left = held - seconds_between(record.settled_at or now, now)
    after = "then it ends" if record.is_last_step else f"then step {step_of(record) + 1}"
    return f"kept for another {time_words(left)}, {after}" if left > 0 else after.removeprefix("then ")


def _after_end(record: Record, now: str, place: Place) -> str:
    if record.phase in BACK:
        again = place.command("retry", "REASON")
        return f"{record.target.version} gets no requests; `{again}` begins again, or name another version in the file"
    if record.phase is Phase.COMPLETED:
        kept = kept_for(record, now)
        if kept > 0:
            undo = place.command("undo", "REASON")
            return f"{record.from_.version} stays for another {time_words(kept)}: until then `{undo}` goes back"
    return ""


def _without_holder(seen: RolloutSeen, place: Place) -> str:
    """That nobody moves it forward, and how to begin."""
    start = place.command("start")
    if not seen.holder_known:
        return ""
    if seen.holder is None:
        began = "begins it" if seen.record.step == NOT_STARTED else "goes on"
        return f"; nobody moves it: `{start}` {began}"
    if not seen.holder.renewed:
        return f"; {seen.holder.name} does not answer any more: `{start}` goes on"
    return ""


def time_words(long: float) -> str:
    """Return a time rounded to what matters, never less than a second: `45 s`, `3 min`, `2 h 5 min`."""
    from stacks.rollout_words import duration_words

    return duration_words(max(round(long), 1))


def clock(at: str) -> str:
    """Return a time of a record as people read it: `2026-01-05 10:00:00 UTC`."""
    from datetime import datetime

    from canary.time_options import utc

    return utc(datetime.fromisoformat(at).timestamp())


def rules_words(rules: Sequence[PlannedRule], step: PlannedStep) -> str:
    """Return the rule that rises in a step, or that all do, with `together`."""
    if len(rules) > 1 and any(rule.strategy.together for rule in rules):
        return "all rules"
    return rules[step.rule].text
