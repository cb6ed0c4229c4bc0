"""A comparison of route tables: every witness changes as said, and no change that requests show is missed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.differential.cases import routing
from tests.differential.expected import GATEWAYS, PROXY, as_request
from tests.differential.requests import requests
from tests.differential.tables import tables
from tests.unit.requests_and_matches import MATCHES, REQUESTS
from tests.unit.route_tables import table
from traffic.diff import Change, Part, RuleChangeKind, TrafficDiff, changed_rules, changes, effect, traffic_diff
from traffic.diff.texts import samples, shortened, texts
from traffic.model import Rule, StringMatch
from traffic.simulate import Caller, Request, Simulator, text_matches

Rules = list[dict[str, Any]]
QUICK = settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
HOST = "shop.example.com"


def shop(*rules: dict[str, Any], **given: Any) -> dict[str, Any]:
    """A shop with these rules, two versions, and one host."""
    return {"hosts": [HOST], "route": list(rules), **given}


def compared(before: dict[str, Any], after: dict[str, Any]) -> TrafficDiff:
    """The comparison of two tables, given as services by name."""
    return traffic_diff(Simulator(table(**before)), Simulator(table(**after)))


def said(diff: TrafficDiff) -> set[tuple[str, str]]:
    """The changes of destinations from outside."""
    outside = (group for group in diff.groups if group.witness.request.caller is None)
    return {(one.change.before, one.change.after) for one in outside if one.change.part is Part.DESTINATION}


QA = {"match": [{"headers": {"qa": {"exact": "canary-test"}}}], "to": "version-2"}
SPLIT = {"to": {"version-1": 90, "version-2": 10}}
ALL = {"to": {"version-1": 100, "version-2": 0}}

DESTINATIONS = st.sampled_from(
    [
        {"to": "version-1"},
        {"to": "version-2"},
        SPLIT,
        {"to": {"version-1": 50, "version-2": 50}, "sticky": {"cookie": "s", "ttl": "1h"}},
        {"redirect": {"uri": "/a"}},
        {"redirect": {"authority": "a"}},
        {"directResponse": {"status": 503}},
        {"to": "version-1", "rewrite": {"uri": "/b"}},
        {"to": "version-1", "timeout": "1s"},
        {"to": "version-1", "rewrite": {"uriRegexRewrite": {"match": "/ab", "rewrite": "/x"}}},
        {"to": "version-1", "corsPolicy": {"allowOrigins": [{"exact": "https://a.example"}]}},
        {"to": "version-1", "fault": {"abort": {"httpStatus": 500, "percentage": {"value": 50}}}},
        {"to": "version-2", "headers": {"request": {"set": {"x-a": "b"}}}, "mirrors": [{"to": "version-1"}]},
    ]
)


def _rule(match: dict[str, Any] | None, actions: dict[str, Any]) -> dict[str, Any]:
    matched = {} if match is None else {"match": [match]}
    if "sticky" in actions and match is not None and ("cookies" in match or "cookie" in match.get("headers", {})):
        actions = SPLIT
    return {**actions, **matched}


RULES = st.lists(st.builds(_rule, st.none() | MATCHES | MATCHES, DESTINATIONS), min_size=1, max_size=4)


def _is_valid(place: dict[str, Any]) -> bool:
    """Whether the hosts have a gateway: `*` does not apply inside the mesh."""
    return place["hosts"] != ["*"] or "shop-gateway" in place["gateways"]


PLACES: st.SearchStrategy[dict[str, Any]] = st.builds(
    lambda hosts, gateways, port: {"hosts": hosts, "gateways": gateways, "gatewayPort": port},
    st.sampled_from([["*"], ["a.example"], ["*.example"], ["a.example", "b.example"]]),
    st.sampled_from([["shop-gateway"], ["shop-gateway", "mesh"], ["mesh"]]),
    st.sampled_from([80, 80, 443]),
).filter(_is_valid)
TABLES = st.builds(lambda place, rules: {"shop": {**place, "route": rules}}, PLACES, RULES)


@st.composite
def changed_tables(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two tables that have rules in common."""
    before, other = draw(TABLES), draw(TABLES)
    rules = draw(st.permutations([*before["shop"]["route"], *other["shop"]["route"][:1]]))
    place = draw(st.sampled_from([before, other]))["shop"]
    return before, {"shop": {**place, "route": rules}}


def _sent(request: Request, host: str) -> Request:
    """A random request as it would be sent: to any Gateway of its port, and to a host of the tables."""
    gateway = None
    scheme, port = ("http", 80 if request.scheme == "http" else 443)
    return Request(request.headers, request.path, request.method, host, scheme, port, gateway, request.caller)


@given(
    changed_tables(),
    st.lists(st.tuples(REQUESTS, st.sampled_from(["a.example", "c.example", "ab", "shop.shop"])), max_size=60),
)
@QUICK
def test_whenever_a_random_request_changes_there_is_a_group_that_says_so(
    pair: tuple[dict[str, Any], dict[str, Any]], several: list[tuple[Request, str]]
) -> None:
    before, after = (Simulator(table(**one)) for one in pair)
    _is_complete(before, after, [_sent(request, host) for request, host in several])


