"""Mistakes in matches, and in what rules do with requests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.problems import (
    HERE,
    HOSTS,
    MATCH,
    ROUTE,
    SHOP,
    TWO,
    Case,
    assert_is_said,
    assert_is_said_once,
    config,
    doing,
    ending,
    matching,
    routed,
    service,
)

FIRST = f"{ROUTE}[0]"
CORS = "corsPolicy: {allowOrigins: [{exact: 'https://a.b'}]"

CASES = [
    # Matches.
    Case("two cookies", matching("{cookies: {a: {exact: b}, c: {exact: d}}}"), f"{MATCH}.cookies",
         ("there are 2 entries, and no more than 1",)),
    Case("a cookie and its header", matching("{cookies: {a: {exact: b}}, headers: {cookie: {exact: c}}}"), MATCH,
         ("compares a header only once",)),
    Case("a cookie's name", matching("{cookies: {a b: {exact: c}}}"), f'{MATCH}.cookies["a b"]',
         ("cannot name a cookie",)),
    Case("a cookie of 1000 characters", matching(f"{{cookies: {{a: {{exact: {'b' * 1020}}}}}}}"), MATCH,
         ("would be too long for Istio",)),
    Case("scheme", matching("{scheme: {exact: ftp}}"), f"{MATCH}.scheme", ("http or https",)),
    Case("authority present", matching("{authority: {present: true}}"), f"{MATCH}.authority",
         ("every request has an authority",)),
    Case("a parameter without a comparison", matching("{queryParams: {a: {}}}"), f"{MATCH}.queryParams.a",
         ("nothing to compare with",)),
    Case("a label's key", matching("{sourceLabels: {a b: c}}"), f'{MATCH}.sourceLabels["a b"]',
         ("cannot be a label's key",)),
    Case("a source and gateways", matching("{sourceLabels: {a: b}, gateways: [mesh]}"), MATCH,
         ("passes over sourceLabels",)),
    Case("a regex that istiod cannot read", matching(r"{uri: {regex: '/\\C'}}".replace("\\\\", "\\")),
         f"{MATCH}.uri.regex", (r"istiod reads no \C",)),
    # Matches that no request meets.
    Case("a port that is not the service's", matching("{port: 8080}"), f"{MATCH}.port",
         ("no request for the service comes in at port 8080", "80 (http, shop-gateway)", "write 80")),
    Case("https where there is none", matching("{scheme: {exact: https}}"), f"{MATCH}.scheme",
         ("comes in by https", "{exact: http}")),
    Case("a gateway that is not the service's", matching("{gateways: [shop-gatway]}"), f"{MATCH}.gateways[0]",
         ("nearest is 'shop-gateway'", "write shop-gateway")),
    Case("the mesh where the service is not bound to it", matching("{gateways: [mesh]}"), f"{MATCH}.gateways[0]",
         ("no route at 'mesh'", f"add mesh to {SHOP}.gateways")),
    Case("a source at gateways", matching("{sourceNamespace: cart}"), f"{MATCH}.sourceNamespace",
         ("only callers inside the mesh have a source",)),
    Case("another host", matching("{authority: {exact: cart.example.com}}"), f"{MATCH}.authority",
         ("no host that leads to the service fits", "one of shop.example.com")),
    Case("a header that must be there and not",
         matching("{headers: {a: {exact: b}}, withoutHeaders: {a: {prefix: b}}}"),
         f"{MATCH}.withoutHeaders.a", ("forbids what it asks for",)),
    Case("conditions that hold at different gateways",
         service(f"{HOSTS}{TWO}port: 8080\ngateways: [shop-gateway, mesh]\nroute:\n"
                 f"  - {{match: [{{gateways: [mesh], port: 8081}}, {{uri: {{exact: /a}}}}], to: v2}} {HERE}\n"
                 "  - to: v1\n"), f"{MATCH}.port", ("at port 8081", "8080 (http, mesh)")),
    Case("a port of another gateway",
         service(f"{HOSTS}{TWO}port: 8080\ngateways: [shop-gateway, mesh]\nroute:\n"
                 f"  - {{match: [{{gateways: [shop-gateway], port: 8080}}], to: v2}} {HERE}\n  - to: v1\n"), MATCH,
         ("hold at no one of", "together")),
    Case("one match of a rule that an earlier rule takes",
         routed("- {match: [{uri: {prefix: /a}}], to: v2}\n- to: v1\n  match:\n    - uri: {exact: /b}\n"
                f"    - uri: {{exact: /ab}} {HERE}\n- to: v2\n"), f"{ROUTE}[1].match[1]",
         ("no request is left for this match", "route[0] takes all", "move the rule before")),
    Case("a match within another of the rule", matching("{uri: {prefix: /a}}, {uri: {exact: /ab}}"),
         f"{FIRST}.match[1]", ("route[0].match[0] takes all", "take this match out")),
    # Where rules end.
    Case("no end", routed(f"- {{match: [{{uri: {{exact: /x}}}}]}} {HERE}\n- to: {{v1: 50, v2: 50}}\n"), FIRST,
         ("nothing says where the requests go",)),
    Case("two ends", doing("redirect: {uri: /a}"), FIRST, ("to and redirect are given together",)),
    Case("a timeout of a redirect", ending("redirect: {uri: /a}, timeout: 1s"), FIRST,
         ("timeout says nothing beside redirect",)),
    Case("a redirect to nowhere", ending("redirect: {redirectCode: 302}"), f"{FIRST}.redirect",
         ("leads to where the caller is already",)),
    Case("a redirect's status", ending("redirect: {uri: /a, redirectCode: 304}"), f"{FIRST}.redirect.redirectCode",
         ("not a redirect that Envoy can answer",)),
    Case("a redirect to itself", ending("redirect: {uri: /x}"), f"{FIRST}.redirect",
         ("sent back to where it came from", "80 (http, shop-gateway)")),
    Case("a redirect to its own host", ending("redirect: {authority: shop.example.com}"), f"{FIRST}.redirect",
         ("again and again",)),
    Case("a status of an answer", ending("directResponse: {status: 99}"), f"{FIRST}.directResponse.status",
         ("99 is less than 200",)),
    Case("a destination that is none", doing("mirrors: [{to: v2/}]"), f"{FIRST}.mirrors[0].to",
         ("not a destination",)),
    Case("a mirror to no version", doing("mirrors: [{to: v3}]"), f"{FIRST}.mirrors[0].to",
         ("there is no version 'v3'",)),
    Case("a version of no service", routed(f"- to: {{v1: 90, v2: 0, cart/v1: 10}} {HERE}\n"), f'{FIRST}.to["cart/v1"]',
         ("there is no service 'cart'",)),
    Case("a version of another service that is not there",
         config(f"services:\n  cart:\n    hosts: [cart.example.com]\n    versions: {{v1: {{image: a, port: 1}}}}\n"
                f"    route: [{{to: shop/v9}}] {HERE}\n  shop:\n    {HOSTS}"
                "    versions: {v1: {image: a, port: 1}}\n"),
         "istio-canary:services.cart.route[0].to", ("there is no version 'shop/v9'", "the versions of shop: v1")),
    Case("a version twice", routed(f"- to: {{v1: 50, shop/v1: 50, v2: 0}} {HERE}\n"), f'{FIRST}.to["shop/v1"]',
         ("are the same version",)),
    Case("a version without pods",
         service(f"{HOSTS}versions:\n  v1: {{image: a, port: 1}}\n  v2: {{image: a, port: 1, replicas: 0}}\n"
                 f"route:\n  - to: {{v1: 90, v2: 10}} {HERE}\n"), f"{FIRST}.to.v2",
         ("has no pods (replicas 0)", "503")),
    # What is done on the way.
    Case("a timeout", doing("timeout: '5'"), f"{FIRST}.timeout", ("'5' is not a duration",)),
    Case("a timeout in parts of milliseconds", doing("timeout: 1.5ms"), f"{FIRST}.timeout",
         ("parts of a millisecond", "write 2ms")),
    Case("a timeout shorter than the retries",
         doing("timeout: 5s, retries: {attempts: 2, perTryTimeout: 2s}"), f"{FIRST}.timeout",
         ("3 tries of 2s", "up to 6075ms", "raise timeout to 6075ms")),
    Case("a timeout without room for pauses",
         doing("timeout: 6s, retries: {attempts: 2, perTryTimeout: 2s, backoff: 1s}"), f"{FIRST}.timeout",
         ("up to 9s", "raise timeout to 9s")),
    Case("a try longer than all of them", doing("timeout: 2s, retries: {attempts: 1, perTryTimeout: 3s}"),
         f"{FIRST}.retries.perTryTimeout", ("one try may take 3s", "less than the rule's timeout, which is 2s")),
    Case("retries that are switched off", doing("retries: {attempts: 0, perTryTimeout: 1s}"), f"{FIRST}.retries",
         ("there are no retries",)),
    Case("a reason to retry", doing("retries: {attempts: 1, retryOn: '5xx,5yy'}"), f"{FIRST}.retries.retryOn",
         ("no such reason to retry: '5yy'",)),
    Case("a status that HTTP has not", doing("retries: {attempts: 1, retryOn: '599'}"), f"{FIRST}.retries.retryOn",
         ("'599'",)),
    Case("a percentage above 100", doing("fault: {abort: {httpStatus: 503, percentage: {value: 101}}}"),
         f"{FIRST}.fault.abort.percentage.value", ("101 is more than 100", "a number from 0 to 100")),
    Case("a percentage below 0", doing("fault: {delay: {fixedDelay: 1s, percentage: {value: -1}}}"),
         f"{FIRST}.fault.delay.percentage.value", ("-1 is less than 0",)),
    Case("a percentage as text", doing("mirrors: [{to: v2, percentage: {value: '5'}}]"),
         f"{FIRST}.mirrors[0].percentage.value", ("take the quotes away: 5",)),
    Case("a share that Envoy cannot count", doing("fault: {abort: {httpStatus: 503, percentage: {value: 0.00001}}}"),
         f"{FIRST}.fault.abort.percentage.value", ("less than Envoy can count",)),
    Case("an abort with two statuses", doing("fault: {abort: {httpStatus: 503, grpcStatus: UNAVAILABLE}}"),
         f"{FIRST}.fault.abort", ("two statuses",)),
    Case("a status of gRPC", doing("fault: {abort: {grpcStatus: unavailable}}"), f"{FIRST}.fault.abort.grpcStatus",
         ("gRPC has no status 'unavailable'",)),
    Case("rewrite twice", doing("rewrite: {uri: /a, uriRegexRewrite: {match: a, rewrite: b}}"), f"{FIRST}.rewrite",
         ("uri and uriRegexRewrite are given together",)),
    Case("a group that the match has not", doing(r"rewrite: {uriRegexRewrite: {match: '/a', rewrite: '/\1'}}"),
         f"{FIRST}.rewrite.uriRegexRewrite", (r"match has 0 groups, and rewrite names \1",)),
    Case("a rewritten path with a query", doing("rewrite: {uri: '/a?b=c'}"), f"{FIRST}.rewrite.uri",
         ("is not a path",)),
    Case("the host as a header", doing("headers: {request: {set: {host: a.b}}}"), f"{FIRST}.headers.request.set.host",
         ("write rewrite: {authority: …}",)),
    Case("a pseudo header", doing("headers: {request: {remove: [':path']}}"), f"{FIRST}.headers.request.remove[0]",
         ("is not a header that can be set",)),
    Case("a command that Envoy has not", doing("headers: {response: {set: {a: '%FOO%'}}}"),
         f"{FIRST}.headers.response.set.a", ("Envoy knows no %FOO%", "write %%")),
    Case("a percent sign", doing("headers: {response: {set: {a: '100%'}}}"), f"{FIRST}.headers.response.set.a",
         ("begins nothing that Envoy knows", "write %%")),
    Case("a method of CORS", doing(f"{CORS}, allowMethods: [get]}}"), f"{FIRST}.corsPolicy.allowMethods[0]",
         ("write GET",)),
    Case("an origin without a scheme", doing("corsPolicy: {allowOrigins: [{exact: a.b}]}"),
         f"{FIRST}.corsPolicy.allowOrigins[0]", ("no origin is or begins with 'a.b'", "https://a.b")),
    Case("the age of CORS", doing(f"{CORS}, maxAge: 1500ms}}"), f"{FIRST}.corsPolicy", ("whole seconds",)),
    # Users that stay.
    Case("sticky without weights", doing("sticky: {cookie: a, ttl: 1h}"), FIRST, ("no weights",)),
    Case("a lifetime in parts of seconds",
         routed(f"- {{to: {{v1: 50, v2: 50}}, sticky: {{cookie: a, ttl: 1.5s}}}} {HERE}\n"), f"{FIRST}.sticky",
         ("a cookie cannot live 1.5s",)),
    Case("a cookie for two sets of versions",
         routed("- {match: [{uri: {exact: /x}}], to: {v1: 100, v2: 0}, sticky: {cookie: a, ttl: 1h}}\n"
                f"- {{to: {{v1: 50, v2: 50}}, sticky: {{cookie: a, ttl: 1h}}}} {HERE}\n"), f"{ROUTE}[1].sticky.cookie",
         ("route[0].sticky has a cookie of this name", "shop-version-2")),
    Case("a cookie that the load balancer has",
         service(f"{HOSTS}{TWO}trafficPolicy: {{loadBalancer: {{consistentHash: {{httpCookie: {{name: a}}}}}}}}\n"
                 f"route:\n  - {{to: {{v1: 50, v2: 50}}, sticky: {{cookie: a, ttl: 1h}}}} {HERE}\n"),
         f"{FIRST}.sticky.cookie", ("chooses pods by a cookie of this name",)),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_mistake_is_said_with_its_line_path_and_remedy(case: Case, tmp_path: Path) -> None:
    assert_is_said(case, tmp_path)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_one_mistake_is_not_told_many_times(case: Case, tmp_path: Path) -> None:
    assert_is_said_once(case, tmp_path)
