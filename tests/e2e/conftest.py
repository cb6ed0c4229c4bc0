"""The sandbox that the end-to-end tests share, and their projects in it.

It is not the user's own (`--name e2e`), so that `make test` leaves a demo alone. It is new at the start and deleted at
the end; ISTIO_CANARY_KEEP_SANDBOX=1 keeps it for the next run. pytest-xdist runs the files side by side, since they
wait more than they compute: each of its workers has its own sandbox, and one mesh that its files share.

ISTIO_CANARY_SANDBOX=NAME runs tests in a sandbox that is up and has a mesh, and changes neither: for one file, by hand.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.layout import layout
from tests.e2e.runs import STACK, the_shop
from tests.e2e.tools import BUILD_SECONDS, CHECKOUT, Cluster, Project, run_canary

SANDBOX = "-".join(filter(None, ("e2e", os.environ.get("PYTEST_XDIST_WORKER"))))
EXISTING = os.environ.get("ISTIO_CANARY_SANDBOX")
"""A sandbox with a mesh that is not the tests' own."""
LONGEST_FIRST = (
    "test_readme",
    "test_sandbox",
    "test_routing",
    "test_rollout_up",
    "test_telemetry",
    "test_rollout_groups",
    "test_rollout_runner",
    "test_pods",
    "test_failures",
)
"""The files that take longest, so that no worker begins one when the others have nothing left."""
MESH = pytest.StashKey[Project]()
"""The project whose stack has the mesh that is up."""
BEGUN = pytest.StashKey[bool]()
"""Whether this run has started the sandbox; one of another run is not deleted."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test below this folder, and put these files first, whole.

    Of them, those come last that use `mesh`: it is destroyed for a file that does not, and then made again.
    """
    own = {item.path for item in items if Path(__file__).parent in item.path.parents}
    shared = {item.path for item in items if item.path in own and "mesh" in getattr(item, "fixturenames", ())}

    def order(item: pytest.Item) -> tuple[bool, bool, int]:
        longest = item.path in own and item.path.stem in LONGEST_FIRST
        place = LONGEST_FIRST.index(item.path.stem) if longest else len(LONGEST_FIRST)
        return item.path not in own, item.path in shared, place

    for item in items:
        if item.path in own:
            item.add_marker(pytest.mark.e2e)
    items.sort(key=order)


@pytest.fixture(scope="session", autouse=True)
def root() -> None:
    """Skip the tests without root; in CI, fail."""
    if os.geteuid() == 0:
        return
    reason = "the sandbox needs root: sudo make test"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="package")
def cluster(root: None, pytestconfig: pytest.Config) -> Iterator[Cluster]:
    """The running sandbox, which ends before other tests begin: it would take their CPU."""
    if EXISTING:
        yield Cluster(layout(EXISTING))
        return
    pytestconfig.stash[BEGUN] = True
    keep = os.environ.get("ISTIO_CANARY_KEEP_SANDBOX") == "1"
    if not keep and layout(SANDBOX).root.exists():
        run_canary("sandbox", "down", "--delete", "--name", SANDBOX)
    up = run_canary("sandbox", "up", "--name", SANDBOX, timeout=BUILD_SECONDS)
    assert up.returncode == 0, f"the sandbox did not come up:\n{up.stdout}{up.stderr}"
    yield Cluster(layout(SANDBOX))
    if keep:
        destroy_mesh(pytestconfig)
    else:
        down = run_canary("sandbox", "down", "--delete", "--name", SANDBOX)
        assert down.returncode == 0, f"the sandbox did not go down:\n{down.stdout}{down.stderr}"


@pytest.fixture
def project(cluster: Cluster, tmp_path: Path) -> Project:
    """A project folder with its own backend and no stack yet."""
    return Project.create(tmp_path, cluster)


@pytest.fixture(scope="module", autouse=True)
def the_mesh_of_other_files(request: pytest.FixtureRequest) -> None:
    """Destroy the mesh that an earlier file of this worker has left, if this file does not use it."""
    items: list[Any] = request.session.items
    if not any("mesh" in item.fixturenames for item in items if item.path == request.path):
        destroy_mesh(request.config)


def destroy_mesh(config: pytest.Config) -> None:
    """Destroy the mesh that `mesh` has brought up, if it has."""
    if MESH in config.stash:
        destroyed = config.stash[MESH].canary("destroy", "--stack", "mesh", "--yes")
        del config.stash[MESH]
        assert destroyed.returncode == 0, destroyed.stdout + destroyed.stderr


@pytest.fixture(scope="module")
def mesh(cluster: Cluster, pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A mesh in the sandbox, for stacks that use an existing one; files that follow each other share it."""
    if EXISTING:
        return Project.create(tmp_path_factory.mktemp("mesh"), cluster)
    if MESH not in pytestconfig.stash:
        project = Project.create(tmp_path_factory.mktemp("mesh"), cluster)
        pytestconfig.stash[MESH] = project
        project.write_stack("mesh", project.mesh_config())
        try:
            project.up("mesh")
        except BaseException:
            destroy_mesh(pytestconfig)  # the next file begins anew, not with a part of it
            raise
    return pytestconfig.stash[MESH]


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
