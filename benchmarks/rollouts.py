"""How soon a rollout's step and abort reach the gateway, beside kubectl and Argo Rollouts; what records cost an `up`.

`python -m benchmarks.rollouts --sandbox NAME` measures in a sandbox that has a mesh, and deletes what it made. Every
figure is from the start of a command, as a person types it. The runner of the rollout waits, as Argo's controller does.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from benchmarks.kubectl_patch import KubectlPatch
from benchmarks.rollout_peers import CANARY, RUNS, STABLE, WEIGHT, Peer, PeerError, measure, table
from sandbox.layout import DEFAULT_NAME, Layout, layout

CHECKOUT = Path(__file__).resolve().parent.parent
PROGRAM = (sys.executable, str(Path(sys.executable).parent / "canary"))
STACK, SERVICE = "rollouts", "website"
RECORDS = 10
Route = Sequence[Mapping[str, Any]]
STILL: Route = [{"to": {STABLE: 100, CANARY: 0}}]
MOVING: Route = [{"to": CANARY, "rollout": "measured"}]
LIMITS = {"step": 0.16, "abort": 0.12, "records": 0.1}
"""Seconds: what is asked of the medians."""


@dataclass
class Stack:
    """A stack of its own, in a folder of its own, in a mesh that is there."""

    sandbox: Layout
    namespace: str
    folder: Path

    @classmethod
    @contextmanager
    def create(cls, sandbox: Layout, namespace: str) -> Iterator[Stack]:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for file in ("Pulumi.yaml", "__main__.py"):
                (folder / file).write_bytes((CHECKOUT / file).read_bytes())
            (folder / "backend").mkdir()
            made = cls(sandbox, namespace, folder)
            try:
                yield made
            finally:
                if (folder / f"Pulumi.{STACK}.yaml").exists():
                    made.canary("destroy", "--yes")

    def write(self, routes: Mapping[str, Route], steps: Sequence[Mapping[str, Any]]) -> None:
        """Write the file: services with the versions STABLE and CANARY, each with its rules."""
        services = {name: self.service(name, route) for name, route in routes.items()}
        self.save({"rollouts": {"measured": {"steps": list(steps)}}, "services": services})

    def save(self, settings: Mapping[str, Any]) -> None:
        """Write the file with these settings, for the mesh that is there."""
        given = {f"istio-canary:{name}": value for name, value in settings.items()}
        config = {
            "istio-canary:cluster": {"kubeconfig": str(self.sandbox.kubeconfig), "context": self.sandbox.context},
            "istio-canary:mesh": {"install": False},
            **given,
        }
        path = self.folder / f"Pulumi.{STACK}.yaml"
        before = yaml.safe_load(path.read_text()) if path.exists() else {}
        kept = {key: value for key, value in before.items() if key != "config"}
        path.write_text(yaml.safe_dump({**kept, "config": config}, sort_keys=False))

    def canary(self, *words: str, codes: Sequence[int] = (0,)) -> str:
        """Run a command on the stack, and return its output; raises PeerError with the errors when it fails."""
        words = (*words, "--stack", STACK)
        done = subprocess.run(
            [*PROGRAM, *words], cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode not in codes:
            raise PeerError(f"canary {' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "KUBECONFIG": str(self.sandbox.kubeconfig),
            "PULUMI_BACKEND_URL": f"file://{self.folder / 'backend'}",
            "PULUMI_CONFIG_PASSPHRASE": "only for benchmarks",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
        }

    def host(self, service: str = SERVICE) -> str:
        return f"{service}.{self.namespace}.example.com"

    def service(self, name: str, route: Route) -> dict[str, Any]:
        """Return a service with the versions STABLE and CANARY, as the file has it."""
        versions = {
            version: {
                "image": "istio-canary/echo:1.0.0",
                "args": [f"-version={version}"],
                "port": 8080,
                "readinessProbe": {"httpGet": {"path": "/_health", "port": 8080}, "periodSeconds": 1},
                "preStopSeconds": 0,
                "terminationGracePeriodSeconds": 1,
            }
            for version in (STABLE, CANARY)
        }
        hosts = [self.host(name)]
        return {"namespace": self.namespace, "hosts": hosts, "versions": versions, "route": list(route)}


@dataclass
class CanaryRollout:
    """A rollout of this project: a runner waits, paused, and the step is the `resume` that lets it go on."""

    stack: Stack
    name: str = "canary rollout"
    _runner: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _begun: bool = field(default=False, init=False)

    @property
    def host(self) -> str:
        return self.stack.host()

    def prepare(self) -> None:
        steps: Route = [{"weight": WEIGHT, "for": "1h"}, {"weight": 100}]
        if self._begun:
            self._end_runner()
            self._rollout("retry", "the next run")
        else:
            for route in (STILL, MOVING):
                self.stack.write({SERVICE: route}, steps)
                self.stack.canary("up", "--yes")
            self._begun = True
        self._rollout("pause", "until it is measured")
        self._runner = subprocess.Popen(
            [*PROGRAM, "rollout", "start", SERVICE, "--stack", STACK],
            cwd=self.stack.folder,
            env=self.stack.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        limit = time.monotonic() + 60
        while not self._status()["holder"]:
            if time.monotonic() > limit or self._runner.poll() is not None:
                raise PeerError("no runner has taken the rollout")
            time.sleep(0.2)

    def step(self, weight: int) -> None:
        if weight != WEIGHT:
            raise PeerError(f"the rollout has a step to {WEIGHT} %, none to {weight} %")
        self._rollout("resume")

    def abort(self) -> None:
        self._rollout("abort", "measured")

    def clean(self) -> None:
        """End the runner; the stack is destroyed by who has made it."""
        self._end_runner()

    def _end_runner(self) -> None:
        if self._runner is not None:
            try:
                self._runner.wait(30)
            except subprocess.TimeoutExpired:
                self._runner.terminate()
                self._runner.wait()
            self._runner = None

    def _rollout(self, verb: str, *words: str) -> None:
        """Run a verb without the stack's file: by a kubeconfig and the namespace, as on any machine."""
        done = subprocess.run(
            [*PROGRAM, "rollout", verb, SERVICE, *words, "--namespace", self.stack.namespace],
            cwd=self.stack.folder / "backend",
            env=self.stack.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise PeerError(f"canary rollout {verb} ended with {done.returncode}:\n{done.stdout}{done.stderr}")

    def _status(self) -> Mapping[str, Any]:
        (found,) = json.loads(self.stack.canary("rollout", "status", SERVICE, "--json"))["services"]
        return dict(found)


def ups(sandbox: Layout, prefix: str, runs: int) -> tuple[list[float], list[float]]:
    """Return the seconds of `canary up` with nothing to change, of ten services without records and with them."""
    names = [f"shop-{number}" for number in range(RECORDS)]
    with (
        Stack.create(sandbox, f"{prefix}-without") as without,
        Stack.create(sandbox, f"{prefix}-with") as recorded,
    ):
        steps = [{"weight": WEIGHT}, {"weight": 100}]
        for stack in (without, recorded):
            stack.write(dict.fromkeys(names, STILL), steps)
            stack.canary("up", "--yes")
        recorded.write(dict.fromkeys(names, MOVING), steps)
        recorded.canary("up", "--yes")
        found: tuple[list[float], list[float]] = ([], [])
        for number in range(runs + 1):
            print(f"measuring: up without and with {RECORDS} records, {number} of {runs}", file=sys.stderr, flush=True)
            for stack, seconds in zip((without, recorded), found, strict=True):
                began = time.monotonic()
                stack.canary("up", "--yes")
                if number:  # the first one reads files that are not in memory yet
                    seconds.append(time.monotonic() - began)
        return found


def ups_table(without: Sequence[float], recorded: Sequence[float]) -> Table:
    """The figures of `up`, and the difference of the medians, in seconds."""
    shown = Table("canary up, nothing to change", "minimum", "median", "worst", "runs")
    for name, seconds in (("without records", without), (f"with {RECORDS} records", recorded)):
        numbers = [f"{value:.3f}" for value in (min(seconds), statistics.median(seconds), max(seconds))]
        shown.add_row(name, *numbers, str(len(seconds)))
    difference = statistics.median(recorded) - statistics.median(without)
    shown.add_row(f"slower (at most {LIMITS['records']:g})", "", f"{difference:.3f}", "", "")
    return shown


def main() -> int:
    """Measure, and print two tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rollouts", description=__doc__.splitlines()[0])
    parser.add_argument("--sandbox", default=DEFAULT_NAME, help="name of a sandbox that is up and has a mesh")
    parser.add_argument("--prefix", default="benchmark", help="how the names of its namespaces begin")
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--argo", action="store_true", help="Argo Rollouts, too; it is built first")
    parser.add_argument("--only", choices=["steps", "ups"], help="one of the two tables")
    asked = parser.parse_args()
    sandbox, console = layout(asked.sandbox), Console(width=140)
    if asked.only != "ups":
        with Stack.create(sandbox, f"{asked.prefix}-canary-rollout") as stack:
            peers: list[Peer] = [CanaryRollout(stack), KubectlPatch(sandbox, asked.prefix)]
            if asked.argo:
                from benchmarks.argo_rollouts.peer import ArgoRollouts

                peers.append(ArgoRollouts(sandbox, asked.prefix))
                peers.append(ArgoRollouts(sandbox, asked.prefix, by_kubectl=False))
            console.print(table(measure(peers, sandbox.gateway_url, asked.runs)))
        console.print(f"asked: step {LIMITS['step']:g} s, abort {LIMITS['abort']:g} s")
    if asked.only != "steps":
        console.print(ups_table(*ups(sandbox, asked.prefix, max(asked.runs // 2, 3))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
