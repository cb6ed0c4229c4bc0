"""Measures the figures of the README: `make benchmark`, or `python -m benchmarks [NAME …]` for some of them.

Each figure is measured several times as a user sees it, from the start of a command to its end, and printed beside its
limit. It uses a separate sandbox, which is deleted at the end. `cold-build` runs only when it is named: it builds every
program from scratch, with an empty cache.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml
from rich.console import Console
from rich.table import Table

from benchmarks import gates, load, rollouts, runner_memory, telemetry
from benchmarks.rollout_peers import measure
from sandbox.cluster.pulumi_home import pulumi_home
from sandbox.layout import Layout, layout

CHECKOUT = Path(__file__).resolve().parent.parent
CANARY = Path(sys.executable).parent / "canary"
SANDBOX = "benchmark"
UNIT_TESTS = ("--numprocesses=2", "--dist=loadfile", "tests/unit")  # as `make unit` runs them
AUTOMATION = """
import runpy
from pulumi import automation
run = lambda: runpy.run_path("__main__.py", run_name="__main__")
workspace = automation.LocalWorkspace(work_dir=".", program=run)
automation.Stack.select("dev", workspace).preview(on_event=lambda event: None)
"""

# name: (description, limit in seconds on 2 cores or in MiB, number of runs)
FIGURES: Mapping[str, tuple[str, float, int]] = {
    "help": ("canary --help", 0.3, 10),
    "start": ("canary sandbox up, everything built", 40, 3),
    "up": ("canary up of dev with Prometheus and Jaeger, from nothing", 30, 5),
    "preview": ("canary preview, nothing to change", 1.2, 7),
    "unchanged": ("canary up, nothing to change", 2.5, 7),
    "weights": ("canary up of a weight, from the command's start to the first answer by the new weights", 1.2, 7),
    "plain-weights": ("plain pulumi up of a weight, to the command's end", 2.5, 7),
    "watch": ("status --watch, from the new weight to the observed share half way there, scraped every 5 s", 10, 6),
    "telemetry-memory": ("Prometheus and Jaeger after these, in MiB", 1024, 1),
    "automation": ("preview by the SDK's Automation API, nothing to change, beside `canary preview`", 1.2, 7),
    "diff": ("canary diff of all samples, most services new", 3, 7),
    "unit": ("unit tests", 30, 3),
    "limits": ("1,000 services with 10 rules: check, render, 10,000 requests, on one core", 10, 3),
    "memory": ("the same, peak memory in MiB", 500, 3),
    "decision": ("the gates' slowest decision in a rollout of 8 hours with three metrics, in ms", 50, 3),
    "rollout-step": ("a rollout's step, from the command's start to the first answer at the gateway", 0.16, 15),
    "rollout-abort": ("its abort, from the command's start to the last answer of the new version", 0.12, 15),
    "records": ("canary up with ten records, nothing to change: slower than with none", 0.1, 7),
    "runner-memory": ("canary rollout start with gates, peak memory in MiB", 100, 1),
    "gates-memory": ("8 hours of gates in the process that moves a rollout, a scrape each 15 s, peak in MiB", 100, 1),
    "cold-build": ("cold build of the sandbox", 1500, 1),
}


ON_A_SANDBOX = FIGURES.keys() - {"help", "diff", "unit", "limits", "memory", "decision", "gates-memory", "cold-build"}
ROLLOUTS = ("rollout-step", "rollout-abort", "records", "runner-memory")
GATES = "gates"
"""The name of a table of its own: the same canaries, judged by the gates and by other tools' analysis."""


