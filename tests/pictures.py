"""The pictures of docs/pictures, made again by `python -m tests.pictures`."""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from canary.traffic_report.page import page
from canary.watch.reading import ServiceRows, VersionRow, WatchState
from canary.watch.table import render
from tests.chromium import require_chromium, screenshot
from tests.unit.canary.made_up_traffic import NOW, made_up_report

PICTURES = Path(__file__).parent.parent / "docs" / "pictures"
COLUMNS = 86
SCALE = 0.85
"""Smaller files, which GitHub shows about as large."""

WEBSITE = ServiceRows(
    "website",
    "website",
    (
        VersionRow(name="version-1", weight=90, requests=405.3, share=0.8925, success_rate=0.9998, p95=41.7,
                   pods_ready=4, pods_desired=4),
        VersionRow(name="version-2", weight=10, requests=48.8, share=0.1075, success_rate=0.9874, p95=183.2,
                   pods_ready=1, pods_desired=1),
    ),
    ("rule 1 (header rule): version-2 100 %",),
)  # fmt: skip
SHOP = ServiceRows(
    "shop",
    "shop",
    (
        VersionRow(name="stable", weight=100, requests=120.4, share=1.0, success_rate=1.0, p95=23.8, pods_ready=4,
                   pods_desired=4),
        VersionRow(name="canary", weight=0, requests=0.0, share=0.0, pods_ready=0, pods_desired=1,
                   idle="shop canary: no requests in the last 31 s"),
    ),
)  # fmt: skip
WATCHED = WatchState("prod", NOW, 31, (WEBSITE, SHOP))


def status_watch() -> str:
    """The table of `canary status --watch` as a page, in a window of a terminal."""
    console = Console(record=True, file=io.StringIO(), width=COLUMNS, force_terminal=True)
    console.print(render(WATCHED))
    svg = console.export_svg(title="canary status --stack prod --watch")
    return f"<!DOCTYPE html><style>body {{ margin: 0 }} svg {{ width: 100vw }}</style>{svg}"


PAGES = {
    "status-watch.png": (status_watch, (900, 268)),
    "report.png": (lambda: page(made_up_report()), (1100, 1335)),
}
"""Each picture's page and size."""


def draw(folder: Path) -> list[str]:
    """Write the pictures, and return the messages of the pages' consoles."""
    messages = []
    with tempfile.TemporaryDirectory() as place:
        for name, (make, size) in PAGES.items():
            html = Path(place) / f"{name}.html"
            html.write_text(make(), encoding="utf-8")
            messages += screenshot(html, folder / name, size, SCALE)
    return messages


if __name__ == "__main__":
    sys.exit(require_chromium() or "\n".join(draw(PICTURES)) or None)