@st.composite
def rich_tables(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any], list[Any]]:
    """Tables with every part of the model, and requests for them."""
    before, after = draw(tables()), draw(tables())
    sent = draw(st.lists(st.one_of(requests(before), requests(after)), min_size=20, max_size=20))
    return before, after, sent


@given(rich_tables())
@settings(QUICK, max_examples=5)
def test_no_change_is_missed_between_tables_with_every_part_of_the_model(
    case: tuple[dict[str, Any], dict[str, Any], list[Any]],
) -> None:
    before, after = (Simulator(routing(one), GATEWAYS, PROXY) for one in case[:2])
    _is_complete(before, after, [as_request(request) for request in case[2]])


def _is_complete(before: Simulator, after: Simulator, sent: Sequence[Request]) -> None:
    diff = traffic_diff(before, after)
    keys = {group.key for group in diff.groups}
    for group in diff.groups:
        witness = group.witness.request
        assert group.change in changes(effect(before, witness), effect(after, witness)), f"{witness} does not change"
    for request in sent:
        old, new = effect(before, request), effect(after, request)
        for change in changes(old, new):
            if diff.is_complete:
                assert (old.decision.service, new.decision.service, change) in keys, f"{request} is missed"


@given(TABLES)
@QUICK
def test_a_table_does_not_differ_from_itself(one: dict[str, Any]) -> None:
    assert traffic_diff(Simulator(table(**one)), Simulator(table(**one))) == TrafficDiff(())


@given(changed_tables())
@QUICK
def test_the_comparison_in_the_other_direction_says_the_opposite(pair: tuple[dict[str, Any], dict[str, Any]]) -> None:
    there, back = compared(*pair), compared(*reversed(pair))
    opposite = {(group.after, group.before, group.change.mirrored) for group in back.groups}
    assert {group.key for group in there.groups} == opposite
    for one, other in zip(there.services, back.services, strict=True):
        assert [change.mirrored for change in one.settings] == list(other.settings)


@given(TABLES, MATCHES, DESTINATIONS)
@QUICK
def test_a_rule_that_no_request_reaches_has_no_witness(
    one: dict[str, Any], match: dict[str, Any], actions: dict[str, Any]
) -> None:
    route = [*one["shop"]["route"], {"to": "version-1"}]
    before = {"shop": {**one["shop"], "route": route}}
    after = {"shop": {**one["shop"], "route": [*route, _rule(match, actions)]}}
    diff = compared(before, after)
    assert diff.groups == ()
    assert [rule.kind for service in diff.services for rule in service.rules] == [RuleChangeKind.ADDED]


