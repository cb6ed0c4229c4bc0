"""A route as a Kubernetes Ingress: the same requests reach the same service."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.route_tables import table
from traffic.ingress import IngressPath, ends_like_an_ingress, paths_of
from traffic.model import Rule
from traffic.reach import covers
from traffic.render import ingress
from traffic.simulate import Request, rule_for

SHOP = [{"uri": {"prefix": "/shop/"}}, {"uri": {"exact": "/shop"}}]


@pytest.mark.parametrize(
    ("match", "paths"),
    [
        (None, [("/", "Prefix")]),
        ([{"uri": {"prefix": "/"}}], [("/", "Prefix")]),
        ([{"uri": {"exact": "/shop"}}], [("/shop", "Exact")]),
        (SHOP, [("/shop", "Prefix")]),
        ([*SHOP, {"uri": {"exact": "/cart"}}], [("/shop", "Prefix"), ("/cart", "Exact")]),
        ([{"uri": {"prefix": "/shop"}}], None),
        ([{"uri": {"prefix": "/shop/"}}], None),
        ([{"uri": {"regex": "/s.*"}}], None),
        ([{"uri": {"exact": "/shop"}, "ignoreUriCase": True}], None),
        ([{"uri": {"exact": "/shop"}, "method": {"exact": "GET"}}], None),
        ([{"headers": {"qa": {"exact": "yes"}}}], None),
    ],
    ids=str,
)
def test_the_paths_of_a_rule(match: Any, paths: list[tuple[str, str]] | None) -> None:
    rule = Rule.model_validate({"to": "v1", **({} if match is None else {"match": match})})

    assert paths_of(rule) == (None if paths is None else tuple(IngressPath(*path) for path in paths))


@pytest.mark.parametrize(
    ("rule", "ends"),
    [
        ({"directResponse": {"status": 404}}, True),
        ({"directResponse": {"status": 404, "body": "gone"}}, False),
        ({"directResponse": {"status": 403}}, False),
        ({"directResponse": {"status": 404}, "match": [{"uri": {"exact": "/"}}]}, False),
        ({"to": "v1"}, False),
    ],
    ids=str,
)
def test_an_ingress_answers_404_by_itself(rule: Any, ends: bool) -> None:
    assert ends_like_an_ingress(Rule.model_validate(rule)) == ends


def test_the_spec_has_a_path_for_each_and_a_rule_for_each_host() -> None:
    routes = table(
        shop={
            "hosts": ["shop.example.com", "*"],
            "ingressClassName": "istio",
            "route": [{"match": SHOP, "to": "cart/version-1"}, {"directResponse": {"status": 404}}],
        },
        cart={"port": 8080},
    )
    paths = [
        {"path": "/shop", "pathType": "Prefix", "backend": {"service": {"name": "cart", "port": {"number": 8080}}}}
    ]
    assert ingress(routes, "shop") == {
        "ingressClassName": "istio",
        "rules": [{"host": "shop.example.com", "http": {"paths": paths}}, {"http": {"paths": paths}}],
    }


def served(rules: list[Rule], path: str) -> int | None:
    """The rule whose path Kubernetes would choose: the longest one, and of equal ones the exact one."""
    fitting = [
        (len(one.path), one.path_type == "Exact", -index)
        for index, rule in enumerate(rules)
        for one in paths_of(rule) or ()
        if one.path == path or (one.path_type == "Prefix" and path.startswith(f"{one.path.rstrip('/')}/"))
    ]
    return -max(fitting)[2] if fitting else None


PATHS = st.lists(st.sampled_from(["a", "b", "ab"]), min_size=1, max_size=3).map(lambda parts: "/" + "/".join(parts))
MATCHES = PATHS.flatmap(
    lambda path: st.sampled_from(
        [[{"uri": {"exact": path}}], [{"uri": {"prefix": f"{path}/"}}, {"uri": {"exact": path}}]]
    )
)
ROUTES = st.lists(MATCHES, min_size=1, max_size=4)


@given(ROUTES, PATHS)
def test_an_ingress_leads_each_path_where_the_route_does(matches: list[Any], path: str) -> None:
    rules: list[Rule] = []
    for match in matches:  # those that no earlier rule takes a request from, as the checks require
        rule = Rule.model_validate({"match": match, "to": "v1"})
        alone = [Rule.model_construct(match=(one,)) for one in rule.match]
        if not any(covers(earlier, one) for earlier in rules for one in alone):
            rules.append(rule)

    assert served(rules, path) == rule_for(tuple(rules), Request(path=path))
