"""`python -m sandbox.builder`: build what the cache does not hold, and start nothing."""

from __future__ import annotations

from sandbox.builder.artifacts import ensure_built
from sandbox.progress import progress

if __name__ == "__main__":
    ensure_built(progress())
