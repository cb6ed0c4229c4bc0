"""Mistakes in versions that the stack does not make, and in hosts of `egress` as destinations."""

from __future__ import annotations

from pathlib import Path

import pytest

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
