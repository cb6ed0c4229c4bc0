"""The differences between two versions of a resource's properties: path, old value and new value."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rollout.observed_routes import destination_of, weights_of
from traffic.render import routes_in
from traffic.sticky import sticky_cookie

VIRTUAL_SERVICE = "kubernetes:networking.istio.io/v1:VirtualService"
RULES = re.compile(r"spec\.(http|tcp|tls)\[\d+\]")
SET_COOKIE = "set-cookie"
ABSENT = object()
LONGEST = 100


SIGNATURE = "4dabf18193072939515e22adb298388d"
"""Key that marks a secret in Pulumi's events (Pulumi: sdk/go/common/resource/properties.go)."""


@dataclass(frozen=True)
class Difference:
    """One changed property; both values are None if the engine names only the property."""

    path: str
    old: Any
    new: Any

    def __str__(self) -> str:
        if self.old is None and self.new is None:
            return self.path
        if self.old is None:
            return f"{self.path}: {brief(self.new)} added"
        if self.new is None:
            return f"{self.path}: {brief(self.old)} removed"
        return f"{self.path}: {brief(self.old)} -> {brief(self.new)}"


def differences(type_: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[Difference, ...]:
    """Return the differences between the properties `old` and `new` of a resource of type `type_`.

    Weights of a VirtualService are listed by rule and version, as in the stack's config: there, unlike in Istio's
    routes, a version may have 0 percent, and a sticky rule is a single rule.
    """
    found = tuple(_walk("", old, new))
    if type_ != VIRTUAL_SERVICE:
        return found
    before, after, service = _rules(old), _rules(new), service_of(new)
    if len(before) != len(after) or not all(
        _differ_in_weights_alone(*pair, service) for pair in zip(before, after, strict=True)
    ):
        return found
    return (
        *(entry for entry in found if not RULES.match(entry.path)),
        *_weight_changes(before, after, service),
    )


def service_of(properties: Mapping[str, Any]) -> str:
    """Return the service of a VirtualService, from its label `app`; empty if it has none."""
    return str(((properties.get("metadata") or {}).get("labels") or {}).get("app", ""))


def brief(value: Any) -> str:
    """Return a value on one line, shortened to LONGEST characters."""
    if isinstance(value, Mapping) and SIGNATURE in value:
        return "[secret]"
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
    """The routes of the config's rules, in order, without the extra routes of sticky rules for returning users."""
    http = routes_in(properties.get("spec") or {})
    if not all(isinstance(rule, Mapping) for rule in http):
        return []
    cookies = {cookie for rule in http for cookie in _cookies_set(rule)}
    return [rule for rule in http if not any(_is_for_returning_users(rule, cookie) for cookie in cookies)]


def _cookies_set(rule: Mapping[str, Any]) -> Iterator[str]:
    for route in rule.get("route") or ():
        added = ((route.get("headers") or {}).get("response") or {}).get("add") or {}
        cookie = sticky_cookie(str(added.get(SET_COOKIE, "")))
        if cookie is not None:
            yield cookie


def _is_for_returning_users(rule: Mapping[str, Any], cookie: str) -> bool:
    """Whether the route matches the cookie of a sticky rule."""
    patterns = [
        str(((match.get("headers") or {}).get("cookie") or {}).get("regex", "")) for match in rule.get("match") or ()
    ]
    return bool(patterns) and all(f"{re.escape(cookie)}=(" in pattern for pattern in patterns)


def _differ_in_weights_alone(old: Mapping[str, Any], new: Mapping[str, Any], service: str) -> bool:
    before, after = _by_destination(old, service), _by_destination(new, service)
    return {**old, "route": None} == {**new, "route": None} and all(
        before[destination] == after[destination] for destination in before.keys() & after.keys()
    )


def _by_destination(rule: Mapping[str, Any], service: str) -> dict[str, Mapping[str, Any]]:
    """Each destination's properties without its weight."""
    return {
        destination_of(route, service): {key: value for key, value in route.items() if key != "weight"}
        for route in rule.get("route") or ()
    }


def _weight_changes(old: list[Mapping[str, Any]], new: list[Mapping[str, Any]], service: str) -> Iterator[Difference]:
    for index, (before, after) in enumerate(zip(old, new, strict=True)):
        olds, news = weights_of(before, service), weights_of(after, service)
        rule = f"rule {index + 1}" if before.get("match") else f"rule {index + 1} (default)"
        for version in {**olds, **news}:
            if olds.get(version, 0) != news.get(version, 0):
                path = f"{rule}, weight of {version}"
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
