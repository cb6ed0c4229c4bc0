"""A stack whose decisions `canary explain` explains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from canary.app import app

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


def enter_project(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a project with the stack into the folder, and go there; there is no cluster."""
    (folder / "Pulumi.yaml").write_text("name: istio-canary\nruntime: python\n", encoding="utf-8")
    (folder / "Pulumi.dev.yaml").write_text(STACK, encoding="utf-8")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("KUBECONFIG", "/nonexistent")


def explain(*arguments: str) -> Any:
    """The result of `canary explain` with these arguments."""
    return CliRunner().invoke(app, ["explain", "--stack", "dev", *arguments])
