"""What the unit tests share: programs run as preview and as update, rendered specs checked against Istio's CRDs."""

from __future__ import annotations

import copy
import gc
from functools import partial
from types import FunctionType, SimpleNamespace
from typing import Any

import pytest

from tests.unit import rendered
from tests.unit.mocks import Deploy, run_program

ECHO = {"image": "hashicorp/http-echo:1.0.0", "port": 5678}

WEBSITE: dict[str, Any] = {
    "mesh": {"version": "1.31.0"},
    "versionHeader": "x-served-version",
    "services": {
        "website": {
            "namespace": "website-istio-ns",
            "hosts": ["*"],
            "versions": {
                "version-1": {**ECHO, "name": "web-v1", "args": ["-listen=:5678", "-text=echo-v1"], "replicas": 4},
                "version-2": {**ECHO, "name": "web-v2", "args": ["-listen=:5678", "-text=echo-v2"]},
            },
            "route": [
                {"match": [{"headers": {"qa": {"exact": "canary-test"}}}], "to": "version-2"},
                {"to": {"version-1": 90, "version-2": 10}},
            ],
        }
    },
}


def pytest_collection_finish() -> None:
    """Spare the garbage collector what all tests import: it takes a tenth of the run to search it again and again."""
    gc.freeze()


@pytest.fixture
def website() -> dict[str, Any]:
    """The settings of a stack with the sample website at 90/10; a test may change them."""
    return copy.deepcopy(WEBSITE)


@pytest.fixture(params=["preview", "update"])
def deploy(request: pytest.FixtureRequest) -> Deploy:
    """Run a program against the recording engine, once as a preview and once as an update."""
    return partial(run_program, preview=request.param == "preview")


@pytest.fixture(autouse=True)
def nothing_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a busy machine be as good as a quiet one: a test that is about lateness sets what it needs itself.

    The clock of an API server in memory stands still between its answers, as its other times do.
    """
    monkeypatch.setattr("kube.server_clock.time", SimpleNamespace(monotonic=lambda: 0.0))
    monkeypatch.setattr("kube.client.DEADLINE", 60.0)
    monkeypatch.setattr("kube.kubeconfig.REQUEST_TIMEOUT", 30.0)


@pytest.fixture(autouse=True)
def specs_are_checked_against_istios_crds(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the functions of traffic.render that a test module imports by ones that check what they return."""
    for name, value in list(vars(request.module).items()):
        if isinstance(value, FunctionType) and value in rendered.KINDS:
            monkeypatch.setattr(request.module, name, rendered.checked(value))
