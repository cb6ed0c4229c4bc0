"""Ten per cent to the new version, and the rest to what the stack does not make."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from canary.app import app
from stacks.settings.loading import load_stack, warnings
from stacks.simulator import simulator_of
from tests.unit.rendered import checked
from traffic import render
from traffic.model import EgressPort, ExternalService, OutsideVersion, ServiceProtocol, Target
from traffic.model.backend import backend
from traffic.model.egress import EgressProtocol
from traffic.simulate import Forwarded, Request, Upstream, upstream

CASES = Path(__file__).parent.parent.parent / "cases"
OUTSIDE = CASES / "share-with-a-host-outside"
ALREADY = CASES / "share-with-what-runs-already"
EXPECTED = [
    (folder, one) for folder in (OUTSIDE, ALREADY) for one in yaml.safe_load((folder / "expected.yaml").read_text())
]
destination_rule = checked(render.destination_rule)


def settings_of(folder: Path) -> Any:
    return load_stack(folder / "Pulumi.outside.yaml").settings


@pytest.mark.parametrize(("folder", "expected"), EXPECTED, ids=lambda one: getattr(one, "name", None) or one["path"])
def test_shares_go_to_what_runs_already(folder: Path, expected: dict[str, Any]) -> None:
    request = Request(authority="foo.example.com", path=expected["path"])
    outcome = simulator_of(settings_of(folder)).decide(request).outcome

    assert isinstance(outcome, Forwarded)
    assert {share.destination: share.probability * 100 for share in outcome.shares} == pytest.approx(expected["shares"])
    assert {share.destination: share.authority for share in outcome.shares if share.authority} == expected["sees"]


def routes_of(folder: Path) -> list[Any]:
    settings = settings_of(folder)
    specs = checked(render.virtual_services)(
        settings.services, "foo", gateway_namespace="istio-ingress", egress=settings.egress
    )
    return [rule["route"] for rule in specs["foo"]["http"]]


def test_a_host_outside_gets_its_own_host_header_in_its_share_alone() -> None:
    new, old = routes_of(OUTSIDE)[-1]

    assert old["destination"] == {"host": "foo.legacy.example.net", "port": {"number": 80}}
    assert old["headers"] == {"request": {"set": {"host": "foo.legacy.example.net"}}}
    assert "headers" not in new


def test_a_rewritten_authority_is_that_of_every_share() -> None:
    assert all("headers" not in one for one in routes_of(OUTSIDE)[2])


def test_callers_originate_tls_to_port_443_for_this_route_alone() -> None:
    foo = settings_of(OUTSIDE).services["foo"]
    (rule,) = checked(render.outside_destination_rules)("foo", foo).values()
    entries = checked(render.service_entries)("foo", foo)

    assert rule["host"] == "secure.legacy.example.net"
    assert rule["subsets"][0]["trafficPolicy"]["tls"]["mode"] == "SIMPLE"
    assert "trafficPolicy" not in rule, "other callers of the host may speak TLS themselves"
    assert routes_of(OUTSIDE)[1][0]["destination"]["subset"] == "tls"
    assert {name: entry["ports"][0]["protocol"] for name, entry in entries.items()} == {
        "foo-host": "HTTP",
        "foo-tls": "HTTPS",
    }


@pytest.mark.parametrize("protocol", ["TCP", "TLS"])
def test_connections_are_passed_on_to_a_host_as_they_are(protocol: str) -> None:
    foo = settings_of(OUTSIDE).services["foo"]
    old = {"old": OutsideVersion(host="old.example.net", port=7070)}
    passing = foo.model_copy(update={"protocol": ServiceProtocol(protocol), "versions": old})
    (entry,) = checked(render.service_entries)("foo", passing).values()

    assert entry["ports"] == [{"number": 7070, "name": f"{protocol.lower()}-7070", "protocol": protocol}]


UPGRADE, STAY = "UPGRADE", "DO_NOT_UPGRADE"
TLS = {"tls": {"mode": "SIMPLE"}}


def pool(**http: Any) -> dict[str, Any]:
    """A policy that says this of requests."""
    return {"connectionPool": {"http": http}}


@pytest.mark.parametrize(
    ("protocol", "version", "port", "policy", "spoken"),
    [
        ("GRPC", {"port": 50051}, "GRPC", None, Upstream.HTTP2),
        ("HTTP2", {"port": 8080}, "HTTP2", None, Upstream.HTTP2),
        ("HTTP", {"port": 8080}, "HTTP", None, Upstream.HTTP1),
        ("GRPC", {"port": 443}, "HTTPS", UPGRADE, Upstream.HTTP2),
        ("HTTP", {"port": 443}, "HTTPS", None, Upstream.HTTP1),
        ("GRPC", {"port": 8443, "trafficPolicy": TLS}, "HTTPS", UPGRADE, Upstream.HTTP2),
        ("GRPC", {"port": 443, "trafficPolicy": pool(http2MaxRequests=9)}, "HTTPS", UPGRADE, Upstream.HTTP2),
        # Its own policy decides first.
        ("GRPC", {"port": 443, "trafficPolicy": pool(h2UpgradePolicy=STAY)}, "HTTPS", STAY, Upstream.HTTP1),
        ("GRPC", {"port": 80, "trafficPolicy": pool(h2UpgradePolicy=STAY)}, "HTTP", STAY, Upstream.HTTP1),
        ("HTTP", {"port": 80, "trafficPolicy": pool(h2UpgradePolicy=UPGRADE)}, "HTTP2", UPGRADE, Upstream.HTTP2),
        ("GRPC", {"port": 443, "trafficPolicy": pool(useClientProtocol=True)}, "HTTPS", None, Upstream.AS_CLIENT),
    ],
)  # fmt: skip
def test_envoy_speaks_to_a_host_what_the_service_speaks(
    protocol: str, version: dict[str, Any], port: str, policy: str | None, spoken: Upstream
) -> None:
    foo = settings_of(OUTSIDE).services["foo"]
    old = OutsideVersion.model_validate({"host": "old.example.net", **version}, by_name=False, by_alias=True)
    moved = foo.model_copy(update={"protocol": ServiceProtocol(protocol), "versions": {"old": old}})
    (entry,) = checked(render.service_entries)("foo", moved).values()
    rules = list(checked(render.outside_destination_rules)("foo", moved).values())
    subset = rules[0]["subsets"][0]["trafficPolicy"] if rules else {}

    assert entry["ports"][0]["protocol"] == port
    assert subset.get("connectionPool", {}).get("http", {}).get("h2UpgradePolicy") == policy
    assert upstream({"foo": moved}, Target("foo", "old")) is spoken


@pytest.mark.parametrize(
    ("destinations", "words"),
    [
        ({"new": 10, "old": 90}, "Envoy speaks HTTP/2 to new and old, as gRPC needs."),
        ({"new": 10, "egress/plain": 90}, "Envoy speaks HTTP/1.1 to egress/plain: a gRPC server refuses that"),
        ({"new": 10, "egress/grpc": 90}, "Envoy speaks HTTP/2 to egress/grpc and new, as gRPC needs."),
    ],
)
def test_explain_says_what_envoy_speaks_to_hosts(
    destinations: dict[str, int], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    route = [{"match": [{"uri": {"prefix": "/a.v1.A/"}}], "to": destinations}, {"to": {"new": 100, "old": 0}}]
    new, old = {"image": "shop:2", "port": 50051}, {"host": "shop.legacy.example.net", "port": 443}
    shop = {"hosts": ["shop.example.com"], "protocol": "GRPC", "versions": {"new": new, "old": old}, "route": route}
    egress = {
        "plain": {"hosts": ["a.example.net"], "ports": [{"number": 443, "protocol": "HTTPS"}]},
        "grpc": {"hosts": ["b.example.net"], "ports": [{"number": 50051, "protocol": "GRPC"}]},
    }
    config = {"config": {"istio-canary:services": {"shop": shop}, "istio-canary:egress": egress}}
    (tmp_path / "Pulumi.yaml").write_text("name: istio-canary\nruntime: python\n")
    (tmp_path / "Pulumi.dev.yaml").write_text(yaml.safe_dump(config))
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["explain", "shop", "/a.v1.A/Get", "--stack", "dev"])

    assert words in " ".join(done.stdout.split())
    found = [
        str(one) for one in warnings(load_stack(tmp_path / "Pulumi.dev.yaml").settings) if "is of gRPC" in str(one)
    ]
    assert [("egress/plain" in one) for one in found] == ([True] if "egress/plain" in destinations else [])


def test_pods_that_someone_else_deploys_are_a_subset_by_their_labels() -> None:
    rule = destination_rule("foo", settings_of(ALREADY).services["foo"])

    assert {one["name"]: one["labels"] for one in rule["subsets"]} == {
        "new": {"version": "foo-new"},
        "old": {"version": "old"},
        "helm": {"app.kubernetes.io/version": "1.4"},
    }


def test_another_service_is_called_at_its_own_port() -> None:
    assert routes_of(ALREADY)[1][1]["destination"] == {
        "host": "foo-legacy.bar.svc.cluster.local",
        "port": {"number": 8080},
    }


def test_a_version_of_which_only_a_port_is_said_is_warned_of() -> None:
    loaded = load_stack(ALREADY / "Pulumi.outside.yaml")
    (problem,) = warnings(loaded.settings, loaded.source)

    assert problem.path == "istio-canary:services.foo.versions.old"
    assert (problem.line, problem.fix) == (8, "write labels: {version: old} if that is meant")


def test_callers_originate_tls_to_an_entry_of_egress_with_tls_alone() -> None:
    tls = ExternalService(hosts=("api.example.net",))
    spec = checked(render.egress_destination_rule)(tls)

    assert spec["subsets"][0]["trafficPolicy"]["tls"]["sni"] == "api.example.net"
    http = EgressPort(number=8080, protocol=EgressProtocol.HTTP)
    assert render.egress_destination_rule(ExternalService(hosts=("api.example.net",), ports=(http,))) is None
    assert backend(Target("egress", "api"), {}, {"api": tls}).cluster == "outbound|443|tls|api.example.net"
