"""Absolute limits of a rollout: what its new version may fail, whatever the old one does."""

from __future__ import annotations

from pydantic import Field, model_validator

from traffic.fields import Model, wrong
from traffic.model.rollout_fields import PercentText

HIGHEST = 100.0
"""Percent of the requests that can fail."""


class RolloutLimits(Model):
    """Absolute limits: a new version that is worse is harmful, whatever the old one does."""

    errors: PercentText | None = Field(
        default=None, examples=["2%"], description="Percent of the new version's requests that may fail."
    )

    @property
    def error_percent(self) -> float | None:
        """The percentage of requests that may fail; None without a limit."""
        return None if self.errors is None else float(self.errors.rstrip("% "))

    @model_validator(mode="after")
    def _limits_something(self) -> RolloutLimits:
        if self.errors is None:
            raise wrong("no limit is given", "limits with `errors`", "write limits: {errors: 2%}, for example")
        if self.error_percent == HIGHEST:
            raise wrong(
                "all requests may fail, so that the limit takes nothing back",
                "errors below 100%",
                "write limits: {errors: 2%}, for example, or leave limits out",
            )
        return self
