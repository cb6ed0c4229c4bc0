"""`canary explain`: the request, the decision and its explanation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from canary.exit_codes import ExitCode
from tests.unit.canary.explaining import STACK, enter_project, explain

DENIED = "whose sidecar answers 403: istio-canary:services.cart.authorization does not allow the request."


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    enter_project(tmp_path, monkeypatch)


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


def test_a_header_is_printed_as_it_was_typed() -> None:
    output = explain("shop", "-H", "x-a: 1:b:2").output
    assert "x-a: 1:b:2" in output, f"`:b:` must not become an emoji: {output}"


def test_a_rewrite_to_an_invalid_path_is_explained(tmp_path: Path) -> None:
    rewrite = "rewrite: {uriRegexRewrite: {match: ^/only, rewrite: b}}"
    rewriting = STACK.replace("{exact: /only}}], to: one}", f"{{regex: /only/.*}}}}], to: one, {rewrite}}}")
    (tmp_path / "Pulumi.dev.yaml").write_text(rewriting, encoding="utf-8")
    assert "goes to one, whose sidecar answers 400: 'b/x' is not a valid path." in explain("strict", "/only/x").output


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
