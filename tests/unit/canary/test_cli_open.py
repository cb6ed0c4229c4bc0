"""`canary open` against an API server of the tests: output, browser and exit codes."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from canary.app import app
from canary.exit_codes import ExitCode
from canary.ui import Ui
from kube.port_forward import PortForward
from tests.unit.canary.telemetry_settings import telemetry_with
from tests.unit.kube.clusters import Access
from tests.unit.kube.port_forwards import FakeCluster, cluster_with, pod

ROOT = Path(__file__).parents[3]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The pages that a browser showed; the user has one."""
    pages: list[str] = []

    def show(url: str) -> bool:
        pages.append(url)
        return True

    monkeypatch.setattr("webbrowser.open", show)
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.delenv("CI", raising=False)
    return pages


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCluster]:
    """The cluster of the stack `dev`, which has Prometheus; forwarding ends as by Ctrl-C."""

    def interrupt(forward: PortForward) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(PortForward, "wait", interrupt)
    with cluster_with(tmp_path, "prometheus-0") as (cluster, access, _):
        use(monkeypatch, access)
        yield cluster


def use(monkeypatch: pytest.MonkeyPatch, access: Access) -> None:
    """Let the stack have Prometheus, a Grafana elsewhere, and nothing else."""
    telemetry = telemetry_with(kiali={}, jaeger={}, grafana={"url": "https://grafana.example.com"})
    settings = SimpleNamespace(cluster=access, services={}, telemetry=telemetry)
    project = SimpleNamespace(stack_file=lambda stack: Path(f"Pulumi.{stack}.yaml"))

    def session(ui: Ui, stack: str | None) -> Any:
        return SimpleNamespace(ui=ui, settings=settings, project=project, stack=stack)

    monkeypatch.setattr("canary.engine.session.open_session", session)


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["open", *arguments, "--stack", "dev"])


def url_of(result: Any) -> str:
    """The URL, which is all that stdout has."""
    (line,) = result.stdout.splitlines()
    return str(line)


def test_help_names_the_command() -> None:
    assert "  open " in CliRunner().invoke(app, ["--help"]).stdout


def test_the_url_is_printed_and_shown_and_ctrl_c_is_success(cluster: FakeCluster, shown: list[str]) -> None:
    result = run("prometheus")
    assert result.exit_code == ExitCode.OK, result.output
    port = int(url_of(result).rpartition(":")[2])
    assert port >= 9090
    assert url_of(result) == f"http://localhost:{port}"
    assert shown == [url_of(result)]
    assert f"forwarding local port {port} to pod istio-system/prometheus-0; Ctrl-C stops" in result.stderr
    assert result.stderr.endswith("stopped\n")


