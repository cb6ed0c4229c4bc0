"""`canary rollout report`: the history and the logged decisions of a rollout, as text, JSON and one HTML page."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from canary.command_error import CommandError
from canary.exit_codes import ExitCode
from canary.rollout.documents import counted, service_document
from canary.rollout.errors import explained
from canary.rollout.evidence import evidence_lines, evidence_rows, evidence_table, queries
from canary.rollout.place import Place
from canary.rollout.previous import previous_lines
from canary.rollout.reading import SECONDS, RolloutSeen, read
from canary.rollout.table import new_table, show_short, steps_table, weights_table
from canary.rollout.words import clock, headline, rules_words, time_words, waits_line
from traffic.proportions import percent_words

if TYPE_CHECKING:
    from lightkube import Client
    from rich.console import Console

    from rollout.record import Record

STYLE = """
:root { color-scheme: light; }
body { margin: 0; font: 15px/1.5 system-ui, sans-serif; color: #24292f; background: #fff; }
main { max-width: 1200px; margin: 0 auto; padding: 28px; }
h1 { font-size: 26px; margin: 0 0 4px; }
h2 { font-size: 19px; margin: 36px 0 10px; padding-bottom: 6px; border-bottom: 1px solid #d0d7de; }
h3 { font-size: 16px; margin: 22px 0 6px; }
.about { color: #57606a; margin: 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 6px 18px 6px 0; text-align: left; vertical-align: top; border-bottom: 1px solid #e6e8eb; }
td:first-child { white-space: nowrap; }
"""

TEXTS = ("pods", "limits", "gates")
"""Keys of a logged decision's numbers whose text is shown as it is."""


@dataclass(frozen=True)
class Entry:
    """One line of the report: when, who, what, why, and the numbers."""

    at: str
    by: str
    what: str
    text: str
    numbers: str = ""
    generation: int = -1

    @property
    def order(self) -> tuple[str, int]:
        """Its place among the others: some times are in whole seconds, whose order the record's generation tells."""
        return self.at[:19], self.generation


@dataclass(frozen=True)
class RolloutReport:
    """What is known of a rollout: as it is now, and its decisions, the oldest first."""

    place: Place
    seen: RolloutSeen
    decisions: tuple[Mapping[str, Any], ...]
    moved: tuple[str, ...] = ()
    """Which versions run another image under the same tag, in words."""

    @property
    def entries(self) -> list[Entry]:
        """The history and the log in one, by time: a decision that the history has too adds its numbers to it."""
        history = self.seen.record.history
        told = {(entry.id, entry.generation) for entry in history}
        wrote = {_identity(one)[:2]: one for one in self.decisions if "record" in (one.get("did") or ())}
        logged = {_identity(one): one for one in self.decisions}
        written = []
        for entry in history:
            place = (entry.id, entry.generation)
            decision = logged.pop((*place, entry.text), None) or wrote.get(place, {})
            by, what, numbers = short_holder(entry.by), f"{entry.id} {entry.type.value}", _numbers(decision)
            written.append(Entry(entry.at, by, what, entry.text, numbers, entry.generation))
        rest = [_logged(one) for key, one in logged.items() if wrote.get(key[:2]) is not one or key[:2] not in told]
        return sorted([*written, *rest], key=lambda entry: entry.order)


def read_report(place: Place) -> RolloutReport:
    """Return what the cluster knows of a rollout; raises CommandError, also if there is none."""
    from kube.client import query
    from rollout.store import RolloutStore

    seen = read(place)

    def ask(client: Client) -> RolloutReport:
        decisions = RolloutStore(client, place.namespace, place.service).read_log()
        return RolloutReport(place, seen, tuple(decisions), _moved(client, place, seen.record))

    with explained(place):
        return query(place.cluster, ask, within=SECONDS)


def _moved(client: Client, place: Place, record: Record) -> tuple[str, ...]:
    """Which tags were moved; none where the pods may not be listed."""
    import httpx2

    from rollout.images import image_ids, moved_tags

    try:
        now = image_ids(client, place.namespace, place.service, (record.from_.version, record.target.version))
    except httpx2.HTTPStatusError:
        return ()
    return tuple(moved_tags(record, now))


def as_json(place: Place, found: RolloutReport, file: str | None) -> dict[str, Any]:
    """Return the document of `--json`: that of `status`, what the old version was, and the decisions."""
    record = found.seen.record
    previous = {"version": record.from_.version, "settings": record.from_.settings, "imageIds": record.from_.image_ids}
    document = service_document(place, found.seen)
    return {
        **document,
        "previous": previous,
        "movedTags": list(found.moved),
        "decisions": [counted(one) for one in found.decisions],
        "file": file,
    }


def show(console: Console, found: RolloutReport, file: str | None) -> None:
    """Print the report, or where its page is."""
    if file is not None:
        console.print(file, markup=False, soft_wrap=True)
        return
    show_short(console, found.place, found.seen)
    console.print(weights_table(found.seen))
    console.print(steps_table(found.seen.record, found.seen.now))
    if found.seen.evidence is not None:
        console.print(evidence_table(found.seen.evidence))
        for line in (*evidence_lines(found.seen.evidence), *queries(found.seen.evidence)):
            console.print(line, markup=False, soft_wrap=True)
    table = new_table()
    for name in ("time", "by", "event", "why"):
        table.add_column(name, overflow="fold")
    for entry in found.entries:
        why = entry.text + (f" ({entry.numbers})" if entry.numbers else "")
        table.add_row(*map(_literal, (clock(entry.at), entry.by, entry.what, why)))
    console.print(table)
    for line in (*found.moved, *previous_lines(found.seen.record)):
        console.print(line, markup=False, soft_wrap=True, highlight=False)


def write_page(file: Path, text: str) -> str:
    """Write a page and return its absolute path; raises CommandError if it cannot be written."""
    path = Path(os.path.abspath(file.expanduser()))
    if not path.parent.is_dir():
        fix = f"mkdir -p {shlex.quote(str(path.parent))}"
        raise CommandError(f"--html: there is no folder {path.parent}", ExitCode.CONFIG, fix)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandError(
            f"--html: {path} cannot be written: {error.strerror}", ExitCode.CONFIG, "give another file"
        ) from None
    return str(path)


def page(place: Place, found: RolloutReport) -> str:
    """Return the page: HTML without scripts, which loads nothing."""
    record = found.seen.record
    about = (
        f"Service {record.service}, namespace {record.namespace}"
        + (f", stack {place.stack}" if place.stack else "")
        + f"; as of {clock(found.seen.now)}"
    )
    return framed(title_of(record), about, sections(place, found))


def title_of(record: Record) -> str:
    """Return the title of what a page says of a rollout."""
    return f"Rollout {record.id}: {record.from_.version} to {record.target.version}"


def framed(title: str, about: str, body: str) -> str:
    """Return a page with this title, a line about it, and a body that is HTML."""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<h1>{escape(title)}</h1>
<p class="about">{escape(about)}</p>
{body}
</main>
</body>
</html>
"""


def sections(place: Place, found: RolloutReport, heading: str = "h2") -> str:
    """Return what a page says of a rollout, below its title, as HTML; `heading` is the element of its headings."""
    record, waits = found.seen.record, waits_line(found.seen, place)

    def headed(text: str, part: str) -> str:
        return f"<{heading}>{text}</{heading}>\n{part}" if part else ""

    steps = html_table(("step", "rule", "weight", "kept for"), _steps(found))
    decisions = html_table(("time", "by", "event", "why", "numbers"), _rows(found))
    parts = (
        f"<p>{escape(headline(record))}{f'; {escape(waits)}' if waits else ''}</p>",
        *(f"<p>{escape(text)}</p>" for text in found.moved),
        headed("Steps", steps),
        headed("Gates", _gates(found)),
        headed("Decisions", decisions),
        headed("Previous version", _html_previous(record)),
    )
    return "\n".join(filter(None, parts))


def _gates(found: RolloutReport) -> str:
    """The evidence of the gates as a part of the page; empty without."""
    evidence = found.seen.evidence
    if evidence is None:
        return ""
    rows = ((line,) for line in (*evidence_rows(evidence), *evidence_lines(evidence), *queries(evidence)))
    return html_table(("last verdict, its numbers and queries",), iter(rows))


def _steps(found: RolloutReport) -> Iterator[tuple[str, ...]]:
    plan = found.seen.record.plan
    for index, step in enumerate(plan.steps):
        kept = time_words(step.hold_seconds) if step.hold_seconds else "-"
        kept += ", then an approval" if step.approve else ""
        yield str(index + 1), rules_words(plan.rules, step), percent_words(step.weight), kept


def _rows(found: RolloutReport) -> Iterator[tuple[str, ...]]:
    for entry in found.entries:
        yield clock(entry.at), entry.by, entry.what, entry.text, entry.numbers


def _html_previous(record: Record) -> str:
    lines = previous_lines(record)
    text = escape("\n".join(lines))
    return f"<pre>{text}</pre>" if lines else ""


def html_table(heads: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    """Return a table as HTML."""
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    body = "\n".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"


def _identity(decision: Mapping[str, Any]) -> tuple[str, int, str]:
    """The rollout, the generation of the record that the decision wrote or left, and why."""
    generation = decision.get("generation")
    number = generation if isinstance(generation, int) else -1
    return str(decision.get("id", "")), number, str(decision.get("why", ""))


def _logged(decision: Mapping[str, Any]) -> Entry:
    """A decision that is in the log alone: it was made from a record that it did not change, or is an older one."""
    rollout, generation, why = _identity(decision)
    by = short_holder(str(decision.get("by", "")))
    return Entry(str(decision.get("at", "")), by, rollout, why, _numbers(decision), generation)


def _numbers(decision: Mapping[str, Any]) -> str:
    """What a decision was made from, in words; what else the log has of it is in the document of `--json`."""
    numbers = decision.get("numbers") or {}
    counts = [f"{numbers[key]} {words}" for key, words in (("readyTo", "new"), ("readyFrom", "old")) if key in numbers]
    ready = [f"ready pods: {', '.join(counts)}"] if counts else []
    return "; ".join([*ready, *(str(numbers[key]) for key in TEXTS if numbers.get(key))])


def short_holder(holder: str) -> str:
    """Return a holder without the part of its name that is only there to be unique."""
    return holder.rpartition("/")[0] if holder.count("/") == 2 else holder


def _literal(text: str) -> Any:
    from rich.text import Text

    return Text(text)
