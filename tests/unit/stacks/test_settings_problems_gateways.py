"""Mistakes in gateways and hosts, in who may call, and in traffic policies."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.problems import (
    HERE,
    HOSTS,
    ONE,
    SHOP,
    V1,
    Case,
    assert_is_reported,
    assert_is_reported_once,
    calling,
    config,
    only,
    service,
    version,
)

PUBLIC = "istio-canary:gateways.public"
POLICY = f"{SHOP}.trafficPolicy"
BALANCER = f"{POLICY}.loadBalancer"
ALLOW = f"{SHOP}.authorization.allow[0]"
JWT = f"{SHOP}.jwt[0]"
OPEN = "mesh: {gateway: {ports: [80, 443]}}\n"
LONG_NAME = "s" * 56


def public(servers: str, shop: str = "", mesh: str = OPEN) -> str:
    """A file with the gateway `public` and the service `shop`, which is bound to it unless it says otherwise."""
    given = shop or f"hosts: [shop.example.com]\n    gateways: [public]\n    {ONE}"
    return config(f"{mesh}gateways:\n  public:\n    servers:\n{servers}services:\n  shop:\n    {given}")


def server(keys: str, mark: str = "") -> str:
    """One server of a gateway, in a line."""
    return f"      - {{{keys}}} {mark}\n"


def allowing(rule: str) -> str:
    """A service with this rule in `allow`."""
    return only(f"authorization: {{allow: [{{{rule}}}]}}")


def token(keys: str) -> str:
    """A service with an issuer with these keys."""
    return only(f"jwt: [{{issuer: a, {keys}}}]")


HTTP = "port: 80, hosts: ['*.example.com']"
HTTPS = "port: 443, protocol: HTTPS, hosts: ['*.example.com'], tls: {mode: SIMPLE, credentialName: cert}"

CASES = [
    # Ports.
    Case("the old key of one port", config(f"mesh: {{gateway: {{port: 8080}}}} {HERE}"),
         "istio-canary:mesh.gateway.port", ("this key was replaced by `ports`", "write ports: [8080]")),
    Case("a port twice", config(f"mesh: {{gateway: {{ports: [80, 80]}}}} {HERE}"), "istio-canary:mesh.gateway.ports",
         ("80 is given twice",)),
    Case("a port that is not open", only("gatewayPort: 9191"), f"{SHOP}.gatewayPort",
         ("does not open port 9191", "istio-canary:mesh.gateway.ports: 80", "[80, 9191]")),
    Case("a port of a server that is not open", public(server(HTTP) + server(HTTPS, HERE), mesh=""),
         f"{PUBLIC}.servers[1].port", ("does not open port 443", "[80, 443]")),
    Case("two protocols at a port", public(server(HTTP) + server(HTTPS.replace("443", "80"), HERE)),
         f"{PUBLIC}.servers[1].port", ("port 80 is HTTPS here", "but HTTP at", "servers[0].port")),
    Case("a host with two certificates", public(server(HTTPS) + server(HTTPS, HERE)), f"{PUBLIC}.servers[1].port",
         ("already has TLS settings at", "servers[0].port")),
    Case("gatewayPort without the service's own Gateway",
         public(server(HTTP), f"hosts: [a.example.com]\n    gateways: [public]\n    gatewayPort: 80 {HERE}\n    {ONE}"),
         f"{SHOP}.gatewayPort", ("no effect without shop-gateway",)),
    # Servers.
    Case("HTTPS without a certificate", public(server("port: 443, protocol: HTTPS, hosts: ['*']", HERE)),
         f"{PUBLIC}.servers[0]", ("HTTPS needs a certificate",)),
    Case("a certificate with HTTP", public(server(HTTPS.replace("HTTPS", "HTTP"), HERE)), f"{PUBLIC}.servers[0]",
         ("an HTTP port has no certificate",)),
    Case("a certificate without a mode",
         public(server("port: 443, protocol: HTTPS, hosts: ['*'], tls: {credentialName: a}", HERE)),
         f"{PUBLIC}.servers[0].tls", ("a certificate has no effect without a mode",)),
    Case("TLS without anything", public(server("port: 80, hosts: ['*'], tls: {}", HERE)), f"{PUBLIC}.servers[0].tls",
         ("tls is empty",)),
    Case("the name of a Secret", public(server(HTTPS.replace("cert", "My_Cert"), HERE)),
         f"{PUBLIC}.servers[0].tls.credentialName", ("is not a Secret name",)),
    Case("a gateway named mesh", config(f"gateways:\n  mesh: {HERE}\n    servers: [{{{HTTP}}}]"),
         "istio-canary:gateways.mesh", ("is reserved for all callers inside the mesh",)),
    Case("a gateway with the name of a service's own",
         config(f"gateways:\n  shop-gateway: {HERE}\n    servers: [{{{HTTP}}}]\n"
                f"services:\n  shop:\n    {HOSTS}    {ONE}"),
         "istio-canary:gateways.shop-gateway", ("is reserved for the Gateway of istio-canary:services.shop",)),
    Case("a service with too long a name for its gateway",
         config(f"services:\n  {LONG_NAME}: {HERE}\n    {HOSTS}    versions: {{v1: {{image: a, port: 1}}}}"),
         f"istio-canary:services.{LONG_NAME}", ("the name of its Gateway", "64 characters")),
    # Hosts.
    Case("an unknown gateway", only("gateways: [pubic]").replace("config:\n", f"config:\n  istio-canary:gateways: "
         f"{{public: {{servers: [{{{HTTP}}}]}}}}\n"), f"{SHOP}.gateways[0]",
         ("there is no gateway 'pubic'; the nearest is 'public'", "write public")),
    Case("a gateway twice", only("gateways: [mesh, mesh]"), f"{SHOP}.gateways", ("'mesh' is given twice",)),
    Case("no hosts", config(f"services:\n  shop: {HERE}\n    {ONE}"), f"{SHOP}.hosts",
         ("no host routes to the service", "fix:     add `hosts: [shop.example.com]`", "`gateways: [mesh]`")),
    Case("a wildcard inside the mesh", service(f"hosts: ['*'] {HERE}\ngateways: [mesh]\n{ONE}"), f"{SHOP}.hosts[0]",
         ("has no effect for callers inside the mesh",)),
    Case("hosts that overlap", only("hosts: ['*.example.com', shop.example.com]"), f"{SHOP}.hosts[1]",
         ("'shop.example.com' and '*.example.com' overlap",)),
    Case("the service's own name among its hosts",
         service(f"hosts: [shop.shop.svc.cluster.local] {HERE}\ngateways: [mesh]\n{ONE}"), f"{SHOP}.hosts[0]",
         ("overlapping hosts",)),
    Case("a host with a numeric top level", only("hosts: [shop.123]"), f"{SHOP}.hosts[0]",
         ("not a host that a gateway can claim",)),
    Case("a gateway that accepts no host",
         public(server(HTTP), f"hosts: [shop.example.org]\n    gateways: [public] {HERE}\n    {ONE}"),
         f"{SHOP}.gateways[0]", ("public accepts none of the service's hosts",)),
    Case("a host that no gateway accepts",
         public(server(HTTP), f"hosts: [a.example.com, b.example.org] {HERE}\n    gateways: [public]\n    {ONE}"),
         f"{SHOP}.hosts[1]", ("none of the service's gateways accepts 'b.example.org'",)),
    Case("a host by two gateways",
         public(server(HTTP), f"hosts: [shop.example.com]\n    gateways: [public]\n    {ONE}  shop-2:\n"
                f"    hosts: [shop.example.com] {HERE}\n    {ONE}"),
         "istio-canary:services.shop-2.hosts[0]", ("on gateway port 80 is already claimed by the service 'shop'",)),
    Case("a host inside the mesh twice",
         config(f"{OPEN}services:\n  shop:\n    {HOSTS}    gateways: [mesh]\n    {ONE}  shop-2:\n"
                f"    hosts: [shop.example.com] {HERE}\n    gateways: [mesh]\n    {ONE}"),
         "istio-canary:services.shop-2.hosts[0]", ("inside the mesh is already claimed by the service 'shop'",)),
    # The mesh, and what is outside.
    Case("denyByDefault of an existing mesh", config(f"mesh:\n  install: false\n  denyByDefault: true {HERE}"),
         "istio-canary:mesh.denyByDefault", ("no effect when mesh.install is false", "decides who may call")),
    Case("a namespace without services",
         service(f"{HOSTS}{ONE}") + f"  istio-canary:namespaces: {{shopp: {{}}}} {HERE}\n",
         "istio-canary:namespaces.shopp", ("no service of the stack is in this namespace", "nearest is 'shop'")),
    Case("a wildcard in DNS", config(f"egress: {{a: {{hosts: ['*.a.b']}}}} {HERE}"), "istio-canary:egress.a",
         ("cannot be looked up",)),
    Case("addresses without STATIC", config(f"egress: {{a: {{hosts: [a.b], endpoints: [192.0.2.1]}}}} {HERE}"),
         "istio-canary:egress.a", ("resolution is DNS, and endpoints are set",)),
    Case("two hosts of TCP",
         config(f"egress: {{a: {{hosts: [a.b, c.d], ports: [{{number: 5432, protocol: TCP}}]}}}} {HERE}"),
         "istio-canary:egress.a", ("does not say which of the 2 hosts",)),
    Case("an external host twice", config(f"egress:\n  a: {{hosts: [a.b]}}\n  c: {{hosts: [a.b]}} {HERE}"),
         "istio-canary:egress.c.hosts[0]", ("is already given in",)),
    # Who may call.
    Case("a rule that denies everything", only("authorization: {deny: [{}]}"), f"{SHOP}.authorization",
         ("matches all requests", "use allow: []")),
    Case("nobody allowed or denied", only("authorization: {}"), f"{SHOP}.authorization",
         ("neither allow nor deny is set",)),
    Case("an identity with its scheme", allowing("principals: ['spiffe://cluster.local/ns/a/sa/b']"),
         f"{ALLOW}.principals[0]", ("which Istio adds", "write cluster.local/ns/a/sa/b")),
    Case("an invalid identity", allowing("principals: [shop]"), f"{ALLOW}.principals[0]",
         ("not a workload identity",)),
    Case("a star in the middle", allowing("paths: ['/a/*/b']"), f"{ALLOW}.paths[0]", ("is not at one end",)),
    Case("an empty list of callers", allowing("principals: []"), f"{ALLOW}.principals", ("the value is empty",)),
    Case("a method in lower case", allowing("methods: [get]"), f"{ALLOW}.methods[0]", ("write GET",)),
    Case("a path without a slash", allowing("paths: [admin]"), f"{ALLOW}.paths[0]", ("write /admin",)),
    Case("a template of paths", allowing("paths: ['/{id}']"), f"{ALLOW}.paths[0]", ("not a path template",)),
    Case("a range of addresses", allowing("ipBlocks: [10.0.0.0/33]"), f"{ALLOW}.ipBlocks[0]",
         ("neither an IP address nor a CIDR block",)),
    Case("a port that no pod has", allowing("ports: [80]"), f"{ALLOW}.ports[0]",
         ("80 is the Service's port", "write 8080")),
    Case("tokens that are not validated", allowing("requestPrincipals: ['*']"), f"{ALLOW}.requestPrincipals",
         ("validates no tokens",)),
    Case("identities without mutual TLS",
         service(f"{HOSTS}{ONE}mtls: {{mode: DISABLE}}\nauthorization: {{allow: [{{namespaces: [a]}}]}} {HERE}\n"),
         f"{ALLOW}.namespaces", ("disabled for the service",)),
    Case("an invalid port of mutual TLS", only("mtls: {portLevelMtls: {http: STRICT}}"),
         f"{SHOP}.mtls.portLevelMtls.http", ("a whole number from 1 to 65535",)),
    Case("a port of mutual TLS that no pod has", only("mtls: {portLevelMtls: {9090: STRICT}}"),
         f"{SHOP}.mtls.portLevelMtls.9090", ("no version listens on port 9090", "write 8080")),
    Case("an issuer without keys", only("jwt: [{issuer: a}]"), JWT, ("the issuer has no keys",)),
    Case("keys at an invalid URL", token("jwksUri: a.b/keys"), f"{JWT}.jwksUri", ("not a URL that istiod can fetch",)),
    Case("keys that are not JSON", token("jwks: 'keys'"), f"{JWT}.jwks", ("not valid JSON",)),
    Case("a private key", token("""jwks: '{"keys": [{"kty": "RSA", "n": "a", "e": "AQAB", "d": "b"}]}'"""),
         f"{JWT}.jwks", ("keys[0] is a private key",)),
    # How callers treat pods.
    Case("an empty policy", only("trafficPolicy: {}"), POLICY, ("the policy is empty",)),
    Case("two balancers", calling("loadBalancer: {simple: RANDOM, consistentHash: {useSourceIp: true}}"), BALANCER,
         ("simple and consistentHash are both set",)),
    Case("a table size that is not a prime",
         calling("loadBalancer: {consistentHash: {useSourceIp: true, maglev: {tableSize: 65536}}}"),
         f"{BALANCER}.consistentHash.maglev.tableSize", ("65536 is not a prime number",)),
    Case("warmup with RANDOM", calling("loadBalancer: {simple: RANDOM, warmup: {duration: 10s}}"), BALANCER,
         ("support warmup",)),
    Case("a failover without outlier detection",
         calling("loadBalancer: {localityLbSetting: {failover: [{from: eu, to: us}]}}"),
         f"{BALANCER}.localityLbSetting", ("no effect without outlierDetection",)),
    Case("shares of localities",
         calling("loadBalancer: {localityLbSetting: {distribute: [{from: eu, to: {eu: 50, us: 40}}]}}"),
         f"{BALANCER}.localityLbSetting.distribute[0]", ("sum to 90, not 100",)),
    Case("localities that overlap",
         calling("loadBalancer: {localityLbSetting: {distribute: [{from: eu, to: {'eu/*': 50, eu/a: 50}}]}}"),
         f"{BALANCER}.localityLbSetting", ("eu/a overlaps with eu/*",)),
    Case("a pool without limits", calling("connectionPool: {http: {}}"), f"{POLICY}.connectionPool",
         ("has no limit",)),
    Case("failures that are not counted", calling("outlierDetection: {consecutiveLocalOriginFailures: 5}"),
         f"{POLICY}.outlierDetection", ("add splitExternalLocalOriginErrors: true",)),
    Case("MUTUAL without a certificate", calling("tls: {mode: MUTUAL}"), f"{POLICY}.tls",
         ("MUTUAL needs a client certificate",)),
    Case("any certificate, and a trusted one",
         calling("tls: {mode: SIMPLE, insecureSkipVerify: true, caCertificates: /a}"), f"{POLICY}.tls",
         ("accepts any certificate",)),
    Case("certificates in a ConfigMap", calling("tls: {mode: SIMPLE, credentialName: 'configmap://a'}"),
         f"{POLICY}.tls.credentialName", ("is not a Secret name",)),
    Case("plain text to pods that do not accept it", calling("tls: {mode: DISABLE}"), f"{POLICY}.tls.mode",
         ("istio-canary:mesh.mtls is STRICT", "503")),
    Case("pods that terminate TLS inside the mesh",
         only("gateways: [mesh]\nmtls: {mode: PERMISSIVE}\ntrafficPolicy: {tls: {mode: SIMPLE}}"),
         f"{POLICY}.tls.mode", ("would not apply to these", "remove mesh from istio-canary:services.shop.gateways")),
    Case("plain text to a version that does not accept it", version("trafficPolicy: {tls: {mode: DISABLE}}"),
         f"{V1}.trafficPolicy.tls.mode", ("would get 503",)),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_mistake_is_reported_with_its_line_path_and_fix(case: Case, tmp_path: Path) -> None:
    assert_is_reported(case, tmp_path)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_one_mistake_is_not_reported_many_times(case: Case, tmp_path: Path) -> None:
    assert_is_reported_once(case, tmp_path)
