"""A longer comparison of the simulator with the real Envoy: python -m tests.differential --pairs 20000 --seed 7.

It needs a running sandbox with the mesh (`canary sandbox up`, `canary up --stack dev`), has namespaces of its own
there, and takes them away in the end. Exit code 3: a counterexample was found, and is printed.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from sandbox.layout import layout
from tests.differential.cases import generate
from tests.differential.cluster import Cluster
from tests.differential.run import Differential

TABLES, REQUESTS = 50, 20
"""Of one push."""


def main() -> int:
    """Compare until there are enough pairs, or a counterexample."""
    parser = argparse.ArgumentParser(prog="python -m tests.differential", description=__doc__)
    parser.add_argument("--pairs", type=int, default=20000, help="how many requests to compare")
    parser.add_argument("--seed", type=int, default=0, help="where the random choices begin")
    parser.add_argument("--sandbox", default="sandbox", help="name of the sandbox")
    parser.add_argument("--all", action="store_true", help="go on after a counterexample, and shrink none")
    asked = parser.parse_args()
    with Cluster.prepared(Path(layout(asked.sandbox).kubeconfig)) as cluster:
        return compare(Differential(cluster), asked.pairs, asked.seed, asked.all)


def compare(differential: Differential, pairs: int, seed: int, go_on: bool) -> int:
    """Return the exit code."""
    began = time.monotonic()
    found = 0
    while differential.pairs < pairs:
        disagreements = differential.check(generate(TABLES, REQUESTS, seed))
        took = time.monotonic() - began
        print(
            f"seed {seed}: {differential.pairs} pairs in {took:.0f} s, {len(disagreements)} disagreements", flush=True
        )
        seed += 1
        found += len(disagreements)
        if disagreements and not go_on:
            print("making the first one smaller", flush=True)
            print(differential.shrink(disagreements[0]).told(differential.cluster.client.gateway))
            return 3
        for disagreement in disagreements:
            print(disagreement.told(differential.cluster.client.gateway), end="\n\n")
    return 3 if found else 0


if __name__ == "__main__":
    sys.exit(main())
