"""What `canary rollout abort` does before its command line is imported: simple calls alone, and the same place."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from canary.rollout.abort_first import abort_first, parse
from canary.rollout.place import place_of
from canary.ui import Ui
from tests.unit.canary.rollouts import NAMESPACE, STACK, World


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["website", "-n", "a"], ("website", "by hand", {"namespace": "a"})),
        (["website", "too", "slow", "--stack=dev"], ("website", "too slow", {"stack": "dev"})),
        (["--json", "website", "too slow", "-s", "dev"], ("website", "too slow", {"stack": "dev"})),
        (["-n", "a", "--context", "b", "website"], ("website", "by hand", {"namespace": "a", "context": "b"})),
        ([], None),
        (["website", "--help"], None),
        (["website", "--stack"], None),
        (["website", "--force", "-n", "a"], None),
        (["website", "-n", "a", "-n", "b"], None),
        (["website", "--context", "b"], None),
        (["website", "--", "-x", "-n", "a"], None),
    ],
)
def test_only_simple_arguments_are_taken(arguments: list[str], expected: Any) -> None:
    assert parse(arguments) == expected


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What is asked of the API server."""
    calls: list[tuple[Any, ...]] = []

    def abort_at_once(*given: Any) -> bool:
        calls.append(given)
        return True

    monkeypatch.setattr("canary.rollout.abort_first.abort_at_once", abort_at_once)
    monkeypatch.setattr("canary.rollout.person.who", lambda: "ann@laptop")
    return calls


def test_the_place_in_a_stacks_file_is_that_of_the_command(world: World, asked: list[tuple[Any, ...]]) -> None:
    cluster = "config:\n  istio-canary:cluster: {kubeconfig: /tmp/k, context: c}\n"
    text = STACK.replace("config:\n", cluster).replace(
        "    website:\n", f"    website:\n      namespace: {NAMESPACE}\n"
    )
    world.file.write_text(text, encoding="utf-8")
    assert abort_first(["website", "--stack", "dev"])
    place = place_of(Ui(), "website", "dev", light=True)

    assert asked == [("/tmp/k", "c", NAMESPACE, "website", "by hand", "ann@laptop")]
    assert (place.cluster.kubeconfig, place.cluster.context, place.namespace) == asked[0][:3]


def test_a_namespace_that_a_sample_has_is_left_to_the_command(world: World, asked: list[tuple[Any, ...]]) -> None:
    assert not abort_first(["website", "--stack", "dev"])
    assert not abort_first(["website", "--stack", "prod"])
    assert not abort_first(["website", "--stack", "dev", "-n", "a"])
    assert asked == []


def test_the_way_to_the_first_write_imports_no_command_line_and_no_models() -> None:
    code = "import sys, canary.app, canary.rollout.abort_first; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert not {"typer", "pydantic", "lightkube", "rich", "traffic.model", "stacks"} & set(done.stdout.split())
