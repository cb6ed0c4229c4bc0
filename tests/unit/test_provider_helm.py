"""How the sandbox's provider calls helm, and what becomes of a Release's inputs."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from sandbox.provider import helm, release, rendering
from sandbox.provider.cluster import Cluster
from sandbox.provider.engine import Engine
from sandbox.provider.outcome import InitFailedError, ResourceError
from sandbox.provider.settings import Settings
from sandbox.provider.values import UNKNOWN, Secret

URN = "urn:pulumi:dev::p::istio-canary:mesh:IstioMesh$kubernetes:helm.sh/v3:Release::mesh-istiod"
INPUTS: dict[str, Any] = {"name": "istiod", "namespace": "istio-system", "chart": "istiod"}


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    """A chart in a folder."""
    folder = tmp_path / "chart"
    folder.mkdir()
    (folder / "Chart.yaml").write_text("name: istiod\nversion: 1.31.0\n")
    return folder


@pytest.mark.parametrize(
    ("inputs", "reference", "flags"),
    [
        ({"chart": "oci://x/y", "version": "1.0"}, "oci://x/y", ("--version", "1.0")),
        ({"chart": "repo/y", "devel": True}, "repo/y", ("--devel",)),
        ({"chart": "y", "repositoryOpts": {"repo": "https://r"}}, "y", ("--repo", "https://r")),
        ({"chart": "y", "repositoryOpts": {"repo": "known"}}, "known/y", ()),
        (
            {"chart": "y", "repositoryOpts": {"repo": "https://r", "caFile": "ca"}, "version": "2"},
            "y",
            ("--repo", "https://r", "--version", "2", "--ca-file", "ca"),
        ),
    ],
)
def test_a_chart_is_found_where_the_inputs_say(inputs: dict[str, Any], reference: str, flags: tuple[str, ...]) -> None:
    found = helm.chart_of(inputs)
    assert (found.reference, found.flags) == (reference, flags)


def test_a_folder_is_taken_by_its_full_path(chart: Path) -> None:
    assert helm.chart_of({"chart": str(chart)}).reference == str(chart.resolve())


def test_a_repositorys_password_is_never_an_argument() -> None:
    options = {"repo": "https://r", "username": "me", "password": "hunter2"}
    found = helm.chart_of({"chart": "y", "repositoryOpts": options})
    args = helm.install_args({**INPUTS, "chart": "y"}, found, {})
    assert not any("hunter2" in arg for arg in args)
    assert found.repository["password"] == "hunter2"  # noqa: S105


@pytest.mark.parametrize(
    ("inputs", "present", "absent"),
    [
        ({}, ["--wait", "--timeout", "300s"], ["--atomic", "--create-namespace"]),
        ({"timeout": 5}, ["5s"], []),
        ({"skipAwait": True}, [], ["--wait"]),
        ({"skipAwait": True, "waitForJobs": True}, [], ["--wait-for-jobs"]),
        ({"waitForJobs": True}, ["--wait-for-jobs"], []),
        ({"atomic": True, "createNamespace": True}, ["--atomic", "--create-namespace"], []),
        ({"skipCrds": True, "disableWebhooks": True}, ["--skip-crds", "--no-hooks"], []),
        ({"description": "why"}, ["--description", "why"], []),
        ({"postrender": "sed -e s/a/b/"}, ["--post-renderer", "sed", "--post-renderer-args", "-e"], []),
    ],
)
def test_install_takes_the_inputs_flags(inputs: dict[str, Any], present: list[str], absent: list[str]) -> None:
    args = helm.install_args({**INPUTS, **inputs}, helm.Chart("c"), {"a": "b"})
    assert args[:3] == ["install", "istiod", "c"]
    assert args[args.index("--labels") + 1] == "a=b"
    assert all(flag in args for flag in present), args
    assert not any(flag in args for flag in absent), args


@pytest.mark.parametrize(
    ("inputs", "present", "absent"),
    [
        ({}, ["--wait", "--history-max", "0"], ["--force", "--create-namespace"]),
        ({"maxHistory": 3, "forceUpdate": True}, ["3", "--force"], []),
        ({"reuseValues": True, "cleanupOnFail": True}, ["--reuse-values", "--cleanup-on-fail"], []),
        ({"disableCRDHooks": True}, ["--no-hooks"], []),
    ],
)
def test_upgrade_takes_the_inputs_flags(inputs: dict[str, Any], present: list[str], absent: list[str]) -> None:
    args = helm.upgrade_args({**INPUTS, **inputs}, helm.Chart("c"), {})
    assert args[:3] == ["upgrade", "istiod", "c"]
    assert all(flag in args for flag in present), args
    assert not any(flag in args for flag in absent), args


def test_values_go_through_a_file_that_only_this_user_can_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "helm"
    script.write_text('#!/bin/sh\necho "$@"\nfor f in "$@"; do :; done\nstat -c %a "$f"\ncat "$f"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    said = helm.Helm(Settings(), threading.Event()).run(["template"], values={"password": "hunter2"})
    arguments, mode, content = said.splitlines()
    assert "hunter2" not in arguments
    assert mode == "600"
    assert content == '{"password": "hunter2"}'
    assert not Path(arguments.split()[-1]).exists(), "the file is gone when helm has ended"


def test_cancel_stops_helm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "helm"
    script.write_text("#!/bin/sh\nexec sleep 60\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(helm.HelmError):
        helm.Helm(Settings(), cancelled).run(["install"])


def test_without_helm_the_remedy_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(helm.HelmError, match="canary sandbox up"):
        helm.Helm(Settings(), threading.Event()).run(["version"])


def test_resource_names_are_grouped_by_kind() -> None:
    manifest = """
