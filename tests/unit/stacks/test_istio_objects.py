"""The check of the Istio objects that the program registers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pulumi
import pulumi_kubernetes as k8s
import pytest
from pulumi_kubernetes_istio_crds.networking.v1 import DestinationRule, VirtualService

from stacks.istio_objects import RegisteredIstioObjects
from stacks.recording import Recorder, masked, record_program


def run(build: Callable[[], Any]) -> None:
    """Run a program with the check, as `__main__.py` does."""

    def program() -> None:
        objects = RegisteredIstioObjects()
        build()
        objects.check()

    record_program(program, "dev", preview=True, recorder=Recorder(masked))


def test_objects_that_istio_refuses_fail_the_run_with_every_problem() -> None:
    def build() -> None:
        VirtualService("shop", spec={"http": [{"timeout": "soon", "route": [{"destination": {"host": "shop"}}]}]})
        DestinationRule("shop", spec={"subsets": [{"name": "one", "label": {}}]})

    with pytest.raises(pulumi.RunError) as error:
        run(build)
    for words in (
        "VirtualService shop: ",
        "spec.http[0].timeout",
        "DestinationRule shop: ",
        "spec.subsets[0].label",
        "spec.host",
    ):
        assert words in str(error.value)


def test_objects_that_istio_accepts_and_objects_of_others_pass() -> None:
    def build() -> None:
        DestinationRule("shop", spec={"host": "shop"})
        k8s.core.v1.Service("shop", spec={"no": "such key"})

    run(build)
