"""What a version's container may do: Kubernetes' SecurityContext, with the strictest values as defaults.

The defaults meet the restricted Pod Security Standard (Kubernetes: "Pod Security Standards"), so a stack says only what
its image cannot bear.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field, Strict, model_validator

from stacks.settings.fields import Capability, UserId
from traffic.fields import Model, wrong

UNPRIVILEGED = 65532
"""User and group of the containers, the `nonroot` of most minimal images."""

CapabilityNames = Annotated[tuple[Capability, ...], Strict(False)]


class SeccompType(StrEnum):
    """Types of a Kubernetes SeccompProfile that need no file on the nodes."""

    RUNTIME_DEFAULT = "RuntimeDefault"
    UNCONFINED = "Unconfined"


class SeccompProfile(Model):
    """Which system calls the container may make."""

    type: Annotated[SeccompType, Strict(False)] = Field(
        default=SeccompType.RUNTIME_DEFAULT, description="The container runtime's choice of system calls, or all."
    )


class Capabilities(Model):
    """Linux capabilities of the container, on top of those that its runtime gives."""

    add: CapabilityNames = Field(default=(), description="Capabilities to add, such as NET_BIND_SERVICE.")
    drop: CapabilityNames = Field(
        default=("ALL",), description="Capabilities to take away; [] leaves those that the runtime gives."
    )

    @model_validator(mode="after")
    def _one_way(self) -> Capabilities:
        both = next((name for name in self.add if name in self.drop), None)
        if both:
            default = "" if "drop" in self.model_fields_set else ", which is the default"
            raise wrong(
                f"{both} is added, and dropped too{default}",
                "a capability in one of add and drop",
                "write drop: [] beside it" if both == "ALL" else f"take {both} out of add or of drop",
            )
        return self


class SecurityContext(Model):
    """What the version's container may do; Istio's injected containers keep their own."""

    run_as_user: UserId = Field(default=UNPRIVILEGED, description="User of the container's processes.")
    run_as_group: UserId = Field(default=UNPRIVILEGED, description="Group of the container's processes.")
    run_as_non_root: bool = Field(default=True, description="Refuse to start as root, which is user 0.")
    read_only_root_filesystem: bool = Field(default=True, description="Keep the image's files from being written to.")
    allow_privilege_escalation: bool = Field(
        default=False, description="Let a process gain more rights than its parent, as with sudo."
    )
    capabilities: Capabilities = Field(
        default_factory=Capabilities, description="Linux capabilities to add and to drop."
    )
    seccomp_profile: SeccompProfile = Field(
        default_factory=SeccompProfile, description="Which system calls the container may make."
    )

    @model_validator(mode="after")
    def _is_one_user(self) -> SecurityContext:
        if self.run_as_non_root and self.run_as_user == 0:
            default = "" if "run_as_non_root" in self.model_fields_set else ", which is the default"
            raise wrong(
                f"runAsUser 0 is root, and runAsNonRoot is true{default}: the kubelet would never start the container",
                "runAsUser above 0, or runAsNonRoot false",
                "write runAsNonRoot: false beside runAsUser: 0, or choose another user",
            )
        return self
