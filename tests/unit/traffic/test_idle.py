"""Which matches of a rule have no effect, where the match that is met decides how much of the path is replaced."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.requests_and_matches import MATCHES, REQUESTS, MatchData
from traffic.idle import idle_by, taken_by
from traffic.model import Match, Rule, StringMatch
from traffic.simulate import Request, conditions
from traffic.simulate.path import rewritten


def rule(matches: list[MatchData], new: str | None) -> Rule:
    """A rule with these matches, which replaces what they match of the path with `new`."""
    return Rule.model_validate({"match": matches, "to": "v1", **({"rewrite": {"uri": new}} if new else {})})


def prefix(text: str, **more: object) -> MatchData:
    """A match on the beginning of the path."""
    return {"uri": {"prefix": text}, **more}


def exact(text: str) -> MatchData:
    """A match on the whole path."""
    return {"uri": {"exact": text}}


QA = {"headers": {"qa": {"exact": "a"}}}
RULES: list[tuple[str, list[MatchData], str | None, list[int | None], list[int | None]]] = [
    ("a longer prefix first", [prefix("/a/b/"), prefix("/a/")], "/a/", [None, None], [None, None]),
    ("nothing is replaced", [prefix("/a/b/"), prefix("/a/")], None, [1, None], [None, None]),
    ("a shorter prefix first", [prefix("/a/"), prefix("/a/b/")], "/a/", [None, None], [None, 0]),
    ("a shorter prefix first, nothing replaced", [prefix("/a/"), prefix("/a/b/")], None, [None, 0], [None, None]),
    ("the same prefix and a header", [prefix("/a", **QA), prefix("/a")], "/", [1, None], [None, None]),
    ("an exact path and its own prefix", [exact("/a"), prefix("/a")], "/", [1, None], [None, None]),
    ("an exact path below a prefix", [exact("/a/b"), prefix("/a/")], "/", [None, None], [None, None]),
    ("no path is the prefix /", [{**QA, **prefix("/")}, QA], "/x/", [None, 0], [None, None]),
    ("a header and a prefix", [{**QA, **prefix("/a/")}, QA], "/x/", [None, None], [None, None]),
    ("a prefix after its header", [QA, {**QA, **prefix("/a/")}], "/x/", [None, None], [None, 0]),
    ("a regex replaces all", [{"uri": {"regex": "/a/b.*"}}, prefix("/a/")], "/", [None, None], [None, None]),
    ("a regex of one text", [{"uri": {"regex": "/a"}}, prefix("/a")], "/", [1, None], [None, None]),
    ("one between replaces more", [prefix("/a", **QA), prefix("/a/b"), prefix("/a")], "/", [None] * 3, [None] * 3),
    ("one between replaces as much", [prefix("/a", **QA), exact("/a"), prefix("/a")], "/", [None, 2, None], [None] * 3),
]  # fmt: skip


@pytest.mark.parametrize(("says", "matches", "new", "idle", "taken"), RULES, ids=[entry[0] for entry in RULES])
def test_a_match_is_idle_if_the_rule_does_the_same_without_it(
    says: str, matches: list[MatchData], new: str | None, idle: list[int | None], taken: list[int | None]
) -> None:
    made = rule(matches, new)
    assert [idle_by(made, index) for index in range(len(matches))] == idle, says
    assert [taken_by(made, index) for index in range(len(matches))] == taken, says


REWRITTEN = st.sampled_from([None, "/", "/new", "/new/"])


def path_after(matches: tuple[Match, ...], new: str | None, request: Request) -> str | None:
    """The path after the rule, None if no match is met."""
    seen = request.seen
    if seen is None:
        return None
    met = (match for match in matches if all(condition.holds(seen) for condition in conditions(match)))
    found = next(met, None)
    return None if found is None else rewritten(rule([prefix("/")], new).rewrite, found.uri, seen.path)


@settings(deadline=None, max_examples=300)
@given(st.lists(MATCHES, min_size=2, max_size=4), REWRITTEN, st.lists(REQUESTS, min_size=5, max_size=20))
def test_nothing_changes_without_an_idle_match(
    matches: list[MatchData], new: str | None, requests: list[Request]
) -> None:
    made = rule(matches, new)
    for index in range(len(matches)):
        if idle_by(made, index) is not None:
            left = (*made.match[:index], *made.match[index + 1 :])
            for request in requests:
                assert path_after(left, new, request) == path_after(made.match, new, request)


@settings(deadline=None, max_examples=200)
@given(st.lists(MATCHES, min_size=2, max_size=4), REWRITTEN, st.lists(REQUESTS, min_size=5, max_size=20))
def test_no_request_meets_a_match_that_is_taken(
    matches: list[MatchData], new: str | None, requests: list[Request]
) -> None:
    made = rule(matches, new)
    for index in range(len(matches)):
        if taken_by(made, index) is not None:
            for request in requests:
                without = path_after((*made.match[:index], *made.match[index + 1 :]), new, request)
                assert without == path_after(made.match, new, request)


def test_a_redirect_may_replace_a_prefix_too() -> None:
    class Replacing:
        prefix_rewrite = "/new/"

    matches = tuple(Match(uri=StringMatch(prefix=text)) for text in ("/a/b/", "/a/"))
    made = Rule.model_construct(match=matches, redirect=Replacing())
    assert idle_by(made, 0) is None
