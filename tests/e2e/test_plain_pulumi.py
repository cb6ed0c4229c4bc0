"""A stack's life by Pulumi's own CLI, language host and provider, as a user without `canary` has it; told in order."""

from __future__ import annotations

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
from tests.e2e.tools import CHECKOUT, Cluster, Completed, Project, bodies, wait_until

STACK = "plain"
HEADER = {"qa": "canary-test"}
NOISE = ("Traceback", "unhandled error", "from $PATH", "plugin is expected")
"""What a person must not have to read, whatever happens."""


@dataclass(frozen=True)
class PlainProject:
    """A project that is worked on with the CLI alone."""

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
        shown = f"pulumi {' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        assert (done.returncode == 0) is succeeds, shown
        assert not any(noise in shown for noise in NOISE), shown
        return done

    def write(self, stable: int, header: Mapping[str, str] = HEADER, **services: Any) -> None:
        config = self.project.dev_config()
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
    """A checkout's project with its virtual environment, which the language host finds by Pulumi.yaml."""
    project = Project.create(tmp_path_factory.mktemp("plain"), cluster)
    (project.folder / ".venv").symlink_to(CHECKOUT / ".venv")
    yield PlainProject(project)
    project.canary("destroy", "--stack", STACK, "--yes")


def test_stack_init_makes_the_stack(plain: PlainProject) -> None:
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


def test_up_from_nothing_serves_the_website(plain: PlainProject) -> None:
    plain.pulumi("up", "--yes", "--skip-preview")
    assert bodies(plain.url, 50) == {"echo-v1": 50}
    assert bodies(plain.url, 50, headers=HEADER) == {"echo-v2": 50}


def test_a_changed_weight_is_one_update(plain: PlainProject) -> None:
    plain.write(50)
    assert "1 to update" in plain.pulumi("preview").stdout
    assert "1 updated" in plain.pulumi("up", "--yes", "--skip-preview").stdout
    assert set(bodies(plain.url, 100)) == {"echo-v1", "echo-v2"}


def test_a_changed_header_rule_sends_the_other_testers_to_the_canary(plain: PlainProject) -> None:
    plain.write(50, header={"x-tester": "yes"})
    plain.pulumi("up", "--yes", "--skip-preview")
    assert bodies(plain.url, 50, headers={"x-tester": "yes"}) == {"echo-v2": 50}
    assert set(bodies(plain.url, 100, headers=HEADER)) == {"echo-v1", "echo-v2"}


def test_refresh_finds_a_weight_that_was_edited_and_up_undoes_it(plain: PlainProject) -> None:
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
    said = done.stdout + done.stderr
    assert "2 problems in Pulumi.plain.yaml (nothing was touched)" in said
    assert "istio-canary:services.website.replicaz: " in said
    assert "istio-canary:services.website.port: " in said
    assert said.partition("Diagnostics:")[2].count("error: ") == 1, said


def test_a_version_that_still_gets_requests_is_not_taken_away(plain: PlainProject) -> None:
    plain.write(100, versions={"version-2": None}, route=[{"to": "version-1"}])
    said = plain.pulumi("preview", succeeds=False).stdout
    assert "version-2 is taken away while the cluster still sends it requests" in said


def test_a_killed_up_is_continued_the_way_that_the_readme_says(plain: PlainProject) -> None:
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
    locked = plain.pulumi("up", "--yes", "--skip-preview", succeeds=False)
    assert "currently locked" in locked.stdout + locked.stderr
    plain.pulumi("cancel", "--yes")
    plain.pulumi("refresh", "--yes", "--skip-preview", "--clear-pending-creates")
    plain.pulumi("up", "--yes", "--skip-preview")
    assert set(bodies(plain.url, 100)) == {"echo-v1", "echo-v2"}
    assert "unchanged" in plain.pulumi("preview").stdout


def kill_what_is_left(folder: Path) -> None:
    """Language host and providers have process groups of their own."""
    for process in Path("/proc").iterdir():
        try:
            words, cwd = (process / "cmdline").read_bytes(), (process / "cwd").readlink()
        except OSError:
            continue
        if b"pulumi" in words and cwd == folder:
            os.kill(int(process.name), signal.SIGKILL)


def test_destroy_deletes_what_the_stack_made(plain: PlainProject) -> None:
    plain.pulumi("destroy", "--yes", "--skip-preview")
    names = {item["metadata"]["name"] for item in plain.project.cluster.get("namespaces")["items"]}
    assert not {name for name in names if "istio" in name}, names
