"""What the tests of `canary rollout` share: a project and a cluster with a rollout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rollout.record import Phase
from rollout.runner import RunEnd
from tests.unit.canary.rollouts import NAMESPACE, World


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A project with the stack dev, and an empty cluster."""
    return World(tmp_path, monkeypatch)


@pytest.fixture
def deployed(world: World) -> World:
    """The same after `up`: the rollout of website is Pending."""
    world.up()
    return world


@pytest.fixture
def finished(deployed: World, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What brings an abort to its end: every Envoy follows at once. Returns who asked."""
    asked: list[str] = []

    def finish(access: Any, namespace: str, service: str, by: str, **_: Any) -> RunEnd:
        assert (namespace, service) == (NAMESPACE, "website")
        asked.append(by)
        phase = Phase.UNDONE if deployed.record.phase is Phase.UNDOING else Phase.ABORTED
        deployed.set(phase=phase, ended_at=deployed.at())
        return RunEnd(record=deployed.record, why="aborted")

    monkeypatch.setattr("rollout.runner.finish", finish)
    return asked


@pytest.fixture
def pods(deployed: World) -> Callable[[str, int], None]:
    """Both versions have a ready pod; returns what changes the number of ready pods of one."""

    def set_ready(version: str, number: int) -> None:
        objects = deployed.server.objects
        for index in range(4):
            objects.pop(("pods", NAMESPACE, f"{version}-{index}"), None)
        for index in range(number):
            name = f"{version}-{index}"
            labels = {"app": "website", "version": f"website-{version}"}
            objects["pods", NAMESPACE, name] = {"metadata": {"name": name, "namespace": NAMESPACE, "labels": labels}}
        names = [name for kind, _, name in objects if kind == "pods"]
        endpoints = [
            {"addresses": ["10.0.0.1"], "targetRef": {"kind": "Pod", "name": name}, "conditions": {"ready": True}}
            for name in names
        ]
        objects["endpointslices", NAMESPACE, "website"] = {
            "metadata": {
                "name": "website",
                "namespace": NAMESPACE,
                "labels": {"kubernetes.io/service-name": "website"},
            },
            "addressType": "IPv4",
            "endpoints": endpoints,
        }

    set_ready("version-1", 4)
    set_ready("version-2", 1)
    return set_ready
