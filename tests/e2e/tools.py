"""Helpers of the end-to-end tests for the command, the cluster and the gateway."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from canary.exit_codes import ExitCode
from kube.late_kubeconfig import LateKubeconfig
from sandbox.cluster.pulumi_home import pulumi_home
from sandbox.layout import TOOLS, Layout

CHECKOUT = Path(__file__).resolve().parent.parent.parent
CANARY = Path(sys.executable).parent / "canary"
LONG = os.environ.get("ISTIO_CANARY_LONG") == "1"
"""Whether tests take the time that `make test-long` has."""
BUILD_SECONDS = 3600
"""Time limit of the first `sandbox up`, which builds everything: 25 minutes on 2 cores with nothing beside it."""
Completed = subprocess.CompletedProcess[str]


ELSEWHERE = ("nice", "-n", "15")
"""Before a command that in life runs on another machine than the gateway: it must not take the CPU that answers."""


def run_canary(
    *words: str,
    cwd: Path = CHECKOUT,
    env: Mapping[str, str] | None = None,
    timeout: float = 300,
    before: Sequence[str] = (),
) -> Completed:
    """Run the installed command without a terminal, and capture its output; `before` are words before the command."""
    return subprocess.run(
        [*before, str(CANARY), *words],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def measured(run: Callable[[], Completed]) -> Completed:
    """Run `canary verify`, a second time if it says that the split is wrong: it says so of one right split in 1,000."""
    done = run()
    return run() if done.returncode == ExitCode.SPLIT else done


def wait_until(condition: Callable[[], bool], what: str | Callable[[], str], seconds: float = 60) -> None:
    """Wait for a condition; fail the test after `seconds`, with `what` as it is then."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            pytest.fail(f"{what if isinstance(what, str) else what()} did not happen within {seconds:.0f} s")
        time.sleep(0.1)


@dataclass(frozen=True)
class Access:
    """A kubeconfig, with its current context."""

    kubeconfig: str
    context: str | None = None
    late: LateKubeconfig | None = None


