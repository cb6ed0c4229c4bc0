"""What must be in the cluster before another engine can move a rollout, looked at before anything is touched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from kube.objects import custom_resource_definitions, find, find_object
from rollout.decision import PULUMI
from rollout.engines import argo, flagger
from rollout.engines.losses import NAMES
from rollout.observed_routes import ISTIO_API
from stacks.settings.engines import EngineRollout, engines_of
from stacks.settings.model import Settings
from stacks.settings.problems import Location, Problem, key_path

if TYPE_CHECKING:
    from lightkube import Client

CRDS = {"argo": (argo.ROLLOUTS, argo.TEMPLATES), "flagger": (flagger.CANARIES, flagger.TEMPLATES)}
INSTALL = {
    "argo": "install Argo Rollouts 1.8 or newer (https://argo-rollouts.readthedocs.io/en/stable/installation/)",
    "flagger": "install Flagger (https://docs.flagger.app/install/flagger-install-on-kubernetes)",
}
SINCE_1_8 = "consecutiveSuccessLimit"
"""A field of metrics without which a controller would end a step as passed when it has asked often enough."""


def engine_problems(client: Client, settings: Settings, file: str) -> list[Problem]:
    """Return why the engines of a stack's rollouts cannot move them; `file` is the stack's, for the messages."""
    given = engines_of(settings)
    crds = {name: find(client, custom_resource_definitions(), name) for name in _asked(given)}
    return [
        problem
        for service, one in given.items()
        for problem in (*_missing(service, one, crds, file), *_of_flagger(client, settings, service, one, file))
    ]


def _asked(given: Mapping[str, EngineRollout]) -> list[str]:
    return sorted({name for one in given.values() for name in CRDS[one.engine]})


def _place(service: str, given: EngineRollout) -> Location:
    if given.named is not None:
        return ("rollouts", given.named, "engine")
    return ("services", service, "route", given.index, "rollout", "engine")


def _missing(service: str, given: EngineRollout, crds: Mapping[str, Any], file: str) -> Iterator[Problem]:
    place, name = key_path(_place(service, given)), NAMES[given.engine]
    missing = [one for one in CRDS[given.engine] if crds[one] is None]
    if missing:
        yield Problem(
            place,
            f"the cluster does not know the kinds of {name}: {', '.join(missing)}",
            given.engine,
            "an engine whose CRDs are in the cluster, or canary, this project's own",
            f"{INSTALL[given.engine]}, or write engine: canary",
            file,
        )
    elif given.engine == "argo" and given.strategy.gates is not None and SINCE_1_8 not in _fields(crds[argo.TEMPLATES]):
        yield Problem(
            place,
            f"the CRDs of {name} are older than 1.8: its AnalysisTemplate has no {SINCE_1_8}, so that a step whose "
            "gate never said yes would pass",
            given.engine,
            f"CRDs of {name} 1.8 or newer, or a strategy without gates",
            INSTALL["argo"],
            file,
        )


def _fields(crd: Any) -> Mapping[str, Any]:
    """The fields of a metric of an AnalysisTemplate, empty if its schema does not tell them."""
    found: Any = dict(crd.to_dict())["spec"]["versions"][0]
    for key in (
        *("schema", "openAPIV3Schema", "properties", "spec", "properties", "metrics"),
        *("items", "properties"),
    ):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _of_flagger(client: Client, settings: Settings, service: str, given: EngineRollout, file: str) -> Iterator[Problem]:
    """Our VirtualService would be deleted at the end of the run, when Flagger has taken it for its own."""
    if given.engine != "flagger":
        return
    namespace = settings.services[service].namespace
    found = find_object(client, ISTIO_API, "VirtualService", namespace, service)
    managers = [str(one.get("manager")) for one in (found or {}).get("metadata", {}).get("managedFields") or ()]
    owned = (found or {}).get("metadata", {}).get("ownerReferences") or ()
    if any(one.startswith(PULUMI) for one in managers) and not owned:
        yield Problem(
            key_path(_place(service, given)),
            f"VirtualService {namespace}/{service} is this stack's, and Flagger writes one of the same name: deleting "
            "ours would leave the service without a route",
            given.engine,
            "flagger for a service whose routes this stack has not written, or canary",
            f"give the service another name for Flagger, and move its hosts there; or, to hand the routes of {service} "
            "over, take VirtualService and DestinationRule out of Pulumi's state (`pulumi state delete URN`), and run "
            "`canary up` again",
            file,
        )
