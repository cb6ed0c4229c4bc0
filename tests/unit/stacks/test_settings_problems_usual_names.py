"""What is written as Istio's and Kubernetes' own pages have it is answered with how this file says the same."""

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
    V1,
    Case,
    assert_is_reported,
    assert_is_reported_once,
    config,
    doing,
    matching,
    only,
    problems_of,
    routed,
    service,
    version,
)

SERVERS = f"gateways:\n  edge:\n    servers: [{{port: 80, hosts: ['%s']}}] {HERE}\nservices: {{}}"

CASES = [
    Case("TLS of a service", only("tls: {credentialName: shop}"), f"{SHOP}.tls",
         ("TLS ends at the server of a gateway", "write tls in istio-canary:gateways.<name>.servers")),
    Case("an IngressClass", only("ingressClass: istio"), f"{SHOP}.ingressClass", ("rename it to `ingressClassName`",)),
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
    # Fields of a pod and of its container.
    *(
        Case(f"a pod's field: {key}", version(f"{key}: {value}"), f"{V1}.{key}",
             (f"fix:     write it in {V1}.podTemplate: {{spec: {{{key}: {written}",))
        for key, value, written in (
            ("nodeSelector", "{disktype: ssd}", '{disktype: "ssd"}}}'),
            ("tolerations", "[{key: gpu}]", '[{"key": "gpu"}]}}'),
            ("initContainers", "[{name: x, image: y}]", '[{name: "x", image: "y"}]}}'),
            ("affinity", "{nodeAffinity: {}}", "{nodeAffinity: {}}}}"),
            ("topologySpreadConstraints", "[{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule}]", "["),
            ("priorityClassName", "high", '"high"}}'),
            ("hostAliases", "[{ip: 10.0.0.1, hostnames: [a]}]", '[{"ip": "10.0.0.1", "hostnames": ["a"]}]}}'),
            ("dnsPolicy", "Default", '"Default"}}'),
        )
    ),
    *(
        Case(f"a pod's field as {key}", version(f"{key}: {{disktype: ssd}}"), f"{V1}.{key}",
             ('podTemplate: {spec: {nodeSelector: {disktype: "ssd"}}}',))
        for key in ("nodeselector", "node_selector", "nodeSelectors")
    ),
    Case("a single volume", version("volume: {name: a, emptyDir: {}}"), f"{V1}.volume",
         ('write volumes: [{"name": "a", "emptyDir": {}}]',)),
    Case("a number under value", version("env: {A: {value: 1}}"), f"{V1}.env.A", ('fix:     write "1"',)),
    Case("a pod's field with a mistake", version("nodeSelector: ssd"), f"{V1}.nodeSelector",
         ('podTemplate: {spec: {nodeSelector: "ssd"}}, and correct its value',)),
    Case("a container's field", version("workingDir: /app"), f"{V1}.workingDir",
         (f'{V1}.podTemplate: {{spec: {{containers: [{{name: "shop", workingDir: "/app"}}]}}}}',)),
    Case("a container's lifecycle", version("lifecycle: {postStart: {sleep: {seconds: 1}}}"), f"{V1}.lifecycle",
         ('[{name: "shop", lifecycle: {"postStart": ',)),
    Case("a pod's annotations", version("annotations: {a: b}"), f"{V1}.annotations",
         ('podTemplate: {metadata: {annotations: {a: "b"}}}',)),
    Case("a pod's field at a service", only("nodeSelector: {disktype: ssd}"), f"{SHOP}.nodeSelector",
         (f'write it in {SHOP}.podTemplate: {{spec: {{nodeSelector: {{disktype: "ssd"}}}}}}',)),
    Case("a version's key at a service", only("replicas: 3"), f"{SHOP}.replicas",
         (f"write it in each of {SHOP}.versions",)),
    *(
        Case(f"a {key} of a version", version(f"{key}: shop-bot"), f"{V1}.{key}",
             (f'write serviceAccount: {{name: "shop-bot"}} in {SHOP}',))
        for key in ("serviceAccount", "serviceAccountName")
    ),
    Case("the account's name at a service", only("serviceAccountName: shop-bot"), f"{SHOP}.serviceAccountName",
         (f'write serviceAccount: {{name: "shop-bot"}} in {SHOP}',)),
    Case("a pod's field that Istio's sidecar excludes", version("hostNetwork: true"), f"{V1}.hostNetwork",
         ("fix:     remove it",)),
    # Other names.
    Case("the selector of a gateway", config(f"mesh: {{gateway: {{selector: {{istio: edge}}}}}} {HERE}"),
         "istio-canary:mesh.gateway.selector",
         ('write selector: {"istio": "edge"} in istio-canary:gateways.<name>',)),
    Case("retry", doing("retry: {attempts: 3}"), f"{ROUTE}[0].retry", ("fix:     rename it to `retries`",)),
    Case("retry of a version", version("retry: {attempts: 3}"), f"{V1}.retry", ("fix:     remove it",)),
    Case("readiness", version("readiness: {httpGet: {port: 8080}}"), f"{V1}.readiness",
         ("rename it to `readinessProbe`",)),
    Case("consecutiveErrors", only("trafficPolicy: {outlierDetection: {consecutiveErrors: 3}}"),
         f"{SHOP}.trafficPolicy.outlierDetection.consecutiveErrors",
         ("write `consecutive5xxErrors` or `consecutiveGatewayErrors`",)),
    Case("an amount of CPU", version("resources: {cpu: 1}"), f"{V1}.resources.cpu",
         ("write requests: {cpu: 1} for what is reserved; limits: {cpu: 1} for the most",)),
    # Keys that would limit a rule.
    *(
        Case(f"{key} with a mistake in it", routed(f"- {{{key}: [{{header: {{a: {{exact: b}}}}}}], to: v2}} {HERE}\n"
                                                   "- to: v1\n"), f"{ROUTE}[0].{key}",
             ("fix:     did you mean `match`? its value has mistakes, too",))
        for key in ("matches", "Match", "mach")
    ),
    Case("another word for match", routed(f"- {{when: [{{uri: {{exact: /a}}}}], to: v2}} {HERE}\n- to: v1\n"),
         f"{ROUTE}[0].when", ("write match:", "without it, the rule would match every request")),
    Case("a condition beside match", routed(f"- {{uri: {{prefix: /a}}, to: v2}} {HERE}\n- to: v1\n"),
         f"{ROUTE}[0].uri", ('write it in match: [{"uri": {"prefix": "/a"}}]',)),
    Case("a header to match among those to set",
         routed(f"- {{headers: {{x-a: {{exact: b}}}}, to: v2}} {HERE}\n- to: v1\n"), f"{ROUTE}[0].headers.x-a",
         ('write it in match: [{"headers": {"x-a": {"exact": "b"}}}]',)),
    Case("one header to match among a rule's keys",
         routed(f"- {{header: {{x-a: {{exact: b}}}}, to: v2}} {HERE}\n- to: v1\n"), f"{ROUTE}[0].header",
         ('write it in match: [{"headers": {"x-a": {"exact": "b"}}}]',)),
    Case("the path of a match", matching("{path: {prefix: /a}}"), f"{MATCH}.path", ("rename it to `uri`",)),
    # Comparisons.
    Case("an absent header", matching("{headers: {x-b: {present: false}}}"), f"{MATCH}.headers.x-b.present",
         ("write withoutHeaders: {x-b: {present: true}} instead",)),
    Case("not an absent header", matching("{withoutHeaders: {x-b: {present: false}}}"),
         f"{MATCH}.withoutHeaders.x-b.present", ("write headers: {x-b: {present: true}} instead",)),
    Case("an absent cookie", matching("{cookies: {b: {present: false}}}"), f"{MATCH}.cookies.b.present",
         ("write a rule before this one for the requests that have b",)),
    # Entries of lists, and names in them.
    Case("a bare source of variables", version("envFrom: [billing-db]"), f"{V1}.envFrom[0]",
         ("write {secretRef: {name: billing-db}}, or configMapRef",)),
    Case("a bare source without a list", version("envFrom: billing-db"), f"{V1}.envFrom",
         ("write it as a list: [{secretRef: {name: billing-db}}]",)),
    Case("a bare port", version("ports: 9090"), f"{V1}.ports",
         ("write it as a list: [{name: http-metrics, port: 9090}]",)),
    Case("a bare port in a list", only("ports: [9090]"), f"{SHOP}.ports[0]",
         ("write {name: http-metrics, port: 9090}",)),
    Case("the name of a volume's Secret", version("volumes: [{name: a, secret: {name: x}}]"),
         f"{V1}.volumes[0].secret.name", ("fix:     rename it to `secretName`",)),
    Case("the name of a volume's claim", version("volumes: [{name: a, persistentVolumeClaim: {name: x}}]"),
         f"{V1}.volumes[0].persistentVolumeClaim.name", ("fix:     rename it to `claimName`",)),
    Case("a ConfigMap in upper case", version("envFrom: [{configMapRef: {name: RATES}}]"),
         f"{V1}.envFrom[0].configMapRef.name", ("'RATES' is not a name that Kubernetes takes", "such as 'rates'")),
    Case("an empty encrypted value", version('env: {Y: {secure: ""}}'), f"{V1}.env.Y",
         ("the encrypted value is empty", f"pulumi config set --secret --path '{V1}.env.Y'")),
    Case("a bare port of an egress", config(f"egress: {{a: {{hosts: [a.example.com], ports: [443]}}}} {HERE}"),
         "istio-canary:egress.a.ports[0]", ('write {"number": 443}',)),
    # Units, and proportions that cannot be kept.
    Case("a day", doing("timeout: 1d"), f"{ROUTE}[0].timeout", ("fix:     write 24h",)),
    Case("a fortnight", doing("timeout: 2w"), f"{ROUTE}[0].timeout", ("fix:     write 336h",)),
    Case("a weight that would be doubled", routed(f"- to: {{v1: 999999.5, v2: 0.5}} {HERE}\n"), f"{ROUTE}[0].to",
         ("write {v1: 99.9999, v2: 0.0001}, which is the nearest with four decimals",)),
    *(
        Case(f"an empty value of {key}", matching(f"{{{key}: {{b: {{exact: ''}}}}}}"), f"{MATCH}.{key}.b.exact",
             ("write {regex: '^$'}, which matches the empty value",))
        for key in ("queryParams", "headers", "withoutHeaders")
    ),
    Case("any value of a parameter", matching("{queryParams: {b: {prefix: ''}}}"), f"{MATCH}.queryParams.b.prefix",
         ("write {present: true} for any value",)),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_mistake_is_reported_with_its_line_path_and_fix(case: Case, tmp_path: Path) -> None:
    assert_is_reported(case, tmp_path)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_one_mistake_is_not_reported_many_times(case: Case, tmp_path: Path) -> None:
    assert_is_reported_once(case, tmp_path)


def test_a_misspelt_key_is_not_missing_too(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, version("volumes: [{name: a, secret: {name: x}}]")).problems

    assert "rename it to `secretName`" in problem.fix


@pytest.mark.parametrize("key", ["matches", "when", "conditions"])
def test_a_rule_with_a_misplaced_match_is_not_taken_for_one_that_matches_every_request(
    key: str, tmp_path: Path
) -> None:
    text = routed(f"- {{{key}: [{{uri: {{exact: /a}}}}], to: v2}}\n- to: v1\n")

    (problem,) = problems_of(tmp_path, text).problems

    assert problem.path == f"{ROUTE}[0].{key}"
    assert "remove" not in problem.fix


def test_a_malformed_port_does_not_make_the_others_unknown(tmp_path: Path) -> None:
    text = service(
        f"{HOSTS}{TWO}gateways: [mesh]\nports: [{{name: grpc-api, port: 50051}}, {{name: grpc-b, port: x}}]\n"
        "route:\n  - {match: [{port: 50051}], to: v2}\n  - to: v1\n"
    )

    assert [problem.path for problem in problems_of(tmp_path, text).problems] == [f"{SHOP}.ports[1].port"]


@pytest.mark.parametrize("strategy", ["{bluegreen: {active: v1}}", "{bluegreen: {}}", "blugreen"])
def test_a_misspelt_strategy_needs_no_route(strategy: str, tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, service(f"{HOSTS}{TWO}strategy: {strategy}\n")).problems

    assert problem.path.startswith(f"{SHOP}.strategy")
