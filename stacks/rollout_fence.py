"""Whether a stack has a fence: the admission policy that keeps barred versions without requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from components.rollout_fence import RolloutFenceArgs, fence_name
from kube.objects import find
from rollout.record import FIELD_MANAGER
from rollout.routes import BARRED_ANNOTATION
from stacks.rollout_states import FORBIDDEN, RolloutState
from stacks.settings.model import Settings

if TYPE_CHECKING:
    from lightkube import Client

GROUP = "admissionregistration.k8s.io"
KINDS = {
    "ValidatingAdmissionPolicy": "validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": "validatingadmissionpolicybindings",
}
VERBS = ("create", "patch", "delete")


def has_fence(client: Client, settings: Settings, owner: str, rollouts: Mapping[str, RolloutState]) -> bool:
    """Return whether the stack `owner` has a fence: as its settings say, else if it has rollouts and the rights.

    One that is there already stays for whoever may only read it: a run without the rights must not delete it. Raises
    what `kube.client.query` explains.
    """
    if settings.fence is not None or not rollouts:
        return settings.fence is True
    return _exists(client, owner) or all(_may(client, verb, resource) for verb in VERBS for resource in KINDS.values())


def fence_of(settings: Settings, owner: str) -> RolloutFenceArgs:
    """Return the fence around the stack's services."""
    namespaces = sorted({service.namespace for service in settings.services.values()})
    return RolloutFenceArgs(owner=owner, namespaces=namespaces, annotation=BARRED_ANNOTATION, manager=FIELD_MANAGER)


def _exists(client: Client, owner: str) -> bool:
    import httpx2
    from lightkube.generic_resource import create_global_resource

    kind, resource = next(iter(KINDS.items()))
    try:
        return find(client, create_global_resource(GROUP, "v1", kind, resource), fence_name(owner)) is not None
    except httpx2.HTTPStatusError as error:
        if error.response.status_code != FORBIDDEN:
            raise
        return False


def _may(client: Client, verb: str, resource: str) -> bool:
    from lightkube.resources.authorization_v1 import SelfSubjectAccessReview

    asked = {"spec": {"resourceAttributes": {"group": GROUP, "resource": resource, "verb": verb}}}
    question: Any = SelfSubjectAccessReview.from_dict(asked)
    review: Any = client.create(question)
    return bool(review.status and review.status.allowed)
