"""The runner in the cluster, which moves rollouts without a person and without a CI job."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field, Strict

from stacks.settings.fields import Image
from stacks.settings.resources import Resources
from traffic.fields import DnsLabel, Model, each_once

RUNNER_IMAGE = "docker.io/istio-canary/runner:1.0.0"
"""What `make images` builds of runner/Dockerfile, and the sandbox without Docker."""


class Mode(StrEnum):
    """How the runner is run."""

    DEPLOYMENT = "deployment"
    CRON_JOB = "cronJob"


class RolloutRunnerSettings(Model):
    """The runner in the cluster: one pod that moves the rollouts of some namespaces."""

    enabled: bool = Field(default=False, description="Create it.")
    mode: Annotated[Mode, Strict(False)] = Field(
        default=Mode.DEPLOYMENT,
        description="deployment: a pod that stays; cronJob: a pod each minute, where none may stay. Steps take up to "
        "a minute longer then.",
    )
    image: Image = Field(
        default=RUNNER_IMAGE, description="Image of the runner, built of the same release as the stack's project."
    )
    namespace: DnsLabel = Field(default="istio-canary", description="Namespace of its pod.")
    namespaces: Annotated[tuple[DnsLabel, ...], Strict(False), AfterValidator(each_once)] = Field(
        default=(),
        examples=[["shop", "checkout"]],
        description="Namespaces whose rollouts it moves, and in which it gets a Role; by default, those of the "
        "stack's services.",
    )
    resources: Resources = Field(
        default_factory=lambda: Resources(
            requests={"cpu": "50m", "memory": "100Mi"}, limits={"cpu": "1", "memory": "200Mi"}
        ),
        description="Requests and limits of its container.",
    )
