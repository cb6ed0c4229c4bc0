"""The sandbox that the end-to-end tests share, and their projects in it.

It is not the user's own (`--name e2e`), so that `make test` leaves a demo alone. It is new at the start and deleted at
the end; ISTIO_CANARY_KEEP_SANDBOX=1 keeps it for the next run. pytest-xdist runs the files side by side, since they
wait more than they compute: each of its workers has its own sandbox, and takes the longest files first.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.layout import layout
from tests.e2e.runs import STACK, the_shop
from tests.e2e.tools import CHECKOUT, Cluster, Project, run_canary

SANDBOX = "-".join(filter(None, ("e2e", os.environ.get("PYTEST_XDIST_WORKER"))))
LONGEST_FIRST = (
    "test_killed_runs",
    "test_no_request_lost",
    "test_readme",
    "test_routing",
    "test_differential",
    "test_samples_page",
    "test_website",
    "test_plain_pulumi",
    "test_failures",
)
"""The files that take longest, so that no worker begins one when the others have nothing left."""
BEGUN = pytest.StashKey[bool]()
"""Whether this run has started the sandbox; one of another run is not deleted."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test below this folder, and put the longest files first, whole."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)
    items.sort(key=lambda item: LONGEST_FIRST.index(item.path.stem) if item.path.stem in LONGEST_FIRST else 99)


@pytest.fixture(scope="session", autouse=True)
def root() -> None:
    """Skip the tests without root; in CI, fail."""
    if os.geteuid() == 0:
        return
    reason = "the sandbox needs root: sudo make test"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def cluster(root: None, pytestconfig: pytest.Config) -> Iterator[Cluster]:
    """The running sandbox."""
    pytestconfig.stash[BEGUN] = True
    keep = os.environ.get("ISTIO_CANARY_KEEP_SANDBOX") == "1"
    if not keep and layout(SANDBOX).root.exists():
        run_canary("sandbox", "down", "--delete", "--name", SANDBOX)
    up = run_canary("sandbox", "up", "--name", SANDBOX, timeout=1800)
    assert up.returncode == 0, f"the sandbox did not come up:\n{up.stdout}{up.stderr}"
    yield Cluster(layout(SANDBOX))
    if not keep:
        down = run_canary("sandbox", "down", "--delete", "--name", SANDBOX)
        assert down.returncode == 0, f"the sandbox did not go down:\n{down.stdout}{down.stderr}"


@pytest.fixture
def project(cluster: Cluster, tmp_path: Path) -> Project:
    """A project folder with its own backend and no stack yet."""
    return Project.create(tmp_path, cluster)


@pytest.fixture(scope="module")
def mesh(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A mesh in the sandbox, for stacks that use an existing one."""
    project = Project.create(tmp_path_factory.mktemp("mesh"), cluster)
    project.write_stack("mesh", project.mesh_config())
    up = project.canary("up", "--stack", "mesh", "--yes")
    assert up.returncode == 0, f"the mesh did not come up:\n{up.stdout}{up.stderr}"
    yield project
    destroyed = project.canary("destroy", "--stack", "mesh", "--yes")
    assert destroyed.returncode == 0, destroyed.stdout + destroyed.stderr


@pytest.fixture
def shop(mesh: Project, tmp_path: Path) -> Iterator[Project]:
    """A project with one service in the existing mesh, destroyed at the end."""
    project = Project.create(tmp_path, mesh.cluster)
    project.write_stack(STACK, project.service_config(the_shop()))
    yield project
    destroyed = project.canary("destroy", "--stack", STACK, "--yes")
    assert destroyed.returncode == 0, destroyed.stdout + destroyed.stderr
    assert not mesh.cluster.exists("namespace", "shop")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Delete the sandbox also after an interrupted test run."""
    if session.config.stash.get(BEGUN, False) and os.environ.get("ISTIO_CANARY_KEEP_SANDBOX") != "1":
        subprocess.run(
            [str(CHECKOUT / ".venv/bin/canary"), "sandbox", "down", "--delete", "--name", SANDBOX],
            check=False,
            capture_output=True,
        )
