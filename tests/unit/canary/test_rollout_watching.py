"""`canary rollout status --watch`: a line for each change, until the rollout has ended or nobody reads."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from canary.command_error import CommandError
from canary.exit_codes import ExitCode
from canary.rollout.place import Place, place_of
from canary.rollout.reading import RolloutSeen, read
from canary.rollout.watching import watch
from canary.ui import Ui
from rollout.record import Ended, Phase
from rollout.verbs import pause
from tests.unit.canary.rollouts import World


def looks(world: World, *changes: Callable[[], None]) -> Callable[[Place], RolloutSeen]:
    """Before each look one of the changes is made."""
    left = list(changes)

    def look(place: Place) -> RolloutSeen:
        left.pop(0)()
        return read(place)

    return look


def end(world: World) -> None:
    ended = Ended(kind="aborted", reason="it fails", by="ann", at=world.at())
    world.set(phase=Phase.ABORTED, ended=ended, ended_at=world.at())


def paused(world: World) -> None:
    world.change(lambda record: pause(record, "lunch", "ann", world.at(60)).record or record)


def test_each_change_is_a_line_and_the_end_ends_it(deployed: World, capsys: pytest.CaptureFixture[str]) -> None:
    changes = (
        lambda: deployed.observing(0),
        lambda: None,
        lambda: paused(deployed),
        lambda: deployed.write_routes("0"),
        lambda: end(deployed),
    )
    watch(Ui(), place_of(Ui(), "website", "dev"), looks(deployed, *changes), pause=0)
    lines = capsys.readouterr().out.splitlines()

    assert lines[0].startswith("2026-01-05 10:00:00 UTC  website-1: version-1 -> version-2, step 1 of 3; waits for: ")
    assert lines[1:] == [
        "2026-01-05 10:01:00 UTC  website-1 Paused: paused by ann: lunch (ann)",
        "2026-01-05 10:00:00 UTC  website-1 routes: version-1 90 %, version-2 10 %",
    ]


def test_with_json_each_change_is_a_document(deployed: World, capsys: pytest.CaptureFixture[str]) -> None:
    changes = (lambda: deployed.observing(0), lambda: None, lambda: paused(deployed), lambda: end(deployed))
    watch(Ui(json=True), place_of(Ui(), "website", "dev"), looks(deployed, *changes), pause=0)
    documents = [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    assert [(one["step"], one["paused"] is not None) for one in documents] == [(1, False), (1, True)]


def test_a_cluster_that_does_not_answer_for_a_while_is_told_once(
    deployed: World, capsys: pytest.CaptureFixture[str]
) -> None:
    def away() -> None:
        raise CommandError("no answer", ExitCode.UNREACHABLE)

    changes = (lambda: deployed.observing(0), away, away, lambda: end(deployed))
    watch(Ui(), place_of(Ui(), "website", "dev"), looks(deployed, *changes), pause=0)

    assert capsys.readouterr().err == "no answer; it is asked again\n"


def test_a_cluster_that_never_answered_ends_it(deployed: World) -> None:
    def away() -> None:
        raise CommandError("no answer", ExitCode.UNREACHABLE)

    with pytest.raises(CommandError, match="no answer"):
        watch(Ui(), place_of(Ui(), "website", "dev"), looks(deployed, away), pause=0)


def test_ctrl_c_ends_it_without_a_word(deployed: World, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    watch(Ui(), place_of(Ui(), "website", "dev"), looks(deployed, lambda: None, interrupt), pause=0)

    assert capsys.readouterr().err == ""


def test_a_phase_that_ends_is_told_by_its_event(deployed: World, capsys: pytest.CaptureFixture[str]) -> None:
    from rollout.verbs import abort

    def back() -> None:
        deployed.change(lambda record: abort(record, "it fails", "ann", deployed.at()).record or record)

    changes = (lambda: deployed.observing(0), back, lambda: end(deployed))
    watch(Ui(), place_of(Ui(), "website", "dev"), looks(deployed, *changes), pause=0)

    assert "website-1 Aborting: all requests go back to version-1: it fails (ann)\n" in capsys.readouterr().out
