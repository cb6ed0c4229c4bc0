"""The Pulumi program itself, run as Pulumi runs it: what it registers, exports, and says when it cannot."""

from __future__ import annotations

import json
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
from stacks.settings.loading import load
from stacks.settings.problems import SettingsError
from tests.unit.mocks import PROJECT, STACK, Deploy, run_program

ROOT = Path(__file__).parents[3]


@pytest.fixture
def no_cluster(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Answer for the cluster; return the owners on whose behalf it was asked."""
    asked: list[str] = []

    def look(settings: Any, owner: str) -> ClusterFacts:
        asked.append(owner)
        return ClusterFacts(uid="7b1f")

    monkeypatch.setattr(cluster, "look_at_cluster", look)
    return asked


def _main(values: dict[str, Any], secrets: list[str] | None = None) -> Callable[[], None]:
    """The program, with the config that Pulumi's runtime would hand over: everything as text."""
    texts = {
        f"istio-canary:{key}": value if isinstance(value, str) else json.dumps(value) for key, value in values.items()
    }

    def program() -> None:
        set_all_config({**texts, "aws:region": "eu-central-1"}, [f"istio-canary:{key}" for key in secrets or []])
        runpy.run_path(str(ROOT / "__main__.py"), run_name="__main__")

    return program


def test_the_program_builds_the_environment_of_the_stacks_settings(
    deploy: Deploy, website: dict[str, Any], no_cluster: list[str]
) -> None:
    run = deploy(_main(website))

    assert no_cluster == [f"{PROJECT}/{STACK}"]
    assert len(run.of_type(":Deployment")) == 2
    annotations = run.named("website-istio-ns-namespace").metadata["annotations"]
    assert annotations == {"istio-canary/stack": f"{PROJECT}/{STACK}"}


def test_mistakes_in_the_settings_are_one_error_in_the_words_of_the_command(
    website: dict[str, Any], no_cluster: list[str]
) -> None:
    website["services"]["website"]["route"][1]["to"] = {"version-1": 90, "version-2": 11}
    website["mehs"] = {}
    with pytest.raises(SettingsError) as expected:
        load(website)
    with pytest.raises(pulumi.RunError) as error:
        run_program(_main(website), preview=True)

    assert str(error.value) == str(expected.value)
    assert "2 problems" in str(error.value)
    assert error.value.__suppress_context__, "a person's mistake has no traceback"
    assert no_cluster == [], "nothing is asked of a cluster before the settings are right"


def test_a_cluster_that_is_down_is_one_error_in_the_same_words(
    website: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def look(settings: Any, owner: str) -> ClusterFacts:
        raise ClusterUnreachableError("context dev", "connection refused", "start it")

    monkeypatch.setattr(cluster, "look_at_cluster", look)
    with pytest.raises(pulumi.RunError, match=r"context dev[\s\S]*connection refused[\s\S]*start it"):
        run_program(_main(website), preview=False)


def test_a_secret_among_the_settings_is_refused_and_not_shown(website: dict[str, Any], no_cluster: list[str]) -> None:
    website["versionHeader"] = "x-very-hidden"
    with pytest.raises(pulumi.RunError) as error:
        run_program(_main(website, secrets=["versionHeader"]), preview=True)

    assert "versionHeader" in str(error.value)
    assert "x-very-hidden" not in str(error.value)
