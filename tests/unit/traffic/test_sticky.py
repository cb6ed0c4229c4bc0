"""A sticky rule as plain steps."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from traffic.fields import compiled
from traffic.model import Match, Rule, cookies_pattern
from traffic.sticky import steps, steps_of

STICKY = {"cookie": "website-version", "ttl": "1h30m"}
TESTERS = {"headers": {"qa": {"exact": "canary-test"}}}


def rule(**given: Any) -> Rule:
    """A rule from a stack's file."""
    return Rule.model_validate(given)


def cookies(match: Match) -> dict[str, str | None]:
    """The cookies that a match requires."""
    return {name: want.exact for name, want in match.cookies.items()}


def test_a_rule_that_is_not_sticky_is_a_single_step() -> None:
    plain = rule(to={"version-1": 90, "version-2": 10}, timeout="3s")

    (step,) = steps(plain)
    assert (step.rule, step.set_cookie) == (plain, {})


def test_a_known_user_stays_and_a_new_one_follows_the_weights() -> None:
    *kept, weights = steps(rule(to={"version-1": 90, "version-2": 10}, sticky=STICKY))

    assert [(cookies(step.rule.match[0]), step.rule.to) for step in kept] == [
        ({"website-version": "version-1"}, "version-1"),
        ({"website-version": "version-2"}, "version-2"),
    ]
    assert [step.set_cookie for step in kept] == [{}, {}], "the cookie's time runs from when the user was sent there"
    assert (weights.rule.match, weights.rule.weights) == ((), {"version-1": 90, "version-2": 10})
    assert weights.set_cookie == {
        version: f"website-version={version}; Max-Age=5400; Path=/; HttpOnly; SameSite=Lax"
        for version in ("version-1", "version-2")
    }


def test_a_version_at_0_loses_its_users() -> None:
    *kept, weights = steps(rule(to={"version-1": 100, "version-2": 0}, sticky=STICKY))

    assert [step.rule.to for step in kept] == ["version-1"]
    assert list(weights.set_cookie) == ["version-1"]


def test_each_match_of_the_rule_is_combined_with_the_cookie() -> None:
    other = {"uri": {"prefix": "/shop"}}
    first, *_, weights = steps(rule(match=[TESTERS, other], to={"version-1": 50, "version-2": 50}, sticky=STICKY))

    assert [cookies(match) for match in first.rule.match] == [{"website-version": "version-1"}] * 2
    assert [match.model_copy(update={"cookies": {}}) for match in first.rule.match] == list(weights.rule.match)


def test_other_actions_of_a_rule_apply_in_every_step() -> None:
    given_ = rule(to={"version-1": 50, "version-2": 50}, sticky=STICKY, timeout="3s", rewrite={"uri": "/new"})

    for step in steps(given_):
        assert (step.rule.timeout, step.rule.rewrite, step.rule.sticky) == ("3s", given_.rewrite, None)


def test_steps_have_the_index_of_their_rule() -> None:
    route = (rule(match=[TESTERS], to="version-2"), rule(to={"version-1": 90, "version-2": 10}, sticky=STICKY))

    assert [index for index, _ in steps_of(route)] == [0, 1, 1, 1]


@given(st.dictionaries(st.sampled_from(["version-1", "version-2", "shop/version-1"]), st.integers(1, 98), min_size=1))
def test_the_cookie_that_is_set_only_leads_back_to_its_version(weights: dict[str, int]) -> None:
    last = 100 - sum(weights.values())
    given_ = Rule.model_construct(
        to={**weights, "version-3": max(last, 1)}, sticky=rule(to={"a": 50, "b": 50}, sticky=STICKY).sticky
    )

    *kept, chosen = steps(given_)
    for version, header in chosen.set_cookie.items():
        sent_back = f"theme=dark; {header.partition(';')[0]}; other=1"
        takers = [
            step.rule.to
            for step in kept
            for name, want in step.rule.match[0].cookies.items()
            if compiled(cookies_pattern({name: want})).fullmatch(sent_back)
        ]
        assert takers == [version]
