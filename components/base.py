"""What all components of this project share."""

from __future__ import annotations

from typing import Any

import pulumi


class Component(pulumi.ComponentResource):
    """Base of the components: says once which token a component has and which options its children get.

    The token is `istio-canary:<module>:<Class>`; it is part of every child's URN, so a changed one would replace
    everything below it. See "Component resources" in Pulumi's documentation.
    """

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None) -> None:
        super().__init__(type_token(type(self)), name, None, opts)

    def _child(self, **options: Any) -> pulumi.ResourceOptions:
        """Return the options of a child: this component as its parent, and what `options` add to that.

        The caller's own options belong to the component alone; the provider comes down from the parent.
        """
        return pulumi.ResourceOptions(parent=self, **options)


def type_token(component: type[Component]) -> str:
    """Return the type token of a component's class: `istio-canary:versioned_service:VersionedService`."""
    return f"istio-canary:{component.__module__.rpartition('.')[2]}:{component.__name__}"
