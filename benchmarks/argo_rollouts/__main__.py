"""`python -m benchmarks.argo_rollouts`: Argo Rollouts and kubectl patch side by side on a sandbox with the mesh."""

from __future__ import annotations

import argparse
import os
import sys

from rich.console import Console

from benchmarks.argo_rollouts.peer import ArgoRollouts
from benchmarks.kubectl_patch import KubectlPatch
from benchmarks.rollout_peers import RUNS, Peer, measure, table
from sandbox.layout import DEFAULT_NAME, layout


def main() -> int:
    """Measure both, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.argo_rollouts")
    parser.add_argument("--name", default=DEFAULT_NAME, help="the sandbox's name; it is up and has the mesh")
    parser.add_argument("--prefix", default="benchmark", help="what the names of namespaces and hosts begin with")
    parser.add_argument("--runs", type=int, default=RUNS)
    given = parser.parse_args()
    sandbox = layout(given.name)
    peers: tuple[Peer, ...] = (
        KubectlPatch(sandbox, given.prefix),
        ArgoRollouts(sandbox, given.prefix),
        ArgoRollouts(sandbox, given.prefix, by_kubectl=False),
    )
    Console(width=120).print(table(measure(peer, sandbox.gateway_url, given.runs) for peer in peers))
    Console().print(f"{os.cpu_count()} cores")
    return 0


if __name__ == "__main__":
    sys.exit(main())
