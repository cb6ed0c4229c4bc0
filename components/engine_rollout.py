"""The objects by which another engine moves a rollout, and what the gate service needs to know of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from components.base import Component


@dataclass(frozen=True, kw_only=True)
class EngineObject:
    """An object of the engine's own kinds."""

    api_version: str
    kind: str
    name: str
    spec: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class EngineRolloutArgs:
    """The objects of the rollout of `service`, in the order in which they are made.

    `config` is the ConfigMap for the gate service, by its keys, called `config_name` and with `config_label`; None
    without gates.
    """

    service: str
    namespace: pulumi.Input[str]
    objects: Sequence[EngineObject]
    config_name: str = ""
    config_label: tuple[str, str] = ("", "")
    config: Mapping[str, str] | None = None


class EngineRollout(Component):
    """A ConfigMap for the gate service, and objects of Argo Rollouts or Flagger (Pulumi: "CustomResource").

    They are not awaited: a rollout takes as long as its steps.
    """

    objects: pulumi.Output[list[str]]
    """The engine's objects, each as `<namespace>/<name>`."""

    def __init__(self, name: str, args: EngineRolloutArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("istio-canary:index:EngineRollout", name, opts)
        before: list[pulumi.Resource] = []
        if args.config is not None:
            metadata = k8s.meta.v1.ObjectMetaArgs(
                name=args.config_name, namespace=args.namespace, labels=dict([args.config_label])
            )
            before.append(
                k8s.core.v1.ConfigMap(f"{name}-gate", metadata=metadata, data=dict(args.config), opts=self._child())
            )
        for one in args.objects:
            before.append(
                k8s.apiextensions.CustomResource(
                    f"{name}-{one.kind.lower()}-{one.name}",
                    api_version=one.api_version,
                    kind=one.kind,
                    metadata=k8s.meta.v1.ObjectMetaArgs(
                        name=one.name,
                        namespace=args.namespace,
                        labels={"app": args.service},
                        annotations={"pulumi.com/skipAwait": "true"},
                    ),
                    spec=one.spec,
                    opts=self._child(depends_on=list(before)),
                )
            )
        self.objects = pulumi.Output.all(*(made.id for made in before)).apply(list)
        self.register_outputs({"objects": self.objects})
