"""What changes in a resource, in words: a path into its properties, the old value and the new one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

VIRTUAL_SERVICE = "kubernetes:networking.istio.io/v1:VirtualService"
ROUTE = re.compile(r"spec\.http\[\d+\]\.route\b")
ABSENT = object()
LONGEST = 100


@dataclass(frozen=True)
class Difference:
    """One property that changes; both values are None where the engine names the property alone."""

    path: str
    old: Any
    new: Any

    def __str__(self) -> str:
        if self.old is None and self.new is None:
            return self.path
        if self.old is None:
            return f"{self.path}: {brief(self.new)} is added"
        if self.new is None:
            return f"{self.path}: {brief(self.old)} is removed"
        return f"{self.path}: {brief(self.old)} -> {brief(self.new)}"


def differences(type_: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[Difference, ...]:
    """Return what differs between the properties `old` and `new` of a resource of type `type_`.

    A VirtualService's weights are told by rule and version: a version at 0 percent stands in no destination.
    """
    found = tuple(_walk("", old, new))
    if type_ != VIRTUAL_SERVICE:
        return found
    rules = _rules(old), _rules(new)
    if len(rules[0]) != len(rules[1]) or any(a.get("match") != b.get("match") for a, b in zip(*rules, strict=True)):
        return found
    weights = tuple(_weight_changes(*rules, service_of(new)))
    return tuple(entry for entry in found if not ROUTE.match(entry.path)) + weights if weights else found


def weights_of(rule: Mapping[str, Any], service: str) -> dict[str, int]:
    """Return percent by destination of one http route of a VirtualService of `service`.

    One destination alone has no weight there. A version of another service is named as in the stack's config.
    """
    routes = rule.get("route") or []
    default = 100 if len(routes) == 1 else 0
    return {_destination(route["destination"], service): int(route.get("weight", default)) for route in routes}


def service_of(properties: Mapping[str, Any]) -> str:
    """Return the service that a VirtualService routes to, by its label `app`."""
    return str(((properties.get("metadata") or {}).get("labels") or {}).get("app", ""))


def brief(value: Any) -> str:
    """Return a value as a person reads it, on one line."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, Mapping):
        text = "{" + ", ".join(f"{key}: {brief(entry)}" for key, entry in value.items()) + "}"
    elif isinstance(value, list | tuple):
        text = "[" + ", ".join(brief(entry) for entry in value) + "]"
    else:
        text = " ".join(str(value).split()) if value != "" else "(empty)"
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _rules(properties: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    http = (properties.get("spec") or {}).get("http")
    return http if isinstance(http, list) and all(isinstance(rule, Mapping) for rule in http) else []


def _destination(destination: Mapping[str, Any], service: str) -> str:
    subset, called = str(destination.get("subset", "")), str(destination.get("host", "")).partition(".")[0]
    return subset if called == service else f"{called}/{subset}"


def _weight_changes(old: list[Mapping[str, Any]], new: list[Mapping[str, Any]], service: str) -> Iterator[Difference]:
    for index, (before, after) in enumerate(zip(old, new, strict=True)):
        olds, news = weights_of(before, service), weights_of(after, service)
        name = "header rule" if before.get("match") else "default"
        for version in {**olds, **news}:
            if olds.get(version, 0) != news.get(version, 0):
                path = f"rule {index + 1} ({name}), weight of {version}"
                yield Difference(path, olds.get(version, 0), news.get(version, 0))


def _walk(path: str, old: Any, new: Any) -> Iterator[Difference]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted({*old, *new}):
            if not key.startswith("__"):
                yield from _walk(f"{path}.{key}" if path else key, old.get(key, ABSENT), new.get(key, ABSENT))
    elif isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            before = old[index] if index < len(old) else ABSENT
            after = new[index] if index < len(new) else ABSENT
            yield from _walk(f"{path}[{index}]", before, after)
    elif old != new:
        yield Difference(path, None if old is ABSENT else old, None if new is ABSENT else new)
