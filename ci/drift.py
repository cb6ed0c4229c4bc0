"""`python3 -m ci.drift STACK FOLDER`: compare a stack's cluster with its file, and report a difference.

Runs `pulumi preview --refresh --expect-no-changes`, which reads the cluster anew and writes neither to it nor to the
state (pulumi.com, "Detecting and reconciling drift"). A difference is written to FOLDER/STACK.md, and the exit code is
0; a preview that fails for another reason ends with its own exit code.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from ci.markdown import fenced, folded

_DIFFERENT = "no changes were expected but changes"
"""The end of the CLI's output when there is a difference; its exit code is that of every error."""


def drift(stack: str, folder: Path) -> int:
    """Run the preview; return the exit code for the job."""
    arguments = ("--stack", stack, "--refresh", "--expect-no-changes", "--diff", "--non-interactive", "--color=never")
    done = subprocess.run(
        ["pulumi", "preview", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    print(done.stdout, end="", flush=True)
    if done.returncode == 0:
        return 0
    if _DIFFERENT not in done.stdout:
        print(f"error: the preview of {stack} failed, so nothing is known of its drift", file=sys.stderr)
        return done.returncode
    folder.mkdir(parents=True, exist_ok=True)
    section = f"## {stack}\n\n{folded('What a preview would change', fenced(done.stdout, 'diff'))}\n"
    (folder / f"{stack.replace('/', '.')}.md").write_text(section, encoding="utf-8")
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python3 -m ci.drift", description=__doc__)
    parser.add_argument("stack")
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    raise SystemExit(drift(given.stack, given.folder))
