"""Runs every command of docs/samples.md, in their order, and looks for what the page says that they print."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from functools import partial

import pytest

from tests.e2e.tools import CANARY, CHECKOUT, Cluster, Completed, Project, measured, wait_until
from tests.samples_page import PIECES, Step, chapters

pytestmark = pytest.mark.long  # make test has the tests of each sample, test_sample_*.py

FIRST, *OTHERS = chapters()


@pytest.fixture(scope="module")
def tour(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project with the stack of all samples, for this sandbox."""
    project = Project.create(tmp_path_factory.mktemp("samples-page"), cluster)
    text = (CHECKOUT / "Pulumi.samples.yaml").read_text()
    text = text.replace("/var/lib/istio-canary/sandbox/", f"{cluster.layout.root}/")
    text = text.replace("context: istio-canary-sandbox", f"context: {cluster.layout.context}")
    (project.folder / "Pulumi.samples.yaml").write_text(text)
    shutil.copytree(PIECES, project.folder / "docs" / "samples")
    yield project
    if (project.folder / "Pulumi.tour.yaml").exists():
        project.canary("destroy", "--stack", "tour", "--yes")


def run(project: Project, command: str) -> Completed:
    """Run a command as typed in the activated environment."""
    environment = {**os.environ, **project.env, "PATH": f"{CANARY.parent}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command.replace("10.244.0.1", project.cluster.layout.node_ip)],
        cwd=project.folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def perform(project: Project, step: Step) -> None:
    """Run the commands of a step; what they print must be what the page shows."""
    output = ""
    for command in step.commands:
        done = measured(partial(run, project, command))
        output += done.stdout + done.stderr
        assert done.returncode == 0, f"`{command}` exited with {done.returncode}:\n{done.stdout}{done.stderr}"
        assert "Traceback" not in output, output
    assert step.missing(output) == [], f"after {step.commands[-1]}:\n{output}"


def test_all_samples_come_up_side_by_side(tour: Project) -> None:
    (step,) = chapters()[FIRST]
    copy, up, *rest = step.commands
    perform(tour, Step((copy, up), ()))
    gateway = tour.cluster.layout.gateway_url
    wait_until(lambda: run(tour, f"curl -s {gateway}").returncode == 0, "the gateway's port", 20)
    perform(tour, Step(tuple(rest), step.expected))


@pytest.mark.parametrize("chapter", OTHERS)
def test_a_chapter_of_the_page_prints_what_it_shows(tour: Project, chapter: str) -> None:
    for step in chapters()[chapter]:
        perform(tour, step)
