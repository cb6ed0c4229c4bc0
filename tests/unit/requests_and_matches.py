"""Hypothesis strategies for matches and requests: few texts, so that requests often match."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from traffic.model import Route, Rule
from traffic.simulate import Caller, Request

MatchData = dict[str, Any]


def route(*matches: MatchData | None) -> Route:
    """A route with a rule for each match; None is a rule without one."""
    return tuple(
        Rule.model_validate({"to": "v1"} if match is None else {"match": [match], "to": "v1"}) for match in matches
    )


TEXTS = st.sampled_from(["", "a", "b", "ab", "abc", "ba"])
COMPARED = st.one_of(
    TEXTS.filter(bool).map(lambda text: {"exact": text}),
    TEXTS.filter(bool).map(lambda text: {"prefix": text}),
    st.sampled_from([{"regex": "a*"}, {"regex": "ab?"}, {"regex": ".*"}]),
)
WANTS = COMPARED | st.just({"present": True})
PATHS = st.sampled_from(["/", "/a", "/A", "/ab", "/b"])
URIS = st.one_of(
    PATHS.map(lambda path: {"uri": {"exact": path}}),
    PATHS.map(lambda path: {"uri": {"prefix": path}, "ignoreUriCase": True}),
    st.sampled_from([{"uri": {"regex": "/a.*"}}, {"uri": {"prefix": "/a"}}]),
)
HEADERS = st.one_of(
    st.builds(lambda name, want: {name: {"x": want}}, st.sampled_from(["headers", "withoutHeaders"]), WANTS),
    st.builds(lambda one, two: {"headers": {"x": one}, "withoutHeaders": {"x": two}}, WANTS, WANTS),
    st.builds(lambda want: {"withoutHeaders": {"cookie": want}}, WANTS),
    st.builds(lambda name, want: {"cookies": {name: want}}, st.sampled_from(["c", "d"]), WANTS),
    st.sampled_from(["c=a", "c=ab; d=b"]).map(lambda text: {"headers": {"cookie": {"exact": text}}}),
)
METHODS = st.sampled_from(["GET", "POST", "PUT"])
TARGETS = st.one_of(
    METHODS.map(lambda method: {"method": {"exact": method}}),
    st.just({"method": {"prefix": "P"}}),
    COMPARED.map(lambda want: {"authority": want}),
    st.sampled_from(["http", "https"]).map(lambda scheme: {"scheme": {"exact": scheme}}),
    WANTS.map(lambda want: {"queryParams": {"q": want}}),
)
PLACES = st.one_of(
    st.sampled_from([80, 443]).map(lambda port: {"port": port}),
    st.sampled_from([["mesh"], ["g"], ["g", "mesh"]]).map(lambda names: {"gateways": names}),
    st.sampled_from([{"app": "a"}, {"tier": "b"}, {"app": "a", "tier": "b"}]).map(
        lambda labels: {"sourceLabels": labels}
    ),
    st.just({"sourceNamespace": "n"}),
)
MATCHES = st.one_of(
    URIS,
    HEADERS,
    TARGETS,
    PLACES,
    st.builds(lambda *parts: {key: value for part in parts for key, value in part.items()}, URIS, HEADERS),
    st.builds(lambda *parts: {key: value for part in parts for key, value in part.items()}, TARGETS, HEADERS),
    st.builds(lambda *parts: {key: value for part in parts for key, value in part.items()}, PLACES, TARGETS),
)
CALLERS = st.sampled_from(
    [None, None, Caller("n", {"app": "a"}), Caller("n", {"app": "a", "tier": "b"}), Caller("m", {"tier": "b"})]
)


def _request(
    x: list[str], cookies: list[str], query: str | None, caller: Caller | None, gateway: str, fixed: dict[str, Any]
) -> Request:
    path = fixed.pop("path") + ("" if query is None else f"?q={query}")
    headers = (*(("x", value) for value in x), *(("cookie", value) for value in cookies))
    return Request(headers=headers, path=path, caller=caller, gateway=None if caller else gateway, **fixed)


REQUESTS = st.builds(
    _request,
    st.lists(TEXTS, max_size=2),
    st.lists(st.sampled_from(["c=a", "c=ab; d=b", "d=abc", "c="]), max_size=2),
    st.none() | TEXTS,
    CALLERS,
    st.sampled_from(["g", "h"]),
    st.fixed_dictionaries(
        {"path": PATHS, "method": METHODS, "authority": TEXTS, "scheme": st.sampled_from(["http", "https"])}
    ),
)
