"""The Pulumi program, run as Pulumi runs it: resources, outputs and errors."""

from __future__ import annotations

import json
import re
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi.runtime import set_all_config

from kube.kubeconfig import ClusterUnreachableError
from stacks import cluster_facts as cluster
from stacks.cluster_facts import ClusterFacts
from stacks.program import deployed_to, loaded
from stacks.settings.loading import StackSettings, load
from stacks.settings.problems import Problem, SettingsError
from tests.unit.mocks import PROJECT, STACK, Deploy, run_program

ROOT = Path(__file__).parents[3]


@pytest.fixture
def no_cluster(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replace the cluster; return the owners for which it was queried."""
    queried: list[str] = []

    def look(settings: Any, owner: str) -> ClusterFacts:
        queried.append(owner)
        return ClusterFacts(uid="7b1f")

    monkeypatch.setattr(cluster, "read_cluster_facts", look)
    return queried


def _main(values: dict[str, Any], secrets: list[str] | None = None) -> Callable[[], None]:
    """The program, with the config as Pulumi's runtime passes it: all values as text."""
    texts = {
        f"istio-canary:{key}": value if isinstance(value, str) else json.dumps(value) for key, value in values.items()
    }

    def program() -> None:
        set_all_config({**texts, "aws:region": "eu-central-1"}, [f"istio-canary:{key}" for key in secrets or []])
        runpy.run_path(str(ROOT / "__main__.py"), run_name="__main__")

    return program


@pytest.mark.parametrize(("deployed", "is_refused"), [(None, False), ("7b1f", False), ("c0de", True)])
def test_a_stack_that_is_deployed_to_another_cluster_is_refused(
    no_cluster: list[str], reported: list[str], website: dict[str, Any], deployed: str | None, is_refused: bool
) -> None:
    program = _main({**website, "cluster": {"context": "staging"}})
    token = deployed_to.set(deployed)
    try:
        if is_refused:
            with pytest.raises(SystemExit):
                run_program(program, preview=False)
        else:
            run_program(program, preview=False)
    finally:
        deployed_to.reset(token)
    if is_refused:
        assert "another cluster than the one that staging leads to" in reported[0]
        assert "uid 7b1f" in reported[0]
        assert f"`canary refresh --stack {STACK}`" in reported[0]
    else:
        assert not reported


@pytest.fixture
def reported(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The errors that the program reported."""
    messages: list[str] = []
    monkeypatch.setattr(pulumi.log, "error", messages.append)
    return messages


def test_the_program_builds_the_environment_of_the_stacks_settings(
    deploy: Deploy, website: dict[str, Any], no_cluster: list[str]
) -> None:
    run = deploy(_main(website))

    assert no_cluster == [f"{PROJECT}/{STACK}"]
    assert len(run.of_type(":Deployment")) == 2
    annotations = run.named("website-istio-ns-namespace").metadata["annotations"]
    assert annotations == {"istio-canary/stack": f"{PROJECT}/{STACK}"}


def test_invalid_settings_are_one_error_with_the_same_text_as_in_the_command(
    website: dict[str, Any], no_cluster: list[str], reported: list[str]
) -> None:
    website["services"]["website"]["route"][1]["to"] = {"version-1": 90, "version-2": 11}
    website["mehs"] = {}
    with pytest.raises(SettingsError) as expected:
        load(website)
    with pytest.raises(SystemExit) as end:
        run_program(_main(website), preview=True)

    assert reported == [str(expected.value)]
    assert "2 problems" in reported[0]
    assert end.value.code == 32, "Pulumi's language host adds neither a traceback nor a message"
    assert no_cluster == [], "the cluster is not queried before the settings are valid"


def test_an_unreachable_cluster_is_one_error_with_the_same_text(
    website: dict[str, Any], monkeypatch: pytest.MonkeyPatch, reported: list[str]
) -> None:
    def look(settings: Any, owner: str) -> ClusterFacts:
        raise ClusterUnreachableError("context dev", "connection refused", "start it")

    monkeypatch.setattr(cluster, "read_cluster_facts", look)
    with pytest.raises(SystemExit):
        run_program(_main(website), preview=False)
    (message,) = reported
    assert re.search(r"context dev[\s\S]*connection refused[\s\S]*start it", message)


def test_a_secret_in_the_settings_is_rejected_and_not_shown(
    website: dict[str, Any], no_cluster: list[str], reported: list[str]
) -> None:
    website["versionHeader"] = "x-very-hidden"
    with pytest.raises(SystemExit):
        run_program(_main(website, secrets=["versionHeader"]), preview=True)

    assert "versionHeader" in reported[0]
    assert "x-very-hidden" not in reported[0]


def test_settings_that_the_command_has_loaded_are_not_read_again(
    website: dict[str, Any], no_cluster: list[str], deploy: Deploy
) -> None:
    settings = StackSettings(load(website), None)

    def with_loaded_settings() -> None:
        loaded.set(settings)
        set_all_config({"istio-canary:services": "no JSON"}, [])
        runpy.run_path(str(ROOT / "__main__.py"), run_name="__main__")

    token = loaded.set(None)
    try:
        assert len(deploy(with_loaded_settings).of_type(":Deployment")) == 2
    finally:
        loaded.reset(token)


def test_warnings_about_the_cluster_are_reported_and_do_not_stop_the_run(
    deploy: Deploy, website: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    reported: list[str] = []
    warning = Problem(path="istio-canary:mesh.version", what="a CRD is ignored", given="", allowed="", fix="")
    facts = ClusterFacts(uid="7b1f", warnings=(warning,))
    monkeypatch.setattr(cluster, "read_cluster_facts", lambda settings, owner: facts)
    monkeypatch.setattr(pulumi.log, "warn", reported.append)

    run = deploy(_main(website))

    assert reported == [str(warning)]
    assert run.of_type(":Deployment")
