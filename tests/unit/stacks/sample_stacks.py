"""Stacks with samples, and what is registered for them."""

from __future__ import annotations

from functools import cache
from typing import Any

from stacks.cluster_facts import ClusterFacts
from stacks.environment import Environment
from stacks.settings.loading import load
from stacks.settings.model import Sample, Settings
from tests.unit.mocks import Run, run_program

PORTS = {"gateway": {"ports": [80, 9191]}}
JAVA = "java-service-lb"
TWO, MOBILE, ONE = (f"cloudnative-java-service{suffix}" for suffix in ("", "-mobile", "-one"))
ASSETS = "assetmanagement.greencompute.ibmcase.com"


def chosen(*samples: Sample, **keys: Any) -> Settings:
    """The settings of a stack with these samples."""
    return load({"mesh": PORTS, "samples": [sample.value for sample in samples], **keys})


def registered(settings: Settings) -> Run:
    """What is registered for the settings."""
    facts = ClusterFacts(uid="7b1f")
    return run_program(lambda: Environment(settings, facts, "istio-canary/test").outputs, preview=False)


@cache
def deployed(sample: Sample) -> Run:
    """What is registered for a sample."""
    return registered(chosen(sample))


def objects(run: Run, namespace: str) -> dict[str, set[str]]:
    """The names of the objects in a namespace by kind, without ServiceAccounts, which are named as Services."""
    found: dict[str, set[str]] = {}
    for resource in run.custom():
        kind = resource.inputs.get("kind")
        if kind not in (None, "ServiceAccount") and resource.metadata.get("namespace") == namespace:
            found.setdefault(kind, set()).add(resource.metadata["name"])
    return found
