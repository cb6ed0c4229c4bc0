"""`canary gate serve`: what it refuses before it listens, and that it ends when it is told to."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import yaml
from typer.testing import CliRunner

from canary.app import app
from canary.command_error import CommandError
from canary.gate.serving import address_of
from tests.unit.canary.rollouts import World
from tests.unit.stacks.engine_stacks import values

URL = ("--prometheus", "http://127.0.0.1:9")
REFUSED = {
    "no Prometheus": (("--namespace", "shop"), "without the URL of a Prometheus"),
    "no URL": (("--namespace", "shop", "--prometheus", "prometheus:9090"), "begins with http://"),
    "no name": (("--namespace", "Shop!", *URL), "not a name of Kubernetes"),
    "both": (("--namespace", "shop", "--stack", "dev", *URL), "--stack and --namespace"),
    "Prometheus alone": (URL, "--prometheus is given without --namespace"),
    "no port": (("--namespace", "shop", *URL, "--listen", "127.0.0.1"), "no address with a port"),
    "a port that is none": (("--namespace", "shop", *URL, "--listen", "127.0.0.1:70000"), "from 0 to 65535"),
    "a stack without another engine": (("--stack", "dev"), "has another engine, and gates"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_it_cannot_serve_is_refused_with_the_fix(world: World, case: str) -> None:
    words, text = REFUSED[case]
    done = CliRunner().invoke(app, ["gate", "serve", *words])
    assert done.exit_code == 2, done.output
    assert text in done.stderr
    assert "fix:" in done.stderr


@pytest.mark.parametrize(
    ("text", "address"),
    [("127.0.0.1:8087", ("127.0.0.1", 8087)), ("0.0.0.0:0", ("0.0.0.0", 0)), ("[::1]:80", ("::1", 80))],
)
def test_an_address_is_a_host_and_a_port(text: str, address: tuple[str, int]) -> None:
    assert address_of(text) == address


@pytest.mark.parametrize("text", ["", ":8087", "8087", "host:", "host:x", "host:-1", "host:\uff11"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(CommandError):
        address_of(text)


def test_a_port_that_is_taken_is_said(world: World) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        done = CliRunner().invoke(app, ["gate", "serve", "--namespace", "shop", *URL, "--listen", listen])
    assert done.exit_code == 1
    assert f"cannot listen on {listen}" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_answers_without_a_cluster_that_nothing_is_known_and_ends_with_a_signal(
    tmp_path: Path, number: signal.Signals
) -> None:
    config = {f"istio-canary:{key}": one for key, one in values("argo").items()}
    config["istio-canary:cluster"] = {"kubeconfig": str(tmp_path / "none")}
    (tmp_path / "Pulumi.dev.yaml").write_text(yaml.safe_dump({"config": config}))
    (tmp_path / "Pulumi.yaml").write_text("name: istio-canary\nruntime: python\n")
    root = Path(__file__).parents[3]
    with subprocess.Popen(
        [sys.executable, "-m", "canary", "gate", "serve", "--stack", "dev", "--listen", "127.0.0.1:0"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(root)},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    ) as served:
        assert served.stderr is not None
        lines = iter(served.stderr.readline, "")
        try:
            url = next(found[0] for line in lines if (found := re.search(r"http://127\.0\.0\.1:\d+", line)))
            assert httpx.get(f"{url}/shop/shop", trust_env=False, timeout=30).status_code == 404
            assert httpx.get(f"{url}/healthz", trust_env=False, timeout=30).status_code == 503
            served.send_signal(number)
            assert served.wait(30) == 0
        finally:
            served.kill()
