"""`canary explain --from`: what depends on the caller, and what a service or the mesh lets it do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.canary.explaining import STACK, enter_project, explain


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    enter_project(tmp_path, monkeypatch)


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


def test_hosts_outside_the_mesh_follow_the_outbound_traffic_policy(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.dev.yaml"
    closed = STACK.replace("mesh: {gateway", "mesh: {outboundTrafficPolicy: REGISTRY_ONLY, gateway")
    file.write_text(closed, encoding="utf-8")
    assert "answers 502" in explain("shop", "--from", "cart", "--host", "other.org").stdout
    known = "  istio-canary:egress: {pay: {hosts: [pay.example], ports: [{number: 443, protocol: TLS}]}}\n"
    file.write_text(closed + known, encoding="utf-8")
    assert "a host of egress pay" in explain("shop", "--from", "cart", "--host", "pay.example").stdout


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