apiVersion: v1
kind: Service
metadata: {name: b, namespace: ns}
---
# nothing here
---
apiVersion: v1
kind: Service
metadata: {name: a, namespace: ns}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: d}
"""
    assert rendering.resource_names(rendering.documents(manifest)) == {
        "Deployment.apps/apps/v1": ["d"],
        "Service/v1": ["ns/a", "ns/b"],
    }


class _FakeHelm(helm.Helm):
    """Answers as helm would for one release; ``failures`` are raised in turn by installs and upgrades."""

    def __init__(self, failures: Sequence[str] = (), exists: bool = True) -> None:
        super().__init__(Settings(), threading.Event())
        self.calls: list[str] = []
        self._failures = list(failures)
        self._exists = exists

    def run(self, args: Sequence[str], *, values: object = None, chart: helm.Chart | None = None) -> str:
        self.calls.append(args[0])
        match args[0]:
            case "template":
                return "apiVersion: v1\nkind: Service\nmetadata: {name: s}\n"
            case "install" | "upgrade" if self._failures:
                raise helm.HelmError(self._failures.pop(0))
            case "status" if not self._exists:
                raise helm.HelmError("release: not found")
            case "status":
                return '{"name": "istiod", "namespace": "istio-system", "version": 2, "info": {"status": "deployed"}}'
            case "get":
                return '{"chart": "istiod", "version": "1.31.0", "appVersion": "1.31"}'
            case "history":
                return '[{"revision": 1, "status": "pending-install"}]'
        return ""


@pytest.fixture
def releases(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> release.Releases:
    """Releases of a cluster that answers, with helm to be put in its place."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(Cluster, "unreachable", "")
    return release.Releases(Cluster(Settings(), Engine(None), threading.Event()))


def _with(releases: release.Releases, fake: _FakeHelm, monkeypatch: pytest.MonkeyPatch, *, ours: bool = True) -> None:
    monkeypatch.setattr(releases, "_helm", fake)
    monkeypatch.setattr(releases, "_made_by", lambda inputs, labels: ours)


