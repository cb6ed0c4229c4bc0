"""What a version's container may do: Kubernetes' SecurityContext, with the strictest values as defaults.

The defaults meet the restricted Pod Security Standard (Kubernetes: "Pod Security Standards"), so a stack only sets what
its image needs beyond it.
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
        default=SeccompType.RUNTIME_DEFAULT, description="The container runtime's default profile, or no restriction."
    )


class Capabilities(Model):
    """Linux capabilities of the container, relative to its runtime's defaults."""

    add: CapabilityNames = Field(default=(), description="Capabilities to add, such as NET_BIND_SERVICE.")
    drop: CapabilityNames = Field(
        default=("ALL",), description="Capabilities to drop; [] keeps the runtime's defaults."
    )

    @model_validator(mode="after")
    def _one_way(self) -> Capabilities:
        both = next((name for name in self.add if name in self.drop), None)
        if both:
            default = "" if "drop" in self.model_fields_set else ", which is the default"
            raise wrong(
                f"{both} is added, but also dropped{default}",
                "a capability in one of add and drop",
                "write in add only what the container needs, such as NET_BIND_SERVICE"
                if both == "ALL"
                else f"remove {both} from add or from drop",
            )
        return self


class SecurityContext(Model):
    """What the version's container may do; Istio's injected containers have their own."""

    run_as_user: UserId = Field(default=UNPRIVILEGED, description="User of the container's processes.")
    run_as_group: UserId = Field(default=UNPRIVILEGED, description="Group of the container's processes.")
    run_as_non_root: bool = Field(default=True, description="Refuse to start as root, which is user 0.")
    read_only_root_filesystem: bool = Field(default=True, description="Mount the image's file system read-only.")
    allow_privilege_escalation: bool = Field(
        default=False, description="Let a process gain more privileges than its parent, as with sudo."
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
                f"runAsUser 0 is root, but runAsNonRoot is true{default}: the kubelet would not start the container",
                "runAsUser above 0, or runAsNonRoot false",
                "use another user, such as 65532; only an image that must run as root needs runAsNonRoot: false",
            )
        return self
