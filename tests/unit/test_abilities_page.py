"""docs/abilities.md names tests and settings that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from stacks.settings.loading import json_schema
from tests.samples_page import chapters

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "abilities.md"
ROWS = [line.split(" | ") for line in PAGE.read_text().splitlines() if line.startswith("| ")][1:]


def named_in(row: list[str]) -> list[str]:
    """The tests that a row names."""
    return re.findall(r"test_\w+\.py(?:::\w+)?", row[2])


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0].strip("| "))
def test_every_ability_is_shown_by_a_test_that_exists(row: list[str]) -> None:
    assert named_in(row), "an ability without a test is a promise"
    for name in named_in(row):
        file, _, test = name.partition("::")
        source = (ROOT / "tests" / "e2e" / file).read_text()
        assert not test or re.search(rf"^def {test}\(", source, re.MULTILINE), name


def test_every_chapter_in_brackets_is_one_of_the_page_of_the_samples() -> None:
    named = re.findall(r"::test_a_chapter_of_the_page_prints_what_it_shows\[([^\]]+)\]", PAGE.read_text())

    assert named
    assert set(named) <= chapters().keys()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0].strip("| "))
def test_every_setting_of_an_ability_is_a_key_of_the_schema(row: list[str]) -> None:
    known = set(re.findall(r"'(?:istio-canary:)?([A-Za-z0-9]+)'", str(json_schema())))
    for setting in re.findall(r"`([a-zA-Z][\w.\[\]<>-]*)(?:: [^`]*)?`", row[1]):
        for key in re.split(r"\.|\[\]", setting):
            if key and not key.startswith("<") and key not in ("user-agent", "canary"):
                assert key in known, f"{key} of {setting}"


def test_the_examples_of_a_file_exist() -> None:
    for name in re.findall(r"\(([\w-]+\.yaml(?:, [\w-]+\.yaml)*)\)", PAGE.read_text()):
        for file in name.split(", "):
            assert (ROOT / "docs" / "routing" / file).exists(), file
