"""Several cookies in one match, and a sticky cookie beside them: one regular expression for the header."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traffic.fields import LONGEST_REGEX, compiled
from traffic.model import Match, Route, Rule, ServiceRouting, StringMatch, cookies_pattern
from traffic.reach import covered_by
from traffic.render import virtual_services
from traffic.simulate import Forwarded, Request, Simulator, rule_for

NAMES = ("beta", "user", "website-version")
VALUES = st.sampled_from(["", "1", "on", "a.b", "v1"])
WANTS = st.one_of(
    st.sampled_from(["1", "on", "a.b", "v1"]).map(lambda text: StringMatch(exact=text)),
    st.sampled_from(["1", "o", "a.", "v"]).map(lambda text: StringMatch(prefix=text)),
    st.just(StringMatch(present=True)),
    st.sampled_from(["on|1", "a\\.b", "v[0-9]"]).map(lambda text: StringMatch(regex=text)),
)


def meets(want: StringMatch, value: str) -> bool:
    """Whether a value meets the condition, without the expression for the whole header."""
    if want.regex is not None:
        return compiled(want.regex).fullmatch(value) is not None
    return value == want.exact if want.exact is not None else value.startswith(want.prefix or "")


def route(*matches: dict[str, Any], sticky: bool = False) -> Route:
    """A rule for each match, and one for the rest; if sticky, each with weights and the cookie website-version."""
    to: Any = {"v1": 50, "v2": 50} if sticky else "v2"
    kept = {"sticky": {"cookie": "website-version", "ttl": "1h"}} if sticky else {}
    rules = [{"match": [match], "to": to, **kept} for match in matches]
    return tuple(Rule.model_validate(rule) for rule in (*rules, {"to": "v1"}))


@given(st.dictionaries(st.sampled_from(NAMES), WANTS, min_size=1), st.lists(st.tuples(st.sampled_from(NAMES), VALUES)))
def test_a_header_has_all_cookies_in_any_order_among_others(
    wants: dict[str, StringMatch], sent: list[tuple[str, str]]
) -> None:
    header = "; ".join(f"{name}={value}" for name, value in sent)
    expected = all(any(name == one and meets(want, value) for one, value in sent) for name, want in wants.items())
    assert (compiled(cookies_pattern(wants)).fullmatch(header) is not None) is expected


@given(st.dictionaries(st.sampled_from(NAMES), WANTS, min_size=1), st.lists(st.tuples(st.sampled_from(NAMES), VALUES)))
def test_the_simulator_decides_cookies_as_the_expression_does(
    wants: dict[str, StringMatch], sent: list[tuple[str, str]]
) -> None:
    header = "; ".join(f"{name}={value}" for name, value in sent)
    rule = Rule.model_validate({"match": [Match(cookies=wants)], "to": "v2"})
    expected = compiled(cookies_pattern(wants)).fullmatch(header) is not None
    assert (rule_for((rule,), Request(headers={"cookie": header})) == 0) is expected


def test_cookies_in_two_headers_are_not_in_one() -> None:
    rules = route({"cookies": {"a": {"exact": "1"}, "b": {"exact": "2"}}})
    assert rule_for(rules, Request(headers=(("cookie", "b=2; a=1"),))) == 0
    assert rule_for(rules, Request(headers=(("cookie", "a=1"), ("cookie", "b=2")))) == 1, "Envoy compares each header"


@pytest.mark.parametrize("order", list(permutations(["beta=1", "x=y", "website-version=v2"])))
def test_a_user_of_a_cookie_cohort_stays_on_the_version(order: tuple[str, ...]) -> None:
    table = {
        "shop": ServiceRouting.model_validate(
            {
                "namespace": "shop",
                "hosts": ["shop.example.com"],
                "gateways": ["shop-gateway"],
                "versions": {"v1": {}, "v2": {}},
                "route": route({"cookies": {"beta": {"exact": "1"}}}, sticky=True),
            }
        )
    }
    request = Request(headers={"cookie": "; ".join(order)}, authority="shop.example.com")
    decision = Simulator(table).decide(request)
    assert (decision.index, decision.sticks) == (0, True)
    assert isinstance(decision.outcome, Forwarded)
    assert [share.destination for share in decision.outcome.shares] == ["v2"]

    spec = virtual_services(table, "shop", gateway_namespace="istio-ingress")["shop"]
    expressions = [entry["match"][0]["headers"]["cookie"]["regex"] for entry in spec["http"][:3]]
    found = [compiled(one).fullmatch("; ".join(order)) is not None for one in expressions]
    assert found == [False, True, True], "those of v1, those of v2, all of the cohort"


def test_a_rule_with_more_cookies_is_covered_by_one_with_fewer() -> None:
    one, both = {"cookies": {"a": {"exact": "1"}}}, {"cookies": {"a": {"exact": "1"}, "b": {"exact": "2"}}}
    assert covered_by(route(one, both), 1) == 0
    assert covered_by(route(both, one), 1) is None


def test_expressions_that_istio_would_refuse_are_refused_here() -> None:
    with pytest.raises(ValueError, match="too long for Istio"):
        Match.model_validate({"cookies": {"a": {"exact": "b" * 400}, "c": {"exact": "d" * 400}}})
    fitting = Match.model_validate({"cookies": {"a": {"exact": "b" * 200}, "c": {"exact": "d" * 200}}})
    assert len(cookies_pattern(fitting.cookies)) <= LONGEST_REGEX
