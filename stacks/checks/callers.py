"""Warnings about matches on callers that no pod of the stack meets (Istio: HTTPMatchRequest.sourceLabels)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from stacks.settings.model import Settings
from stacks.settings.problems import Finding, Location, nearest, shown
from traffic.model import Match, gateway_labels

APP, VERSION = "app", "version"
"""The labels that tell the stack's pods apart."""


@dataclass(frozen=True)
class _Pods:
    """Pods with the same labels: those of a version, or with `version` None those of the gateway."""

    namespace: str
    labels: Mapping[str, str]
    service: str = ""
    version: str | None = None

    def has(self, labels: Mapping[str, str]) -> bool:
        """Whether the pods have all of the labels."""
        return labels.items() <= self.labels.items()


def warnings(settings: Settings) -> Iterator[Finding]:
    """Yield sourceLabels that no pod of the stack has, except for callers in other namespaces than the stack's."""
    pods = list(_pods(settings))
    namespaces = {one.namespace for one in pods}
    for name, service in settings.services.items():
        if not service.in_mesh:
            continue
        for index, rule in enumerate(service.route):
            for number, match in enumerate(rule.match):
                there = match.source_namespace
                if not match.source_labels or (there is not None and there not in namespaces):
                    continue
                callers = [one for one in pods if there in (None, one.namespace)]
                if not any(one.has(match.source_labels) for one in callers):
                    location = ("services", name, "route", index, "match", number, "sourceLabels")
                    yield _nobody(name, match, callers, location)


def _pods(settings: Settings) -> Iterator[_Pods]:
    for name, service in settings.services.items():
        for version in service.versions:
            labels = service.pod_labels(name, version)
            if labels is not None:
                yield _Pods(service.namespace, labels, name, version)
    gateway = settings.mesh.gateway
    yield _Pods(gateway.namespace, gateway_labels(gateway.name))


def _nobody(service: str, match: Match, callers: list[_Pods], location: Location) -> Finding:
    given = match.source_labels
    unknown = [key for key, value in given.items() if not any(one.has({key: value}) for one in callers)]
    words = " and ".join(f"{key}: {given[key]}" for key in unknown or given)
    where = f" in {match.source_namespace}" if match.source_namespace else ""
    what = (
        f"no pod of the stack{where} has the label {words}"
        if len(unknown) == 1
        else (f"no pod of the stack{where} has the labels {words}{'' if unknown else ' together'}")
    )
    meant = _meant(service, given, callers)
    these = "this label" if len(given) == 1 else "these labels"
    fix = f"write {' or '.join(meant)}" if meant else "remove it, or correct it"
    return Finding(
        (*location, unknown[0]) if len(unknown) == 1 else location,
        f"{what}: the match is only met by pods that the stack does not make",
        f"labels of the stack's pods: {APP}: <service> and {VERSION}: <service>-<version>, for example "
        f"{_example(service, callers)}",
        f"{fix}; none needed if pods outside the stack with {these} call {service}",
        shown(dict(given)),
    )


def _meant(service: str, given: Mapping[str, str], callers: list[_Pods]) -> list[str]:
    """The labels that may be meant: those of a version with this name, else the nearest."""
    version = given.get(VERSION)
    known = [one for one in callers if one.version is not None and one.has({APP: given[APP]} if APP in given else {})]
    others = [one for one in known if one.service != service] or known
    named = [one for one in others if version is not None and one.version == version]
    if named:
        return [f"{VERSION}: {one.labels[VERSION]}" for one in named]
    for key, value in given.items():
        near = nearest(value, {one.labels[key] for one in callers if key in one.labels})
        if near is not None and near != value:
            return [f"{key}: {near}"]
    return []


def _example(service: str, callers: list[_Pods]) -> str:
    pods = [one for one in callers if one.version is not None]
    chosen = next((one for one in pods if one.service != service), pods[0] if pods else None)
    return f"{VERSION}: {chosen.labels[VERSION]}" if chosen else f"{VERSION}: frontend-v1"
