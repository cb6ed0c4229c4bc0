"""A namespace that the stack creates, or an existing one that it adopts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pulumi
import pulumi_kubernetes as k8s

from components.base import Component
from components.names import OWNER_ANNOTATION


@dataclass(frozen=True, kw_only=True)
class NamespaceArgs:
    """The namespace's name, owner and labels.

    `owner` is `<project>/<stack>`. With `adopt`, the namespace exists already and was not created by this stack.
    """

    name: str
    owner: str
    labels: Mapping[str, str] = field(default_factory=dict)
    adopt: bool = False


class Namespace(Component):
    """A Kubernetes namespace with the given labels.

    A new namespace gets the owner annotation and is deleted with the stack. An adopted one only gets the labels, by a
    NamespacePatch; destroying the stack removes the labels and keeps the namespace. A label of the same name that
    another field manager set to another value is an error and is not overwritten (Pulumi: "Managing resources with
    server-side apply").
    """

    namespace_name: pulumi.Output[str]
    """Name of the namespace, resolved once it exists."""

    def __init__(self, name: str, args: NamespaceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("istio-canary:index:Namespace", name, opts, formerly="istio-canary:namespace:Namespace")
        self.namespace_name = self._adopted(name, args) if args.adopt else self._created(name, args)
        self.register_outputs({"namespace_name": self.namespace_name})

    def _created(self, name: str, args: NamespaceArgs) -> pulumi.Output[str]:
        namespace = k8s.core.v1.Namespace(
            f"{name}-namespace",
            metadata=k8s.meta.v1.ObjectMetaArgs(
                name=args.name, labels=dict(args.labels) or None, annotations={OWNER_ANNOTATION: args.owner}
            ),
            opts=self._child(),
        )
        namespace_name: pulumi.Output[str] = namespace.metadata.name
        return namespace_name

    def _adopted(self, name: str, args: NamespaceArgs) -> pulumi.Output[str]:
        if not args.labels:
            return pulumi.Output.from_input(args.name)
        patch = k8s.core.v1.NamespacePatch(
            f"{name}-labels",
            metadata=k8s.meta.v1.ObjectMetaPatchArgs(name=args.name, labels=dict(args.labels)),
            opts=self._child(),
        )
        namespace_name: pulumi.Output[str] = patch.metadata.name
        return namespace_name
