"""What all components of this project share."""

from __future__ import annotations

from typing import Any

import pulumi


class Component(pulumi.ComponentResource):
    """Base of the components: the options that a component's children get, and the aliases of its token.

    A token is part of every child's URN, so a component whose token has changed names the former one, and nothing is
    replaced. See "Component resources" and "Aliases" in Pulumi's documentation.
    """

    def __init__(
        self, token: str, name: str, opts: pulumi.ResourceOptions | None, *, formerly: str | None = None
    ) -> None:
        aliases = pulumi.ResourceOptions(aliases=[pulumi.Alias(type_=formerly)] if formerly else None)
        super().__init__(token, name, None, pulumi.ResourceOptions.merge(opts, aliases))

    def _child(self, **options: Any) -> pulumi.ResourceOptions:
        """Return the options of a child: this component as its parent, and what `options` add to that.

        The caller's own options belong to the component alone; the provider comes down from the parent.
        """
        return pulumi.ResourceOptions(parent=self, **options)
