"""What the driver reads from a stack's state."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from canary.engine.driver import Engine, cluster_of
from canary.engine.events import Record

NAMESPACE = {"type": "kubernetes:core/v1:Namespace"}
PROVIDER = {"type": "pulumi:providers:kubernetes"}


@pytest.mark.parametrize(
    ("resources", "cluster"),
    [
        ([{"type": "pulumi:pulumi:Stack", "outputs": {"cluster": "7b1f"}}, PROVIDER, NAMESPACE], "7b1f"),
        ([{"type": "pulumi:pulumi:Stack", "outputs": {"cluster": "7b1f"}}, PROVIDER], None),
        ([{"type": "pulumi:pulumi:Stack", "outputs": {}}, NAMESPACE], None),
        ([{"type": "pulumi:pulumi:Stack"}, NAMESPACE], None),
        ([NAMESPACE], None),
        ([], None),
        (None, None),
    ],
    ids=[
        "deployed",
        "only a provider",
        "by an older version",
        "by a run that failed",
        "no stack",
        "empty",
        "destroyed",
    ],
)
def test_the_cluster_of_a_state_is_the_output_of_the_stack_if_anything_is_deployed(
    resources: list[dict[str, Any]] | None, cluster: str | None
) -> None:
    assert cluster_of(json.dumps({"version": 3, "deployment": {"resources": resources}})) == cluster


def test_a_stack_that_does_not_exist_has_no_cluster() -> None:
    assert cluster_of("") is None


def stack_event(before: str | None, after: str) -> str:
    old = {} if before is None else {"outputs": {"cluster": before}}
    step = {"urn": "urn:stack", "type": "pulumi:pulumi:Stack", "op": "same", "old": old}
    return json.dumps({"resOutputsEvent": {"metadata": {**step, "new": {"outputs": {"cluster": after}}}}})


@pytest.mark.parametrize(
    ("before", "is_deployed", "is_of_another"),
    [("7b1f", True, False), ("c0de", True, True), ("c0de", False, False), (None, True, False)],
    ids=["the same cluster", "another cluster", "nothing is deployed", "unknown"],
)
def test_a_preview_tells_whether_the_stack_is_in_another_cluster(
    before: str | None, is_deployed: bool, is_of_another: bool
) -> None:
    record = Record()
    record.take(stack_event(before, "7b1f"))
    namespace = {"urn": "urn:namespace", "type": "kubernetes:core/v1:Namespace", "op": "same"}
    old = {"inputs": {"kind": "Namespace"}} if is_deployed else None
    record.take(json.dumps({"resOutputsEvent": {"metadata": {**namespace, "old": old, "new": {}}}}))
    assert record.is_of_another_cluster is is_of_another


def test_temporary_files_of_the_engine_are_in_the_folder_of_the_run(tmp_path: Path) -> None:
    toolchain: Any = SimpleNamespace(home=None, env={"PATH": "/usr/bin:/bin", "TMPDIR": "/elsewhere"})
    project: Any = SimpleNamespace(root=tmp_path)
    engine = Engine(project, "dev", toolchain, lambda *_: None)
    with (tmp_path / "stderr").open("w+") as errors:
        command = ["sh", "-c", 'mktemp "$TMPDIR/kubeconfigXXXXXX"; echo "$TMPDIR" >&2']
        code = engine._start(command, errors, tmp_path).wait()
    assert code == 0
    assert (tmp_path / "stderr").read_text().strip() == str(tmp_path)
    assert len(list(tmp_path.glob("kubeconfig*"))) == 1


def test_an_encrypted_value_is_asked_for_by_its_path_alone_in_the_environment_of_the_engine(tmp_path: Path) -> None:
    asked: list[tuple[tuple[str, ...], Any]] = []
    toolchain: Any = SimpleNamespace(
        home=None,
        env={"PULUMI_BACKEND_URL": "file:///b", "PULUMI_CONFIG_PASSPHRASE": "p"},
        call=lambda *words, cwd, env, text: asked.append((words, (cwd, env["PULUMI_CONFIG_PASSPHRASE"], text))),
    )
    project: Any = SimpleNamespace(root=tmp_path)
    Engine(project, "dev", toolchain, lambda *_: None).config_value("istio-canary:cluster.kubeconfig")
    words = ("config", "get", "--path", "istio-canary:cluster.kubeconfig", "--stack", "dev")
    assert asked == [(words, (tmp_path, "p", ""))]
