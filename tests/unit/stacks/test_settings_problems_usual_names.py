"""What a person writes as Istio's and Kubernetes' own pages have it is answered with this file's way to say the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.problems import (
    HERE,
    SHOP,
    Case,
    assert_is_reported,
    assert_is_reported_once,
    config,
    only,
)

SERVERS = f"gateways:\n  edge:\n    servers: [{{port: 80, hosts: ['%s']}}] {HERE}\nservices: {{}}"

CASES = [
    # Hosts as Istio's Gateway has them, with a namespace.
    *(
        Case(f"a server of {host}", config(SERVERS % host), "istio-canary:gateways.edge.servers[0].hosts[0]",
             (f"fix:     write '{fix}'",))
        for host, fix in (("*/shop.example.com", "shop.example.com"), ("./*.example.com", "*.example.com"))
    ),
    Case("a service's host with a namespace", only("hosts: ['istio-ingress/shop.example.com']"), f"{SHOP}.hosts[0]",
         ("fix:     write 'shop.example.com'",)),
    Case("a short name with a namespace", only("hosts: ['*/shop']"), f"{SHOP}.hosts[0]",
         ("write shop.example.com, for example",)),
    Case("a host with a port", only("hosts: ['shop.example.com:8080']"), f"{SHOP}.hosts[0]",
         ("write 'shop.example.com'; the port is the service's `gatewayPort`",)),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_mistake_is_reported_with_its_line_path_and_fix(case: Case, tmp_path: Path) -> None:
    assert_is_reported(case, tmp_path)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_one_mistake_is_not_reported_many_times(case: Case, tmp_path: Path) -> None:
    assert_is_reported_once(case, tmp_path)
