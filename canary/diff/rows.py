"""The differences of a stack in words, as rows that the terminal and Markdown share."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from canary.asked import headers_of, url_of
from canary.curl import connect_command, curl_command
from canary.diff.engines import EngineChange
from canary.diff.rollouts import ByRule
from canary.diff.stack_diff import StackDiff, VersionDiff
from canary.explain.connection_words import connection_words
from stacks.settings.problems import without_user
from traffic.diff import Group, Part, RuleChange, RuleChangeKind, ServiceDiff, ValueChange, WeightChange
from traffic.diff.effect import lesser_changes
from traffic.diff.values import plain_headers, plain_words
from traffic.proportions import percent_words
from traffic.words import rule_words

if TYPE_CHECKING:
    from stacks.settings.model import VersionSettings
    from traffic.model import OutsideVersion, Rule, ServiceRouting
    from traffic.simulate import Request

ACCESS = {"authorization", "jwt", "mtls", "denyByDefault", "namespaces"}
"""Settings that decide who may call."""
GATEWAY = "GATEWAY"
"""Stands in curl commands for the address of the gateway."""
UNSET = "-"
STACK = ""
"""The place of a service's name in the rows of what belongs to no service."""
DEFAULT_PORTS = {"http": 80, "https": 443}
LONGEST = 200


@dataclass(frozen=True)
class RequestRow:
    """Requests that change alike: what about them, from what to what, and one of them."""

    service: str
    part: str
    before: str
    after: str
    request: str
    curl: str
    also: tuple[str, ...] = ()
    """The rollout that moves the requests, and lesser effects on the same request that change too."""


@dataclass(frozen=True)
class SettingRow:
    """A rule, a version or a setting that differs."""

    service: str
    what: str
    before: str
    after: str


def request_rows(diff: StackDiff) -> list[RequestRow]:
    """Return a row for each group of requests, service by service."""
    return [_request_row(group, diff.moved) for group in diff.traffic.groups]


def setting_rows(diff: StackDiff) -> list[SettingRow]:
    """Return a row for each rule, version and setting that differs, service by service, then the stack's own."""
    found = [row for service in diff.traffic.services for row in _service_rows(service, diff.rollouts)]
    found += [row for change in diff.engines for row in _engine_rows(change)]
    found += [row for version in diff.versions for row in _version_rows(version)]
    order = list(dict.fromkeys(row.service for row in found))
    found.sort(key=lambda row: order.index(row.service))
    return [*found, *(_setting(STACK, change) for change in (*diff.mesh, *diff.others))]


def access_note(diff: StackDiff) -> str | None:
    """Return the note that who may call changes, which no witness request shows; None if it does not."""
    found = [
        f"{service.name}: {change.path}"
        for service in diff.traffic.services
        for change in service.settings
        if _decides_on_callers(change.path)
    ]
    found += [change.path for change in (*diff.mesh, *diff.others) if _decides_on_callers(change.path)]
    if not found:
        return None
    return f"who may call changes, and is not compared request by request: {', '.join(found)}"


def _decides_on_callers(path: str) -> bool:
    return bool(ACCESS & set(re.split(r"[.\[]", path))) and not path.endswith(".revision")


def request_words(request: Request) -> str:
    """Return a request in one line: `GET http://shop.example.com/ with qa: canary-test`."""
    if request.is_connection:
        words = connection_words(request)
        return f"{words}, from {_caller(request)}" if request.caller else words
    headers = ", ".join(f"{name}: {value}" for name, value in headers_of(request))
    words = f"{request.method} {url_of(request)}{f' with {headers}' if headers else ''}"
    words += f" with a valid token ({plain_words(request.claims)})" if request.claims else ""
    return f"{words}, from {_caller(request)}" if request.caller else words


def curl_words(request: Request) -> str:
    """Return the curl command for a request at the gateway, or in the calling pod; for a connection, what opens it."""
    if request.is_connection:
        return connect_command(request, GATEWAY)
    if request.caller is not None:
        origin = url_of(request)[: -len(request.path)]
        inside = curl_command(replace(request, headers=headers_of(request), authority=""), origin)
        return f"{inside}  # in a pod: {_caller(request)}"
    port = request.asked_port
    suffix = "" if port == DEFAULT_PORTS[request.scheme] else f":{port}"
    address = f":{port}" if request.scheme == "https" else suffix
    return curl_command(request, f"{request.scheme}://{GATEWAY}{address}")


def value_words(value: Any) -> str:
    """Return a setting's value on one line, without passwords in URLs."""
    if value is None or value in ({}, [], ""):
        return UNSET
    text = without_user(plain_words(value))
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def rollout_of(group: Group, rollouts: ByRule) -> str | None:
    """Return the rollout that moves the requests of a group, in words; None if they move at merge."""
    decision = group.witness.after.decision
    is_moved = group.change.part is Part.DESTINATION and decision.service is not None and decision.index is not None
    return rollouts.get((decision.service or "", decision.index or 0)) if is_moved else None


def _request_row(group: Group, rollouts: ByRule) -> RequestRow:
    service, change, witness = group.service or STACK, group.change, group.witness
    destination = change.part is Part.DESTINATION
    also = lesser_changes(witness.before, witness.after) if destination else ()
    moved = rollout_of(group, rollouts)
    return RequestRow(
        service,
        "destination" if destination else change.part.value,
        own_names(change.before, service),
        own_names(change.after, service),
        request_words(witness.request),
        curl_words(witness.request),
        (
            *([moved] if moved else ()),
            *(f"{one.part}: {own_names(one.before, service)} -> {own_names(one.after, service)}" for one in also),
        ),
    )


