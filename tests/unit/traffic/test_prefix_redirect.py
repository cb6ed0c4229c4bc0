"""Redirects that keep the rest of the path (Istio: HTTPRedirect.prefix_rewrite); each was seen at a gateway."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.route_tables import table
from traffic.diff import traffic_diff
from traffic.render import virtual_services
from traffic.simulate import Redirected, Request, Simulator


def rule(prefix: str, *, ignore_case: bool = False, **redirect: Any) -> dict[str, Any]:
    match = {"uri": {"prefix": prefix}, **({"ignoreUriCase": True} if ignore_case else {})}
    return {"match": [match], "redirect": redirect}


DOCS = rule("/docs/", authority="docs.example.com", prefixRewrite="/")


@pytest.mark.parametrize(
    ("given", "path", "location"),
    [
        (DOCS, "/docs/guide/a?x=1", "http://docs.example.com/guide/a?x=1"),
        (DOCS, "/docs/", "http://docs.example.com/"),
        (DOCS, "/docs/%2e%2e/docs/b//c%2Fd", "http://docs.example.com/b//c%2Fd"),
        (DOCS, "/docs/a%7eb?q=%20", "http://docs.example.com/a~b?q=%20"),
        (rule("/old", prefixRewrite="/new"), "/old/cart?y=2", "http://shop.example.com/new/cart?y=2"),
        (rule("/Old", ignore_case=True, prefixRewrite="/new"), "/OLDer", "http://shop.example.com/newer"),
        (rule("/sl", prefixRewrite="/"), "/sl/x", "http://shop.example.com//x"),
        (rule("/", scheme="https", prefixRewrite="/v2/"), "/a", "https://shop.example.com/v2/a"),
    ],
)
def test_the_prefix_is_replaced_and_the_rest_and_the_query_stay(
    given: dict[str, Any], path: str, location: str
) -> None:
    simulator = Simulator(table(shop={"route": [given, {"to": "version-1"}]}))
    outcome = simulator.decide(Request(authority="shop.example.com", path=path)).outcome
    assert isinstance(outcome, Redirected)
    assert outcome.location == location


def test_it_is_rendered_under_istios_name() -> None:
    specs = virtual_services(table(shop={"route": [DOCS]}), "shop", gateway_namespace="istio-ingress")
    assert specs["shop"]["http"][0]["redirect"] == {"authority": "docs.example.com", "prefixRewrite": "/"}


def test_a_changed_prefix_is_a_change_of_the_location() -> None:
    before, after = (
        Simulator(table(shop={"route": [rule(prefix, prefixRewrite="/new/"), {"to": "version-1"}]}))
        for prefix in ("/old/", "/old/er/")
    )
    shown = {(group.change.before, group.change.after) for group in traffic_diff(before, after).groups}
    assert ("redirect 301 to /new/<what follows /old/>", "redirect 301 to /new/<what follows /old/er/>") in shown
