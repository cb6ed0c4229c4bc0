"""`python3 -m ci.drift_issue FOLDER`: open, update or close the one issue about drift.

FOLDER has a Markdown file for each stack that has drifted, as `ci.drift` writes them. With --incomplete, not every
stack could be asked: then the issue is not closed.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from ci.comment import read
from ci.forge import find_forge, main
from ci.markdown import cut

MARKER = "<!-- istio-canary drift -->"
LABEL = "drift"
TITLE = "The clusters differ from the stacks' files"
INTRODUCTION = (
    "Somebody or something changed what these stacks made. `canary up --stack <stack>` takes it back;"
    " to keep it, write it into the stack's file. This issue is updated by every run, and closed when nothing differs."
)


def report(folder: Path, complete: bool) -> None:
    """Open, update or close the issue; raises ForgeError."""
    forge = find_forge(os.environ)
    sections = [read(file) for file in sorted(folder.glob("*.md"))]
    found = next((issue for issue in forge.issues(LABEL) if issue.body.startswith(MARKER)), None)
    if sections:
        text = "\n\n".join([MARKER, INTRODUCTION, *sections, f"Seen by [this run]({forge.run_url})."])
        body = cut(text, forge.longest, f"*The rest was cut: the whole text is in [the run]({forge.run_url}).*")
        if found is None:
            forge.open_issue(TITLE, body, LABEL)
        else:
            forge.change_issue(found.number, body)
    elif found is not None and complete:
        forge.close_issue(found.number, f"[This run]({forge.run_url}) found no difference.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python3 -m ci.drift_issue", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--incomplete", action="store_true")
    arguments = parser.parse_args()
    raise SystemExit(main(lambda: report(arguments.folder, not arguments.incomplete)))
