"""What `canary explain` says of a strategy that decides, and of an Ingress."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from canary.app import app

STACK = """\
config:
  istio-canary:samples: [assets-ingress, website]
  istio-canary:services:
    website:
      strategy: {blueGreen: {active: version-2}}
      hosts: [www.example.com]
    shop:
      hosts: [shop.example.com]
      strategy: blueGreen
      versions: {one: {image: "shop:1", port: 8080}, two: {image: "shop:1", port: 8080}}
    api:
      hosts: [api.example.com]
      strategy: {blueGreen: {active: two}}
      versions: {one: {image: "api:1", port: 8080}, two: {image: "api:1", port: 8080}}
      route:
        - match: [{headers: {qa: {exact: "yes"}}}]
          to: one
        - timeout: 2s
"""
ASSETS = "assetmanagement.greencompute.ibmcase.com"


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (
            ["shop"],
            [
                "GET http://shop.example.com/ through the gateway shop-gateway",
                "goes to one.",
                "No route is configured.",
                "The strategy blueGreen sends it to the active version, one (Pulumi.dev.yaml:9).",
            ],
        ),
        (
            ["api"],
            [
                "goes to two.",
                "Rule 2 decides (Pulumi.dev.yaml:18): it matches every other request.",
                "The strategy blueGreen sends it to the active version, two (Pulumi.dev.yaml:13).",
            ],
        ),
        (["api", "-H", "qa: yes"], ["goes to one.", "Rule 1 decides (Pulumi.dev.yaml:16): qa = yes."]),
        (
            ["website"],
            [
                "goes to version-2.",
                "Rule 2 decides (from sample website): it matches every other request.",
                "The strategy blueGreen sends it to the active version, version-2 (Pulumi.dev.yaml:5).",
            ],
        ),
        (
            ["asset-dashboard-bff-svc", "/assetmgrms/assets"],
            [
                f"GET http://{ASSETS}/assetmgrms/assets through the Ingress asset-dashboard-bff-svc",
                "goes to asset-mgr-ms-svc/version-1.",
            ],
        ),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, list) and len(value) < 4 else "",
)
def test_the_decision_names_the_strategy_or_the_ingress(
    arguments: list[str], lines: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: istio-canary\nruntime: python\n", encoding="utf-8")
    (tmp_path / "Pulumi.dev.yaml").write_text(STACK, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    result: Any = CliRunner().invoke(app, ["explain", "--stack", "dev", *arguments])

    assert result.exit_code == 0, result.output
    printed = result.stdout.splitlines()
    for line in lines:
        assert line in printed, result.stdout
    if "qa: yes" in arguments:
        assert "strategy" not in result.stdout
