"""What a group has as one service has it: a start in the background, a status that is watched, and one page."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from canary.exit_codes import ExitCode
from canary.rollout.group_page import group_page
from canary.rollout.group_place import GroupPlace, group_place_of
from canary.rollout.group_showing import read_group
from canary.rollout.group_watching import GroupChanges, GroupSeen, watch_group
from canary.rollout.reading import RolloutSeen
from canary.rollout.report import RolloutReport
from canary.ui import Ui
from rollout.group_runner import GroupEnd
from rollout.group_store import lease_of
from rollout.lease import Lease
from tests.unit.canary.background import Background
from tests.unit.canary.groups import PLACE, group_project, records, running
from tests.unit.canary.rollouts import run, run_json
from tests.unit.rollout.group_world import NAMESPACE, GroupWorld, OneGroupRunner
from tests.unit.rollout.sample_groups import GROUP, SHOP

DETACHED = ("start", GROUP, "--namespace", NAMESPACE, "--detach")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GroupWorld:
    """A project with a group, and a cluster in which its services have Pending records."""
    return group_project(tmp_path, monkeypatch)


@pytest.fixture
def background(world: GroupWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Background:
    """A process that takes the Lease of the group."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    found = Background(monkeypatch)
    found.begins = lambda pid, log: hold(world, f"laptop/{pid}/abc")
    return found


def hold(world: GroupWorld, holder: str) -> None:
    """Somebody moves the group."""
    assert Lease(world.client, NAMESPACE, lease_of(GROUP), holder).acquire()


def test_a_detached_start_moves_the_group_in_the_background(
    world: GroupWorld, background: Background, tmp_path: Path
) -> None:
    told = run(*DETACHED).stdout

    assert background.commands == [["-m", "canary", "rollout", "start", GROUP, "--namespace", NAMESPACE]]
    assert background.sessions == [True]
    assert "checkout-1: articles, web-api, frontend: before its first step" in told
    assert "articles-1: version-1 -> version-2" in told
    file = tmp_path / "istio-canary" / "rollouts" / f"{NAMESPACE}.{GROUP}.log"
    assert f"process 4242 moves it forward, and writes to {file}" in told
    assert f"`canary rollout status checkout --watch --namespace {NAMESPACE}` shows each change" in told
    assert file.is_file()


def test_the_document_of_a_detached_start_names_the_process(world: GroupWorld, background: Background) -> None:
    document = run_json(*DETACHED)

    assert (document["group"], document["id"], document["pid"]) == (GROUP, "checkout-1", 4242)
    assert [one["service"] for one in document["services"]] == list(SHOP)


def test_a_group_that_somebody_moves_keeps_a_detached_start_waiting(
    world: GroupWorld, background: Background, monkeypatch: pytest.MonkeyPatch
) -> None:
    running(world)
    hold(world, "ci-7/42/abc")
    background.begins = lambda pid, log: None
    monkeypatch.setattr("canary.rollout.detaching.SECONDS", 0)

    assert "process 4242 waits for ci-7/42/abc, which moves it forward" in run(*DETACHED).stdout


def test_a_detached_start_that_is_refused_starts_no_process(world: GroupWorld, background: Background) -> None:
    done = run("start", GROUP, *PLACE, "--detach", code=ExitCode.CONFIG)

    assert "the stack's file has changed since" in done.stderr
    assert background.commands == []


def test_a_process_of_a_group_that_ends_at_once_is_told_with_its_output(
    world: GroupWorld, background: Background
) -> None:
    def fails(pid: int, log: Any) -> None:
        log.write(b"error: the cluster does not answer\n")
        background.code = ExitCode.UNREACHABLE

    background.begins = fails
    done = run(*DETACHED, code=ExitCode.UNREACHABLE)

    assert "error: the cluster does not answer" in done.stderr


def test_a_group_that_has_ended_needs_no_process(
    world: GroupWorld, background: Background, monkeypatch: pytest.MonkeyPatch
) -> None:
    running(world)
    run("abort", GROUP, "it", "fails", *PLACE)
    monkeypatch.setattr(
        "rollout.group_runner.run_group",
        lambda access, group, holder, **_: GroupEnd(group=group, records=records(world), why="aborted"),
    )

    assert "aborted: it fails" in run(*DETACHED, code=ExitCode.ABORTED).stdout
    assert background.commands == []


def watched(world: GroupWorld, *changes: Callable[[], object], as_json: bool = False) -> None:
    """Watch the group; before each look one of the changes is made."""
    left = list(changes)

    def look(place: GroupPlace) -> GroupSeen:
        left.pop(0)()
        return read_group(place)

    watch_group(Ui(json=as_json), _place(), look, pause=0)
    assert not left, "it ended too early"


