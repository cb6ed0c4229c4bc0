"""The parts of the differential test that need no cluster: generating, expecting, comparing and shrinking."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.differential.cases import Case, generate, routing
from tests.differential.cluster import owners, virtual_services
from tests.differential.compare import differences
from tests.differential.expected import Values, changed, expected_of
from tests.differential.order import Order
from tests.differential.place import UPSTREAMS
from tests.differential.shrink import is_valid, shrink, size
from tests.differential.wire import Answer, Upstream, WireRequest
from tests.unit import istio_crds
from traffic.model import HeaderOperations
from traffic.simulate import RetryPolicy

HOST = "shop.example.test"


def table(*rules: dict[str, Any], gateways: Sequence[str] = ("public",)) -> dict[str, Any]:
    """The settings of the service `shop` with these rules and a default rule."""
    versions: dict[str, Any] = {version: {} for version in UPSTREAMS["shop"].versions}
    route = [*rules, {"to": "version-1"}]
    shop = {"namespace": "differential", "hosts": [HOST], "gateways": list(gateways), "versions": versions}
    return {"shop": {**shop, "route": route}}


def arrived(pod: str = "shop-version-1", **changed_content: Any) -> Upstream:
    content: dict[str, Any] = {"method": "GET", "path": "/", "host": HOST, "headers": {}, "status": 200}
    return Upstream(**{**content, **changed_content, "pod": pod})


def answer(*seen: Upstream, status: int = 200, headers: tuple[tuple[str, str], ...] = (), body: str = "") -> Answer:
    """An answer, from the first of the pods if there are any."""
    text = body or (json.dumps({"pod": seen[0].pod}) if seen else "")
    return Answer(status=status, headers=headers, body=text, seconds=0.01, seen=seen)


BY_ENVOY = {"x-forwarded-proto": ("http",)}
PLAIN = arrived(headers=BY_ENVOY)


def compared(rules: Sequence[dict[str, Any]], request: WireRequest, got: Answer) -> str:
    return "; ".join(differences(expected_of(routing(table(*rules)), request), request, got))


@pytest.fixture(scope="module")
def generated() -> list[Case]:
    """Thirty cases: each call of `generate` starts a process."""
    return generate(30, 2, seed=1)


def test_a_seed_determines_the_cases(generated: list[Case]) -> None:
    assert generate(30, 2, seed=1) == generated
    assert generate(30, 2, seed=2) != generated


def test_generated_tables_can_be_applied(generated: list[Case]) -> None:
    for case in generated:
        assert is_valid(case.table), case.table
        rendered = virtual_services({7: case.at(7).routes})
        assert rendered
        for one in rendered.values():
            istio_crds.check(one)


def test_the_expected_answer_has_no_difference() -> None:
    assert compared((), WireRequest(authority=HOST), answer(PLAIN)) == ""


BLUE = {"headers": {"request": {"set": {"x-new": "blue"}}}, "to": "version-1"}
MIRRORED = {"mirrors": [{"to": "version-2"}], "to": "version-1"}
DELAYED = {"fault": {"delay": {"fixedDelay": "1s"}}, "to": "version-1"}
DIRECT = {"directResponse": {"status": 418, "body": "no"}}
STICKY = {"to": {"version-1": 100}, "sticky": {"cookie": "v", "ttl": "1h"}}


@pytest.mark.parametrize(
    ("rule", "got", "difference"),
    [
        (
            {"to": "version-1"},
            answer(arrived("shop-version-2", headers=BY_ENVOY)),
            "answered by: expected shop-version-1",
        ),
        ({"to": "version-1"}, answer(PLAIN, status=503), "status: expected 200, got 503"),
        ({"to": "version-1"}, answer(replace(PLAIN, path="/x")), "path at shop-version-1: expected '/', got '/x'"),
        ({"to": "version-1"}, answer(replace(PLAIN, host="x")), f"host at shop-version-1: expected '{HOST}'"),
        ({"to": "version-1"}, answer(PLAIN, PLAIN), "requests at the pods: expected {'shop-version-1': 1}"),
        ({"to": "version-1"}, answer(PLAIN, headers=(("x-rule", "1"),)), "header x-rule: expected (), got ('1',)"),
        ({"to": "version-1"}, answer(status=404), "answered by: expected shop-version-1, got Envoy itself"),
        (BLUE, answer(PLAIN), "header x-new: expected ('blue',), got ()"),
        (MIRRORED, answer(PLAIN), "requests at the pods"),
        (DELAYED, answer(PLAIN), "delay: expected 1.0 s"),
        (DIRECT, answer(status=418, body="yes"), "body: expected 'no', got 'yes'"),
        (STICKY, answer(PLAIN), "header set-cookie: expected"),
        ({"redirect": {"uri": "/new"}}, answer(status=301), f"location: expected http://{HOST}/new"),
    ],
)
def test_each_difference_is_found(rule: dict[str, Any], got: Answer, difference: str) -> None:
    assert difference in compared((rule,), WireRequest(authority=HOST), got)


@pytest.mark.parametrize(
    ("header", "retries", "tries"),
    [
        ((), RetryPolicy(2, "5xx"), (1, 200)),
        (("x-echo-status", "503"), RetryPolicy(2, "5xx"), (3, 503)),
        (("x-echo-status", "503 times=1 key=a"), RetryPolicy(2, "5xx"), (2, 200)),
        (("x-echo-status", "503 times=2 key=a"), RetryPolicy(1, "gateway-error"), (2, 503)),
        (("x-echo-status", "500"), RetryPolicy(2, "gateway-error"), (1, 500)),
        (("x-echo-status", "409"), RetryPolicy(2, "retriable-4xx"), (3, 409)),
        (("x-echo-status", "503"), RetryPolicy(2, "503,retriable-status-codes"), (3, 503)),
        (("x-echo-status", "503"), RetryPolicy(2, "connect-failure"), (1, 503)),
        (("x-echo-status", "503"), None, (1, 503)),
        (("x-echo-status", "soon"), RetryPolicy(2, "5xx"), (1, 400)),
    ],
)
def test_retries_are_counted_like_envoys(
    header: tuple[str, str], retries: RetryPolicy | None, tries: tuple[int, int]
) -> None:
    order = Order.of(WireRequest(authority=HOST, headers=(header,) if header else ()))
    assert order.tries(retries) == tries


def test_headers_are_removed_before_they_are_set_and_added() -> None:
    operations = HeaderOperations(set={"a": "1 %%"}, add={"a": "2", "b": "3"}, remove=("a", "b", "c"))
    before: Values = {"a": ("0",), "b": ("0",), "c": ("0",), "d": ("0",)}
    assert changed(before, operations) == {"a": ("1 %", "2"), "b": ("3",), "d": ("0",)}


def test_a_services_dns_name_goes_to_the_first_table_that_binds_it_to_the_mesh() -> None:
    outside, inside = routing(table()), routing(table(gateways=["public", "mesh"]))
    tables = {1: outside, 2: inside, 3: inside}
    assert owners(tables) == {"shop": 2}
    hosts = {name: manifest["spec"]["hosts"] for (_, name), manifest in virtual_services(tables).items()}
    own = "shop.differential.svc.cluster.local"
    assert {name: own in claimed for name, claimed in hosts.items()} == {
        "t1-shop": False,
        "t2-shop": True,
        "t3-shop": False,
    }


def test_a_counterexample_is_shrunk_to_what_it_needs() -> None:
    wrong = {"match": [{"headers": {"qa": {"exact": "a"}}, "uri": {"prefix": "/shop"}}], "to": "version-2"}
    request = WireRequest(authority=HOST, path="/shop/cart?q=1", method="PUT", headers=(("qa", "a"), ("x-user", "b")))
    tried: list[int] = []

    def remains(cases: Sequence[Case]) -> list[bool]:
        tried.append(len(cases))
        return ["version-2" in json.dumps(case.table["shop"]["route"]) and "qa" in str(case.requests) for case in cases]

    smallest = shrink(Case(table(BLUE, wrong, MIRRORED), (request,)), remains, at_once=10)
    assert smallest.table["shop"]["route"] in (
        [{"match": [{"uri": {"prefix": "/shop"}}], "to": "version-2"}],
        [{"to": "version-2"}],
        [{"mirrors": [{"to": "version-2"}], "to": "version-1"}],
    )
    assert smallest.requests[0] == WireRequest(authority=HOST, headers=(("qa", "a"),))
    assert size(smallest) < size(Case(table(wrong), (request,)))
    assert max(tried) <= 10, "at most `at_once` candidates are tried with one push"


def test_a_shrunk_table_can_be_applied() -> None:
    assert is_valid(table(BLUE))
    assert not is_valid({})
    assert not is_valid({"shop": {**table()["shop"], "hosts": []}}), "a gateway needs hosts"
    assert not is_valid(table({"to": "users/version-1"})), "the other service does not exist"
    assert not is_valid({"shop": {**table()["shop"], "route": []}})


def test_a_request_is_reported_as_a_curl_command() -> None:
    request = WireRequest(authority=HOST, path="//a?q", headers=(("qa", "a b"), ("empty", "")), port=443)
    assert request.curl("10.1.2.3") == (
        f"curl -sik --path-as-is -X GET -H 'Host: {HOST}' -H 'qa: a b' -H 'empty;' "
        f"--connect-to ::10.1.2.3:443 'https://{HOST}:443//a?q'"
    )
