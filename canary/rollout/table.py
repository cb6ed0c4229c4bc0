"""`canary rollout status` on a terminal: where the rollout is, its weights, its steps, and what it waits for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from canary.rollout.evidence import evidence_lines, evidence_table
from canary.rollout.place import Place
from canary.rollout.words import clock, headline, rules_words, step_of, time_words, waits_line
from rollout.record import Phase, Record
from traffic.proportions import percent_words

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from canary.rollout.reading import RolloutSeen

LAST_ENTRIES = 5
"""Of the history that `status` shows; `report` has all of it."""


def show(console: Console, place: Place, seen: RolloutSeen) -> None:
    """Print what is known of one rollout."""
    console.print(headline(seen.record), markup=False, style="bold", soft_wrap=True)
    console.print(weights_table(seen))
    console.print(steps_table(seen.record, seen.now))
    if seen.evidence is not None and seen.evidence.get("metrics"):
        console.print(evidence_table(seen.evidence))
    for line in lines(place, seen):
        console.print(line, markup=False, soft_wrap=True)


def show_short(console: Console, place: Place, seen: RolloutSeen) -> None:
    """Print one rollout of several, in two lines."""
    console.print(headline(seen.record), markup=False, style="bold", soft_wrap=True)
    waits = waits_line(seen, place)
    if waits:
        console.print(f"  {waits}", markup=False, soft_wrap=True)


def weights_table(seen: RolloutSeen) -> Table:
    """Return the weights that the record wants, and those that the routes have."""
    table = new_table()
    for name in ("rule", "version"):
        table.add_column(name)
    for name in ("wanted", "written"):
        table.add_column(name, justify="right")
    record = seen.record
    for rule in record.plan.rules:
        wanted = record.wanted.get(rule.key, {})
        for index, (version, weight) in enumerate(wanted.items()):
            written = "?" if seen.written is None else percent_words(seen.written.get(rule.key, {}).get(version, 0))
            style = None if seen.written is None or written == percent_words(weight) else "yellow"
            table.add_row("" if index else rule.text, version, percent_words(weight), written, style=style)
    return table


def steps_table(record: Record, now: str) -> Table:
    """Return the steps, with those that are done and the present one."""
    table = new_table()
    several = len(record.plan.rules) > 1
    table.add_column("step", justify="right")
    if several:
        table.add_column("rule")
    table.add_column("weight", justify="right")
    table.add_column("kept for")
    table.add_column("")
    for index, step in enumerate(record.plan.steps):
        kept = time_words(step.hold_seconds) if step.hold_seconds else "-"
        kept += ", then an approval" if step.approve else ""
        rule = [rules_words(record.plan.rules, step)] if several else []
        state = _state(record, index)
        style = "bold" if state == "now" else None
        table.add_row(str(index + 1), *rule, percent_words(step.weight), kept, state, style=style)
    return table


def _state(record: Record, step: int) -> str:
    if record.phase in (Phase.COMPLETED, Phase.CLOSED):
        return "done"
    if record.phase.goes_back:
        return "was reached" if step <= record.step else ""
    if step == record.step:
        return "now"
    return "done" if step < record.step else ""


def lines(place: Place, seen: RolloutSeen) -> Iterator[str]:
    """Yield what a rollout waits for, its holder, deadlines, bars, and what happened last."""
    record = seen.record
    waits = waits_line(seen, place)
    if waits:
        yield waits
    if seen.evidence is not None:
        yield from evidence_lines(seen.evidence)
    if seen.written is not None and not record.stands(seen.written):
        yield f"routes:    not as the record wants them (written by {seen.owner or 'nobody'})"
    if seen.holder is not None:
        yield f"holder:    {seen.holder.name}" + ("" if seen.holder.renewed else ", which does not answer any more")
    if record.plan.group is not None:
        order = ", ".join(member.service for member in record.plan.group.members)
        yield f"group:     {record.plan.group.name}: {order}"
    limits = record.deadlines
    if record.phase.active and limits.total_at is not None:
        step = f"step {step_of(record)} by {clock(limits.step_at)}, " if limits.step_at and step_of(record) else ""
        then = record.strategy.deadline.then
        yield f"deadline:  {step}all of it by {clock(limits.total_at)}; {then}s after that"
    for bar in record.bars:
        yield f"barred:    {bar.version} since {clock(bar.at)}, by {bar.by}: {bar.reason}"
    if record.outbox:
        events = "1 event" if len(record.outbox) == 1 else f"{len(record.outbox)} events"
        yield f"not sent:  {events}; the holder sends them"
    for index, entry in enumerate(record.history[-LAST_ENTRIES:]):
        yield f"{'last:' if not index else '':<10} {clock(entry.at)}  {entry.type.value}: {entry.text}"


def new_table() -> Table:
    from rich import box
    from rich.table import Table

    return Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 2, 0, 0))
