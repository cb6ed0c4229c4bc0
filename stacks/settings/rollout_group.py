"""Groups of services that are rolled out together: `istio-canary:rolloutGroups`."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, Strict

from traffic.fields import DnsLabel, Model, wrong


def _several(services: tuple[str, ...]) -> tuple[str, ...]:
    if len(services) == 1:
        raise wrong(
            f"{services[0]} is alone in its group",
            "at least two services",
            "add those that call it, or remove the group",
        )
    return services


class RolloutGroup(Model):
    """Services whose rollouts go forward step by step together, and back together."""

    services: Annotated[tuple[DnsLabel, ...], Field(min_length=1), Strict(False), AfterValidator(_several)] = Field(
        examples=[["articles", "web-api", "frontend"]],
        description="Its services in the order in which they go forward: a service before those that call it. They go "
        "back in the other order.",
    )