def main() -> int:
    """Measure the named figures and print one row each; a figure over its limit does not change the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    known = [*FIGURES, GATES]
    parser.add_argument("names", nargs="*", choices=[*known, []], metavar="NAME", help=", ".join(known))
    names = parser.parse_args().names or [name for name in known if name != "cold-build"]
    table = Table("what", "limit", "minimum", "median", "maximum", "runs", "result")
    for name, seconds in _measure(names):
        what, limit, _ = FIGURES[name]
        median = statistics.median(seconds)
        result = "pass" if median <= limit else "fail"
        figures = [f"{value:.2f}" for value in (min(seconds), median, max(seconds))]
        table.add_row(what, f"{limit:g}", *figures, str(len(seconds)), result)
    if set(names) - {GATES}:
        Console(width=120).print(table)
    if GATES in names:
        Console(width=gates.WIDTH).print(gates.measured_table(gates.RUNS, os.cpu_count() or 1))
    Console().print(f"{os.cpu_count()} cores, {_memory_gib():.0f} GiB")
    return 0


def _measure(names: list[str]) -> Iterator[tuple[str, list[float]]]:
    if "help" in names:
        yield "help", _repeat("help", lambda: _canary("--help"))
    if "diff" in names:
        yield "diff", _diff()
    if "unit" in names:
        yield "unit", _repeat("unit", lambda: _command(sys.executable, "-m", "pytest", *UNIT_TESTS))
    if set(names) & {"limits", "memory"}:
        yield from ((name, measured) for name, measured in _limits() if name in names)
    if "decision" in names:
        yield "decision", [_json("benchmarks.decisions")["worst"] for _ in range(FIGURES["decision"][2])]
    if "gates-memory" in names:
        yield "gates-memory", [_json("benchmarks.gate_memory")["peak"] for _ in range(FIGURES["gates-memory"][2])]
    if "cold-build" in names:
        yield "cold-build", _repeat("cold-build", _cold_build)
    if set(names) & ON_A_SANDBOX:
        yield from ((name, seconds) for name, seconds in _on_a_sandbox(names) if name in names)


def _diff() -> list[float]:
    """The stack with one sample, compared with the stack with all of them."""
    with tempfile.TemporaryDirectory() as folder:
        config = yaml.safe_load((CHECKOUT / "Pulumi.samples.yaml").read_text())["config"]
        config |= {"istio-canary:samples": ["website"], "istio-canary:services": {}}
        before = Path(folder) / "Pulumi.samples.yaml"
        before.write_text(yaml.safe_dump({"config": config}, sort_keys=False))
        return _repeat("diff", lambda: _canary("diff", folder, "--stack", "samples"))


def _limits() -> Iterator[tuple[str, list[float]]]:
    """Each run in its own process, which reports its peak memory."""
    print(f"measuring: {FIGURES['limits'][0]}", file=sys.stderr, flush=True)
    runs = [_json("benchmarks.limits") for _ in range(FIGURES["limits"][2])]
    yield "limits", [run["total"] for run in runs]
    yield "memory", [run["peak_mib"] for run in runs]


def _json(module: str) -> dict[str, Any]:
    """What a module prints that measures in a process of its own."""
    command = [sys.executable, "-m", module]
    found: dict[str, Any] = json.loads(subprocess.run(command, cwd=CHECKOUT, stdout=subprocess.PIPE, check=True).stdout)
    return found


def _on_a_sandbox(names: Collection[str]) -> Iterator[tuple[str, list[float]]]:
    _canary("sandbox", "down", "--delete", "--name", SANDBOX)
    try:
        yield "start", _repeat("start", _start, after=lambda: _canary("sandbox", "down", "--name", SANDBOX))
        _start()
        with tempfile.TemporaryDirectory() as folder:
            project = _Project(Path(folder))
            project.write(100)
            yield (
                "up",
                _repeat("up", lambda: project.canary("up", "--yes"), after=lambda: project.canary("destroy", "--yes")),
            )
            project.canary("up", "--yes")
            yield "preview", _repeat("preview", lambda: project.canary("preview"))
            yield "unchanged", _repeat("unchanged", lambda: project.canary("up", "--yes"))
            yield "automation", _repeat("automation", project.preview_by_automation_api)
            weights = itertools.cycle([0, 100])
            yield "weights", [project.change_weight(next(weights)) for _ in range(FIGURES["weights"][2])]
            yield (
                "plain-weights",
                _repeat("plain-weights", project.plain_up, before=lambda: project.write(next(weights))),
            )
            with load.requests(project.sandbox.gateway_url, telemetry.RATE):
                yield "watch", [project.watch_weight(percent) for percent in (90, 10) * (FIGURES["watch"][2] // 2)]
                yield "telemetry-memory", [telemetry.memory_mib()]
            if set(names) & set(ROLLOUTS):
                yield from _rollouts(project.sandbox)
            project.canary("destroy", "--yes")
    finally:
        _canary("sandbox", "down", "--delete", "--name", SANDBOX)


def _rollouts(sandbox: Layout) -> Iterator[tuple[str, list[float]]]:
    """Rollouts beside the stack, in its mesh."""
    with rollouts.Stack.create(sandbox, f"{SANDBOX}-canary-rollout") as stack:
        (found,) = measure([rollouts.CanaryRollout(stack)], sandbox.gateway_url, FIGURES["rollout-step"][2])
    yield "rollout-step", list(found.steps)
    yield "rollout-abort", list(found.aborts)
    without, recorded = rollouts.ups(sandbox, SANDBOX, FIGURES["records"][2])
    yield "records", [one - statistics.median(without) for one in recorded]
    yield "runner-memory", [runner_memory.measure(sandbox, SANDBOX, runner_memory.SECONDS).peak]


class _Project:
    """The dev stack in a temporary folder with its own backend."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sandbox = layout(SANDBOX)
        for name in ("Pulumi.yaml", "__main__.py"):
            (folder / name).write_bytes((CHECKOUT / name).read_bytes())
        (folder / ".venv").symlink_to(CHECKOUT / ".venv")  # where plain pulumi looks for Python
        (folder / "backend").mkdir()
        self.config: dict[str, Any] = yaml.safe_load((CHECKOUT / "Pulumi.dev.yaml").read_text())["config"]
        self.config["istio-canary:cluster"] = {
            "kubeconfig": str(self.sandbox.kubeconfig),
            "context": self.sandbox.context,
        }
        self.config["istio-canary:mesh"]["charts"] = str(self.sandbox.charts)

    def write(self, stable: int) -> None:
        """Both versions always get some requests: a version that gets its first ones is waited for."""
        named = [
            {"match": [{"headers": {"version": {"exact": version}}}], "to": version}
            for version in ("version-1", "version-2")
        ]
        route = [*named, {"to": {"version-1": stable, "version-2": 100 - stable}}]
        self.config["istio-canary:services"] = {"website": {"route": route}}
        path = self.folder / "Pulumi.dev.yaml"
        before = yaml.safe_load(path.read_text()) if path.exists() else {}
        kept = {key: value for key, value in before.items() if key != "config"}
        path.write_text(yaml.safe_dump({**kept, "config": self.config}, sort_keys=False))

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PULUMI_BACKEND_URL": f"file://{self.folder / 'backend'}",
            "PULUMI_CONFIG_PASSPHRASE": "only for benchmarks",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PATH": f"{pulumi_home() / 'bin'}{os.pathsep}{os.environ['PATH']}",
        }

    def canary(self, command: str, *words: str) -> None:
        _command(str(CANARY), command, "--stack", "dev", *words, cwd=self.folder, environment=self.environment)

    def plain_up(self) -> None:
        words = ("up", "--stack", "dev", "--yes", "--skip-preview", "--non-interactive")
        _command("pulumi", *words, cwd=self.folder, environment=self.environment)

    def preview_by_automation_api(self) -> None:
        """The same program, inline, by the SDK's own Stack class: a process as `canary preview` is one."""
        _command(sys.executable, "-c", AUTOMATION, cwd=self.folder, environment=self.environment)

    def watch_weight(self, canary: int) -> float:
        """Seconds until `canary status --watch` shows that version-2 gets `canary` percent of the requests."""
        self.write(100 - canary)
        words, quiet = [str(CANARY), "up", "--stack", "dev", "--yes"], subprocess.DEVNULL
        environment = {**os.environ, **self.environment}

        def change() -> subprocess.Popen[bytes]:
            return subprocess.Popen(words, cwd=self.folder, env=environment, stdout=quiet, stderr=quiet)

        return telemetry.seconds_until_seen(self.folder, self.environment, canary, change)

    def change_weight(self, stable: int) -> float:
        """Seconds from the start of `canary up` to the first answer from the version that now gets all requests."""
        expected = "echo-v1" if stable == 100 else "echo-v2"
        self.write(stable)
        environment = {**os.environ, **self.environment}
        began = time.monotonic()
        words, quiet = [str(CANARY), "up", "--stack", "dev", "--yes"], subprocess.DEVNULL
        with (
            httpx.Client(timeout=5, trust_env=False) as client,
            subprocess.Popen(words, cwd=self.folder, env=environment, stdout=quiet, stderr=quiet) as process,
        ):
            while client.get(self.sandbox.gateway_url).text.strip() != expected:
                if time.monotonic() - began > 60:
                    raise SystemExit("the gateway did not apply the new weights within 60 s")
                time.sleep(0.02)  # the command itself needs both cores
            seconds = time.monotonic() - began
        if process.returncode:
            raise SystemExit(f"canary up failed with exit code {process.returncode}")
        return seconds


