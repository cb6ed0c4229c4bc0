"""What a stack's files say of clusters together: where one is named that cannot be reached, and circles of stacks."""

from __future__ import annotations

from pathlib import Path

import pytest

from kube.kubeconfig import ClusterUnreachableError, choose
from stacks.settings.loading import load_stack
from stacks.settings.problems import SettingsError

KUBECONFIG = """
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
contexts: [{name: a, context: {cluster: c, user: u}}]
users: [{name: u, user: {}}]
"""


def stack(folder: Path, name: str, cluster: str) -> Path:
    """A stack's file, whose cluster is on line 2 and below."""
    path = folder / f"Pulumi.{name}.yaml"
    path.write_text(f"config:\n  istio-canary:cluster: {cluster}\n", encoding="utf-8")
    return path


def takes_from(folder: Path, name: str, other: str) -> Path:
    return stack(folder, name, f"{{stackReference: organization/istio-canary/{other}}}")


@pytest.mark.parametrize(
    ("cluster", "place", "reason"),
    [
        ("\n    kubeconfig: /nowhere/config", "3: istio-canary:cluster.kubeconfig", "no such file"),
        (
            "\n    context: b\n    kubeconfig: {file}",
            "3: istio-canary:cluster.context",
            "no such context",
        ),
        ("\n    kubeconfig: {file}", "3: istio-canary:cluster.kubeconfig", "no current context"),
        (
            "\n    kubeconfig: /etc/passwd",
            "3: istio-canary:cluster.kubeconfig",
            "not a valid kubeconfig",
        ),
    ],
)
def test_a_cluster_that_cannot_be_reached_is_named_with_its_line(
    tmp_path: Path, cluster: str, place: str, reason: str
) -> None:
    file = tmp_path / "config"
    file.write_text(KUBECONFIG, encoding="utf-8")
    settings = load_stack(stack(tmp_path, "dev", cluster.replace("{file}", str(file)))).settings
    with pytest.raises(ClusterUnreachableError, match=reason) as error:
        choose(settings.cluster)
    assert str(error.value).startswith(f"Pulumi.dev.yaml:{place}: cannot reach the cluster (")
    assert error.value.fix


def test_a_cluster_that_the_file_does_not_name_has_no_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nowhere/config")
    path = tmp_path / "Pulumi.dev.yaml"
    path.write_text("config:\n  istio-canary:services: {}\n", encoding="utf-8")
    with pytest.raises(ClusterUnreachableError) as error:
        choose(load_stack(path).settings.cluster)
    assert str(error.value).startswith("cannot reach the cluster (kubeconfig /nowhere/config)")


@pytest.mark.parametrize("between", [[], ["b"], ["b", "c"]], ids=["two", "three", "four"])
def test_stacks_that_take_their_cluster_from_each_other_are_refused(tmp_path: Path, between: list[str]) -> None:
    names = ["dev", *between, "last"]
    for name, other in zip(names, [*names[1:], "dev"], strict=True):
        path = takes_from(tmp_path, name, other)
    with pytest.raises(SettingsError) as error:
        load_stack(path)
    (problem,) = error.value.problems
    assert (problem.path, problem.line) == ("istio-canary:cluster.stackReference", 2)
    assert " -> ".join(["last", "dev", *between, "last"]) in problem.what
    assert problem.given == '"organization/istio-canary/dev"'


def test_a_stack_is_not_blamed_for_a_circle_of_others(tmp_path: Path) -> None:
    takes_from(tmp_path, "b", "c")
    takes_from(tmp_path, "c", "b")
    load_stack(takes_from(tmp_path, "dev", "b"))


def test_stacks_in_a_row_are_no_circle(tmp_path: Path) -> None:
    stack(tmp_path, "c", "{context: a}")
    takes_from(tmp_path, "b", "c")
    load_stack(takes_from(tmp_path, "dev", "b"))
