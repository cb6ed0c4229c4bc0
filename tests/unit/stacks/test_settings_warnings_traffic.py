"""Warnings about what requests meet: rewrites, ports in the Host header, retries, hashes and callers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.problems import (
    HERE,
    HOSTS,
    ONE,
    ROUTE,
    SHOP,
    TWO,
    Case,
    assert_is_warned_of,
    config,
    doing,
    routed,
    service,
    warnings_of,
)

FIRST = f"{ROUTE}[0]"
PORT = "  istio-canary:mesh: {gateway: {ports: [80, 8080, 8443]}}\n"
AT_8080 = "gatewayPort: 8080\n"
TLS = "tls: {mode: SIMPLE, credentialName: c}"
BOTH = "{port: 80, hosts: [shop.example.com]}, {port: 8080, hosts: [shop.example.com]}"
HASH = "trafficPolicy: {loadBalancer: {consistentHash: {useSourceIp: true}}}\n"
FRONTEND = (
    "  frontend:\n    hosts: [app.example.com]\n    versions: {v1: {image: a, port: 80}, v2: {image: a, port: 80}}\n"
    "    route: [{to: {v1: 50, v2: 50}}]\n"
)


def at_8080(route: str, hosts: str = HOSTS) -> str:
    """A service with two versions and this route, at the gateway's port 8080."""
    return service(f"{hosts}{AT_8080}{TWO}route:\n{route}") + PORT


def in_mesh(route: str, more: str = "") -> str:
    """A service for callers inside the mesh at port 9080."""
    return service(f"gateways: [mesh]\nport: 9080\n{TWO}route:\n{route}{more}")


def called(match: str) -> str:
    """A service that tells callers apart, beside a service of two versions."""
    shop = f"  shop:\n    gateways: [mesh]\n    {TWO.replace(chr(10), chr(10) + '    ').rstrip()}\n    route:\n"
    return config(f"services:\n{FRONTEND}{shop}      - match: [{match}] {HERE}\n        to: v2\n      - to: v1\n")


