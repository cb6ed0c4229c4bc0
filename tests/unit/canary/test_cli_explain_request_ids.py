"""Matches on x-request-id, a random id where Envoy makes it: `canary explain` and the warnings say so."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from canary.app import app
from stacks.settings.loading import load_stack, warnings

STACK = """config:
  istio-canary:services:
    shop:
      hosts: [shop.example.com]
      gateways: [GATEWAYS]
      versions:
        v1: {image: "shop:1", port: 8080}
        v2: {image: "shop:2", port: 8080}
      route:
        - match: [MATCH]
          to: v2
        - to: v1
"""
LOW = '{headers: {x-request-id: {regex: "[0-7].*"}}}'
HIGH = '{headers: {x-request-id: {regex: "[8-f].*"}}}'
MINE = "{headers: {x-request-id: {exact: mine}}}"
NOT_MINE = "{withoutHeaders: {x-request-id: {prefix: mine}}}"
ANY = "{headers: {x-request-id: {present: true}}}"
INSIDE = "{headers: {x-request-id: {exact: mine}}, gateways: [mesh]}"
BY_CHANCE = "makes for each request: rule 1 compares it, so the same request may be decided otherwise another time."
BOTH = "shop-gateway, mesh"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: istio-canary\nruntime: python\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)


def written(folder: Path, match: str, gateways: str) -> Path:
    """A file whose first rule has this match."""
    file = folder / "Pulumi.dev.yaml"
    file.write_text(STACK.replace("MATCH", match).replace("GATEWAYS", gateways), encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("match", "arguments", "who"),
    [
        (LOW, [], "the gateway"),
        (HIGH, [], "the gateway"),
        (MINE, ["-H", "x-request-id: mine"], "the gateway"),
        (NOT_MINE, [], "the gateway"),
        (LOW, ["--from", "apps/client"], "the sidecar"),
        (LOW, ["--from", "apps/client", "-H", "x-request-id: mine"], None),
        (ANY, [], None),
        ("{headers: {qa: {exact: a}}}", [], None),
        (INSIDE, [], None),
    ],
)
def test_a_decision_by_a_random_id_is_told(match: str, arguments: list[str], who: str | None, tmp_path: Path) -> None:
    written(tmp_path, match, BOTH)
    done = CliRunner().invoke(app, ["explain", "--stack", "dev", "shop", *arguments])
    assert done.exit_code == 0, done.output
    told = [line for line in done.stdout.splitlines() if "random id" in line]
    assert told == ([f"x-request-id is a random id, which {who} {BY_CHANCE}"] if who else [])


@pytest.mark.parametrize(
    ("match", "gateways", "key"),
    [
        (LOW, BOTH, "headers"),
        (MINE, "shop-gateway", "headers"),
        (NOT_MINE, "shop-gateway", "withoutHeaders"),
        (INSIDE.replace("[mesh]", "[mesh, shop-gateway]"), BOTH, "headers"),
        (ANY, BOTH, None),
        (INSIDE, BOTH, None),
        (MINE, "mesh", None),
        (MINE.replace("}}}", "}}, sourceNamespace: apps}"), BOTH, None),
    ],
)
def test_a_match_on_a_random_id_is_warned_of(match: str, gateways: str, key: str | None, tmp_path: Path) -> None:
    loaded = load_stack(written(tmp_path, match, gateways))
    found = [one for one in warnings(loaded.settings, loaded.source) if "random id" in one.what]
    place = f'istio-canary:services.shop.route[0].match[0].{key}["x-request-id"]'
    assert [one.path.replace(".x-request-id", '["x-request-id"]') for one in found] == ([place] if key else [])
    assert all(one.line == 10 for one in found)
