"""`python3 -m ci.review BASE FILE`: check all stacks, compare the routes with those of BASE, and write the comment.

Runs `canary check` and `canary diff BASE` (a git revision or a folder) in the current checkout. The comment is written
in any case; the exit code is that of the first command that failed. $REVIEWED, if set, names the reviewed commit.
"""

from __future__ import annotations

import argparse
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from ci.markdown import fenced, folded

MARKER = "<!-- istio-canary review -->"
CHECK = ("canary", "check")
DIFF = ("canary", "diff", "--markdown")


@dataclass(frozen=True)
class Done:
    """A command that has ended: its exit code, what it printed as its result, and everything that it printed."""

    command: str
    code: int
    result: str
    printed: str

    @property
    def verdict(self) -> str:
        """One line that names the command and says how it ended."""
        return f"`{self.command}`: " + ("passes" if self.code == 0 else f"**fails** (exit code {self.code})")


def run(*command: str) -> Done:
    """Run a command to its end."""
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False
    )
    print(done.stdout + done.stderr, end="", flush=True)
    return Done(" ".join(command), done.returncode, done.stdout, done.stdout + done.stderr)


def as_comment(check: Done, diff: Done, reviewed: str) -> str:
    """Return the comment. What fails is shown open, what passes is folded."""
    parts = [MARKER, "## What this change does to traffic", diff.result.strip() if diff.code == 0 else ""]
    for done in (check, diff):
        output = fenced(done.printed.strip())
        if done.code:
            parts += [done.verdict, output]
        elif done is check:
            parts.append(folded(done.verdict.replace("`", ""), output))
    if reviewed:
        parts.append(f"<sub>Commit {reviewed}; every push updates this comment.</sub>")
    return "\n\n".join(part for part in parts if part) + "\n"


def review(base: str, file: Path) -> int:
    """Write the comment to `file`; return the exit code."""
    check = run(*CHECK)
    diff = run(*DIFF, base)
    file.write_text(as_comment(check, diff, os.environ.get("REVIEWED", "")), encoding="utf-8")
    return check.code or diff.code


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python3 -m ci.review", description=__doc__)
    parser.add_argument("base")
    parser.add_argument("file", type=Path)
    given = parser.parse_args()
    raise SystemExit(review(given.base, given.file))