CASES = [
    Case("a wide prefix before a narrow one",
         routed("- match:\n    - uri: {prefix: /a/}\n    - uri: {prefix: /a/b/} " + HERE
                + "\n  rewrite: {uri: /}\n  to: v2\n- to: v1\n"), f"{FIRST}.match[1]",
         ("match[0] takes all requests of this match first", "replaces the prefix /a/, not the prefix /a/b/",
          "/a/b/x becomes /b/x", "move this match before")),
    Case("two slashes for the requests that an earlier rule leaves",
         routed("- match: [{uri: {prefix: /a/}, headers: {qa: {exact: x}}}]\n  to: v1\n"
                f"- match: [{{uri: {{prefix: /a}}}}]\n  rewrite: {{uri: /}} {HERE}\n  to: v2\n- to: v1\n"),
         f"{ROUTE}[1].rewrite.uri", ("/a/x would become //x",)),
    Case("a host without the port that clients send",
         at_8080(f"  - match: [{{authority: {{exact: shop.example.com}}}}] {HERE}\n    to: v2\n  - to: v1\n"),
         f"{FIRST}.match[0].authority",
         ("clients send Host: shop.example.com:8080 at 8080 (http, shop-gateway)", r"shop\.example\.com(:8080)?")),
    Case("the header host without the port",
         at_8080(f"  - match: [{{headers: {{host: {{exact: shop.example.com}}}}}}] {HERE}\n    to: v2\n  - to: v1\n"),
         f"{FIRST}.match[0].headers.host", ("which this does not match",)),
    Case("a host that is never forbidden",
         at_8080(f"  - match: [{{withoutHeaders: {{host: {{exact: shop.example.com}}}}}}] {HERE}\n    to: v2\n"
                 "  - to: v1\n"), f"{FIRST}.match[0].withoutHeaders.host", ("which this does not forbid",)),
    Case("a host by regex without the port",
         at_8080(f"  - match: [{{authority: {{regex: 'a[0-9]\\.example\\.com'}}}}] {HERE}\n    to: v2\n  - to: v1\n",
                 "hosts: ['*.example.com']\n"), f"{FIRST}.match[0].authority", (".example.com:8080 at 8080",)),
    Case("a host below a wildcard without the port",
         at_8080(f"  - match: [{{authority: {{exact: beta.example.com}}}}] {HERE}\n    to: v2\n  - to: v1\n",
                 'hosts: ["*"]\n'), f"{FIRST}.match[0].authority", ("Host: beta.example.com:8080",)),
    Case("a host with the port that clients leave out",
         routed(f"- match: [{{authority: {{exact: 'shop.example.com:80'}}}}] {HERE}\n  to: v2\n- to: v1\n"),
         f"{FIRST}.match[0].authority",
         ("clients send Host: shop.example.com at 80", "write {exact: shop.example.com}")),
    Case("a host without the port at one of two ports",
         config(f"gateways:\n  public:\n    servers: [{BOTH}]\nservices:\n  shop:\n    {HOSTS}    gateways: [public]\n"
                f"    versions: {{v1: {{image: a, port: 80}}, v2: {{image: a, port: 80}}}}\n    route:\n"
                f"      - match: [{{authority: {{exact: shop.example.com}}}}] {HERE}\n        to: v2\n      - to: v1\n")
         + PORT, f"{FIRST}.match[0].authority", ("at 8080 (http, public)",)),
    Case("a host inside the mesh without the service's port",
         in_mesh(f"  - match: [{{authority: {{exact: shop.shop}}}}] {HERE}\n    to: v2\n  - to: v1\n"),
         f"{FIRST}.match[0].authority", ("clients send Host: shop.shop:9080 at 9080 (http, mesh)",)),
    Case("a denied host without the port",
         service(f"{HOSTS}{AT_8080}{ONE}authorization:\n  deny:\n    - hosts: [shop.example.com] {HERE}\n"
                 "      methods: [DELETE]\n") + PORT, f"{SHOP}.authorization.deny[0].hosts[0]",
         ("Host: shop.example.com:8080", "which this does not deny", 'add "shop.example.com:8080"')),
    Case("allowed hosts of a domain without the port",
         service(f"hosts: ['*.example.com']\n{AT_8080}{ONE}"
                 f"authorization: {{allow: [{{hosts: ['*.example.com']}}]}} {HERE}\n") + PORT,
         f"{SHOP}.authorization.allow[0].hosts[0]",
         ("Host: any.example.com:8080", 'add "*.example.com:8080"')),
    Case("a redirect to https that keeps the plain port",
         at_8080(f"  - match: [{{uri: {{prefix: /x}}}}]\n    redirect: {{scheme: https}} {HERE}\n"
                 "  - to: {v1: 50, v2: 50}\n"), f"{FIRST}.redirect.scheme",
         ("https://shop.example.com:8080", "that port speaks HTTP", "add authority: shop.example.com")),
    Case("a redirect to port 443, which Istio leaves out",
         at_8080(f"  - match: [{{uri: {{prefix: /x}}}}]\n    redirect: {{scheme: https, port: 443}} {HERE}\n"
                 "  - to: {v1: 50, v2: 50}\n"), f"{FIRST}.redirect.scheme",
         ("https://shop.example.com:8080: Envoy keeps the port", "add authority")),
    Case("a redirect to https beside another port that speaks it",
         config("gateways:\n  public:\n    servers: [{port: 8080, hosts: [shop.example.com]}, {port: 8443, "
                f"protocol: HTTPS, hosts: [shop.example.com], {TLS}}}]\nservices:\n  shop:\n    {HOSTS}"
                f"    gateways: [public]\n    {ONE}    route:\n      - match: [{{scheme: {{exact: http}}}}]\n"
                f"        redirect: {{scheme: https}} {HERE}\n      - to: v1\n") + PORT,
         f"{FIRST}.redirect.scheme", ("add port: 8443",)),
    Case("a redirect to a TLS port without its scheme",
         config("gateways:\n  public:\n    servers: [{port: 80, hosts: [shop.example.com]}, {port: 8443, "
                f"protocol: HTTPS, hosts: [shop.example.com], {TLS}}}]\nservices:\n  shop:\n    {HOSTS}"
                f"    gateways: [public]\n    {ONE}    route:\n      - match: [{{scheme: {{exact: http}}}}]\n"
                f"        redirect: {{port: 8443}} {HERE}\n      - to: v1\n") + PORT,
         f"{FIRST}.redirect.port", ("http://shop.example.com:8443", "speaks HTTPS", "add scheme: https")),
    Case("a redirect to a host, and so to another port than its own",
         at_8080("  - match: [{uri: {prefix: /x}}]\n"
                 f"    redirect: {{authority: shop.example.com, uri: /y}} {HERE}\n"
                 "  - to: {v1: 50, v2: 50}\n"), f"{FIRST}.redirect.authority",
         ("http://shop.example.com, and so to port 80, where the host is not served", "add port: 8080")),
    Case("a redirect inside the mesh to the plain port of the service",
         in_mesh(f"  - match: [{{uri: {{prefix: /x}}}}]\n    redirect: {{scheme: https}} {HERE}\n"
                 "  - to: {v1: 50, v2: 50}\n"), f"{FIRST}.redirect.scheme", (":9080", "speaks HTTP")),
    Case("httpsRedirect at another port than 80",
         config("gateways:\n  public:\n    servers:\n      - port: 8080\n        hosts: ['*']\n"
                f"        tls: {{httpsRedirect: true}} {HERE}\n") + PORT,
         "istio-canary:gateways.public.servers[0].tls.httpsRedirect",
         ("https:// at port 8080, which speaks HTTP", "write port: 80")),
    Case("a deadline shorter than the tries",
         doing("timeout: 5s, retries: {attempts: 2, perTryTimeout: 2s}"), f"{FIRST}.timeout",
         ("an answer after 5s at the latest", "up to 2 retries", "take 6075ms", "none needed if intended")),
    Case("a deadline shorter than the tries and the time between them",
         doing("timeout: 6s, retries: {attempts: 2, perTryTimeout: 2s, backoff: 1s}"), f"{FIRST}.timeout",
         ("take 9s", "raise timeout to 9s")),
    Case("a try that may take longer than the deadline",
         doing("timeout: 2s, retries: {attempts: 1, perTryTimeout: 3s}"), f"{FIRST}.retries.perTryTimeout",
         ("no effect: the timeout of 2s covers all tries", "remove perTryTimeout")),
    Case("a hash beside weights", service(f"{HOSTS}{HASH}{TWO}route:\n  - to: {{v1: 80, v2: 20}} {HERE}\n"),
         f"{FIRST}.to", ("users change between v1 and v2", "add sticky: {cookie: shop-version, ttl: 1h}")),
    Case("a hash of one version beside weights",
         service(f"{HOSTS}versions:\n  v1: {{image: a, port: 80}}\n  v2:\n    image: a\n    port: 80\n    {HASH}"
                 f"route:\n  - to: {{v1: 80, v2: 20}} {HERE}\n"), f"{FIRST}.to", ("add sticky",)),
    Case("a version as the label of callers", called("{sourceLabels: {version: v2}}"),
         f"{FIRST}.match[0].sourceLabels.version",
         ("no pod of the stack has the label version: v2", "write version: frontend-v2;")),
    Case("a service as the label version of callers", called("{sourceLabels: {app: frontend, version: frontend-v22}}"),
         f"{FIRST}.match[0].sourceLabels.version", ("write version: frontend-v2",)),
    Case("labels that no pod has together", called("{sourceLabels: {app: frontend, version: shop-v2}}"),
         f"{FIRST}.match[0].sourceLabels", ("app: frontend and version: shop-v2 together",)),
    Case("a caller of the stack in another namespace", called("{sourceNamespace: shop, sourceLabels: {app: frontend}}"),
         f"{FIRST}.match[0].sourceLabels.app", ("no pod of the stack in shop has the label app: frontend",)),
]  # fmt: skip

