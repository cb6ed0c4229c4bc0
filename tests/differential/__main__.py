"""A longer comparison of the simulator with the real Envoy: python -m tests.differential --pairs 20000 --seed 7.

It needs a running sandbox with the mesh (`canary sandbox up`, `canary up --stack dev`). It creates namespaces there and
deletes them at the end. Exit code 3: a counterexample was found, and is printed.
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
"""Tables per push, and requests per table."""


def main() -> int:
    """Compare until there are enough pairs or a counterexample; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.differential", description=__doc__)
    parser.add_argument("--pairs", type=int, default=20000, help="number of requests to compare")
    parser.add_argument("--seed", type=int, default=0, help="first seed of the random tables")
    parser.add_argument("--sandbox", default="sandbox", help="name of the sandbox")
    parser.add_argument("--all", action="store_true", help="continue after a counterexample, and do not shrink it")
    options = parser.parse_args()
    with Cluster.prepared(Path(layout(options.sandbox).kubeconfig)) as cluster:
        return compare(Differential(cluster), options.pairs, options.seed, options.all)


def compare(differential: Differential, pairs: int, seed: int, keep_going: bool) -> int:
    """Compare until there are enough pairs or a counterexample; return the exit code."""
    began = time.monotonic()
    found = 0
    while differential.pairs < pairs:
        disagreements = differential.check(generate(TABLES, REQUESTS, seed))
        seconds = time.monotonic() - began
        print(
            f"seed {seed}: {differential.pairs} pairs in {seconds:.0f} s, {len(disagreements)} disagreements",
            flush=True,
        )
        seed += 1
        found += len(disagreements)
        if disagreements and not keep_going:
            print("shrinking the first one", flush=True)
            print(differential.shrink(disagreements[0]).report(differential.cluster.client.gateway))
            return 3
        for disagreement in disagreements:
            print(disagreement.report(differential.cluster.client.gateway), end="\n\n")
    return 3 if found else 0


if __name__ == "__main__":
    sys.exit(main())
