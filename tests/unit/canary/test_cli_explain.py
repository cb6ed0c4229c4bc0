"""`canary explain`: the request, the decision and its explanation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from canary.app import app
from canary.exit_codes import ExitCode

STACK = """config:
  istio-canary:samples: [website]
  istio-canary:mesh: {gateway: {ports: [80, 443, 9191]}}
  istio-canary:gateways:
    public:
      servers:
        - {port: 80, hosts: ["*.example.com"], tls: {httpsRedirect: true}}
        - {port: 443, protocol: HTTPS, hosts: ["*.example.com"], tls: {mode: SIMPLE, credentialName: cert}}
  istio-canary:services:
    cart:
      versions: {blue: {image: "cart:1", port: 8080}}
      gateways: [mesh]
      port: 8080
      authorization: {allow: [{namespaces: [shop]}]}
    shop:
      hosts: [shop.example.com]
      gateways: [public, mesh]
      versions:
        version-1: {image: "shop:1", port: 8080}
        version-2: {image: "shop:2", port: 8080}
      route:
        - match: [{headers: {qa: {exact: canary-test}}}, {cookies: {beta: {present: true}}}]
          to: version-2
        - match: [{uri: {prefix: /old}}]
          redirect: {uri: /new, redirectCode: 302}
        - match: [{uri: {prefix: /gone}}]
          directResponse: {status: 410, body: gone}
          headers: {response: {set: {x-why: moved}}}
        - match: [{sourceLabels: {app: cart}}]
          to: cart/blue
          timeout: 5s
          retries: {attempts: 1, perTryTimeout: 2s, retryOn: reset}
        - match: [{uri: {prefix: /api}, method: {exact: POST}}]
          to: version-1
          rewrite: {uri: /v1, authority: api.example}
          headers: {request: {set: {x-a: b}, remove: [x-b]}, response: {add: {x-c: d}}}
          retries: {attempts: 0}
          fault: {delay: {fixedDelay: 1s, percentage: {value: 10}}, abort: {httpStatus: 503, percentage: {value: 0.5}}}
          mirrors: [{to: version-2, percentage: {value: 20}}]
          corsPolicy: {allowOrigins: [{exact: "https://ok.example"}]}
        - to: {version-1: 90, version-2: 10}
          sticky: {cookie: shop-version, ttl: 1h}
    strict:
      hosts: [strict.example]
      gatewayPort: 9191
      versions: {one: {image: "strict:1", port: 8080}}
      route: [{match: [{uri: {exact: /only}}], to: one}, {directResponse: {status: 404}}]
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: istio-canary\nruntime: python\n", encoding="utf-8")
    (tmp_path / "Pulumi.dev.yaml").write_text(STACK, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KUBECONFIG", "/nonexistent")


def explain(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["explain", "--stack", "dev", *arguments])


DENIED = "whose sidecar answers 403: istio-canary:services.cart.authorization does not allow the request."


def line_of(text: str) -> int:
    """The line of the stack's file on which the rule with this text begins."""
    lines = STACK.splitlines()
    index = next(number for number, line in enumerate(lines) if text in line)
    return next(number + 1 for number in range(index, -1, -1) if lines[number].strip().startswith("- "))


DEFAULTS = "No timeout; Istio's default of 2 retries."
EXPLAINED: list[tuple[list[str], list[str]]] = [
    (
        ["shop", "-H", "qa: canary-test"],
        [
            "GET https://shop.example.com/, with qa: canary-test, through the gateway public",
            "goes to version-2.",
            f"Rule 1 decides (Pulumi.dev.yaml:{line_of('qa:')}): qa = canary-test or cookie beta is present.",
            DEFAULTS,
        ],
    ),
    (
        ["shop", "/old/x?a=b", "--host", "shop.example.com:443"],
        [
            "GET https://shop.example.com:443/old/x?a=b through the gateway public",
            "is redirected (302) to https://shop.example.com:443/new?a=b",
            f"Rule 2 decides (Pulumi.dev.yaml:{line_of('/old')}): path begins with /old.",
        ],
    ),
    (
        ["shop", "/gone"],
        [
            "GET https://shop.example.com/gone through the gateway public",
            "is answered 410 and 'gone' by Envoy itself.",
            f"Rule 3 decides (Pulumi.dev.yaml:{line_of('/gone')}): path begins with /gone.",
            "Response header set: x-why: moved.",
        ],
    ),
    (
        ["shop", "--from", "cart"],
        [
            "GET http://shop.shop/ from inside the mesh (a pod with app=cart, version=cart-blue in cart)",
            f"goes to cart/blue, {DENIED}",
            f"Rule 4 decides (Pulumi.dev.yaml:{line_of('sourceLabels')}): the caller's label app = cart.",
            "Timeout 5 s; 1 retry of at most 2 s each, on reset.",
        ],
    ),
    (
        ["shop", "/api/./x", "-X", "post", "-H", "Origin: https://ok.example"],
        [
            "POST https://shop.example.com/api/./x, with Origin: https://ok.example, through the gateway public",
            "goes to version-1.",
            f"Rule 5 decides (Pulumi.dev.yaml:{line_of('/api')}): method = POST and path begins with /api.",
            "Fault injection: 10 % of the requests are delayed by 1 s.",
            "Fault injection: 0.5 % of the requests are answered 503 instead.",
            "The version sees POST /v1/x at api.example.",
            "Request header removed: x-b.",
            "Request header set: x-a: b.",
            "Response header added: x-c: d.",
            "The response has access-control-allow-origin: https://ok.example.",
            "20 % of the requests are mirrored to version-2.",
            "No timeout; no retries.",
        ],
    ),
    (
        ["shop", "--from", "other/thing"],
        [
            "GET http://shop.shop/ from inside the mesh (a pod with app=thing in other)",
            "goes to version-1 (90 %) or version-2 (10 %).",
            f"Rule 6 decides (Pulumi.dev.yaml:{line_of('90')}): it matches every other request.",
            "The response sets the cookie shop-version, which keeps the user on that version for 1h.",
            DEFAULTS,
        ],
    ),
    (
        ["shop", "-H", "cookie: shop-version=version-2"],
        [
            "GET https://shop.example.com/, with cookie: shop-version=version-2, through the gateway public",
            "goes to version-2.",
            f"Rule 6 decides (Pulumi.dev.yaml:{line_of('90')}): it matches every other request.",
            "The cookie shop-version keeps the user on that version.",
            DEFAULTS,
        ],
    ),
    (
        ["website"],
        [
            "GET http://any-host.example/ through the gateway website-gateway",
            "goes to version-1.",
            "Rule 2 decides (from sample website): it matches every other request.",
            DEFAULTS,
        ],
    ),
    (
        ["cart", "--from", "shop/version-2"],
        [
            "GET http://cart.cart:8080/ from inside the mesh (a pod with app=shop, version=shop-version-2 in shop)",
            "goes to blue.",
            "No route is configured, so every request goes to the only version.",
            DEFAULTS,
        ],
    ),
    (
        ["shop", "--port", "80"],
        [
            "GET http://shop.example.com/ through the gateway public",
            "is redirected (301) to https://shop.example.com/",
            "The Gateway public accepts only HTTPS (httpsRedirect).",
        ],
    ),
    (
        ["website", "--host", "www.other.org"],
        [
            "GET http://www.other.org/ through the gateway website-gateway",
            "goes to version-1.",
            "Rule 2 decides (from sample website): it matches every other request.",
            DEFAULTS,
        ],
    ),
    (
        ["website", "--host", "shop.example.com", "--https"],
        [
            "GET https://shop.example.com/ through the gateway public (its host belongs to shop, not to website)",
            "goes to version-1 (90 %) or version-2 (10 %).",
            f"Rule 6 of shop decides (Pulumi.dev.yaml:{line_of('90')}): it matches every other request.",
            "The response sets the cookie shop-version, which keeps the user on that version for 1h.",
            DEFAULTS,
        ],
    ),
    (
        ["strict", "/x"],
        [
            "GET http://strict.example:9191/x through the gateway strict-gateway",
            "is answered 404 by Envoy itself.",
            f"Rule 2 decides (Pulumi.dev.yaml:{len(STACK.splitlines())}): it matches every other request.",
        ],
    ),
    (
        ["shop", "--port", "99"],
        [
            "GET http://shop.example.com:99/ at the gateway's port 99",
            "gets no connection: no Gateway listens on port 99; open ports: 80, 443, 9191.",
        ],
    ),
    (
        ["shop", "--from", "cart", "--host", "other.org"],
        [
            "GET http://other.org/ from inside the mesh (a pod with app=cart, version=cart-blue in cart)",
            "is not routed: the stack has no service with the host 'other.org' and the port 80.",
            "It is sent to its host without any routing (mesh.outboundTrafficPolicy: ALLOW_ANY).",
        ],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "lines"), EXPLAINED, ids=[" ".join(arguments) for arguments, _ in EXPLAINED])
def test_the_decision_is_explained_in_sentences(arguments: list[str], lines: list[str]) -> None:
    result = explain(*arguments)
    assert result.exit_code == ExitCode.OK, result.output
    assert result.stdout.split("\n\n")[0].splitlines() == lines


def test_the_earlier_rules_are_listed_with_the_reason_why_they_did_not_match() -> None:
    before = explain("shop", "/api").stdout.split("\n\n")[1].splitlines()
    assert before[:4] == [
        "Earlier rules that did not match:",
        f"  rule 1 (Pulumi.dev.yaml:{line_of('qa:')})",
        "    it requires qa to be canary-test, but the request has no header qa",
        "    it requires the cookie beta to be present, but the request has no cookie beta",
    ]
    assert before[-1] == "    it requires the method to be POST, but it is GET"


MISTAKES: list[tuple[list[str], str]] = [
    (["shp"], "did you mean shop? its services are:"),
    (["shop", "--from", "cat"], "did you mean cart? write <service>/<version>"),
    (["shop", "--from", "cart/red"], "its versions are: blue"),
    (["shop", "--from", "shop/version-3"], "its versions are: version-1, version-2"),
    (["shop", "--from", "shop/versoin-2"], "did you mean version-2?"),
    (["shop", "--from", "a/b/c"], "the stack has no workload 'a/b/c'"),
    (["shop", "-H", "qa"], "'qa' is not a header"),
    (["shop", "-H", "q a: b"], "write it as -H 'name: value'"),
    (["shop", "old"], "start it with /: /old"),
    (["shop", "https://website.example.com/x"], "--https --host website.example.com /x"),
    (["shop", "http://shop.example.com:8080?a=b"], "--host shop.example.com:8080 '/?a=b'"),
    (["cart"], "canary explain cart --from <service>/<version>"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES, ids=[" ".join(arguments) for arguments, _ in MISTAKES])
def test_a_mistake_is_reported_with_its_fix(arguments: list[str], message: str) -> None:
    result = explain(*arguments)
    assert result.exit_code == ExitCode.CONFIG
    assert message in result.stderr
    assert "Traceback" not in result.output


def test_a_caller_that_is_almost_a_service_is_noted() -> None:
    misspelt, outside = explain("cart", "--from", "shap/version-2"), explain("cart", "--from", "another/app")

    assert "did you mean --from shop/version-2?" in misspelt.stderr
    assert (misspelt.exit_code, outside.stderr) == (0, "")


@pytest.mark.parametrize(
    ("authorization", "said"),
    [
        ("{allow: [{paths: [/x]}]}", "then check whether the caller is allowed"),
        ("{deny: [{methods: [GET]}]}", "answers 403: istio-canary:services.cart.authorization does not allow"),
    ],
)
def test_what_a_service_decides_about_a_caller_is_explained(authorization: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "Pulumi.dev.yaml").write_text(STACK.replace("{allow: [{namespaces: [shop]}]}", authorization))

    assert said in explain("cart", "--from", "shop/version-1").stdout


def test_a_service_that_is_closed_by_default_is_explained(tmp_path: Path) -> None:
    text = STACK.replace("      authorization: {allow: [{namespaces: [shop]}]}\n", "")
    (tmp_path / "Pulumi.dev.yaml").write_text(f"{text}  istio-canary:namespaces: {{cart: {{denyByDefault: true}}}}\n")

    assert "answers 403: it has no authorization" in explain("cart", "--from", "shop/version-1").stdout


def test_the_decision_is_available_as_json() -> None:
    document = json.loads(explain("shop", "/api", "-X", "POST", "--json").stdout)
    assert (document["service"], document["gateway"], document["rule"]["number"]) == ("shop", "public", 5)
    assert document["rule"]["line"] == line_of("/api")
    shares = document["result"]["shares"]
    assert [(share["target"]["version"], share["probability"]) for share in shares] == [("version-1", 1.0)]
    assert document["result"]["faults"]["abort"]["probability"] == 0.005
    assert document["before"][0]["misses"][0] == {
        "condition": "headers",
        "name": "qa",
        "expected": {"exact": "canary-test"},
        "found": None,
        "words": "it requires qa to be canary-test, but the request has no header qa",
    }


def test_a_host_header_sets_the_host_as_with_curl() -> None:
    asked = explain("website", "-H", "Host: x.org").stdout.splitlines()[0]
    assert asked == "GET http://x.org/ through the gateway website-gateway"


def test_hosts_outside_the_mesh_follow_the_outbound_traffic_policy(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.dev.yaml"
    closed = STACK.replace("mesh: {gateway", "mesh: {outboundTrafficPolicy: REGISTRY_ONLY, gateway")
    file.write_text(closed, encoding="utf-8")
    assert "answers 502" in explain("shop", "--from", "cart", "--host", "other.org").stdout
    known = "  istio-canary:egress: {pay: {hosts: [pay.example], ports: [{number: 443, protocol: TLS}]}}\n"
    file.write_text(closed + known, encoding="utf-8")
    assert "a host of egress pay" in explain("shop", "--from", "cart", "--host", "pay.example").stdout


def test_a_header_is_printed_as_it_was_typed() -> None:
    output = explain("shop", "-H", "x-a: 1:b:2").output
    assert "x-a: 1:b:2" in output, f"`:b:` must not become an emoji: {output}"


def test_a_rewrite_to_an_invalid_path_is_explained(tmp_path: Path) -> None:
    rewrite = "rewrite: {uriRegexRewrite: {match: ^/only, rewrite: b}}"
    rewriting = STACK.replace("{exact: /only}}], to: one}", f"{{regex: /only/.*}}}}], to: one, {rewrite}}}")
    (tmp_path / "Pulumi.dev.yaml").write_text(rewriting, encoding="utf-8")
    assert "goes to one, whose sidecar answers 400: 'b/x' is not a valid path." in explain("strict", "/only/x").output


CALLERS = """
    books:
      gateways: [mesh]
      versions: {one: {image: "books:1", port: 8080}, two: {image: "books:2", port: 8080}}
      route:
        - match: [{sourceLabels: {version: shop-version-2}}]
          to: two
        - match: [{sourceLabels: {app: shop, tier: gold}}]
          to: two
        - to: one
"""


@pytest.fixture
def books(tmp_path: Path) -> None:
    """A service whose route tells versions of callers apart."""
    (tmp_path / "Pulumi.dev.yaml").write_text(STACK.rstrip() + CALLERS, encoding="utf-8")


@pytest.mark.usefixtures("books")
def test_an_answer_that_depends_on_the_callers_version_is_given_for_each() -> None:
    lines = explain("books", "--from", "shop").stdout.splitlines()
    assert lines[:2] == [
        "GET http://books.books/ from inside the mesh (a pod with app=shop in shop)",
        "depends on the caller's version:",
    ]
    assert lines[2].startswith("  from shop/version-1 it goes to one. Rule 3 decides")
    assert lines[3].startswith("  from shop/version-2 it goes to two. Rule 1 decides")
    assert lines[4] == "For more, name it: --from shop/version-1"


@pytest.mark.usefixtures("books")
def test_an_answer_that_is_the_same_for_all_versions_is_given_once() -> None:
    assert explain("books", "--from", "books").stdout.splitlines()[1] == "goes to one."
    assert "depends" not in explain("cart", "--from", "shop").stdout


def test_versions_may_all_be_told_from_pods_of_no_version(tmp_path: Path) -> None:
    each = [f"{{sourceLabels: {{version: shop-version-{number}}}}}" for number in (1, 2)]
    route = CALLERS.replace("{sourceLabels: {version: shop-version-2}}", ", ".join(each))
    (tmp_path / "Pulumi.dev.yaml").write_text(STACK.rstrip() + route, encoding="utf-8")
    assert explain("books", "--from", "shop").stdout.splitlines()[1] == "goes to two."


@pytest.mark.usefixtures("books")
def test_labels_of_callers_outside_the_stack_are_not_known() -> None:
    assert "rule 1 and 2 would depend on its label version and app" not in explain("books", "--from", "a/b").stderr
    assert "rule 1 would depend on its label version" in explain("books", "--from", "a/b").stderr


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["strict"], "GET http://strict.example:9191/ through the gateway strict-gateway"),
        (["strict", "--host", "strict.example:30080"],
         "GET http://strict.example:30080/ through the gateway strict-gateway"),
        (["strict", "-H", "Host: strict.example"],
         "GET http://strict.example:9191/, with host: strict.example, through the gateway strict-gateway"),
        (["cart", "--from", "shop/version-1", "--host", "cart"],
         "GET http://cart:8080/ from inside the mesh (a pod with app=shop, version=shop-version-1 in shop)"),
        (["cart", "--from", "shop/version-1", "-H", "host: cart.cart"],
         "GET http://cart.cart:8080/, with host: cart.cart, "
         "from inside the mesh (a pod with app=shop, version=shop-version-1 in shop)"),
    ],
)  # fmt: skip
def test_the_host_is_sent_as_clients_do(arguments: list[str], line: str) -> None:
    assert explain(*arguments).stdout.splitlines()[0] == line


@pytest.mark.parametrize(
    ("arguments", "host"),
    [
        (["strict"], "strict.example:9191"),
        (["strict", "-H", "host: strict.example"], "strict.example"),
        (["shop"], "shop.example.com"),
        (["cart", "--from", "shop/version-1"], "cart.cart:8080"),
    ],
)
def test_the_host_header_is_part_of_the_json(arguments: list[str], host: str) -> None:
    assert json.loads(explain(*arguments, "--json").stdout)["request"]["host"] == host