def test_check_names_the_release_and_pins_the_charts_version(
    releases: release.Releases, chart: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = _FakeHelm()
    _with(releases, fake, monkeypatch)
    given = {"chart": str(chart), "values": {"a": Secret("x")}, "compat": "true"}
    checked = releases.check(URN, {}, given, b"seed")
    assert checked.inputs["version"] == "1.31.0"
    assert checked.inputs["name"].startswith("mesh-istiod-")
    assert (checked.inputs["namespace"], checked.inputs["timeout"]) == ("default", 300)
    assert checked.inputs["resourceNames"] == {"Service/v1": ["s"]}
    assert checked.inputs["values"] == {"a": Secret("x")}
    assert checked.inputs["atomic"] is False
    assert "compat" not in checked.inputs
    again = releases.check(URN, checked.inputs, given, b"another seed")
    assert again.inputs == checked.inputs
    assert fake.calls == ["template"], "a chart that did not change is rendered once"
    (chart / "values.yaml").write_text("changed: true\n")
    releases.check(URN, checked.inputs, given, b"")
    assert fake.calls == ["template", "template"], "a chart that changed is rendered again"


def test_unknown_values_are_not_rendered(releases: release.Releases, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = _FakeHelm()
    _with(releases, fake, monkeypatch)
    releases.check(URN, {}, {"chart": "x", "values": {"a": UNKNOWN}}, b"")
    assert fake.calls == []


@pytest.mark.parametrize(
    ("failures", "ours", "calls"),
    [
        ([], True, ["install", "status", "get"]),
        (["cannot re-use a name that is still in use"], True, ["install", "upgrade", "status", "get"]),
        (
            [
                "cannot re-use a name that is still in use",
                "another operation (install/upgrade/rollback) is in progress",
            ],
            True,
            [
                "install",
                "upgrade",
                "status",
                "get",
                "history",
                "uninstall",
                "status",
                "get",
                "upgrade",
                "status",
                "get",
            ],
        ),
    ],
)
def test_a_release_left_by_a_killed_update_is_gone_on_with(
    releases: release.Releases, monkeypatch: pytest.MonkeyPatch, failures: list[str], ours: bool, calls: list[str]
) -> None:
    fake = _FakeHelm(failures)
    _with(releases, fake, monkeypatch, ours=ours)
    made = releases.create(URN, INPUTS, preview=False)
    assert made.id == "istio-system/istiod"
    assert made.properties["status"]["revision"] == 2
    assert isinstance(made.properties["__inputs"], Secret), "values may hold secrets"
    assert fake.calls == calls


def test_somebody_elses_release_of_that_name_is_an_error(
    releases: release.Releases, monkeypatch: pytest.MonkeyPatch
) -> None:
    _with(releases, _FakeHelm(["cannot re-use a name that is still in use"]), monkeypatch, ours=False)
    with pytest.raises(ResourceError, match="still in use"):
        releases.create(URN, INPUTS, preview=False)


@pytest.mark.parametrize(("exists", "error"), [(True, InitFailedError), (False, ResourceError)])
def test_a_failed_install_is_in_the_state_only_when_the_release_exists(
    releases: release.Releases, monkeypatch: pytest.MonkeyPatch, exists: bool, error: type[Exception]
) -> None:
    _with(releases, _FakeHelm(["context deadline exceeded"], exists=exists), monkeypatch)
    with pytest.raises(error, match="context deadline exceeded"):
        releases.create(URN, INPUTS, preview=False)


def test_a_preview_runs_no_helm(releases: release.Releases, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = _FakeHelm()
    _with(releases, fake, monkeypatch)
    releases.create(URN, INPUTS, preview=True)
    releases.update(URN, INPUTS, preview=True)
    assert fake.calls == []


def test_a_release_that_is_gone_is_read_as_gone(releases: release.Releases, monkeypatch: pytest.MonkeyPatch) -> None:
    _with(releases, _FakeHelm(exists=False), monkeypatch)
    assert releases.read("istio-system/istiod", {}, {}).id == ""


@pytest.mark.parametrize(
    ("news", "changes", "replaces"),
    [
        ({}, {}, ()),
        ({"values": {"a": 2}}, {"values.a": "update"}, ()),
        ({"values": {"a": 1, "b": 2}}, {"values.b": "add"}, ()),
        ({"namespace": "other"}, {"namespace": "update"}, ("namespace",)),
        ({"name": "other"}, {"name": "update"}, ("name",)),
    ],
)
def test_name_and_namespace_replace_a_release_and_nothing_else_does(
    news: dict[str, Any], changes: dict[str, str], replaces: tuple[str, ...]
) -> None:
    inputs = {**INPUTS, "values": {"a": 1}}
    state = {**inputs, "status": {"revision": 1}, "__inputs": Secret(inputs)}
    found = release.difference(state, {**inputs, **news}, [])
    assert {key: change.kind for key, change in found.changes.items()} == changes
    assert found.replaces == replaces
    assert all(change.input_diff for change in found.changes.values())


def test_what_a_killed_provider_left_is_swept_up_and_what_a_living_one_uses_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    dead, living = (tmp_path / f"istio-canary-helm-{pid}-abc" for pid in (2**22 + 1, os.getpid()))
    for folder in (dead, living):
        folder.mkdir()
        (folder / "values.json").write_text("{}")
    helm._sweep()
    assert not dead.exists(), "it holds credentials"
    assert living.exists()
