"""What a run changed, or would change, as text and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from canary.engine.driver import Operation, Outcome
from canary.engine.events import UNCHANGED, ResourceStep

SIGNS = {"create": ("+", "green"), "update": ("~", "yellow"), "delete": ("-", "red"), "replace": ("±", "magenta")}
FUTURE = {"create": "to create", "update": "to update", "delete": "to delete", "replace": "to replace"}
PAST = {"create": "created", "update": "updated", "delete": "deleted", "replace": "replaced"}


def counts(outcome: Outcome) -> dict[str, int]:
    """Return the number of resources by operation; a replacement counts once."""
    found: dict[str, int] = {}
    for step in outcome.record.steps.values():
        op = "same" if step.op in UNCHANGED else step.op
        found[op] = found.get(op, 0) + 1
    return found


def as_json(outcome: Outcome, stack: str) -> dict[str, Any]:
    """Return the document printed by `--json`."""
    return {
        "stack": stack,
        "operation": outcome.operation.value,
        "changes": counts(outcome),
        "resources": [_resource(step) for step in outcome.record.changed],
        "outputs": outcome.record.outputs,
        "duration_seconds": round(outcome.seconds, 3),
    }


def show(console: Console, outcome: Outcome, stack: str, notes: Sequence[str] = ()) -> None:
    """Print each changed resource with its properties, the notes, and a summary line."""
    for step in outcome.record.changed:
        sign, colour = SIGNS.get(step.op, ("?", "white"))
        console.print(Text(f" {sign} {step.kind} {step.name}", style=colour), Text(f"  {step.op}", style="dim"))
        for difference in step.diff:
            console.print(Text(f"     {difference}"))
    for note in notes:
        console.print(Text(note))
    console.print(Text(summary(outcome, stack)))


def summary(outcome: Outcome, stack: str) -> str:
    """Return a summary such as `stack dev: 1 to update, 24 unchanged (1.9 s)`."""
    words = FUTURE if outcome.operation.is_preview else PAST
    found = counts(outcome)
    parts = [f"{count} {words.get(op, op)}" for op, count in found.items() if op != "same"] or ["no changes"]
    if not outcome.operation.is_preview and len(found) <= 1 and "same" in found:
        parts = ["nothing changed"]
    parts.append(f"{found.get('same', 0)} unchanged")
    if outcome.operation in (Operation.DESTROY, Operation.DESTROY_PREVIEW):
        parts.pop()
    return f"stack {stack}: {', '.join(parts)} ({outcome.seconds:.1f} s)"


def _resource(step: ResourceStep) -> dict[str, Any]:
    diff = [{"path": entry.path, "old": entry.old, "new": entry.new} for entry in step.diff]
    return {"urn": step.urn, "type": step.type, "name": step.name, "op": step.op, "diff": diff}
