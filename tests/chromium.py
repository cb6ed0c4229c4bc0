"""Pictures of HTML pages, by Debian's Chromium without a window."""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
import tempfile
import zlib
from collections import Counter
from pathlib import Path

from sandbox.builder.packages import TOOL_PATH, Package, install
from sandbox.progress import progress

CHROMIUM = Package("chromium", ("chromium",))
SECONDS = 120
CONSOLE = re.compile(r"^\[[^\]]*:CONSOLE[:(]\d+\)?\] (.*)$", re.MULTILINE)
Colour = tuple[int, int, int]


def require_chromium() -> str:
    """Return why there is no Chromium, "" if there is one; in CI, install it."""
    if not CHROMIUM.is_installed() and os.environ.get("CI") == "true":
        log = Path(tempfile.gettempdir()) / "istio-canary-chromium.log"
        install((CHROMIUM.name,), progress(), log)
    return "" if CHROMIUM.is_installed() else "there is no chromium; apt-get install chromium, or CI=true"


def screenshot(html: Path, png: Path, size: tuple[int, int], scale: float = 1.0) -> list[str]:
    """Write a picture of the top of a page, `size` wide and high, and return the messages of the page's console.

    `scale` is the picture's pixels for each pixel of the page.

    Errors of scripts and refusals of the Content-Security-Policy are such messages.
    """
    window = (f"--window-size={size[0]},{size[1]}", "--hide-scrollbars")
    return _run(html, f"--screenshot={png}", *window, f"--force-device-scale-factor={scale:g}")


def print_pdf(html: Path, pdf: Path) -> list[str]:
    """Print a page to a PDF, and return the messages of its console."""
    return _run(html, f"--print-to-pdf={pdf}", "--no-pdf-header-footer")


def _run(html: Path, *options: str) -> list[str]:
    command = shutil.which("chromium", path=TOOL_PATH)
    assert command is not None, "require_chromium() was not called"
    with tempfile.TemporaryDirectory() as profile:
        done = subprocess.run(
            [
                command,
                "--headless=new",
                "--no-sandbox",  # root may not use it
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--enable-logging=stderr",
                f"--user-data-dir={profile}",
                *options,
                html.absolute().as_uri(),
            ],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    return CONSOLE.findall(done.stderr)


def colours(png: Path) -> Counter[Colour]:
    """Return how many pixels of a PNG (8 bits a channel, not interlaced) have each colour."""
    data = png.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n", "not a PNG"
    chunks, position = [], 8
    while position < len(data):
        length, kind = struct.unpack(">I4s", data[position : position + 8])
        chunks.append((kind, data[position + 8 : position + 8 + length]))
        position += 12 + length
    width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", chunks[0][1])
    assert (depth, colour in (2, 6), interlace) == (8, True, 0), "not a picture of Chromium"
    size = 4 if colour == 6 else 3
    raw = zlib.decompress(b"".join(body for kind, body in chunks if kind == b"IDAT"))
    found: Counter[Colour] = Counter()
    above = bytes(width * size)
    for row in range(height):
        begin = row * (width * size + 1)
        above = _unfilter(raw[begin], raw[begin + 1 : begin + 1 + width * size], above, size)
        found.update(zip(above[0::size], above[1::size], above[2::size], strict=True))
    return found


def _unfilter(kind: int, line: bytes, above: bytes, size: int) -> bytes:
    """Undo a filter of PNG (PNG specification, "Filtering"): each byte is stored as a difference to its neighbours."""
    if kind == 0:
        return line
    result = bytearray(line)
    for index, value in enumerate(line):
        left = result[index - size] if index >= size else 0
        corner = above[index - size] if index >= size else 0
        up = above[index]
        match kind:
            case 1:
                guess = left
            case 2:
                guess = up
            case 3:
                guess = (left + up) // 2
            case _:
                nearest = left + up - corner
                guess = min((left, up, corner), key=lambda each: abs(nearest - each))
        result[index] = (value + guess) & 0xFF
    return bytes(result)
