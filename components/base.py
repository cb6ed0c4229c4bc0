"""The base class of the components."""

from __future__ import annotations

from typing import Any

import pulumi


class Component(pulumi.ComponentResource):
    """Base of the components: sets the options of its children and the alias of a former type token.

    The type token is part of every child's URN. A component whose token has changed passes the old one as `formerly`,
    so that nothing is replaced. See "Component resources" and "Aliases" in Pulumi's documentation.
    """

    def __init__(
        self, token: str, name: str, opts: pulumi.ResourceOptions | None, *, formerly: str | None = None
    ) -> None:
        aliases = pulumi.ResourceOptions(aliases=[pulumi.Alias(type_=formerly)] if formerly else None)
        super().__init__(token, name, None, pulumi.ResourceOptions.merge(opts, aliases))

    def _child(self, **options: Any) -> pulumi.ResourceOptions:
        """Return the options of a child: this component as the parent, plus `options`.

        The caller's options apply only to the component; children inherit the provider from their parent.
        """
        return pulumi.ResourceOptions(parent=self, **options)


def adopting(adopt: bool) -> dict[str, str]:
    """Return the annotation by which Pulumi overwrites fields of an object that someone else has made.

    Without it, a field with another value is a conflict, which fails the run (Pulumi: "Server-Side Apply").
    """
    return {"pulumi.com/patchForce": "true"} if adopt else {}
