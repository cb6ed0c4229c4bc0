"""Groups of services that are rolled out together: `istio-canary:rolloutGroups`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, Strict

from traffic.fields import DnsLabel, Model


class RolloutGroup(Model):
    """Services whose rollouts go forward step by step together, and back together."""

    services: Annotated[tuple[DnsLabel, ...], Field(min_length=2), Strict(False)] = Field(
        examples=[["articles", "web-api", "frontend"]],
        description="Its services in the order in which they go forward: a service before those that call it. They go "
        "back in the other order.",
    )
