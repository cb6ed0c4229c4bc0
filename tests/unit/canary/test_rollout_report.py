"""`canary rollout report`: every decision once, with its numbers, as text, JSON and a page that loads nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from canary.exit_codes import ExitCode
from canary.rollout.report import Entry
from rollout.collecting import Collector
from rollout.decision import Decision, Facts
from rollout.record import Phase
from rollout.verbs import pause
from tests.unit.canary.rollouts import NAMESPACE, World, run, run_json
from tests.unit.rollout.rollouts import AtOnce, Envoys
from traffic.model import version_label


@pytest.fixture
def told(deployed: World) -> World:
    """A rollout with a pause, whose decision the log has too, and one that is in the log alone."""
    deployed.observing(0)
    before, at = deployed.record, deployed.at(60)
    decided = pause(before, "<lunch> & [more]", "vm/42/0a1b-2c", at)
    assert decided.record is not None
    paused = decided.record
    deployed.change(lambda record: paused)
    facts = Facts(now=at, ready_to=1, ready_from=4, pods_text="website-2: pulling")
    again = Decision(why="the routes are those of an earlier decision", write_routes="step")
    # The log is written as a runner does.
    client = deployed.server.client
    collector = Collector(client, lambda: client, deployed.store, "vm/42/0a1b-2c", Envoys(), AtOnce())  # type: ignore[arg-type]
    collector.log(before, facts, decided)
    collector.log(paused, facts, again)
    assert collector.is_done_beside()
    return deployed


def test_a_decision_is_told_once_with_its_numbers(told: World) -> None:
    text = run("report", "website", "--stack", "dev").stdout
    rows = [re.sub(" +", " ", line).strip() for line in text.splitlines() if "<lunch>" in line and "Paused" in line]

    assert rows == [
        "2026-01-05 10:01:00 UTC vm/42 website-1 Paused paused by vm/42/0a1b-2c: <lunch> & [more] "
        "(ready pods: 1 new, 4 old; website-2: pulling)"
    ]
    assert "website-1 the routes are those of an earlier decision (ready pods: 1 new" in re.sub(r"\s+", " ", text)
    assert text.count("<lunch>") == 2, text  # in the head, and in the row


def test_what_happened_in_one_second_is_told_in_its_order() -> None:
    """The API server's time is in whole seconds, that of a runner in milliseconds."""
    taken = Entry("2026-01-05T10:00:18.223+00:00", "vm", "HolderTaken", "", generation=5)
    lost = Entry("2026-01-05T10:00:18+00:00", "vm", "HolderLost", "", generation=9)

    assert sorted([lost, taken], key=lambda entry: entry.order) == [taken, lost]


def test_the_document_has_the_log_as_it_is(told: World) -> None:
    document = run_json("report", "website", "--stack", "dev")

    assert [(one["generation"], one["did"]) for one in document["decisions"]] == [(2, ["record"]), (2, ["routes"])]
    assert document["decisions"][0]["numbers"]["readyTo"] == 1
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


def test_a_tag_that_was_moved_is_told(deployed: World) -> None:
    labels = {"app": "website", "version": version_label("website", "version-1")}
    status = {"name": "website", "imageID": "website@sha256:2", "image": "", "ready": True, "restartCount": 0}
    metadata = {"name": "p", "namespace": NAMESPACE, "labels": labels}
    deployed.server.objects["pods", NAMESPACE, "p"] = {"metadata": metadata, "status": {"containerStatuses": [status]}}
    assert "tag was moved" not in run("report", "website", "--stack", "dev").stdout, "nobody knows what ran before"
    deployed.set(from_=deployed.record.from_.model_copy(update={"image_ids": ("website@sha256:1",)}))
    (told,) = run_json("report", "website", "--stack", "dev")["movedTags"]
    assert told.startswith("version-1: its pods run website@sha256:2, and ran website@sha256:1 when")
    assert told in run("report", "website", "--stack", "dev").stdout
    deployed.set(from_=deployed.record.from_.model_copy(update={"image_ids": ("website@sha256:2",)}))
    assert run_json("report", "website", "--stack", "dev")["movedTags"] == []


def test_after_the_rollout_is_closed_the_old_version_is_there_to_paste(deployed: World) -> None:
    assert "as it was" not in run("report", "website", "--stack", "dev").stdout
    settings = {"image": "shop:1", "port": 8080, "env": {"LEVEL": "debug", "PASSWORD": "[secret] (0a1b)"}}
    before = deployed.record.from_.model_copy(update={"settings": settings, "image_ids": ("shop@sha256:1",)})
    deployed.set(phase=Phase.CLOSED, from_=before)
    run("report", "website", "--stack", "dev", "--html", "page.html")
    page = (deployed.folder / "page.html").read_text(encoding="utf-8")
    text = run("report", "website", "--stack", "dev").stdout

    pasted = text[text.index("    version-1:") : text.index("encrypted, and")]
    assert yaml.safe_load(pasted) == {"version-1": {"image": "shop:1", "port": 8080, "env": {"LEVEL": "debug"}}}
    assert "encrypted, and in the history of the stack's file: env.PASSWORD" in text
    assert "its pods ran shop@sha256:1" in text
    assert "[secret]" not in text + page
    assert "image: shop:1" in page


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