REQUESTS_THAT_CHANGE: list[tuple[str, dict[str, Any], dict[str, Any], set[tuple[str, str]]]] = [
    ("weights", shop(SPLIT), shop({"to": {"version-1": 75, "version-2": 25}}),
     {("shop/version-1 90 %, shop/version-2 10 %", "shop/version-1 75 %, shop/version-2 25 %")}),
    ("the order of weights", shop(SPLIT), shop({"to": {"version-2": 10, "version-1": 90}}), set()),
    ("a header rule", shop(ALL), shop(QA, ALL), {("shop/version-1", "shop/version-2")}),
    ("the same by other means", shop(QA, ALL), shop({**QA, "match": [{"headers": {"qa": {"regex": "canary-test"}}}]},
     ALL), set()),
    ("no rule for the rest", shop(ALL), shop(QA), {("shop/version-1", "status 404"),
     ("shop/version-1", "shop/version-2")}),
    ("a redirect to the same place", shop({"redirect": {"authority": HOST, "scheme": "https"}}),
     shop({"redirect": {"scheme": "https"}}), set()),
    ("a redirect with other words", shop({"redirect": {"authority": HOST}}), shop({"redirect": {"uri": "/new"}}),
     {(f"redirect 301 to <scheme>://{HOST}<path>", "redirect 301 to /new")}),
    ("a fault", shop(ALL), shop({**ALL, "fault": {"abort": {"grpcStatus": "UNKNOWN", "percentage": {"value": 25}}}}),
     {("shop/version-1", "shop/version-1 75 %, gRPC status UNKNOWN 25 %")}),
    ("another port", shop(ALL), shop(ALL, gatewayPort=8080), {("shop/version-1", "no connection"),
     ("no connection", "shop/version-1"), ("status 404", "no connection"), ("no connection", "status 404")}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [case[1:] for case in REQUESTS_THAT_CHANGE],
    ids=[case[0].replace(" ", "-") for case in REQUESTS_THAT_CHANGE],
)
def test_destinations_are_compared_by_what_happens_to_requests(
    before: dict[str, Any], after: dict[str, Any], expected: set[tuple[str, str]]
) -> None:
    assert said(compared({"shop": before}, {"shop": after})) == expected


def test_a_witness_is_the_simplest_request_that_changes() -> None:
    cart = {"match": [{"uri": {"prefix": "/cart"}, "method": {"exact": "POST"}}], "to": "version-2"}
    (group,) = compared({"shop": shop(ALL)}, {"shop": shop(cart, QA, ALL)}).groups
    assert group.witness.request == Request((("qa", "canary-test"),), "/", authority=HOST, port=80)


def test_a_request_must_avoid_the_rules_before() -> None:
    first = {"match": [{"headers": {"qa": {"prefix": "canary"}}}, {"method": {"exact": "GET"}}], "to": "version-1"}
    before, after = shop(first, ALL), shop(first, QA, {"match": [{"uri": {"prefix": "/x"}}], "to": "version-2"}, ALL)
    (group,) = compared({"shop": before}, {"shop": after}).groups
    assert (group.witness.request.method, group.witness.request.path) == ("HEAD", "/x")
    assert group.witness.request.pairs == ()


def test_lesser_effects_are_groups_of_their_own() -> None:
    before = shop({**ALL, "timeout": "1s"})
    after = shop({**ALL, "timeout": "2s", "retries": {"attempts": 0}})
    found = [group.change for group in compared({"shop": before}, {"shop": after}).groups]
    assert Change(Part.TIMEOUT, "1 s", "2 s") in found
    assert {change.part for change in found} == {Part.TIMEOUT, Part.RETRIES}


def test_callers_inside_the_mesh_are_told_apart_by_their_labels() -> None:
    inside = {"gateways": ["mesh"]}
    rule = {"match": [{"sourceLabels": {"app": "cart"}, "sourceNamespace": "sales"}], "to": "version-2"}
    (group,) = compared({"shop": shop(ALL, **inside)}, {"shop": shop(rule, ALL, **inside)}).groups
    assert group.witness.request.caller == Caller("sales", {"app": "cart"})
    assert group.witness.request.authority == "shop.shop"


KINDS = RuleChangeKind
ROUTES: list[tuple[str, Rules, Rules, list[tuple[RuleChangeKind, int | None, int | None]]]] = [
    ("added", [ALL], [QA, ALL], [(KINDS.ADDED, None, 0)]),
    ("removed", [QA, ALL], [ALL], [(KINDS.REMOVED, 0, None)]),
    ("moved", [QA, {**QA, "match": [{"port": 80}]}, ALL], [{**QA, "match": [{"port": 80}]}, QA, ALL],
     [(KINDS.MOVED, 0, 1)]),
    ("changed", [QA, ALL], [QA, SPLIT], [(KINDS.CHANGED, 1, 1)]),
    ("its match changed", [QA, ALL], [{**QA, "match": [{"port": 80}]}, ALL], [(KINDS.CHANGED, 0, 0)]),
    ("its name stays", [{**QA, "name": "a"}, ALL], [{"match": [{"port": 80}], "to": "version-1", "name": "a"}, ALL],
     [(KINDS.CHANGED, 0, 0)]),
    ("the same", [QA, ALL], [QA, ALL], []),
]  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after", "expected"), [case[1:] for case in ROUTES], ids=[case[0].replace(" ", "-") for case in ROUTES]
)
def test_rules_are_recognised_by_what_they_match(
    before: Rules, after: Rules, expected: list[tuple[RuleChangeKind, int | None, int | None]]
) -> None:
    routes = (tuple(map(Rule.model_validate, rules)) for rules in (before, after))
    assert [(change.kind, change.before, change.after) for change in changed_rules(*routes)] == expected


def test_weights_are_compared_by_destination() -> None:
    one, other = Rule.model_validate(SPLIT), Rule.model_validate({"to": {"version-2": 25, "version-3": 75}})
    (change,) = changed_rules((one,), (other,))
    assert {(value.path, value.before, value.after) for value in change.changes} == {
        ("to.version-1", 90, 0),
        ("to.version-2", 10, 25),
        ("to.version-3", 0, 75),
    }


@pytest.mark.parametrize("pattern", ["canary-(test|beta)", ".*Firefox.*", "[0-9]+", "(?i)ABC", "a{2,4}b?"])
def test_texts_for_a_regular_expression_match_it_and_the_shortest_comes_first(pattern: str) -> None:
    want = StringMatch(regex=pattern)
    found = samples(want)
    assert found
    assert all(text_matches(want, text) for text in found)
    assert min(map(len, found)) == len(found[0])


def test_a_shortened_text_keeps_what_is_needed() -> None:
    assert shortened("xxFirefoxyy", lambda text: "Firefox" in text) == "Firefox"


def test_texts_meet_each_combination_of_comparisons() -> None:
    wants = [StringMatch(prefix="canary"), StringMatch(exact="canary-test"), StringMatch(regex=".*-.*")]
    found = {tuple(text_matches(want, text) for want in wants) for text in texts(wants)}
    assert found == {
        (False, False, False), (True, False, False), (True, True, True), (True, False, True), (False, False, True)
    }  # fmt: skip