def own_names(words: str, service: str) -> str:
    """Return the words with the service's own versions as its route names them: `version-1` for `shop/version-1`."""
    return re.sub(rf"(^|, | to | of ){re.escape(service)}/(?=[a-z0-9])", r"\1", words) if service else words


def _service_rows(diff: ServiceDiff, rollouts: ByRule) -> Iterator[SettingRow]:
    if diff.before is None or diff.after is None:
        before, after = (_summary(one) for one in (diff.before, diff.after))
        yield SettingRow(diff.name, "service", before, after)
        return
    for rule in diff.rules:
        yield from _rule_rows(diff.name, rule)
        moved = rollouts.get((diff.name, rule.after)) if rule.after is not None else None
        if moved is not None:
            what = f"rule {_number(rule.after)} ({rule_words(rule.rule)}): by rollout"
            yield SettingRow(diff.name, what, UNSET, moved)
    for change in diff.settings:
        yield _setting(diff.name, change)


def _summary(service: ServiceRouting | None) -> str:
    if service is None:
        return UNSET
    hosts = ", ".join(service.hosts) or "no host"
    return f"{hosts} at {', '.join(service.gateways)}: {'; '.join(map(_short, service.route))}"


def _short(rule: Rule) -> str:
    return f"{rule_words(rule)} -> {destination_words(rule)}"


def destination_words(rule: Rule) -> str:
    """Return where a rule sends requests: `version-1 90 %, version-2 10 %`."""
    if rule.redirect is not None:
        fields = rule.redirect.model_dump(mode="json", by_alias=True, exclude_none=True)
        return f"redirect ({value_words(fields)})"
    if rule.direct_response is not None:
        return f"response {rule.direct_response.status}"
    weights = rule.weights
    if len(weights) == 1:
        return next(iter(weights))
    return ", ".join(f"{name} {percent_words(weight)}" for name, weight in weights.items())


def _rule_rows(service: str, change: RuleChange) -> Iterator[SettingRow]:
    words = rule_words(change.rule)
    if change.kind is RuleChangeKind.ADDED:
        yield SettingRow(service, f"rule {_number(change.after)} added ({words})", UNSET, _rule(change.rule))
    elif change.kind is RuleChangeKind.REMOVED:
        yield SettingRow(service, f"rule {_number(change.before)} removed ({words})", _rule(change.rule), UNSET)
    else:
        if change.kind is RuleChangeKind.MOVED:
            places = f"place {_number(change.before)}", f"place {_number(change.after)}"
            yield SettingRow(service, f"rule moved ({words})", *places)
        for one in change.changes:
            name = f"rule {_number(change.after)} ({words})"
            if isinstance(one, WeightChange):
                weights = percent_words(one.before), percent_words(one.after)
                yield SettingRow(service, f"{name}: weight of {one.destination}", *weights)
            else:
                yield SettingRow(service, f"{name}: {one.path}", value_words(one.before), value_words(one.after))


def _rule(rule: Rule) -> str:
    """All that a rule does, apart from its match."""
    actions = rule.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True,
                              exclude={"to", "match", "name", "redirect", "direct_response"})  # fmt: skip
    own = (f"{name} {plain_words({'headers': plain_headers(one)})}" for name, one in rule.shares.items() if one.headers)
    return "; ".join([destination_words(rule), *own, *(plain_words({key: value}) for key, value in actions.items())])


def _engine_rows(change: EngineChange) -> Iterator[SettingRow]:
    """Who moves the weights of a rule, or what moves its requests to new pods, and by which steps."""
    rule = f"rule {_number(change.index)} ({rule_words(change.rule)})"
    if change.new_pods is not None:
        yield SettingRow(change.service, f"{rule}: new pods", UNSET, change.new_pods)
    for one in change.changes:
        yield SettingRow(change.service, f"{rule}: {one.path}", value_words(one.before), value_words(one.after))
    if not change.stays:
        before, after = (one.words if one else UNSET for one in (change.before, change.after))
        yield SettingRow(change.service, f"{rule}: who moves its weights", before, after)


def _number(index: int | None) -> int:
    assert index is not None
    return index + 1


def _version_rows(diff: VersionDiff) -> Iterator[SettingRow]:
    for one, sign in ((diff.before, "removed"), (diff.after, "added")):
        other = diff.after if one is diff.before else diff.before
        if one is not None and other is None:
            words = _version_words(diff.name, one)
            cells = (UNSET, words) if sign == "added" else (words, UNSET)
            yield SettingRow(diff.service, f"{diff.name} {sign}", *cells)
    for change in diff.changes:
        what = f"{diff.name}: {change.path}"
        yield SettingRow(diff.service, what, value_words(change.before), value_words(change.after))


def _version_words(name: str, version: VersionSettings | OutsideVersion) -> str:
    from traffic.model import OutsideVersion

    if isinstance(version, OutsideVersion):
        return version.words(name)
    return f"{version.image}, {_replicas_words(version)}"


def _replicas_words(version: VersionSettings) -> str:
    if version.replicas is None:
        return f"replicas: {version.scaled_by}"
    return "1 replica" if version.replicas == 1 else f"{version.replicas} replicas"


def _setting(service: str, change: ValueChange) -> SettingRow:
    return SettingRow(service, change.path, value_words(change.before), value_words(change.after))


def _caller(request: Request) -> str:
    caller = request.caller
    assert caller is not None
    labels = ", ".join(f"{key}={value}" for key, value in caller.labels.items())
    return f"namespace {caller.namespace}{f' with {labels}' if labels else ''}"
