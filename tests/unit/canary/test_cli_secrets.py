"""Commands that need no cluster need no passphrase either: an encrypted value is `[secret]` to them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from canary.app import app
from canary.exit_codes import ExitCode

CIPHER = "v1:YWJjZGVmZ2hpams=:bm90IGEgcGFzc3dvcmQ="
STACK = f"""config:
  istio-canary:mesh: {{install: false}}
  istio-canary:services:
    shop:
      hosts: [shop.example.com]
      versions:
        stable:
          image: registry.example.com/shop@sha256:{"0" * 64}
          port: 8080
          env: {{PASSWORD: {{secure: "{CIPHER}"}}}}
          configFiles: {{/etc/shop: {{api.key: {{secure: "{CIPHER}"}}, plain: text}}}}
  istio-canary:cluster: {{kubeconfig: {{secure: "{CIPHER}"}}}}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "Pulumi.yaml").write_text("name: istio-canary\nruntime: python\n", encoding="utf-8")
    (tmp_path / "Pulumi.dev.yaml").write_text(STACK, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    for variable in ("PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"):
        monkeypatch.delenv(variable, raising=False)
    return tmp_path


def printed(*words: str) -> str:
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == ExitCode.OK, done.output
    return done.output


@pytest.mark.parametrize(
    "words",
    [
        ("check", "--stack", "dev"),
        ("check", "--stack", "dev", "--json"),
        ("render", "--stack", "dev", "--skip-charts"),
        ("render", "--stack", "dev", "--json"),
        ("explain", "shop", "--stack", "dev"),
        ("explain", "shop", "--stack", "dev", "--json"),
    ],
    ids=" ".join,
)
def test_a_command_without_a_cluster_shows_nothing_of_an_encrypted_value(project: Path, words: tuple[str, ...]) -> None:
    output = printed(*words)

    assert output
    assert CIPHER not in output


def test_render_refers_to_the_secrets_and_says_how_to_create_them(project: Path) -> None:
    output = printed("render", "--stack", "dev")

    assert "kind: Secret" not in output
    assert "--from-literal=PASSWORD=…" in output
    assert "--from-literal=api.key=…" in output
    assert "secretKeyRef" in output
    assert "text" in output


@pytest.mark.parametrize("is_json", [False, True])
def test_diff_tells_that_a_secret_is_another_one(project: Path, is_json: bool) -> None:
    git = ("git", "-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false")
    for words in (("init", "--quiet"), ("add", "."), ("commit", "--quiet", "--message=before")):
        subprocess.run([*git, *words], cwd=project, check=True, capture_output=True)
    stack = project / "Pulumi.dev.yaml"
    stack.write_text(STACK.replace("bm90", "bm91", 1))
    done = CliRunner().invoke(app, ["diff", "HEAD", "--stack", "dev", *(["--json"] if is_json else [])])

    assert "env.PASSWORD" in done.output, done.output
    assert "[secret] (" in done.output
    assert "configFiles" not in done.output, "only one of the two has changed"
    assert CIPHER not in done.output
    assert "bm91" not in done.output


def test_diff_does_not_show_the_text_that_is_encrypted_from_now_on(project: Path) -> None:
    git = ("git", "-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false")
    stack = project / "Pulumi.dev.yaml"
    stack.write_text(STACK.replace(f'{{secure: "{CIPHER}"}}', "hunter2", 1))
    for words in (("init", "--quiet"), ("add", "."), ("commit", "--quiet", "--message=before")):
        subprocess.run([*git, *words], cwd=project, check=True, capture_output=True)
    stack.write_text(STACK)
    done = CliRunner().invoke(app, ["diff", "HEAD", "--stack", "dev"])

    assert "env.PASSWORD" in done.output, done.output
    assert "a text in plain" in done.output
    assert "hunter2" not in done.output
