"""The messages that the README shows are the program's."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from canary.time_options import moment
from canary.watch.reading import ServiceRows, VersionRow, WatchState
from canary.watch.table import render
from stacks.settings.loading import load_stack
from stacks.settings.problems import SettingsError

README = Path(__file__).parent.parent.parent / "README.md"
MISTAKEN = """\
config:
  istio-canary:samples: [website]
  istio-canary:services:
    website:
      replicaz: 2
      route:
        - to: { version-1: 90, version-3: 11 }
"""


def test_the_mistakes_that_the_readme_shows_are_told_in_these_words(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.dev.yaml"
    file.write_text(MISTAKEN)
    with pytest.raises(SettingsError) as caught:
        load_stack(file)
    shown = re.findall(r"^```text\nerror: (.*?)\n```", README.read_text(), re.MULTILINE | re.DOTALL)
    assert shown == [str(caught.value)]


WATCHED = WatchState(
    "dev",
    moment("", "2026-11-26T08:04:31Z"),
    11,
    (
        ServiceRows(
            "website",
            "website-istio-ns",
            (
                VersionRow(name="version-1", weight=90, share=0.896, requests=179.2, success_rate=1.0, p95=38,
                           pods_ready=4, pods_desired=4),
                VersionRow(name="version-2", weight=10, share=0.104, requests=20.8, success_rate=0.9856, p95=112,
                           pods_ready=1, pods_desired=1),
            ),
            ("rule 1 (header rule): version-2 100 %",),
        ),
    ),
)  # fmt: skip


def test_the_table_that_the_readme_shows_is_that_of_status_watch() -> None:
    console = Console(file=(printed := io.StringIO()), width=100)
    console.print(render(WATCHED))
    table = "\n".join(line.rstrip() for line in printed.getvalue().splitlines())
    shown = re.findall(r"^```text\n(stack dev at .*?)\n```", README.read_text(), re.MULTILINE | re.DOTALL)
    assert shown == [table]
