"""The ways in which a route can decide requests that enter at one place, in order: the first that holds decides."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from traffic.model import CorsPolicy, MeshTraffic, Rule, StringMatch
from traffic.simulate import Condition, Decision, Kind, Redirected, Refused, Simulator
from traffic.simulate.actions import cors_headers, retry_policy
from traffic.simulate.conditions import OF_PLACE
from traffic.simulate.request import Seen
from traffic.simulate.simulator import CompiledStep

PREFLIGHT, OTHER_ORIGIN = "preflight", "other origin"
"""What CORS does to requests that meet a rule: answer them, or add headers to the response."""
ANYTHING = StringMatch.model_construct(present=True)
TO_HTTPS, WITHOUT_ROUTE = "https", "none"


@dataclass(frozen=True)
class Check:
    """A condition that does not depend on the place; `seeds` are comparisons that give values for what it is about."""

    condition: Condition
    seeds: tuple[StringMatch, ...]


@dataclass(frozen=True)
class Branch:
    """One way to be decided: all `checks` must hold, and no earlier branch. Equal `outcome`, equal effects."""

    checks: tuple[Check, ...]
    outcome: tuple[object, ...]
    rule: Rule | None = None


def is_of_place(condition: Condition) -> bool:
    """Whether a condition depends on where and to which host a request is sent, not on its other content."""
    of_host = condition.kind in (Kind.HEADERS, Kind.WITHOUT_HEADERS) and condition.name == "host"
    return condition.kind in (*OF_PLACE, Kind.AUTHORITY, Kind.SCHEME) or of_host


def is_routed(decision: Decision) -> bool:
    """Whether the rules of a service decide, so that other requests at the same place may be decided differently."""
    no_rule = isinstance(decision.outcome, Refused) and decision.service is not None
    return decision.index is not None or no_rule


def placed(simulator: Simulator, decision: Decision) -> Seen:
    """Return a routed request as the routes see it where it entered."""
    seen = decision.seen
    assert seen is not None
    assert decision.gateway is not None
    return seen if seen.inside else seen.at(decision.gateway, simulator.proxy_of(decision.gateway))


def branches(simulator: Simulator, decision: Decision) -> tuple[Branch, ...]:
    """Return the branches at the place at which the decision's request enters."""
    if not is_routed(decision):
        words = TO_HTTPS if isinstance(decision.outcome, Redirected) else repr(decision.outcome)
        return (Branch((), (decision.service, words)),)
    service = decision.service
    assert service is not None
    seen = placed(simulator, decision)
    found: list[Branch] = []
    for step in simulator.route(service).steps:
        found += _of_step(service, step, seen, simulator.mesh)
        if found and not found[-1].checks:
            return tuple(found)
    return (*found, Branch((), (service, WITHOUT_ROUTE)))


def _of_step(service: str, step: CompiledStep, seen: Seen, mesh: MeshTraffic) -> Iterator[Branch]:
    if not step.matches:
        yield from _variants(service, step, (), None, mesh)
    for match, conditions in step.matches:
        if all(condition.holds(seen) for condition in conditions if is_of_place(condition)):
            rest = tuple(_check(condition) for condition in conditions if not is_of_place(condition))
            yield from _variants(service, step, rest, match.uri, mesh)


def _variants(
    service: str, step: CompiledStep, checks: tuple[Check, ...], uri: StringMatch | None, mesh: MeshTraffic
) -> Iterator[Branch]:
    """The branch of a match; before it, those of the requests that CORS answers or whose response it changes."""
    rule = step.step.rule
    actions = rule.model_copy(update={"match": (), "name": None})
    replaces = (rule.rewrite and rule.rewrite.uri) or (rule.redirect and rule.redirect.prefix_rewrite)
    rewritten = uri if replaces else None
    retries = retry_policy(rule.retries or mesh.default_retries) if rule.to is not None else None
    outcome = (service, actions, tuple(step.step.set_cookie.items()), rewritten, retries)
    if rule.cors_policy is not None and not rule.redirect and not rule.direct_response:
        for kind, extra in _cors(rule.cors_policy):
            yield Branch((*checks, *extra), (*outcome, kind), rule)
    yield Branch(checks, outcome, rule)


def _check(condition: Condition) -> Check:
    want = condition.want
    return Check(condition, (want,) if isinstance(want, StringMatch) else ())


def _cors(policy: CorsPolicy) -> Iterator[tuple[str, tuple[Check, ...]]]:
    name = policy.model_dump_json()
    origins = tuple(
        StringMatch(exact="https://any.example") if want.exact == "*" else want for want in policy.allow_origins
    )
    allowed = Condition(Kind.HEADERS, "origin", (name,), holds=lambda seen: bool(cors_headers(policy, seen)))
    given = Condition(Kind.HEADERS, "origin", ("given",), holds=lambda seen: bool(seen.headers.get("origin", ("",))[0]))
    asks = "access-control-request-method"
    asked = Condition(Kind.HEADERS, asks, ("given",), holds=lambda seen: bool(seen.headers.get(asks, ("",))[0]))
    options = Condition(Kind.METHOD, "", ("OPTIONS",), holds=lambda seen: seen.method == "OPTIONS")
    origin = given if policy.unmatched_preflights == "IGNORE" else allowed
    preflight = (Check(options, (StringMatch(exact="OPTIONS"),)), Check(asked, (StringMatch(exact="GET"),)))
    yield PREFLIGHT, (*preflight, Check(origin, origins))
    yield OTHER_ORIGIN, (Check(allowed, origins),)