def test_ctrl_c_while_the_browser_is_opened_is_success(
    cluster: FakeCluster, shown: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(url: str) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr("webbrowser.open", interrupt)
    result = run("prometheus")
    assert result.exit_code == ExitCode.OK, result.output
    assert result.stderr.endswith("stopped\n")


def test_no_browser_is_opened_with_the_option(cluster: FakeCluster, shown: list[str]) -> None:
    assert run("prometheus", "--no-browser").exit_code == ExitCode.OK
    assert shown == []


def test_no_browser_is_opened_in_ci(cluster: FakeCluster, shown: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    assert run("prometheus").exit_code == ExitCode.OK
    assert shown == []


def test_the_local_port_can_be_chosen(cluster: FakeCluster, shown: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    assert url_of(run("prometheus", "--port", str(port))) == f"http://localhost:{port}"


def test_a_taken_port_is_replaced_by_the_next_free_one_which_is_said(cluster: FakeCluster, shown: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = int(taken.getsockname()[1])
        result = run("prometheus", "--port", str(port))
    used = int(url_of(result).rpartition(":")[2])
    assert used > port
    assert f"local port {port} is taken; using {used}" in result.stderr


def test_without_a_free_port_it_fails(cluster: FakeCluster, shown: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kube.port_forward.PORTS_TRIED", 1)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = run("prometheus", "--port", str(taken.getsockname()[1]))
    assert result.exit_code == ExitCode.FAILED
    assert "fix: choose another with --port" in result.stderr


def test_a_console_that_exists_elsewhere_needs_no_cluster(shown: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, Access("/nonexistent/kubeconfig"))
    result = run("grafana")
    assert result.exit_code == ExitCode.OK
    assert url_of(result) == "https://grafana.example.com"
    assert shown == ["https://grafana.example.com"]


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("kiali", ExitCode.CONFIG, ("kiali is off in the stack dev", "istio-canary:telemetry.kiali.enabled: true")),
        ("promtheus", ExitCode.CONFIG, ("nothing called 'promtheus'", "did you mean prometheus?")),
    ],
)
def test_what_cannot_be_opened_is_reported_before_the_cluster_is_asked(
    name: str, code: ExitCode, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, Access("/nonexistent/kubeconfig"))
    result = run(name)
    assert result.exit_code == code
    assert result.stdout == ""
    for word in words:
        assert word in result.stderr


def _not_deployed(cluster: FakeCluster) -> None:
    cluster.service = None


def _not_ready(cluster: FakeCluster) -> None:
    cluster.pods = [pod("prometheus-0", ready=False, waiting="ErrImagePull")]


def _forbidden(cluster: FakeCluster) -> None:
    cluster.refused["portforward"] = 403


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (_not_deployed, ("prometheus is not deployed", "fix: run `canary up --stack dev`, which creates it")),
        (_not_ready, ("no pod of the Service istio-system/prometheus is ready", "ErrImagePull", "fix: ")),
        (_forbidden, ("get and create pods/portforward", "fix: have the rights granted: `kubectl create role")),
    ],
)
def test_what_is_wrong_in_the_cluster_is_reported_with_a_fix(
    break_it: Callable[[FakeCluster], None], words: tuple[str, ...], cluster: FakeCluster, shown: list[str]
) -> None:
    break_it(cluster)
    result = run("prometheus")
    assert result.exit_code == ExitCode.UNREACHABLE
    assert (result.stdout, shown) == ("", [])
    for word in words:
        assert word in result.stderr


def test_an_unreachable_cluster_has_its_own_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, Access("/nonexistent/kubeconfig"))
    result = run("prometheus")
    assert result.exit_code == ExitCode.UNREACHABLE
    assert "/nonexistent/kubeconfig" in result.stderr


STACK = """config:
  istio-canary:cluster: {{kubeconfig: {kubeconfig}}}
  istio-canary:mesh: {{gateway: {{namespace: ingress, name: gateway}}}}
  istio-canary:services:
    website: {{hosts: ["*"], versions: {{one: {{image: "web:1", port: 8080}}}}}}
"""


async def website(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A gateway that answers one request."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nv1\r\n")


def test_a_real_ctrl_c_stops_it_without_a_traceback(tmp_path: Path) -> None:
    with cluster_with(tmp_path, "gateway-0", program=website) as (cluster, access, _):
        cluster.namespace, cluster.service_name = "ingress", "gateway"
        cluster.service = {"selector": {"istio": "gateway"}, "ports": [{"port": 80}]}
        (tmp_path / "Pulumi.yaml").write_text("name: istio-canary\nruntime: python\n", encoding="utf-8")
        stack = STACK.format(kubeconfig=access.kubeconfig)
        (tmp_path / "Pulumi.dev.yaml").write_text(stack, encoding="utf-8")
        code = "from canary.app import main; main()"
        command = [sys.executable, "-c", code, "open", "website", "--stack", "dev", "--no-browser"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        with process:
            assert process.stdout is not None
            try:
                url = process.stdout.readline().strip()
                with urllib.request.urlopen(url, timeout=30) as response:
                    assert response.read() == b"v1\r\n"
                process.send_signal(signal.SIGINT)
                rest, stderr = process.communicate(timeout=30)
            finally:
                process.kill()
    assert (process.returncode, rest) == (ExitCode.OK, "")
    assert stderr.splitlines()[-1] == "stopped"
    assert "Traceback" not in stderr
