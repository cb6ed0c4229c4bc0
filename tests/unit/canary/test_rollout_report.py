"""`canary rollout report`: every decision once, with its numbers, as text, JSON and a page that loads nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from canary.exit_codes import ExitCode
from canary.rollout.report import Entry
from rollout.collecting import log_entry
from rollout.decision import Decision, Facts
from rollout.verbs import pause
from tests.unit.canary.rollouts import World, run, run_json


@pytest.fixture
def told(deployed: World) -> World:
    """A rollout with a pause, whose decision the log has too, and one that is in the log alone."""
    deployed.observing(0)
    before, holder = deployed.record, "vm/42/0a1b-2c"
    decision = pause(before, "<lunch> & [more]", holder, deployed.at(60))
    paused = decision.record
    assert paused is not None
    deployed.change(lambda record: paused)
    facts = Facts(now=deployed.at(60), ready_to=1, ready_from=4)
    deployed.store.log(log_entry(before, facts, decision, holder))  # as a runner writes it
    later = Decision(why="the routes are those of an earlier decision")
    deployed.store.log({**log_entry(paused, facts, later, holder), "generation": 99})
    return deployed


def test_a_decision_is_told_once_with_its_numbers(told: World) -> None:
    text = run("report", "website", "--stack", "dev").stdout
    rows = [re.sub(" +", " ", line).strip() for line in text.splitlines() if "<lunch>" in line and "Paused" in line]

    assert rows == [
        "2026-01-05 10:01:00 UTC vm/42 website-1 Paused paused by vm/42/0a1b-2c: <lunch> & [more] "
        "(ready pods: 1 new, 4 old)"
    ]
    assert text.count("<lunch>") == 2, text  # in the head, and in the row
    assert "the routes are those of an earlier decision" in text


def test_what_happened_in_one_second_is_told_in_its_order() -> None:
    """The API server's time is in whole seconds, that of a runner in milliseconds."""
    taken = Entry("2026-01-05T10:00:18.223+00:00", "vm", "HolderTaken", "", generation=5)
    lost = Entry("2026-01-05T10:00:18+00:00", "vm", "HolderLost", "", generation=9)

    assert sorted([lost, taken], key=lambda entry: entry.order) == [taken, lost]


def test_the_document_has_the_log_as_it_is(told: World) -> None:
    document = run_json("report", "website", "--stack", "dev")

    assert [one["generation"] for one in document["decisions"]][-1] == 99
    assert [one["type"] for one in document["history"]] == ["Pending", "Paused"]
    assert [one["step"] for one in (*document["history"], *document["decisions"])] == [0, 1, 1, 1]
    assert document["file"] is None


def test_the_page_loads_nothing_and_shows_texts_as_they_are(told: World) -> None:
    file = told.folder / "page.html"
    assert run("report", "website", "--stack", "dev", "--html", "page.html").stdout == f"{file}\n"
    page = file.read_text(encoding="utf-8")

    assert "<title>Rollout website-1: version-1 to version-2</title>" in page
    assert "&lt;lunch&gt; &amp; [more]" in page
    assert "<lunch>" not in page
    assert "default-src 'none'" in page
    assert not re.search(r"<script|src=|href=|url\(", page)
    assert page.count("<tr>") - page.count("</tr>") == 0


@pytest.mark.parametrize(
    ("given", "what", "fix"),
    [
        ("no/such/page.html", "--html: there is no folder", "mkdir -p "),
        (".", "cannot be written: Is a directory", "give another file"),
    ],
)
def test_a_file_that_cannot_be_written_is_told(given: str, what: str, fix: str, told: World) -> None:
    error = run("report", "website", "--stack", "dev", "--html", given, code=ExitCode.CONFIG).stderr

    assert what in error
    assert fix in error
    assert not Path(given).is_file()
