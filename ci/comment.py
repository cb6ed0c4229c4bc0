"""`python3 -m ci.comment FILE`: put a Markdown file into the one comment of a pull request or merge request.

The first line of the file is a hidden marker, `<!-- … -->`. The comment that starts with it is updated; if there is
none, it is created.
"""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path

from ci.forge import ForgeError, find_forge, main
from ci.markdown import cut

_MARKER = re.compile(r"<!-- [^>\n]+ -->")


def comment(file: Path) -> None:
    """Create or update the comment; raises ForgeError."""
    text = read(file)
    marker = text.split("\n", 1)[0]
    if _MARKER.fullmatch(marker) is None:
        raise ForgeError(f"the first line of {file} is no hidden marker: {marker!r}")
    forge = find_forge(os.environ)
    body = cut(text, forge.longest, f"*The rest was cut: the whole text is in [the run]({forge.run_url}).*")
    for own in forge.comments():
        if own.body.startswith(marker):
            forge.change_comment(own.number, body)
            return
    forge.add_comment(body)


def read(file: Path) -> str:
    """Return the text of a file, with any byte that is not UTF-8 replaced; raises ForgeError if there is none."""
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ForgeError(f"{file} cannot be read: {error.strerror}") from None


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python3 -m ci.comment", description=__doc__)
    parser.add_argument("file", type=Path)
    arguments = parser.parse_args()
    raise SystemExit(main(lambda: comment(arguments.file)))
