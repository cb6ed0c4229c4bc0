"""What the whole mesh does to requests: paths, headers of proxies in front, retries. Measured on Envoy 1.40."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.route_tables import table
from traffic.diff import Part, traffic_diff
from traffic.model import MeshTraffic, PathNormalization, Retries
from traffic.simulate import Caller, Forwarded, Redirected, Refused, Request, RetryPolicy, Simulator
from traffic.simulate.client_address import trusted_client_address
from traffic.simulate.path import normalized

NONE, BASE, MERGE, DECODE = PathNormalization
HOST = "shop.example.com"
CONNECTION = "192.0.2.1"

PATHS: list[tuple[str, str | None, str | None, str | None, str | None]] = [
    # path, NONE, BASE, MERGE_SLASHES, DECODE_AND_MERGE_SLASHES
    ("/a//b", "/a//b", "/a//b", "/a/b", "/a/b"),
    ("/a//", "/a//", "/a//", "/a/", "/a/"),
    ("///", "///", "///", "//", "//"),
    ("/a/..//b", "/a/..//b", "//b", "/b", "/b"),
    ("/a%2Fb", "/a%2Fb", "/a%2Fb", "/a%2Fb", "/a/b"),
    ("/a%5cb", "/a%5cb", "/a%5cb", "/a%5cb", "/a/b"),
    ("/a\\\\b", "/a\\\\b", "/a//b", "/a/b", "/a/b"),
    ("/a%2F..%2Fb", "/a%2F..%2Fb", "/a%2F..%2Fb", "/a%2F..%2Fb", "/b"),
    ("/a%252Fb", "/a%252Fb", "/a%252Fb", "/a%252Fb", "/a%252Fb"),
    ("/%2F", "/%2F", "/%2F", "/%2F", "//"),
    ("/%41", "/%41", "/A", "/A", "/A"),
    ("/a%00", "/a%00", None, None, None),
    ("/..;x%00", "/..;x%00", "/", "/", "/"),
    ("/a b", None, None, None, None),
]


@pytest.mark.parametrize(("path", "none", "base", "merge", "decode"), PATHS)
def test_a_path_is_normalised_as_the_mesh_says(
    path: str, none: str | None, base: str | None, merge: str | None, decode: str | None
) -> None:
    assert [normalized(path, how) for how in PathNormalization] == [none, base, merge, decode]


@given(st.text(alphabet="ab/%2F5cC\\.;", max_size=12), st.sampled_from([BASE, MERGE]))
def test_a_normalised_path_stays_as_it_is(path: str, how: PathNormalization) -> None:
    once = normalized(f"/{path}", how)

    if once is not None and "%" not in once and "/.." not in once and "/.;" not in once:
        assert normalized(once, how) == once


@pytest.mark.parametrize(
    ("header", "trusted", "address"),
    [
        ("198.51.100.7", 0, CONNECTION),
        (None, 1, CONNECTION),
        ("198.51.100.7", 1, "198.51.100.7"),
        ("198.51.100.7, 203.0.113.9", 1, "203.0.113.9"),
        ("198.51.100.7 , 203.0.113.9", 2, "198.51.100.7"),
        ("198.51.100.7", 2, CONNECTION),
        ("198.51.100.7,", 1, CONNECTION),
        ("198.51.100.7,", 2, "198.51.100.7"),
        ("198.51.100.7,b", 1, CONNECTION),
        ("198.51.100.7,b", 2, "198.51.100.7"),
        ("198.51.100.7:8080", 1, CONNECTION),
        ("[2001:db8::1]", 1, CONNECTION),
        ("2001:DB8:0::1", 1, "2001:db8::1"),
        ("::ffff:1.2.3.4", 1, "::ffff:1.2.3.4"),
        ("01.2.3.4", 1, CONNECTION),
        ("10.0.0.1", 1, "10.0.0.1"),
    ],
)
def test_the_caller_has_the_address_that_the_trusted_proxies_report(
    header: str | None, trusted: int, address: str
) -> None:
    assert trusted_client_address(CONNECTION, header, trusted) == address


@given(st.ip_addresses(v=4), st.lists(st.ip_addresses(v=4), max_size=3), st.integers(0, 4))
def test_what_a_caller_puts_into_x_forwarded_for_is_only_believed_behind_that_many_proxies(
    forged: Any, proxies: list[Any], trusted: int
) -> None:
    header = ",".join(map(str, [forged, *proxies]))

    if trusted <= len(proxies) and str(forged) not in map(str, [*proxies, CONNECTION]):
        assert trusted_client_address(CONNECTION, header, trusted) != str(forged)


TO_HTTPS: list[dict[str, Any]] = [
    {"match": [{"headers": {"x-forwarded-proto": {"exact": "http"}}}], "redirect": {"scheme": "https"}},
    {"to": "version-1"},
]


def shop(mesh: MeshTraffic, *rules: dict[str, Any], **given: Any) -> Simulator:
    """A simulator of a shop in this mesh."""
    return Simulator(table(shop={"hosts": [HOST], "route": list(rules), **given}), mesh=mesh)


@pytest.mark.parametrize(
    ("trusted", "header", "kind"),
    [
        (0, "https", Redirected),
        (0, "http", Redirected),
        (1, "https", Forwarded),
        (1, "http", Redirected),
        (1, None, Redirected),
        (1, "", Refused),
    ],
)
def test_x_forwarded_proto_is_believed_of_trusted_proxies_alone(trusted: int, header: str | None, kind: type) -> None:
    simulator = shop(MeshTraffic(num_trusted_proxies=trusted), *TO_HTTPS)
    headers = {} if header is None else {"x-forwarded-proto": header}

    assert isinstance(simulator.decide(Request(authority=HOST, headers=headers)).outcome, kind)


def test_a_sidecar_believes_x_forwarded_proto_whatever_the_gateway_trusts() -> None:
    simulator = shop(MeshTraffic(), *TO_HTTPS, gateways=["mesh"])
    request = Request(authority=HOST, headers={"x-forwarded-proto": "https"}, caller=Caller("shop"))

    assert isinstance(simulator.decide(request).outcome, Forwarded)


def test_a_rule_sees_the_callers_address_that_trusted_proxies_report() -> None:
    rule = {"match": [{"headers": {"x-envoy-external-address": {"exact": "198.51.100.7"}}}], "to": "version-2"}
    request = Request(authority=HOST, headers={"x-forwarded-for": "198.51.100.7"})

    taken = [shop(MeshTraffic(num_trusted_proxies=number), rule, {"to": "version-1"}).decide(request).index
             for number in (0, 1, 2)]  # fmt: skip

    assert taken == [1, 0, 1]


@pytest.mark.parametrize(
    ("default", "rule", "expected"),
    [
        (Retries(attempts=0), {}, None),
        (Retries(attempts=0), {"retries": {"attempts": 3, "retryOn": "reset"}}, RetryPolicy(3, "reset")),
        (Retries(attempts=1, retry_on="reset"), {}, RetryPolicy(1, "reset")),
        (Retries(attempts=1, retry_on="reset"), {"retries": {"attempts": 0}}, None),
    ],
)
def test_a_rule_without_retries_has_those_of_the_mesh(
    default: Retries, rule: dict[str, Any], expected: RetryPolicy | None
) -> None:
    simulator = shop(MeshTraffic(default_retries=default), {"to": "version-1", **rule})

    outcome = simulator.decide(Request(authority=HOST)).outcome

    assert isinstance(outcome, Forwarded)
    assert outcome.retries == expected


ADMIN: list[dict[str, Any]] = [{"match": [{"uri": {"prefix": "/shop/admin"}}], "to": "version-2"}, {"to": "version-1"}]


@pytest.mark.parametrize(
    ("before", "after", "rules", "part"),
    [
        (MeshTraffic(), MeshTraffic(default_retries=Retries(attempts=0)), ADMIN, Part.RETRIES),
        (MeshTraffic(), MeshTraffic(num_trusted_proxies=1), TO_HTTPS, Part.DESTINATION),
        (MeshTraffic(), MeshTraffic(path_normalization=MERGE), ADMIN, Part.DESTINATION),
        (MeshTraffic(path_normalization=MERGE), MeshTraffic(path_normalization=DECODE), ADMIN, Part.DESTINATION),
        (MeshTraffic(path_normalization=NONE), MeshTraffic(), ADMIN, Part.DESTINATION),
    ],
)
def test_a_comparison_finds_requests_that_change_with_the_mesh(
    before: MeshTraffic, after: MeshTraffic, rules: list[dict[str, Any]], part: Part
) -> None:
    diff = traffic_diff(shop(before, *rules), shop(after, *rules))

    assert part in {group.change.part for group in diff.groups}


def test_meshes_that_are_the_same_have_no_difference() -> None:
    one, other = (shop(MeshTraffic(num_trusted_proxies=1, path_normalization=MERGE), *TO_HTTPS) for _ in range(2))

    assert traffic_diff(one, other).groups == ()
