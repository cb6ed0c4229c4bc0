"""The gate service: what answers other engines whether a canary may rise."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, Strict

from stacks.settings.fields import Image
from stacks.settings.telemetry_fields import Url
from traffic.fields import DnsLabel, Model, each_once

NAME, PORT = "istio-canary-gate", 8087


class GateServiceSettings(Model):
    """The gate service of a stack: a Deployment that it creates, one that runs elsewhere, or none."""

    enabled: bool = Field(default=False, description="Create it in its namespace, for services with another engine.")
    url: Url | None = Field(
        default=None,
        examples=["http://istio-canary-gate.canary:8087"],
        description="URL of one that exists (`canary gate serve`), as the engine's controller reaches it.",
    )
    namespace: DnsLabel = Field(default="", description="Namespace of the Deployment; defaults to the mesh's.")
    image: Image = Field(
        default="istio-canary/runner:1.0.0", description="Image of this project, with the command `canary`."
    )

    allowed_namespaces: Annotated[tuple[DnsLabel, ...], Strict(False), AfterValidator(each_once)] = Field(
        default=("argo-rollouts", "flagger-system"),
        description="Namespaces whose pods may ask it: those of the engines' controllers.",
    )

    @property
    def reached_at(self) -> str | None:
        """URL at which an engine's controller reaches it, None if there is none; `namespace` must be filled in."""
        own = f"http://{NAME}.{self.namespace}.svc.cluster.local:{PORT}" if self.enabled else None
        return self.url.rstrip("/") if self.url is not None else own
