"""docs/rollouts.md and the README's rollout: their files load, their commands exist, what they show is printed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from canary.app import app
from canary.exit_codes import ExitCode
from canary.rollout.words import headline
from rollout.record import Ended, Phase
from stacks.settings.loading import load, load_stack, warnings
from tests.unit.canary.rollouts import World, run
from tests.unit.rollout.records import record_of

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "rollouts.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
RAMP = (ROOT / "docs" / "samples" / "hello-ramp.yaml").read_text(encoding="utf-8")
ROLLOUT: Any = get_command(app).commands["rollout"]  # type: ignore[attr-defined]


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands(text: str) -> list[str]:
    """Commands of `canary rollout` in blocks and in sentences."""
    lines = [line for kind in ("bash", "text") for block in blocks(text, kind) for line in block.splitlines()]
    named = re.findall(r"`(canary rollout [a-z][^`]*)`", text)
    return [one for one in (*lines, *named) if one.startswith("canary rollout ")]


@pytest.mark.parametrize("text", [PAGE, README], ids=["rollouts.md", "README.md"])
def test_every_command_exists_with_its_options(text: str) -> None:
    found = commands(text)
    assert len(found) > 3
    for command in found:
        _, _, verb, *words = shlex.split(command)
        assert verb in ROLLOUT.commands, command
        flags = {flag for parameter in ROLLOUT.commands[verb].params for flag in parameter.opts}
        assert {word for word in words if word.startswith("-")} <= flags, command


def test_the_page_has_every_verb_and_every_exit_code() -> None:
    assert set(re.findall(r"^\| `([a-z]+) [\[S]", PAGE, re.MULTILINE)) == ROLLOUT.commands.keys()
    codes = {int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)}
    used = {"OK", "FAILED", "CONFIG", "UNREACHABLE", "ABORTED", "HELD", "INTERRUPTED"}
    assert codes == {int(ExitCode[name]) for name in used}


def test_the_ramp_is_the_same_everywhere() -> None:
    assert RAMP in blocks(PAGE, "yaml")
    assert RAMP in blocks(README, "yaml")
    assert "cat docs/samples/hello-ramp.yaml >> Pulumi.dev.yaml\n" in README


def test_the_file_with_a_strategy_and_a_cohort_is_one_without_problems() -> None:
    text, _ = [block for block in blocks(PAGE, "yaml") if block != RAMP]
    settings = load(yaml.safe_load(text))

    assert [rule.rollout is None for rule in settings.services["shop"].route] == [True, False, False]
    assert settings.rollouts["careful"].limits is not None


def test_the_file_with_a_group_is_one_without_problems(tmp_path: Path) -> None:
    _, text = [block for block in blocks(PAGE, "yaml") if block != RAMP]
    file = tmp_path / "Pulumi.dev.yaml"
    file.write_text(f"config:\n{text}", encoding="utf-8")
    loaded = load_stack(file)

    assert loaded.settings.rollout_groups["checkout"].services == ("articles", "web-api", "frontend")
    assert [one for one in warnings(loaded.settings, loaded.source) if "rollout" in one.path.lower()] == []


def test_the_readmes_two_changes_of_dev_are_a_file_without_problems(tmp_path: Path) -> None:
    story = README.partition("## A change of traffic")[2]
    file = tmp_path / "Pulumi.dev.yaml"
    text = (ROOT / "Pulumi.dev.yaml").read_text(encoding="utf-8")
    text = text.replace("istio-canary:samples: [website]", "istio-canary:samples: [website, hello-minikube]")
    file.write_text(text + blocks(story, "yaml")[0] + RAMP, encoding="utf-8")
    loaded = load_stack(file)

    assert [one for one in warnings(loaded.settings, loaded.source) if "hello-minikube" in one.path] == []
    assert loaded.settings.services["hello-minikube"].route[0].rollout is not None


def test_the_plan_that_the_page_shows_is_the_one_of_the_ramp(deployed: World) -> None:
    """With one pod of the old version, as the sample has."""
    ramp = yaml.safe_load(RAMP)["hello-minikube"]["route"][0]["rollout"]
    in_one_line = yaml.safe_dump(ramp, default_flow_style=True, width=1000).strip()
    text = deployed.file.read_text(encoding="utf-8")
    deployed.file.write_text(re.sub("careful: {.*", f"careful: {in_one_line}", text), encoding="utf-8")
    deployed.set(from_=deployed.record.from_.model_copy(update={"ready_pods": 1}))
    printed = run("plan", "website", "--stack", "dev").stdout.replace("website:", "hello-minikube:").splitlines()
    (shown,) = [block.splitlines() for block in blocks(PAGE, "text") if "pods of version-2" in block]

    assert [line.rstrip() for line in printed[: len(shown)]] == [line.rstrip() for line in shown]


def test_the_end_of_an_abort_is_shown_as_it_is_told() -> None:
    ended = Ended(kind="aborted", reason="errors in checkout", by="ann", at="2026-01-05T10:00:00+00:00")
    record = record_of(service="hello-minikube", id="hello-minikube-1", phase=Phase.ABORTED, ended=ended)

    assert f"all requests are at version-1\n{headline(record)}\n" in blocks(PAGE, "text")


def test_an_abort_with_a_namespace_alone_works_as_the_page_has_it(deployed: World, finished: list[str]) -> None:
    (command,) = [one for one in commands(PAGE) if "--namespace" in one]
    deployed.file.unlink()
    words = shlex.split(command.replace("hello-minikube", "website").replace("hello", "website-istio-ns"))
    deployed.observing(0)

    assert "all requests are at version-1\n" in run(*words[2:]).stdout
    assert finished
