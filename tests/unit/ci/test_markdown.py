"""Fences, folded sections, and texts cut to a limit."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.markdown import cut, fenced, folded

LINES = st.lists(
    st.sampled_from(
        ["text", "é" * 30, "```", "```diff", "````", "- `a`", "<details><summary>s</summary>", "</details>", ""]
    ),
    max_size=40,
)
NOTE = "*cut*"


@pytest.mark.parametrize(
    ("text", "fence"), [("plain", "```"), ("a `b` c", "```"), ("```\nx\n```", "````"), ("x ````` y", "``````")]
)
def test_a_fence_is_longer_than_what_it_holds(text: str, fence: str) -> None:
    assert fenced(text) == f"{fence}text\n{text}\n{fence}"


def test_a_folded_section_has_blank_lines_so_that_its_markdown_is_read() -> None:
    assert folded("s", "**x**") == "<details><summary>s</summary>\n\n**x**\n\n</details>"


def test_a_text_within_the_limit_is_not_changed() -> None:
    assert cut("```\n<details>", 13, NOTE) == "```\n<details>"


def test_a_cut_text_ends_in_whole_lines_with_what_is_open_closed() -> None:
    text = "<details>\n\n````diff\n" + "line\n" * 50 + "````\n</details>\n"
    assert cut(text, 80, NOTE) == "<details>\n\n````diff\n" + "line\n" * 7 + "````\n\n</details>\n\n*cut*\n"


@given(LINES, st.integers(60, 400))
def test_a_cut_text_is_within_the_limit_and_begins_like_the_text(lines: list[str], limit: int) -> None:
    text = "\n".join(lines)
    shown = cut(text, limit, NOTE)
    if len(text) <= limit:
        assert shown == text
    else:
        assert len(shown) <= limit
        kept = re.sub(r"(\n`+)?(\n\n</details>)*\n\n\*cut\*\n$", "", shown)
        assert kept != shown
        assert text.startswith(kept)


@given(st.integers(1, 60), st.integers(90, 300))
def test_a_cut_code_block_is_closed(count: int, limit: int) -> None:
    shown = cut("intro\n" + fenced("line\n" * count) + "\n", limit, NOTE)
    assert len(re.findall(r"^```", shown, re.MULTILINE)) % 2 == 0
