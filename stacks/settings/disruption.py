"""How many pods a voluntary disruption, such as draining a node, may take (Kubernetes: "Disruptions")."""

from __future__ import annotations

from pydantic import Field, model_validator

from stacks.settings.fields import CountOrPercentage
from traffic.fields import Model, wrong


class DisruptionBudget(Model):
    """How many pods of a version may be evicted at a time (Kubernetes' PodDisruptionBudget)."""

    min_available: CountOrPercentage | None = Field(default=None, description="Pods that stay, or a percentage.")
    max_unavailable: CountOrPercentage | None = Field(
        default=None, description="Pods that may be missing, or a percentage."
    )

    @model_validator(mode="after")
    def _one_limit(self) -> DisruptionBudget:
        if (self.min_available is None) == (self.max_unavailable is None):
            raise wrong(
                "the budget has no limit"
                if self.min_available is None
                else "minAvailable and maxUnavailable are both set",
                "exactly one of minAvailable and maxUnavailable",
                "write maxUnavailable: 1, for example",
            )
        return self
