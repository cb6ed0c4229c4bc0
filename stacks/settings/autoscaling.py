"""How many pods a version has while its load changes (Kubernetes: "Horizontal Pod Autoscaling")."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, Strict, WithJsonSchema, model_validator

from stacks.settings.kubernetes_values import MetricSpec, ScalingBehavior
from traffic.fields import Model, wrong

MOST_PODS = 1000
MOST_PERCENT = 1000
"""Percentages are of what a container requests, and it may use more."""

Pods = Annotated[int, Field(ge=1, le=MOST_PODS)]


def _utilization(value: Any) -> Any:
    """A number of percent, which Kubernetes writes without the sign."""
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_PERCENT:
        return value
    digits = re.fullmatch(r"([0-9]+)%?", value) if isinstance(value, str) else None
    fits = digits is not None and 1 <= int(digits[1]) <= MOST_PERCENT
    raise wrong(
        "this is not a percentage of what the containers request",
        f"a whole number from 1 to {MOST_PERCENT}, without %; anything else is written as an entry of metrics",
        f"write {int(digits[1])}" if digits and fits else "write 70, for example",
    )


Utilization = Annotated[
    int,
    BeforeValidator(_utilization),
    WithJsonSchema({"type": "integer", "minimum": 1, "maximum": MOST_PERCENT}),
]


class Autoscaling(Model):
    """A version's HorizontalPodAutoscaler (autoscaling/v2), which then decides about its number of pods."""

    min_replicas: Pods = Field(default=1, description="Least number of pods, and that of the first deployment.")
    max_replicas: Pods = Field(examples=[10], description="Greatest number of pods.")
    cpu: Utilization | None = Field(
        default=None,
        examples=[70],
        description="CPU that the pods are to use on average, in percent of what their containers request.",
    )
    memory: Utilization | None = Field(
        default=None,
        examples=[80],
        description="Memory that the pods are to use on average, in percent of what their containers request.",
    )
    metrics: Annotated[tuple[MetricSpec, ...], Strict(False)] = Field(
        default=(), description="Further metrics, each as Kubernetes' MetricSpec."
    )
    behavior: ScalingBehavior | None = Field(
        default=None, description="How fast it scales up and down (Kubernetes' HorizontalPodAutoscalerBehavior)."
    )

    @model_validator(mode="after")
    def _has_range_and_metric(self) -> Autoscaling:
        if self.min_replicas > self.max_replicas:
            raise wrong(
                f"minReplicas {self.min_replicas} is above maxReplicas {self.max_replicas}",
                "minReplicas that does not exceed maxReplicas",
                f"write maxReplicas: {self.min_replicas} or more",
            )
        if self.cpu is None and self.memory is None and not self.metrics:
            raise wrong(
                "there is no metric to scale by",
                "at least one of cpu, memory and metrics",
                "add cpu: 80, for example, which is Kubernetes' own default",
            )
        return self
