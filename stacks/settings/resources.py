"""Requests and limits of a container."""

from __future__ import annotations

from pydantic import Field

from stacks.settings.fields import Quantity, ResourceName
from traffic.fields import Model


class Resources(Model):
    """Requests and limits of a container (Kubernetes' ResourceRequirements)."""

    requests: dict[ResourceName, Quantity] = Field(
        default_factory=dict, description="Resources reserved for the container."
    )
    limits: dict[ResourceName, Quantity] = Field(
        default_factory=dict, description="Maximum resources of the container."
    )
