"""Revision tags: names for revisions of Istio, which namespaces are labelled with in place of the revision itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from components.base import Component
from components.names import DEFAULT_REVISION, REVISION, istiod_release

INJECT, INJECTION_LABEL, TAG = "sidecar.istio.io/inject", "istio-injection", "istio.io/tag"
ROOT_NAMESPACE = "istio-system"
"""In another namespace, the webhooks' names have it at their end, as in the chart."""


@dataclass(frozen=True, kw_only=True)
class RevisionTagsArgs:
    """The revisions by tag, and the namespace of their istiods."""

    namespace: pulumi.Input[str]
    tags: Mapping[str, str]


class RevisionTags(Component):
    """A MutatingWebhookConfiguration for each tag (Istio: "Canary Upgrades", "Stable revision labels").

    They are those of the chart istiod (revisionTags), but no part of its release: a tag moves from one release to
    another, and Helm refuses an object that another release has. So it moves in one write, and pods get a proxy at any
    moment. istiod itself writes its certificate into them.
    """

    tags: list[str]
    """The tags."""

    def __init__(self, name: str, args: RevisionTagsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("istio-canary:index:RevisionTags", name, opts)
        for tag, revision in args.tags.items():
            self._webhooks(f"{name}-{tag}", tag, revision, args.namespace)
        self.tags = sorted(args.tags)
        self.register_outputs({"tags": self.tags})

    def _webhooks(self, name: str, tag: str, revision: str, namespace: pulumi.Input[str]) -> None:
        called = pulumi.Output.from_input(namespace).apply(
            lambda root: f"istio-revision-tag-{tag}" + ("" if root == ROOT_NAMESPACE else f"-{root}")
        )
        k8s.admissionregistration.v1.MutatingWebhookConfiguration(
            name,
            metadata=k8s.meta.v1.ObjectMetaArgs(
                name=called, labels={TAG: tag, REVISION: revision, "app": "sidecar-injector"}
            ),
            webhooks=[_webhook(prefix, revision, namespace, *selectors) for prefix, *selectors in _selectors(tag)],
            opts=self._child(),
        )


def _webhook(
    prefix: str,
    revision: str,
    namespace: pulumi.Input[str],
    namespaces: list[dict[str, Any]],
    pods: list[dict[str, Any]],
) -> k8s.admissionregistration.v1.MutatingWebhookArgs:
    return k8s.admissionregistration.v1.MutatingWebhookArgs(
        name=f"{prefix}.sidecar-injector.istio.io",
        client_config={
            "service": {"name": istiod_release(revision), "namespace": namespace, "path": "/inject", "port": 443}
        },
        side_effects="None",
        rules=[{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}],
        failure_policy="Fail",
        reinvocation_policy="Never",
        admission_review_versions=["v1"],
        namespace_selector={"matchExpressions": namespaces},
        object_selector={"matchExpressions": pods},
    )


def _selectors(tag: str) -> list[tuple[str, list[dict[str, Any]], list[dict[str, Any]]]]:
    """Which namespaces and pods each webhook of a tag is for; those of the tag `default` also have the old labels."""
    kept_out = _is(INJECT, "NotIn", "false")
    of_tag = _is(REVISION, "In", tag)
    unlabelled = [_is(REVISION, "DoesNotExist"), _is(INJECTION_LABEL, "DoesNotExist")]
    found = [
        ("rev.namespace", [of_tag, _is(INJECTION_LABEL, "DoesNotExist")], [kept_out]),
        ("rev.object", unlabelled, [kept_out, of_tag]),
    ]
    if tag == DEFAULT_REVISION:
        found += [
            ("namespace", [_is(INJECTION_LABEL, "In", "enabled")], [kept_out]),
            ("object", unlabelled, [_is(INJECT, "In", "true"), _is(REVISION, "DoesNotExist")]),
        ]
    return found


def _is(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"key": key, "operator": operator, **({"values": list(values)} if values else {})}
