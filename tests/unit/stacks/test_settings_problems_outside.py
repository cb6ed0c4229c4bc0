"""Mistakes in versions that the stack does not make, and in hosts of `egress` as destinations."""

from __future__ import annotations

from pathlib import Path

import pytest

from stacks.settings.loading import load_stack, warnings
from tests.unit.problems import (
    HERE,
    HOSTS,
    ROUTE,
    SHOP,
    Case,
    assert_is_reported,
    assert_is_reported_once,
    config,
    service,
)
from traffic.hashing import hash_of

OLD = f"{SHOP}.versions.old"
BILLING = "hosts: [billing.example.org]"


def old(keys: str, rest: str = "") -> str:
    """A service with a version that it does not make, which has these keys."""
    return service(f"{HOSTS}versions:\n  new: {{image: shop:1, port: 8080}}\n  old: {{{keys}}} {HERE}\n"
                   f"route: [{{to: {{new: 10, old: 90}}}}]\n{rest}")  # fmt: skip


def to_egress(destination: str, entry: str) -> str:
    """A service whose route leads to an entry of `egress`, which is this one."""
    shop = f"    {HOSTS}    versions: {{new: {{image: shop:1, port: 8080}}}}\n    route:\n"
    return config(f"services:\n  shop:\n{shop}      - to: {{new: 10, {destination}: 90}} {HERE}\n"
                  f"egress:\n  billing: {{{entry}}}\n")  # fmt: skip


