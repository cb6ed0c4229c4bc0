"""What happens to a request, so that it can be compared: where it goes, and what is done to it on the way.

Each part has an exact value, for this request, and words, which are the same for all requests that one setting decides:
a redirect of the whole site is one redirect, with another location for every path.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from traffic.diff.values import plain_words
from traffic.model import HeaderOperations, Redirect, Rule, StringMatch
from traffic.proportions import percent_words
from traffic.simulate import (
    Answered,
    Connected,
    Decision,
    Forwarded,
    Redirected,
    Refused,
    Request,
    RetryPolicy,
    Share,
    Simulator,
    Unrouted,
    conditions,
)

UNCHANGED = "unchanged"
NONE = "none"
PREFLIGHT = "a CORS preflight response"


class Part(StrEnum):
    """What a change is about. A destination is where a request goes; the others are lesser effects."""

    DESTINATION = "destination"
    PATH = "path"
    HOST = "host"
    REQUEST_HEADERS = "request headers"
    RESPONSE_HEADERS = "response headers"
    COOKIE = "cookie"
    CORS = "CORS headers"
    TIMEOUT = "timeout"
    RETRIES = "retries"
    MIRRORS = "mirrors"
    DELAY = "delay"


@dataclass(frozen=True)
class Value:
    """One part of an effect; `exact` is compared, `words` are shown and grouped by."""

    words: str
    exact: Hashable


@dataclass(frozen=True)
class Change:
    """A part of what happens to a request that differs, in words."""

    part: Part
    before: str
    after: str

    @property
    def mirrored(self) -> Change:
        """The change in the other direction."""
        return Change(self.part, self.after, self.before)


@dataclass(frozen=True)
class Effect:
    """What happens to one request: where it goes, and the lesser effects."""

    decision: Decision
    destination: Value
    lesser: Mapping[Part, Value] = field(default_factory=dict)


def effect(simulator: Simulator, request: Request) -> Effect:
    """Return what happens to `request`."""
    decision = simulator.decide(request)
    return Effect(decision, _destination(simulator, decision), dict(_lesser(simulator, decision)))


def changes(before: Effect, after: Effect) -> tuple[Change, ...]:
    """Return what differs: the destination, or, if that is the same, each lesser effect that differs."""
    if before.destination.exact != after.destination.exact:
        return (Change(Part.DESTINATION, before.destination.words, after.destination.words),)
    return lesser_changes(before, after)


def lesser_changes(before: Effect, after: Effect) -> tuple[Change, ...]:
    """Return each lesser effect that differs, as far as both have it."""
    both = [part for part in before.lesser if part in after.lesser]
    return tuple(
        Change(part, before.lesser[part].words, after.lesser[part].words)
        for part in both
        if before.lesser[part].exact != after.lesser[part].exact
    )


def _destination(simulator: Simulator, decision: Decision) -> Value:
    exact, words = _end(simulator, decision)
    abort = decision.abort
    if abort is None:
        return Value(_shares(words), frozenset(exact.items()))
    error = f"gRPC status {abort.grpc_status}" if abort.grpc_status else f"status {abort.status} (fault)"
    passed, failed = 1 - abort.probability, {error: abort.probability}
    scaled = {name: share * passed for name, share in words.items() if passed}
    exactly = {name: round(share * passed, 9) for name, share in exact.items() if passed}
    return Value(_shares({**scaled, **failed}), frozenset({**exactly, **failed}.items()))


def _end(simulator: Simulator, decision: Decision) -> tuple[dict[str, float], dict[str, float]]:
    """Where the request goes, exactly and in words, each with its probability."""
    outcome = decision.outcome
    if isinstance(outcome, Forwarded):
        return _forwarded(outcome)
    if isinstance(outcome, Connected):
        shares = {f"{share.target.service}/{share.target.version}": share.probability for share in outcome.shares}
        return shares, shares
    if isinstance(outcome, Redirected):
        exact = f"{outcome.status} {outcome.location}"
        rule = decision.rule
        redirect = rule.redirect if rule and rule.redirect else Redirect(scheme="https")
        uri = _matched_uri(simulator, decision, rule) if rule and redirect.prefix_rewrite else None
        return {exact: 1}, {f"redirect {outcome.status} to {_location(redirect, uri)}": 1}
    if isinstance(outcome, Answered):
        if decision.rule is not None and decision.rule.direct_response is None:
            return {PREFLIGHT: 1}, {PREFLIGHT: 1}
        words = f"response {outcome.status}{f' {outcome.body!r}' if outcome.body else ''}"
        return {words: 1}, {words: 1}
    words = _without_route(outcome)
    return {words: 1}, {words: 1}


def _forwarded(outcome: Forwarded) -> tuple[dict[str, float], dict[str, float]]:
    shares: dict[str, float] = {}
    for share in outcome.shares:
        name = f"{share.target.service}/{share.target.version}"
        shares[name] = shares.get(name, 0) + share.probability
    if not outcome.is_taken:
        shares = {f"status 400 by the sidecar of {name}": share for name, share in shares.items()}
    rounded = {name: round(share, 9) for name, share in shares.items()}
    return rounded, rounded


def _without_route(outcome: Refused | Unrouted) -> str:
    if isinstance(outcome, Unrouted):
        return f"any pod of {outcome.service}" if outcome.service else "a host that is not in the mesh"
    return "no connection" if outcome.status is None else f"status {outcome.status}"


def _shares(shares: Mapping[str, float]) -> str:
    """`shop/version-1 90 %, shop/version-2 10 %`; without percentages if there is one destination."""
    if len(shares) == 1:
        return next(iter(shares))
    ordered = sorted(shares.items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{name} {percent(share)}" for name, share in ordered)


def percent(probability: float) -> str:
    """Return a probability from 0 to 1 as `12.5 %`."""
    return percent_words(100 * probability)


def _location(redirect: Redirect, uri: StringMatch | None) -> str:
    """The location with `<host>` and the like for what the request keeps; `uri` is the prefix that is replaced."""
    path = redirect.uri or "<path>"
    if redirect.prefix_rewrite:
        path = f"{redirect.prefix_rewrite}<what follows {uri.prefix if uri else '/'}>"
    if path != "<path>" and not (redirect.scheme or redirect.authority or redirect.port):
        return path
    port = f":{redirect.port}" if redirect.port else ""
    return f"{redirect.scheme or '<scheme>'}://{redirect.authority or '<host>'}{port}{path}"


def _lesser(simulator: Simulator, decision: Decision) -> Iterator[tuple[Part, Value]]:
    outcome, rule = decision.outcome, decision.rule
    yield Part.DELAY, _same(_delay(decision))
    if isinstance(outcome, Redirected | Answered):
        yield Part.RESPONSE_HEADERS, _same(_operations(outcome.response_headers))
    if isinstance(outcome, Answered):
        yield Part.CORS, Value(_cors(rule, outcome.headers), frozenset(outcome.headers.items()))
    if not isinstance(outcome, Forwarded) or rule is None:
        return
    yield Part.PATH, Value(_path(simulator, decision, rule), outcome.path)
    yield Part.HOST, _host(rule, outcome)
    yield Part.REQUEST_HEADERS, _same(_with_shares(outcome.request_headers, outcome.shares, "request"))
    yield Part.RESPONSE_HEADERS, _same(_with_shares(outcome.response_headers, outcome.shares, "response"))
    yield Part.COOKIE, _same(_cookie(rule, outcome))
    yield Part.CORS, Value(_cors(rule, decision.cors), frozenset(decision.cors.items()))
    yield Part.TIMEOUT, _same(NONE if outcome.timeout is None else f"{outcome.timeout:g} s")
    yield Part.RETRIES, _same(_retries(outcome.retries))
    yield Part.MIRRORS, _same(_mirrors(outcome.mirrors))


def _host(rule: Rule, outcome: Forwarded) -> Value:
    """The host that destinations see: that of the rule, and those of destinations outside."""
    of_rule = (rule.rewrite and rule.rewrite.authority) or UNCHANGED
    outside = sorted({share.authority for share in outcome.shares if share.authority})
    inside = [of_rule] if any(share.authority is None for share in outcome.shares) or not outside else []
    return Value(" or ".join([*inside, *outside]), (outcome.authority if inside else "", *outside))


def _same(words: str) -> Value:
    return Value(words, words)


def _delay(decision: Decision) -> str:
    delay = decision.delay
    return f"{delay.seconds:g} s for {percent(delay.probability)}" if delay else NONE


def _operations(operations: HeaderOperations | None) -> str:
    if operations is None:
        return UNCHANGED
    words = [f"remove {name}" for name in sorted(operations.remove)]
    words += [f"set {name}: {value}" for name, value in sorted(operations.set.items())]
    words += [f"add {name}: {value}" for name, value in sorted(operations.add.items())]
    return "; ".join(words) or UNCHANGED


def _with_shares(of_rule: HeaderOperations, shares: tuple[Share, ...], side: str) -> str:
    """The rule's changes, then those of single destinations: `set x-a: b; to shop/canary: set x-canary: true`."""
    own = [
        (f"{share.target.service}/{share.target.version}", _operations(getattr(share.headers, side)))
        for share in shares
        if share.headers is not None
    ]
    changed = sorted((name, words) for name, words in own if words != UNCHANGED)
    if not changed:
        return _operations(of_rule)
    first = [] if _operations(of_rule) == UNCHANGED else [_operations(of_rule)]
    return "; ".join([*first, *(f"requests to {name}: {words}" for name, words in changed)])


