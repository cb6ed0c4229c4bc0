"""What verbs of `canary rollout` do before the command line is imported: simple calls alone, and the same place."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from canary.app import main
from canary.rollout.first_write import first_write, parse
from canary.rollout.place import place_of
from canary.ui import Ui
from rollout.lean import NotSimpleError
from tests.unit.canary.rollouts import NAMESPACE, STACK, World
from tests.unit.rollout.records import START, observing


@pytest.mark.parametrize(
    ("verb", "arguments", "expected"),
    [
        ("abort", ["website", "-n", "a"], ("website", "", {"namespace": "a"}, set())),
        ("abort", ["website", "too", "slow", "--stack=dev"], ("website", "too slow", {"stack": "dev"}, set())),
        ("abort", ["--json", "website", "too slow", "-s", "b"], ("website", "too slow", {"stack": "b"}, {"--json"})),
        ("abort", ["-n", "a", "--context", "b", "web"], ("web", "", {"namespace": "a", "context": "b"}, set())),
        ("promote", ["website", "--full", "fast", "-n", "a"], ("website", "fast", {"namespace": "a"}, {"--full"})),
        ("resume", ["website", "--json", "-n", "a"], ("website", "", {"namespace": "a"}, {"--json"})),
        ("abort", [], None),
        ("abort", ["website", "--help"], None),
        ("abort", ["website", "--stack"], None),
        ("abort", ["website", "--full", "-n", "a"], None),
        ("abort", ["website", "-n", "a", "-n", "b"], None),
        ("abort", ["website", "--context", "b"], None),
        ("abort", ["website", "--", "-x", "-n", "a"], None),
        ("abort", ["web/../site", "-n", "a"], None),
        ("promote", ["website", "x", "--despite-harm", "-n", "a"], None),
        ("resume", ["website", "why", "-n", "a"], None),
    ],
)
def test_only_simple_arguments_are_taken(verb: str, arguments: list[str], expected: Any) -> None:
    assert parse(verb, arguments) == expected


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What is asked of the API server: the place, then an abort's reason and person, or the record after the verb."""
    calls: list[tuple[Any, ...]] = []
    record = json.loads(observing(1).to_json())

    def abort_at_once(*given: Any) -> bool:
        calls.append(given)
        return True

    def write_at_once(*given: Any) -> Any:
        *place, verb = given
        try:
            after = verb(record, START)
        except NotSimpleError:
            after = verb({**record, "paused": {}}, START)
        calls.append((*place, after["history"][-1]["text"]))
        return after["history"][-1]

    monkeypatch.setattr("canary.rollout.first_write.abort_at_once", abort_at_once)
    monkeypatch.setattr("canary.rollout.first_write.write_at_once", write_at_once)
    monkeypatch.setattr("rollout.person.who", lambda: "ann@laptop")
    return calls


@pytest.mark.parametrize("named", [True, False], ids=["namespace", "the service's name"])
def test_the_place_in_a_stacks_file_is_that_of_the_command(
    named: bool, world: World, asked: list[tuple[Any, ...]]
) -> None:
    cluster = "config:\n  istio-canary:cluster: {kubeconfig: /tmp/k, context: c}\n"
    text = STACK.replace("config:\n", cluster)
    if named:
        text = text.replace("    website:\n", f"    website:\n      namespace: {NAMESPACE}\n")
    else:
        text = text.replace("  istio-canary:samples: [website]\n", "")
    world.file.write_text(text, encoding="utf-8")
    assert first_write("abort", ["website", "--stack", "dev"]) is None
    place = place_of(Ui(), "website", "dev", light=True)

    assert asked == [("/tmp/k", "c", NAMESPACE if named else "website", "website", "by hand", "ann@laptop")]
    assert (place.cluster.kubeconfig, place.cluster.context, place.namespace) == asked[0][:3]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["promote", "website", "all", "well"], "promoted by ann@laptop at step 2 of 3: all well"),
        (["promote", "website", "--full"], "promoted by ann@laptop at step 2 of 3"),
        (["resume", "website"], "resumed by ann@laptop"),
    ],
)
def test_promote_and_resume_tell_what_they_have_written(
    arguments: list[str], text: str, asked: list[tuple[Any, ...]]
) -> None:
    written = first_write(arguments[0], [*arguments[1:], "--namespace", "a"])

    assert written is not None
    assert written["text"] == text
    assert asked == [(None, None, "a", "website", text)]


def test_a_cluster_whose_kubeconfig_is_an_encrypted_text_is_left_to_the_command(
    world: World, asked: list[tuple[Any, ...]]
) -> None:
    cluster = "config:\n  istio-canary:cluster: {kubeconfig: {secure: 'v1:YWJj:ZGVm'}, context: c}\n"
    services = "  istio-canary:services:\n    website: {namespace: a}\n"
    world.file.write_text(cluster + services, encoding="utf-8")
    assert first_write("abort", ["website", "--stack", "dev"]) is None
    assert asked == []
    world.file.write_text(cluster.replace("{secure: 'v1:YWJj:ZGVm'}", "/tmp/k") + services, encoding="utf-8")
    assert first_write("abort", ["website", "--stack", "dev"]) is None
    assert asked[0][:3] == ("/tmp/k", "c", "a")


@pytest.mark.parametrize("verb", ["abort", "promote", "resume"])
def test_a_place_that_is_not_simple_is_left_to_the_command(
    verb: str, world: World, asked: list[tuple[Any, ...]]
) -> None:
    assert first_write(verb, ["website", "--stack", "dev"]) is None  # a sample's namespace
    assert first_write(verb, ["website", "--stack", "prod"]) is None
    assert first_write(verb, ["website", "--stack", "dev", "-n", "a"]) is None
    assert first_write(verb, ["website", "-n", "a/b"]) is None
    assert asked == []


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["rollout", "promote", "website"], [("promote", ["website"])]),
        (["rollout", "status", "website"], []),
        (["rollout"], []),
        ([], []),
    ],
)
def test_the_command_is_told_what_has_been_written(
    words: list[str], expected: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []
    told: list[Any] = []

    def written_first(verb: str, arguments: list[str]) -> dict[str, str]:
        calls.append((verb, arguments))
        return {"text": "promoted"}

    monkeypatch.setattr("sys.argv", ["canary", *words])
    monkeypatch.setattr("canary.rollout.first_write.first_write", written_first)
    monkeypatch.setattr("canary.command_line.app", lambda *, obj: told.append(obj))
    main()

    assert calls == expected
    assert told == [{"text": "promoted"} if expected else None]


def test_the_way_to_the_first_write_imports_no_command_line_and_no_models() -> None:
    code = "import sys, canary.app, canary.rollout.first_write; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert not {"typer", "pydantic", "lightkube", "rich", "traffic.model", "stacks"} & set(done.stdout.split())