def test_a_watch_of_a_group_tells_all_services_until_the_end(
    world: GroupWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    def to_the_end() -> None:
        world.abort("it fails")
        runner = OneGroupRunner(world)
        runner.holds = False
        runner.to_the_end()

    watched(world, lambda: None, lambda: running(world), lambda: None, to_the_end)
    first, *rest = capsys.readouterr().out.splitlines()
    lines = [line.partition(" UTC  ")[2] for line in rest]

    assert f"checkout: not started; `canary rollout start checkout --namespace {NAMESPACE}` begins it" in first
    for name in SHOP:
        assert any(line.startswith(f"{name}-1: version-1 -> version-2, not started") for line in lines[:3])
        assert f"{name}-1 routes: version-1 90 %, version-2 10 %" in lines
        assert any(line.startswith(f"{name}-1 Aborted: ") for line in lines)
    assert any(line.startswith("checkout-1 StepWritten: step 1 of 2: articles, web-api, frontend") for line in lines)
    assert any(line.startswith("checkout-1 Aborted: ") for line in lines)
    assert len(rest) == len(set(rest)), "each change is told once"
    assert [line[:19] for line in rest] == sorted(line[:19] for line in rest)


def test_changes_of_one_second_are_told_in_their_order(world: GroupWorld) -> None:
    """A callee goes forward first, and back last; the API server's time alone is in whole seconds."""

    def later(seen: RolloutSeen, milliseconds: int) -> RolloutSeen:
        record, generation = seen.record, seen.record.generation + 1
        at = f"2026-01-05T10:00:05.{milliseconds:03}+00:00"
        entry = record.history[-1].model_copy(update={"at": at, "generation": generation})
        history = (*record.history, entry)
        return replace(seen, record=record.model_copy(update={"generation": generation, "history": history}))

    running(world)
    group, seen = read_group(_place())
    changes = GroupChanges(_place())
    changes.lines(group, seen)
    told = changes.lines(group, {name: later(seen[name], 9 - SHOP.index(name)) for name in SHOP})

    assert [line.partition(" UTC  ")[2].partition(" ")[0] for line in told] == [f"{one}-1" for one in reversed(SHOP)]


def test_a_watch_of_a_group_goes_on_with_the_next_rollout_of_its_services(
    world: GroupWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    running(world)
    run("abort", GROUP, *PLACE)

    watched(world, lambda: run("retry", GROUP, "again", *PLACE), lambda: run("abort", GROUP, *PLACE))

    assert "aborted" in capsys.readouterr().out


def test_with_json_each_change_of_a_group_is_a_document(world: GroupWorld, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    watched(world, lambda: None, lambda: None, lambda: running(world), interrupted, as_json=True)
    captured = capsys.readouterr()
    documents = [json.loads(line) for line in captured.out.splitlines()]

    assert [(one["phase"], one["step"]) for one in documents] == [(None, 0), ("Progressing", 1)]
    assert [one["step"] for one in documents[1]["services"]] == [1, 1, 1]
    assert captured.err == ""


def test_the_status_of_a_group_is_watched_by_the_command(world: GroupWorld) -> None:
    running(world)
    run("abort", GROUP, "it", "fails", *PLACE)

    told = run("status", GROUP, *PLACE, "--watch").stdout

    assert "checkout-1: articles, web-api, frontend: aborted: it fails" in told
    assert [one for one in SHOP if f"{one}-1: version-1 -> version-2, aborted" in told] == list(SHOP)


def test_the_page_of_a_group_has_its_history_and_what_is_known_of_each_service(
    world: GroupWorld, tmp_path: Path
) -> None:
    running(world)
    run("pause", GROUP, "<lunch>", *PLACE)
    file = tmp_path / "page.html"

    assert run("report", GROUP, *PLACE, "--html", "page.html").stdout == f"{file}\n"
    page = file.read_text(encoding="utf-8")
    assert "<title>Group checkout-1: articles, web-api, frontend</title>" in page
    history, *parts = page.split("<h2>")[1:]
    assert history.startswith("History of the group</h2>")
    assert "<td>StepWritten</td><td>step 1 of 2: articles, web-api, frontend" in history
    assert len(parts) == len(SHOP)
    for name, part in zip(SHOP, parts, strict=True):
        assert part.startswith(f"{name}: Rollout {name}-1: version-1 to version-2</h2>")
        assert f"<td>{name}-1 StepWritten</td>" in part
        assert "<h3>Steps</h3>" in part
        assert "&lt;lunch&gt;" in part
    assert "<lunch>" not in page
    assert "default-src 'none'" in page
    assert run_json("report", GROUP, *PLACE, "--html", "page.html")["file"] == str(file)


def test_the_page_of_a_group_has_the_evidence_of_each_service(world: GroupWorld, tmp_path: Path) -> None:
    running(world)
    seen = read_group(_place())[1]
    evidence = {"rollout": "web-api-1", "step": 1, "text": "35 of 60 s have numbers"}
    reports = [
        RolloutReport(_place().of(name), replace(one, evidence=evidence if name == "web-api" else None), ())
        for name, one in seen.items()
    ]

    parts = group_page(_place(), world.group, reports).split("<h2>")[2:]

    assert ["35 of 60 s have numbers" in part for part in parts] == [False, True, False]
    assert ["<h3>Gates</h3>" in part for part in parts] == [False, True, False]


def test_the_page_of_a_group_that_nobody_has_started_says_so(world: GroupWorld, tmp_path: Path) -> None:
    run("report", GROUP, *PLACE, "--html", "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")

    assert "checkout: not started; `canary rollout start checkout --stack dev` begins it" in page
    assert "History of the group" not in page


def test_a_page_of_a_group_that_cannot_be_written_is_told(world: GroupWorld) -> None:
    assert (
        "there is no folder" in run("report", GROUP, *PLACE, "--html", "no/such/page.html", code=ExitCode.CONFIG).stderr
    )


def test_the_decisions_of_gates_are_those_of_one_service(world: GroupWorld) -> None:
    done = run("report", GROUP, *PLACE, "--decisions", "d.json", code=ExitCode.CONFIG)

    assert "canary rollout report articles --decisions d.json --stack dev" in done.stderr


def _place() -> GroupPlace:
    found = group_place_of(Ui(), GROUP, None, NAMESPACE)
    assert found is not None
    return found