INTENDED = {
    "the longer prefix first": routed(
        "- match: [{uri: {prefix: /a/}}, {uri: {prefix: /a}}]\n  rewrite: {uri: /}\n  to: v2\n- to: v1\n"
    ),
    "two slashes that an earlier rule takes": routed(
        "- match: [{uri: {prefix: /a/}}]\n  rewrite: {uri: /}\n  to: v2\n"
        "- match: [{uri: {prefix: /a}}]\n  rewrite: {uri: /}\n  to: v2\n- to: v1\n"
    ),
    "two slashes that two earlier rules take together": routed(
        "- match: [{uri: {prefix: /a/}, headers: {qa: {present: true}}}]\n  to: v2\n"
        "- match: [{uri: {prefix: /a/}, withoutHeaders: {qa: {present: true}}}]\n  to: v2\n"
        "- match: [{uri: {prefix: /a}}]\n  rewrite: {uri: /}\n  to: v2\n- to: v1\n"
    ),
    "a host with and without the port": at_8080(
        "  - match: [{authority: {exact: shop.example.com}}, {authority: {exact: 'shop.example.com:8080'}}]\n"
        "    to: v2\n  - to: v1\n"
    ),
    "a host by its beginning": at_8080(
        "  - match: [{authority: {prefix: shop.}}]\n    to: v2\n  - to: v1\n", "hosts: ['*.example.com']\n"
    ),
    "a host with the port of a node": routed(
        "- match: [{authority: {exact: 'shop.example.com:30080'}}]\n  to: v2\n- to: v1\n"
    ),
    "a host without the port at the port of a match": config(
        f"gateways:\n  public:\n    servers: [{BOTH}]\nservices:\n  shop:\n    {HOSTS}    gateways: [public]\n"
        f"    versions: {{v1: {{image: a, port: 80}}, v2: {{image: a, port: 80}}}}\n    route:\n"
        "      - match: [{port: 80, authority: {exact: shop.example.com}}]\n        to: v2\n      - to: v1\n"
    )
    + PORT,
    "hosts of an authorization with and without the port": service(
        f"{HOSTS}{AT_8080}{ONE}authorization: {{allow: [{{hosts: [shop.example.com, 'shop.example.com:8080']}}]}}\n"
    )
    + PORT,
    "hosts of an authorization by their beginning": service(
        f"{HOSTS}{AT_8080}{ONE}authorization: {{allow: [{{hosts: ['shop.*']}}]}}\n"
    )
    + PORT,
    "a host of an authorization at port 80": service(
        f"{HOSTS}{ONE}authorization: {{allow: [{{hosts: [shop.example.com]}}]}}\n"
    ),
    "a redirect to https at port 80": routed(
        "- match: [{uri: {prefix: /x}}]\n  redirect: {scheme: https}\n- to: {v1: 50, v2: 50}\n"
    ),
    "a redirect to a host, and so to its port": at_8080(
        "  - match: [{uri: {prefix: /x}}]\n    redirect: {scheme: https, authority: shop.example.com}\n"
        "  - to: {v1: 50, v2: 50}\n"
    ),
    "a redirect to a host elsewhere": at_8080(
        "  - match: [{uri: {prefix: /x}}]\n    redirect: {authority: blog.example.org}\n  - to: {v1: 50, v2: 50}\n"
    ),
    "a redirect to a host with its port": at_8080(
        "  - match: [{uri: {prefix: /x}}]\n    redirect: {authority: shop.example.com, port: 8080, uri: /y}\n"
        "  - to: {v1: 50, v2: 50}\n"
    ),
    "a redirect to the port of another stack": at_8080(
        "  - match: [{uri: {prefix: /x}}]\n    redirect: {scheme: https, port: 9443}\n  - to: {v1: 50, v2: 50}\n"
    ),
    "a deadline over tries without a limit of their own": doing("timeout: 8s, retries: {attempts: 3, retryOn: 5xx}"),
    "a deadline that leaves time for all tries": doing("timeout: 9s, retries: {attempts: 2, perTryTimeout: 2s}"),
    "a hash and one version": service(f"{HOSTS}{HASH}{ONE}"),
    "a hash, weights and sticky": service(
        f"{HOSTS}{HASH}{TWO}route:\n  - to: {{v1: 80, v2: 20}}\n    sticky: {{cookie: shop-version, ttl: 1h}}\n"
    ),
    "a hash and a weight of 0": service(f"{HOSTS}{HASH}{TWO}route:\n  - to: {{v1: 100, v2: 0}}\n"),
    "a label of the stack's pods": called("{sourceLabels: {version: frontend-v2}}").replace(HERE, ""),
    "a caller of another namespace": called("{sourceNamespace: other, sourceLabels: {version: v2}}").replace(HERE, ""),
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_warning_is_reported_with_its_line_and_path(case: Case, tmp_path: Path) -> None:
    assert_is_warned_of(case, tmp_path)


@pytest.mark.parametrize("name", INTENDED)
def test_what_works_as_it_looks_is_not_a_warning(name: str, tmp_path: Path) -> None:
    assert warnings_of(tmp_path, INTENDED[name]) == ()


def test_the_cookie_of_sticky_is_another_than_the_one_that_is_hashed(tmp_path: Path) -> None:
    hashed = HASH.replace("useSourceIp: true", "httpCookie: {name: shop-version, ttl: 1h}")

    (warning,) = warnings_of(tmp_path, service(f"{HOSTS}{hashed}{TWO}route:\n  - to: {{v1: 80, v2: 20}}\n"))

    assert "sticky: {cookie: shop-version-1, ttl: 1h}" in warning.fix
    assert warning.path.startswith(SHOP)
