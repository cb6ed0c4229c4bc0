"""A stack's lifecycle with Pulumi's CLI, language host and provider, without `canary`; tests build on each other."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sandbox.cluster.pulumi_home import pulumi_home
from tests.e2e.envoys import envoy_of, gateway_pod
from tests.e2e.tools import CHECKOUT, Cluster, Completed, Project, bodies, wait_until

pytestmark = pytest.mark.long  # test_rollout_up runs `pulumi preview`, `up` and `destroy` too

STACK = "plain"
HEADER = {"qa": "canary-test"}
NOISE = ("Traceback", "unhandled error", "from $PATH", "plugin is expected")
"""Text that must not be in the output of any run."""


@dataclass(frozen=True)
class PlainProject:
    """A project that is used only with the Pulumi CLI."""

    project: Project

    @property
    def env(self) -> dict[str, str]:
        path = f"{pulumi_home() / 'bin'}{os.pathsep}{os.environ['PATH']}"
        return {**os.environ, **self.project.env, "PATH": path, "PULUMI_SKIP_UPDATE_CHECK": "true"}

    def command(self, *words: str) -> list[str]:
        pulumi = shutil.which("pulumi", path=self.env["PATH"])
        assert pulumi is not None
        return [pulumi, *words, "--stack", STACK, "--non-interactive"]

    def pulumi(self, *words: str, succeeds: bool = True) -> Completed:
        done = subprocess.run(
            self.command(*words),
            cwd=self.project.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        shown = f"pulumi {' '.join(words)} exited with {done.returncode}:\n{done.stdout}{done.stderr}"
        assert (done.returncode == 0) is succeeds, shown
        assert not any(noise in shown for noise in NOISE), shown
        return done

    def write(
        self, stable: int, header: Mapping[str, str] = HEADER, within: int | None = None, **services: Any
    ) -> None:
        config = self.project.dev_config()
        if within is not None:
            config["istio-canary:takenWithin"] = within
        ((name, value),) = header.items()
        route = [
            {"match": [{"headers": {name: {"exact": value}}}], "to": "version-2"},
            {"to": {"version-1": stable, "version-2": 100 - stable}},
        ]
        config["istio-canary:services"] = {"website": {"route": route, **services}}
        self.project.write_stack(STACK, config)

    @property
    def url(self) -> str:
        return self.project.cluster.layout.gateway_url


@pytest.fixture(scope="module")
def plain(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlainProject]:
    """A project with a virtual environment, which the language host finds through Pulumi.yaml."""
    project = Project.create(tmp_path_factory.mktemp("plain"), cluster)
    (project.folder / ".venv").symlink_to(CHECKOUT / ".venv")
    yield PlainProject(project)
    project.canary("destroy", "--stack", STACK, "--yes")


def test_stack_init_creates_the_stack(plain: PlainProject) -> None:
    plain.write(100)
    done = subprocess.run(
        [*plain.command("stack", "init")[:3], STACK],
        cwd=plain.project.folder,
        env=plain.env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_preview_shows_everything_to_create(plain: PlainProject) -> None:
    shown = plain.pulumi("preview").stdout
    assert "to create" in shown
    assert "website-routing-virtual-service" in shown


def test_the_first_up_serves_the_website(plain: PlainProject) -> None:
    plain.pulumi("up", "--yes", "--skip-preview")
    assert bodies(plain.url, 50) == {"echo-v1": 50}
    assert bodies(plain.url, 50, headers=HEADER) == {"echo-v2": 50}


def test_a_changed_weight_updates_the_route_and_the_wanted_share(plain: PlainProject) -> None:
    plain.write(50)
    assert "2 to update" in plain.pulumi("preview").stdout
    assert "2 updated" in plain.pulumi("up", "--yes", "--skip-preview").stdout
    assert set(bodies(plain.url, 100)) == {"echo-v1", "echo-v2"}


def test_a_changed_header_rule_sends_the_other_testers_to_the_canary(plain: PlainProject) -> None:
    plain.write(50, header={"x-tester": "yes"})
    plain.pulumi("up", "--yes", "--skip-preview")
    assert bodies(plain.url, 50, headers={"x-tester": "yes"}) == {"echo-v2": 50}
    assert set(bodies(plain.url, 100, headers=HEADER)) == {"echo-v1", "echo-v2"}


def test_an_envoy_that_does_not_apply_the_routes_fails_the_run_by_name(plain: PlainProject) -> None:
    plain.write(0)
    plain.pulumi("up", "--yes", "--skip-preview")
    gateway = gateway_pod(plain.project.cluster)
    os.kill(envoy_of(gateway), signal.SIGSTOP)
    try:
        plain.write(50, within=3)  # version-1 gets requests again, and every Envoy has to know its pods
        done = plain.pulumi("up", "--yes", "--skip-preview", succeeds=False)
        assert "did not apply the routes within 3 s" in done.stdout
        assert gateway in done.stdout
    finally:
        os.kill(envoy_of(gateway), signal.SIGCONT)
    plain.pulumi("up", "--yes", "--skip-preview")
    assert set(bodies(plain.url, 100)) == {"echo-v1", "echo-v2"}


def test_refresh_detects_an_edited_weight_and_up_reverts_it(plain: PlainProject) -> None:
    edit = (
        '[{"op": "replace", "path": "/spec/http/1/route/0/weight", "value": 0},'
        ' {"op": "replace", "path": "/spec/http/1/route/1/weight", "value": 100}]'
    )
    plain.project.cluster.kubectl(
        *("patch", "virtualservices.networking.istio.io", "website", "--namespace=website-istio-ns"),
        *("--type=json", f"--patch={edit}"),
    )
    wait_until(lambda: bodies(plain.url, 20) == {"echo-v2": 20}, "the edited weight at the gateway", 20)
    assert "1 updated" in plain.pulumi("refresh", "--yes", "--skip-preview").stdout
    assert "1 updated" in plain.pulumi("up", "--yes", "--skip-preview").stdout
    assert set(bodies(plain.url, 100)) == {"echo-v1", "echo-v2"}


def test_every_mistake_of_the_config_is_reported_in_one_error(plain: PlainProject) -> None:
    plain.write(100, replicaz=2, port=70000)
    done = plain.pulumi("preview", succeeds=False)
    output = done.stdout + done.stderr
    assert "2 problems in Pulumi.plain.yaml (nothing was touched)" in output
    assert "istio-canary:services.website.replicaz: " in output
    assert "istio-canary:services.website.port: " in output
    assert output.partition("Diagnostics:")[2].count("error: ") == 1, output


def test_removing_a_version_that_still_gets_requests_is_refused(plain: PlainProject) -> None:
    plain.write(100, versions={"version-2": None}, route=[{"to": "version-1"}])
    output = plain.pulumi("preview", succeeds=False).stdout
    assert "version-2 is removed while the cluster still routes requests to it" in output


def test_a_killed_up_is_continued_as_described_in_the_readme(plain: PlainProject) -> None:
    plain.write(50, namespace="another-istio-ns")
    running = subprocess.Popen(
        plain.command("up", "--yes", "--skip-preview"),
        cwd=plain.project.folder,
        env=plain.env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    made = ("namespace", "another-istio-ns")
    wait_until(lambda: plain.project.cluster.exists(*made), "the first object of the up", 60)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    kill_what_is_left(plain.project.folder)
    delete_unfinished_attributes(plain.project.folder)
    locked = plain.pulumi("up", "--yes", "--skip-preview", succeeds=False)
    assert "currently locked" in locked.stdout + locked.stderr
    plain.pulumi("cancel", "--yes")
    plain.pulumi("refresh", "--yes", "--skip-preview", "--clear-pending-creates")
    plain.pulumi("up", "--yes", "--skip-preview")
    assert set(bodies(plain.url, 100)) == {"echo-v1", "echo-v2"}
    assert "unchanged" in plain.pulumi("preview").stdout


def delete_unfinished_attributes(folder: Path) -> None:
    """Delete what a run leaves that is killed while it writes its state, as the README says."""
    for path in folder.rglob("*.attrs"):
        try:
            json.loads(path.read_text())
        except ValueError:
            path.unlink()


def kill_what_is_left(folder: Path) -> None:
    """Language host and providers have process groups of their own."""
    for process in Path("/proc").iterdir():
        try:
            words, cwd = (process / "cmdline").read_bytes(), (process / "cwd").readlink()
        except OSError:
            continue
        if b"pulumi" in words and cwd == folder:
            os.kill(int(process.name), signal.SIGKILL)


def test_destroy_deletes_what_the_stack_created(plain: PlainProject) -> None:
    plain.pulumi("destroy", "--yes", "--skip-preview")
    names = {item["metadata"]["name"] for item in plain.project.cluster.get("namespaces")["items"]}
    assert not {name for name in names if "istio" in name}, names