def _start() -> None:
    _canary("sandbox", "up", "--name", SANDBOX)


def _cold_build() -> None:
    with _temporary_folder() as folder:
        environment = {"XDG_CACHE_HOME": str(folder / "cache"), "GOMODCACHE": str(folder / "modules")}
        _command(sys.executable, "-m", "sandbox.builder", environment=environment)


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)
        # Go's module cache is read-only and could not be deleted.
        subprocess.run(["chmod", "--recursive", "u+w", name], check=False)


def _nothing() -> None:
    pass


def _repeat(
    name: str,
    run: Callable[[], object],
    *,
    before: Callable[[], object] = _nothing,
    after: Callable[[], object] = _nothing,
) -> list[float]:
    seconds = []
    print(f"measuring: {FIGURES[name][0]}", file=sys.stderr, flush=True)
    for _ in range(FIGURES[name][2]):
        before()
        began = time.monotonic()
        run()
        seconds.append(time.monotonic() - began)
        after()
    return seconds


def _canary(*words: str) -> None:
    _command(str(CANARY), *words)


def _command(*words: str, cwd: Path = CHECKOUT, environment: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(
        words, cwd=cwd, env={**os.environ, **(environment or {})}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} failed with exit code {done.returncode}:\n{done.stdout}{done.stderr}")


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


if __name__ == "__main__":
    sys.exit(main())
