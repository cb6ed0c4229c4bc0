"""The admission policy that keeps barred versions without requests, whoever writes the route.

An abort bars the release that its rollout led to, and writes that into the VirtualServices (`rollout/routes.py`). The
field manager of the rollout already stops a stale `up`; this policy also stops those who write with force: kubectl,
Argo CD, a provider with PULUMI_K8S_ENABLE_PATCH_FORCE. See "Validating Admission Policy" and "Common Expression
Language" in Kubernetes' documentation.

The policy has no parameters, although the records are ConfigMaps: the API server (1.36) reads those by an informer that
it shares among policies and stops with the last of them, for good. A later policy would neither see a bar nor that it
was lifted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from components.base import Component

NAMESPACE_NAME = "kubernetes.io/metadata.name"
"""Label that the API server gives each namespace: its name."""
WHOLE = 1_000_000
"""A share of 100 %: CEL compares whole numbers."""

WEIGHT = "(has(d.weight) ? int(d.weight) : 0)"
LABELS = "string(d.destination.host).split('.')"
IS_BARRED = (
    "(has(d.destination.subset) && string(d.destination.subset) in variables.barred "
    f"&& {LABELS}[0] in variables.services "
    f"&& ({LABELS}.size() == 1 || {LABELS}[1] == string(object.metadata.namespace)))"
)
"""Whether a destination is a barred version of the VirtualService's own service."""

NAME = "string(object.metadata.name)"
SERVICES = f"[{NAME}, {NAME}.endsWith('-mesh') ? {NAME}.substring(0, {NAME}.size() - 5) : {NAME}]"
"""The service of the VirtualService `<service>` or `<service>-mesh`."""
KEEPS_BARS = "variables.barred == variables.said"
GIVES_NO_MORE = (
    "variables.given.all(entry, variables.before.exists(old, old.match == entry.match && old.share >= entry.share))"
)
"""An `up` that changes another rule must pass, and an abort, which leaves rules that are not rolled out as they are."""

MESSAGE = (
    "variables.services[1] + ': an aborted rollout has barred ' + variables.barred.join(', ') + ', which must not get "
    "more requests; see `canary rollout status ' + variables.services[1] + '`; `canary rollout retry` lifts the bar'"
)


@dataclass(frozen=True, kw_only=True)
class RolloutFenceArgs:
    """The fence of the stack `owner` (`<project>/<stack>`) around the services in `namespaces`.

    `annotation` is that of VirtualServices with the barred versions of their service, separated by commas; `manager` is
    the field manager that alone changes it.
    """

    owner: str
    namespaces: Sequence[str]
    annotation: str
    manager: str


class RolloutFence(Component):
    """A ValidatingAdmissionPolicy and its binding (admissionregistration.k8s.io/v1), which have no namespace.

    It looks at updates of VirtualServices in these namespaces whose annotation bars versions: no rule's share for a
    barred version may rise. What a rule for testers gave it before, it keeps. Only the rollout's field manager changes
    the annotation. All other VirtualServices pass, and so does one that is new: a record about its predecessor is void.

    `failurePolicy: Ignore`: a route of which an expression fails, such as by its costs, passes. A policy that cannot be
    evaluated must not stop an abort; the stale `up` is stopped by the field manager all the same.
    """

    policy: pulumi.Output[str]
    """The name of the policy, and of its binding."""

    def __init__(self, name: str, args: RolloutFenceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("istio-canary:index:RolloutFence", name, opts)
        metadata = k8s.meta.v1.ObjectMetaArgs(name=fence_name(args.owner))
        policy = k8s.admissionregistration.v1.ValidatingAdmissionPolicy(
            f"{name}-policy", metadata=metadata, spec=policy_spec(args.annotation, args.manager), opts=self._child()
        )
        binding = k8s.admissionregistration.v1.ValidatingAdmissionPolicyBinding(
            f"{name}-binding",
            metadata=metadata,
            spec=binding_spec(args.owner, args.namespaces),
            opts=self._child(depends_on=[policy]),
        )

        self.policy = binding.id
        self.register_outputs({"policy": self.policy})


def fence_name(owner: str) -> str:
    """Return the name of the policy of a stack; other stacks may have theirs in the same cluster."""
    return "istio-canary-fence." + re.sub(r"[^a-z0-9.-]", "-", owner.lower().replace("/", "."))


def policy_spec(annotation: str, manager: str) -> dict[str, Any]:
    """Return the spec of the policy; the arguments are those of `RolloutFenceArgs`."""
    is_rollout = f"has(request.options.fieldManager) && request.options.fieldManager == '{manager}'"
    old, new = _bars("oldObject", annotation), _bars("object", annotation)
    has_bars = " || ".join(_has_bars(item, annotation) for item in ("object", "oldObject"))
    variables = {
        "barred": f"{is_rollout} ? {new} : {old}",
        "said": new,
        "services": SERVICES,
        "given": _shares("object"),
        "before": _shares("oldObject"),
    }
    validations = [
        {"expression": text, "messageExpression": MESSAGE, "reason": "Forbidden"}
        for text in (KEEPS_BARS, GIVES_NO_MORE)
    ]
    return {
        "failurePolicy": "Ignore",
        "matchConstraints": {
            "resourceRules": [
                {
                    "apiGroups": ["networking.istio.io"],
                    "apiVersions": ["*"],
                    "operations": ["UPDATE"],
                    "resources": ["virtualservices"],
                    "scope": "Namespaced",
                }
            ],
            "matchPolicy": "Equivalent",
        },
        "matchConditions": [{"name": "has-bars", "expression": has_bars}],
        "variables": [{"name": name, "expression": text} for name, text in variables.items()],
        "validations": validations,
    }


def binding_spec(owner: str, namespaces: Sequence[str]) -> dict[str, Any]:
    """Return the spec of the policy's binding, to these namespaces."""
    of_namespace = {"key": NAMESPACE_NAME, "operator": "In", "values": sorted(set(namespaces))}
    return {
        "policyName": fence_name(owner),
        "matchResources": {"namespaceSelector": {"matchExpressions": [of_namespace]}, "matchPolicy": "Equivalent"},
        "validationActions": ["Deny"],
    }


def _has_bars(item: str, annotation: str) -> str:
    return f"(has({item}.metadata.annotations) && '{annotation}' in {item}.metadata.annotations)"


def _bars(item: str, annotation: str) -> str:
    """CEL: the barred versions."""
    listed = f"string({item}.metadata.annotations['{annotation}']).split(',')"
    return f"({_has_bars(item, annotation)} ? {listed} : [])"


def _shares(item: str) -> str:
    """CEL: the HTTP routes of a VirtualService that give barred versions requests, with their matches and shares.

    A single destination gets everything, whatever its weight; of several, one without a weight gets nothing (Istio:
    HTTPRouteDestination).
    """
    http = f"(has({item}.spec.http) ? {item}.spec.http : [])"
    barred = f"e.route.map(d, {IS_BARRED} ? {WEIGHT} : 0).sum()"
    share = f"e.route.size() == 1 ? {WHOLE} : {barred} * {WHOLE} / e.route.map(d, {WEIGHT}).sum()"
    gets = f"has(e.route) && e.route.exists(d, {IS_BARRED} && (e.route.size() == 1 || {WEIGHT} > 0))"
    entry = f"{{'match': has(e.match) ? dyn(e.match) : dyn([]), 'share': dyn({share})}}"
    return f"{http}.filter(e, {gets}).map(e, {entry})"