DESTINATION = f'{ROUTE}[0].to["egress/billing"]'
CASES = [
    Case("an image and labels", old("image: shop:0, port: 8080, labels: {version: v1}"), OLD,
         ("has an image and labels", "remove labels, or remove image")),
    Case("labels and a host", old("labels: {version: v1}, host: old.example.net"), OLD,
         ("labels and host are set together", "keep one")),
    Case("replicas of pods that someone else deploys", old("labels: {version: v1}, replicas: 2"), f"{OLD}.replicas",
         ("no such key", "remove it")),
    Case("no labels", old("labels: {}"), f"{OLD}.labels", ("the value is empty",)),
    Case("a label that is none", old("labels: {version: v 1}"), f"{OLD}.labels.version", ("is not a label value",)),
    Case("labels of the stack's own pods", old("labels: {app: shop}"), f"{OLD}.labels",
         ("the pods of new have these labels, too",)),
    Case("labels that the Service does not select", old("labels: {app: other}"), f"{OLD}.labels.app",
         ("selects only pods with app=shop", f"{SHOP}.selector")),
    Case("a whole DNS name of a Service", old("service: foo.bar.svc.cluster.local"), f"{OLD}.service",
         ("is not the name of a Service", "write foo.bar")),
    Case("the service itself", old("service: shop"), f"{OLD}.service", ("this is the service itself",)),
    Case("a policy for a Service of another namespace",
         old("service: foo.bar, trafficPolicy: {loadBalancer: {simple: RANDOM}}"), f"{OLD}.trafficPolicy",
         ("no effect", "DestinationRule")),
    Case("a URL", old("host: 'http://old.example.net:8080/x'"), f"{OLD}.host", ("write old.example.net",)),
    Case("a wildcard", old("host: '*.example.net'"), f"{OLD}.host", ("is not the name of a host",)),
    Case("a Service as a host", old("host: foo.bar.svc.cluster.local"), f"{OLD}.host", ("write service: foo.bar",)),
    Case("a host that leads back", old("host: shop.example.com"), f"{OLD}.host", ("come back to it",)),
    Case("a port that is none", old("host: old.example.net, port: 70000"), f"{OLD}.port", ("from 1 to 65535",)),
    Case("an Ingress", old("service: foo.bar", "ingressClassName: istio\n"), OLD, ("the backend of an Ingress",)),
    Case("a selector of other pods than the stack's own",
         service(f"selector: {{app: other}} {HERE}\n{HOSTS}versions: {{v1: {{image: shop:1, port: 8080}}}}"),
         f"{SHOP}.selector.app", ("app=shop", "call the service other")),
    Case("a service called egress",
         config(f"services:\n  egress: {HERE}\n    versions: {{v1: {{image: shop:1, port: 8080}}}}\n"),
         "istio-canary:services.egress", ("is reserved",)),
    Case("an entry that does not exist", to_egress("egress/biling", BILLING), f'{ROUTE}[0].to["egress/biling"]',
         ("nearest is 'billing'", "write egress/billing")),
    Case("an entry with two hosts", to_egress("egress/billing", "hosts: [a.example.org, b.example.org]"), DESTINATION,
         ("more than one host",)),
    Case("an entry without addresses", to_egress("egress/billing", f"{BILLING}, resolution: NONE"), DESTINATION,
         ("resolution NONE", "write resolution: DNS")),
    Case("an entry with TCP alone",
         to_egress("egress/billing", f"{BILLING}, ports: [{{number: 5432, protocol: TCP}}]"), DESTINATION,
         ("has no port for HTTP",)),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_mistake_is_reported_with_its_place_and_the_fix(case: Case, tmp_path: Path) -> None:
    assert_is_reported(case, tmp_path)
    assert_is_reported_once(case, tmp_path)


LEGACY = "host: old.example.net"
SIMPLE = "trafficPolicy: {tls: {mode: SIMPLE}}"
OF_MESH = "gateways: [shop-gateway, mesh]\n"


@pytest.mark.parametrize("rest", ["", "mtls: {mode: STRICT}\n", "mtls: {mode: DISABLE}\n", OF_MESH])
@pytest.mark.parametrize(
    "keys", [f"{LEGACY}, port: 8443, {SIMPLE}", f"service: foo, port: 8443, {SIMPLE}", f"{LEGACY}, port: 443"]
)
def test_tls_to_what_is_no_pod_of_the_service_is_not_compared_with_what_its_pods_accept(
    keys: str, rest: str, tmp_path: Path
) -> None:
    (tmp_path / "Pulumi.dev.yaml").write_text(old(keys, rest))

    assert load_stack(tmp_path / "Pulumi.dev.yaml").settings.services["shop"].outside


@pytest.mark.parametrize(
    ("keys", "rest", "warned"),
    [
        (f"{LEGACY}, port: 8443", "", True),
        (f"{LEGACY}, port: 9443, trafficPolicy: {{loadBalancer: {{simple: RANDOM}}}}", "", True),
        (f"{LEGACY}, port: 8443, {SIMPLE}", "", False),
        (f"{LEGACY}, port: 8443, trafficPolicy: {{tls: {{mode: DISABLE}}}}", "", False),
        (f"{LEGACY}, port: 8443", "protocol: TLS\n", False),
        (f"{LEGACY}, port: 8080", "", False),
        (f"{LEGACY}, port: 443", "", False),
        (f"{LEGACY}", "", False),
        ("service: foo, port: 8443", "", False),
    ],
)
def test_plain_text_to_a_port_of_tls_is_warned_of(keys: str, rest: str, warned: bool, tmp_path: Path) -> None:
    (tmp_path / "Pulumi.dev.yaml").write_text(old(keys, rest))
    found = [one for one in warnings(load_stack(tmp_path / "Pulumi.dev.yaml").settings) if "plain text" in str(one)]

    assert [one.path for one in found] == [f"{OLD}.port"] * warned


LIMITS = "trafficPolicy: {outlierDetection: {consecutive5xxErrors: 5}, connectionPool: {tcp: {maxConnections: 9}}}"


@pytest.mark.parametrize(
    ("keys", "rest", "words"),
    [
        (LEGACY, LIMITS, ("connectionPool, outlierDetection", "the host old.example.net", f"{OLD}.trafficPolicy")),
        (
            f"{LEGACY}, trafficPolicy: {{outlierDetection: {{consecutive5xxErrors: 1}}}}",
            LIMITS,
            ("old has no connectionPool:",),
        ),
        ("service: foo.bar", LIMITS, ("write a DestinationRule in bar",)),
        ("service: foo", LIMITS, (f"{OLD}.trafficPolicy",)),
        (f"{LEGACY}, {LIMITS}", LIMITS, ()),
        ("labels: {version: v0}, port: 80", LIMITS, ()),
        (LEGACY, "trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}", ()),
        (LEGACY, "", ()),
    ],
)
def test_a_policy_of_the_service_that_does_not_apply_to_a_version_is_warned_of(
    keys: str, rest: str, words: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "Pulumi.dev.yaml").write_text(old(keys, rest and f"{rest}\n"))
    found = [
        str(one)
        for one in warnings(load_stack(tmp_path / "Pulumi.dev.yaml").settings)
        if "is for the service" in str(one)
    ]

    assert len(found) == bool(words)
    assert all(word in found[0] for word in words)


def test_a_hash_of_the_service_does_not_apply_to_a_host(tmp_path: Path) -> None:
    hashed = "trafficPolicy: {loadBalancer: {consistentHash: {useSourceIp: true}}}\n"
    (tmp_path / "Pulumi.dev.yaml").write_text(old(LEGACY, hashed))
    services = load_stack(tmp_path / "Pulumi.dev.yaml").settings.services

    assert hash_of(services, "shop", "new") is not None
    assert hash_of(services, "shop", "old") is None
