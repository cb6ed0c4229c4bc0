"""The gate service by namespaces needs neither a stack nor Pulumi: an image without them runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

MODULES = (
    "rollout.gate_service.serving",
    "rollout.gate_service.watching",
    "rollout.gate_reader",
    "canary.gate.serving",
)
LEFT_OUT = ("stacks", "components", "pulumi", "policies", "sandbox", "numpy", "scipy")


def test_it_imports_neither_stacks_nor_pulumi() -> None:
    program = (
        f"import sys, {', '.join(MODULES)}\n"
        "from canary.gate.serving import Asked, _by_namespaces\n"
        "judged = _by_namespaces(Asked(None, ('shop',), 'http://127.0.0.1:9', None, '127.0.0.1:0'))\n"
        "judged.reader()\n"
        f"print([one for one in {LEFT_OUT!r} if one in sys.modules])"
    )
    root = Path(__file__).parents[4]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
