"""Texts that fit a match: the same for the same seed, wherever they are made."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
MADE = """
import random
from traffic.candidates import text
from traffic.model import StringMatch
print([text([StringMatch(regex="/[^/?]{3}/[a-z0-9]+")], random.Random(seed), plain=False) for seed in range(20)])
"""


def test_a_seed_makes_the_same_texts_in_every_process() -> None:
    made = {
        subprocess.run(
            [sys.executable, "-c", MADE],
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }

    assert len(made) == 1
    assert made.pop().count("/") == 40