def _cookie(rule: Rule, outcome: Forwarded) -> str:
    if rule.sticky is None or not any(share.set_cookie for share in outcome.shares):
        return NONE
    return f"set {rule.sticky.cookie} for {rule.sticky.ttl}"


def _cors(rule: Rule | None, headers: Mapping[str, str]) -> str:
    if not headers or rule is None or rule.cors_policy is None:
        return NONE
    return plain_words(
        rule.cors_policy.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)
    )


def _retries(retries: RetryPolicy | None) -> str:
    if retries is None:
        return NONE
    words = [f"{retries.attempts} on {retries.retry_on}", f"after {retries.backoff:g} s"]
    words += [f"at most {retries.per_try_timeout:g} s each"] if retries.per_try_timeout else []
    words += [] if retries.to_other_hosts else ["also to the same pod"]
    return ", ".join(words + (["to other localities"] if retries.remote_localities else []))


def _mirrors(mirrors: tuple[Share, ...]) -> str:
    copies = sorted((f"{one.target.service}/{one.target.version}", one.probability) for one in mirrors)
    return ", ".join(f"{percent(probability)} to {name}" for name, probability in copies) or NONE


def _path(simulator: Simulator, decision: Decision, rule: Rule) -> str:
    rewrite = rule.rewrite
    if rewrite is None or (rewrite.uri is None and rewrite.uri_regex_rewrite is None):
        return UNCHANGED
    if rewrite.uri_regex_rewrite is not None:
        return f"{rewrite.uri_regex_rewrite.match} becomes {rewrite.uri_regex_rewrite.rewrite}"
    uri = _matched_uri(simulator, decision, rule)
    matched = (uri.prefix or uri.exact or uri.regex) if uri is not None else "the whole path"
    return f"{matched}{'…' if uri is not None and uri.prefix else ''} becomes {rewrite.uri}"


def _matched_uri(simulator: Simulator, decision: Decision, rule: Rule) -> StringMatch | None:
    """The condition on the path by which the request met the rule."""
    seen = decision.seen
    assert seen is not None  # it met a rule
    placed = (
        seen
        if seen.inside or decision.gateway is None
        else seen.at(decision.gateway, simulator.proxy_of(decision.gateway))
    )
    met = (match for match in rule.match if all(condition.holds(placed) for condition in conditions(match)))
    return next((match.uri for match in met), None)
