"""Services of TCP and TLS, and the servers that lead to them: what is wrong with them."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from stacks.settings.loading import load_stack
from tests.unit.problems import HERE, ROUTE, SHOP, Case, assert_is_reported, assert_is_reported_once, config
from traffic.model import ServiceProtocol

SERVER = "istio-canary:gateways.edge.servers[0]"
TCP = "{port: 7070, protocol: TCP, hosts: ['*']}"
TLS = "{port: 443, protocol: TLS, hosts: ['*.example.com'], tls: {mode: PASSTHROUGH}}"
HTTP = "{port: 80, hosts: ['*']}"
PASSES = "tls: {mode: PASSTHROUGH, credentialName: cert}"
RULE = f"{ROUTE}[0]"
HOSTS = {TCP: "hosts: ['*']\n", TLS: "hosts: [a.example.com]\n", HTTP: "hosts: ['*']\n"}


def serving(server: str, keys: str = "", route: str = "- to: {v1: 90, v2: 10}") -> str:
    """The service shop with two versions behind the gateway `edge` with this server."""
    versions = "versions: {v1: {image: a, port: 7070}, v2: {image: b, port: 7070}}\n"
    service = f"gateways: [edge]\n{HOSTS.get(server, '')}{versions}{keys}route:\n{textwrap.indent(route, '  ')}\n"
    gateways = f"gateways:\n  edge:\n    servers:\n      - {server}\n"
    mesh = "mesh: {gateway: {ports: [80, 443, 7070]}}\n"
    return config(f"{mesh}{gateways}services:\n  shop:\n{textwrap.indent(service, '    ')}")


def ruled(rule: str, server: str = TCP) -> str:
    """The same, with a rule before the weights."""
    return serving(server, route=f"- {rule} {HERE}\n- to: {{v1: 90, v2: 10}}")


ACTIONS = {
    "name": "name: a",
    "rewrite": "rewrite: {uri: /}",
    "headers": "headers: {request: {set: {a: b}}}",
    "timeout": "timeout: 1s",
    "retries": "retries: {attempts: 1}",
    "fault": "fault: {abort: {httpStatus: 503, percentage: {value: 1}}}",
    "mirrors": "mirrors: [{to: v2}]",
    "corsPolicy": "corsPolicy: {allowOrigins: [{exact: 'https://a.example'}]}",
    "sticky": "sticky: {cookie: c, ttl: 1h}",
}
MATCHES = {
    "headers": "headers: {a: {exact: b}}",
    "withoutHeaders": "withoutHeaders: {a: {exact: b}}",
    "cookies": "cookies: {a: {exact: b}}",
    "uri": "uri: {prefix: /a}",
    "method": "method: {exact: GET}",
    "authority": "authority: {exact: a.example.com}",
    "scheme": "scheme: {exact: http}",
    "queryParams": "queryParams: {a: {exact: b}}",
}

CASES = [
    *(Case(f"{key} in a TCP route", serving(TCP, route=f"- {{to: {{v1: 90, v2: 10}}, {text}}} {HERE}"),
           f"{RULE}.{key}", ("shop speaks TCP, and Envoy sees connections, not requests", f"remove {key}"))
      for key, text in ACTIONS.items()),
    *(Case(f"{key} in a match of TCP", ruled(f"{{match: [{{{text}}}], to: v2}}"), f"{RULE}.match[0].{key}",
           (f"there is no {key} to compare with", "the keys port, gateways, sourceLabels, sourceNamespace"))
      for key, text in MATCHES.items()),
    Case("an answer in a TCP route", ruled("{match: [{port: 7070}], directResponse: {status: 503}}"),
         f"{RULE}.directResponse", ("there is no request that could be answered",)),
    Case("a redirect in a TLS route", ruled("{match: [{sniHosts: [a.example.com]}], redirect: {uri: /}}", TLS),
         f"{RULE}.redirect", ("shop speaks TLS",)),
    Case("a header in a match of TLS", ruled("{match: [{headers: {a: {exact: b}}}], to: v2}", TLS),
         f"{RULE}.match[0].headers", ("a server name is matched with sniHosts",)),
    Case("a server name in a TCP route", ruled("{match: [{sniHosts: [a.example.com]}], to: v2}"),
         f"{RULE}.match[0].sniHosts", ("only of TLS that passes through", "sniHosts in services with protocol: TLS")),
    Case("a server name in a route of requests", ruled("{match: [{sniHosts: [a.example.com]}], to: v2}", HTTP),
         f"{RULE}.match[0].sniHosts", ("shop speaks HTTP", "write authority")),
    Case("a server name that is no host of the service", ruled("{match: [{sniHosts: [b.example.com]}], to: v2}", TLS),
         f"{RULE}.match[0].sniHosts[0]", ("'b.example.com' is none of the service's hosts", f"add it to {SHOP}.hosts")),
    Case("headers of a share",
         serving(TCP, route=f"- to: {{v1: 90, v2: {{weight: 10, headers: {{request: {{set: {{a: b}}}}}}}}}} {HERE}"),
         f"{RULE}.to.v2.headers", ("there are no headers", "remove headers")),
    Case("TLS to a host outside, around what the client sends",
         serving(TCP).replace("v2: {image: b, port: 7070}", f"v2: {{host: old.example.net, port: 443}} }} {HERE}")
         .replace(f"{HERE}}}", HERE), f"{SHOP}.versions.v2", ("TLS around what the client sends", "mode: DISABLE")),
    Case("a token", serving(TCP, f"jwt: [{{issuer: a, jwksUri: 'https://a.example/keys'}}] {HERE}\n"), f"{SHOP}.jwt",
         ("no token comes with a connection",)),
    Case("an allowance by method", serving(TCP, f"authorization: {{allow: [{{methods: [GET]}}]}} {HERE}\n"),
         f"{SHOP}.authorization.allow[0].methods", ("would allow no connection",)),
    Case("a denial by path", serving(TCP, f"authorization: {{deny: [{{paths: [/a]}}]}} {HERE}\n"),
         f"{SHOP}.authorization.deny[0].paths", ("would deny every connection",)),
    Case("a hash of a header",
         serving(TCP, f"trafficPolicy: {{loadBalancer: {{consistentHash: {{httpHeaderName: a}}}}}} {HERE}\n"),
         f"{SHOP}.trafficPolicy.loadBalancer.consistentHash.httpHeaderName", ("write useSourceIp: true",)),
    Case("a limit of requests",
         serving(TCP, f"trafficPolicy: {{connectionPool: {{http: {{http2MaxRequests: 1}}}}}} {HERE}\n"),
         f"{SHOP}.trafficPolicy.connectionPool.http", ("connectionPool.tcp",)),
    Case("a service of requests behind TCP", serving(TCP, "protocol: HTTP\n").replace("[edge]", f"[edge] {HERE}"),
         f"{SHOP}.gateways[0]", ("edge carries TCP connections", "but shop speaks HTTP", "protocol: TCP if")),
    Case("a service of TCP behind HTTP", serving(HTTP, "protocol: TCP\n").replace("[edge]", f"[edge] {HERE}"),
         f"{SHOP}.gateways[0]", ("edge carries HTTP requests", "protocol: HTTP, HTTP2 or GRPC if")),
    Case("TLS at a TCP port", serving("{port: 7070, protocol: TCP, hosts: ['*'], tls: {mode: PASSTHROUGH}} " + HERE,
                                      "hosts: ['*']\n"), SERVER, ("a TCP port has no TLS", "write protocol: TLS")),
    Case("a TLS port without an end", serving("{port: 443, protocol: TLS, hosts: [a.example.com]} " + HERE,
                                              "hosts: [a.example.com]\n"), SERVER,
         ("needs to know where TLS ends", "tls: {mode: PASSTHROUGH}")),
    Case("requests in TLS that passes through",
         serving("{port: 443, protocol: HTTPS, hosts: [a.example.com], tls: {mode: PASSTHROUGH}} " + HERE,
                 "hosts: [a.example.com]\n"), SERVER, ("the gateway cannot see requests", "write protocol: TLS")),
    Case("a certificate for TLS that passes through",
         serving(f"{{port: 443, protocol: TLS, hosts: [a.example.com], {PASSES}}} {HERE}", "hosts: [a.example.com]\n"),
         f"{SERVER}.tls", ("the gateway has no certificate", "mode: PASSTHROUGH alone")),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_mistake_of_connections_is_reported(case: Case, tmp_path: Path) -> None:
    assert_is_reported(case, tmp_path)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_one_mistake_of_connections_is_reported_once(case: Case, tmp_path: Path) -> None:
    assert_is_reported_once(case, tmp_path)


def test_two_services_cannot_share_a_tcp_port(tmp_path: Path) -> None:
    keys = f"gateways: [edge]\nversions: {{v1: {{image: a, port: 1}}}}\nhosts:\n  - cart.example.com {HERE}\n"
    text = f"{serving(TCP)}    cart:\n{textwrap.indent(keys, '      ')}"

    assert_is_reported(Case("", text, "istio-canary:services.cart.hosts[0]", ("already claimed",)), tmp_path)


@pytest.mark.parametrize(
    ("server", "keys", "protocol"),
    [(TCP, "", "TCP"), (TLS, "", "TLS"), (HTTP, "", "HTTP"), (HTTP, "protocol: GRPC\n", "GRPC")],
)
def test_the_protocol_defaults_to_that_of_the_servers(server: str, keys: str, protocol: str, tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.dev.yaml"
    file.write_text(serving(server, keys))

    assert load_stack(file).settings.services["shop"].protocol is ServiceProtocol(protocol)


HTTPS = "{port: 443, protocol: HTTPS, hosts: [%s], tls: {mode: SIMPLE, credentialName: cert}}"


def test_requests_over_tls_and_tls_that_passes_through_share_a_port(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.dev.yaml"
    file.write_text(serving(TLS).replace(f"- {TLS}", f"- {TLS}\n        - {HTTPS % 'a.org'}"))

    assert load_stack(file).settings.gateways["edge"].servers[1].hosts == ("a.org",)


def test_a_host_cannot_both_pass_through_and_end_at_the_gateway(tmp_path: Path) -> None:
    text = serving(TLS.replace("'*.example.com'", "a.example.com"), "hosts: [a.example.com]\n")
    server = TLS.replace("'*.example.com'", "a.example.com")
    text = text.replace(f"- {server}", f"- {server}\n        - {HTTPS % 'a.example.com'} {HERE}")
    path = "istio-canary:gateways.edge.servers[1].port"

    assert_is_reported(Case("", text, path, ("already has TLS settings",)), tmp_path)


VAULT = "{port: 443, protocol: TLS, hosts: [vault.example.com], tls: {mode: PASSTHROUGH}}"
ENDS = "{port: 443, protocol: HTTPS, hosts: ['*.example.com'], tls: {mode: SIMPLE, credentialName: c}}"
REDIRECT = "{port: 80, hosts: ['*.example.com'], tls: {httpsRedirect: true}}"
VAULT_REDIRECT = "{port: 80, hosts: [vault.example.com], tls: {httpsRedirect: true}}"
WEB = "{port: 80, hosts: ['*']}"


def beside(servers: list[str], keys: str = "", route: str = "- to: {v1: 90, v2: 10}") -> str:
    """The service shop with the host vault.example.com behind a gateway with these servers."""
    text = serving("HERE", f"hosts: [vault.example.com] {HERE}\n{keys}", route)
    return text.replace("- HERE", f"- {servers[0]}" + "".join(f"\n      {'  '}- {one}" for one in servers[1:]), 1)


@pytest.mark.parametrize(
    ("servers", "protocol"),
    [
        ([VAULT], "TLS"),
        ([VAULT, ENDS], "TLS"),
        ([ENDS, VAULT, WEB], "TLS"),
        ([VAULT, REDIRECT], "TLS"),
        ([VAULT, VAULT_REDIRECT], "TLS"),
        (["{port: 7070, protocol: TCP, hosts: [vault.example.com]}", ENDS], "TCP"),
        (["{port: 7070, protocol: TLS, hosts: [vault.example.com], tls: {mode: SIMPLE, credentialName: c}}", ENDS],
         "TCP"),
        (["{port: 7070, protocol: TCP, hosts: ['*']}", ENDS], "HTTP"),
        ([VAULT.replace("vault", "other"), ENDS], "HTTP"),
        ([ENDS, REDIRECT], "HTTP"),
        ([REDIRECT], "HTTP"),
    ],
)  # fmt: skip
def test_the_server_with_the_most_specific_host_says_the_protocol(
    servers: list[str], protocol: str, tmp_path: Path
) -> None:
    (tmp_path / "Pulumi.dev.yaml").write_text(beside(servers))

    assert load_stack(tmp_path / "Pulumi.dev.yaml").settings.services["shop"].protocol == protocol


@pytest.mark.parametrize(
    ("servers", "words"),
    [
        ([TLS, WEB.replace("*", "*.example.com")],
         ("HTTP requests", "TLS that passes through", "TLS if they terminate TLS themselves")),
        (["{port: 7070, protocol: TCP, hosts: ['*']}", WEB], ("TCP connections", "TCP if they serve anything else")),
    ],
)  # fmt: skip
def test_a_service_says_its_protocol_where_its_gateways_do_not(
    servers: list[str], words: tuple[str, ...], tmp_path: Path
) -> None:
    case = Case("two kinds", beside(servers), f"{SHOP}.hosts", ("has to say which", "add protocol: HTTP", *words))
    assert_is_reported(case, tmp_path)
    assert_is_reported_once(case, tmp_path)

    (tmp_path / "Pulumi.dev.yaml").write_text(beside(servers, "protocol: HTTP\n"))
    assert load_stack(tmp_path / "Pulumi.dev.yaml").settings.services["shop"].protocol == "HTTP"


def test_the_fix_for_server_names_is_the_protocol_where_a_server_passes_tls_through(tmp_path: Path) -> None:
    text = beside([VAULT, ENDS], "protocol: HTTP\n", "- {match: [{sniHosts: [vault.example.com]}], to: v2}\n- to: v1")
    text = text.replace(HERE, "").replace("to: v2}", f"to: v2}} {HERE}")

    assert_is_reported(Case("", text, f"{RULE}.match[0].sniHosts", (f"write {SHOP}.protocol: TLS",)), tmp_path)