@dataclass(frozen=True)
class Cluster:
    """A running sandbox, seen from the host."""

    layout: Layout

    def command(self, *words: str) -> list[str]:
        """kubectl's command line."""
        return [str(TOOLS / "kubectl"), f"--kubeconfig={self.layout.kubeconfig}", *words]

    def kubectl(self, *words: str, stdin: str | None = None, check: bool = True) -> Completed:
        done = subprocess.run(
            self.command(*words),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert not check or done.returncode == 0, f"kubectl {' '.join(words)}: {done.stderr}"
        return done

    def get(self, *words: str) -> Any:
        return json.loads(self.kubectl("get", *words, "--output=json").stdout)

    def exists(self, *words: str) -> bool:
        return bool(self.kubectl("get", *words, "--ignore-not-found", "--output=name").stdout.strip())


@dataclass(frozen=True)
class Project:
    """A project folder with the checkout's program, and its own stacks and backend."""

    folder: Path
    cluster: Cluster

    @classmethod
    def create(cls, folder: Path, cluster: Cluster) -> Project:
        for file in ("Pulumi.yaml", "__main__.py"):
            shutil.copy(CHECKOUT / file, folder / file)
        (folder / "backend").mkdir()
        return cls(folder, cluster)

    @property
    def env(self) -> dict[str, str]:
        return {
            "PULUMI_BACKEND_URL": f"file://{self.folder / 'backend'}",
            "PULUMI_CONFIG_PASSPHRASE": "only for tests",
        }

    def canary(self, *words: str, timeout: float = 300, before: Sequence[str] = ()) -> Completed:
        def run() -> Completed:
            return run_canary(*words, cwd=self.folder, env=self.env, timeout=timeout, before=before)

        return measured(run) if words[0] == "verify" else run()

    def pulumi(
        self, *words: str, stdin: str = "", succeeds: bool = True, env: Mapping[str, str] | None = None
    ) -> Completed:
        """Run Pulumi's own CLI, which must succeed, or must not."""
        env = {
            **os.environ,
            **self.env,
            **(env or {}),
            "PATH": f"{pulumi_home() / 'bin'}{os.pathsep}{os.environ['PATH']}",
        }
        done = subprocess.run(
            ["pulumi", *words, "--non-interactive"],
            cwd=self.folder,
            env=env,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert (done.returncode == 0) is succeeds, f"pulumi {' '.join(words)}: {done.stdout}{done.stderr}"
        return done

    def leave(self, stack: str, *namespaces: str) -> None:
        """End a stack that has all its objects in these namespaces; nobody waits for it, as the sandbox ends soon.

        At full size, destroy it: that takes a minute where there are many services, and is seen by other tests.
        """
        if LONG:
            destroyed = self.canary("destroy", "--stack", stack, "--yes")
            assert destroyed.returncode == 0, destroyed.stdout + destroyed.stderr
        else:
            self.cluster.kubectl("delete", "namespace", *namespaces, "--ignore-not-found", "--wait=false")

    def popen(self, *words: str) -> subprocess.Popen[str]:
        """Start the command in its own process group, to be interrupted or killed."""
        return subprocess.Popen(
            [str(CANARY), *words],
            cwd=self.folder,
            env={**os.environ, **self.env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def dev_config(self) -> dict[str, Any]:
        """The dev stack's config, for this sandbox."""
        config: dict[str, Any] = yaml.safe_load((CHECKOUT / "Pulumi.dev.yaml").read_text())["config"]
        layout = self.cluster.layout
        config["istio-canary:cluster"] = {"kubeconfig": str(layout.kubeconfig), "context": layout.context}
        config["istio-canary:mesh"]["charts"] = str(layout.charts)
        return config

    def mesh_config(self) -> dict[str, Any]:
        """The config of a stack with only the mesh, whose gateway has the ports of all samples."""
        config = self.dev_config()
        config["istio-canary:mesh"]["gateway"]["ports"] = [80, 9191]
        config["istio-canary:samples"] = []
        config.pop("istio-canary:telemetry")
        config.pop("istio-canary:services", None)
        return config

    def service_config(self, services: Mapping[str, Any]) -> dict[str, Any]:
        """The config of a stack with services in an existing mesh."""
        config = self.mesh_config()
        config["istio-canary:mesh"] = {"install": False}
        config["istio-canary:services"] = dict(services)
        return config

    def write_stack(self, stack: str, config: Mapping[str, Any]) -> Path:
        path = self.folder / f"Pulumi.{stack}.yaml"
        before = yaml.safe_load(path.read_text()) if path.exists() else {}
        kept = {key: value for key, value in before.items() if key != "config"}  # such as the encryption salt
        path.write_text(yaml.safe_dump({**kept, "config": dict(config)}, sort_keys=False))
        return path

    def up(self, stack: str) -> dict[str, Any]:
        """Run `canary up`, which must succeed, and return its JSON."""
        done = self.canary("up", "--stack", stack, "--yes", "--json")
        assert done.returncode == 0, f"up of {stack} failed ({done.returncode}):\n{done.stdout}\n{done.stderr}"
        result: dict[str, Any] = json.loads(done.stdout)
        return result


def service(
    name: str,
    *,
    host: str,
    namespace: str,
    route: list[dict[str, Any]],
    versions: tuple[str, ...] = ("version-1", "version-2"),
    **rest: Any,
) -> dict[str, Any]:
    """A service whose versions are http-echo, answering with the version's name."""
    return {
        name: {
            "namespace": namespace,
            "hosts": [host],
            "versions": {
                version: {
                    "image": "hashicorp/http-echo:1.0.0",
                    "args": ["-listen=:5678", f"-text={version}"],
                    "port": 5678,
                    "preStopSeconds": 0,
                    "terminationGracePeriodSeconds": 1,  # destroy must not wait for connections to close
                }
                for version in versions
            },
            "route": route,
            **rest,
        }
    }


def bodies(url: str, count: int, *, host: str | None = None, headers: Mapping[str, str] | None = None) -> Counter[str]:
    """Send `count` requests and count the answers by body; others than 200 are `HTTP <status, or httpx's error>`."""
    sent = {**(headers or {}), **({"host": host} if host else {})}

    def one(client: httpx.Client) -> str:
        try:
            answer = client.get(url, headers=sent)
        except httpx.TransportError as error:
            return f"HTTP {type(error).__name__}"
        return answer.text.strip() if answer.status_code == 200 else f"HTTP {answer.status_code}"

    with httpx.Client(timeout=10, trust_env=False) as client, ThreadPoolExecutor(8) as pool:
        return Counter(pool.map(lambda _: one(client), range(count)))
