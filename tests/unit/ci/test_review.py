"""The review comment: which commands are run, what stands in it, and how the job ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.ci.servers import script
from tests.unit.ci.stubs import calls, env_with, stub

MARKDOWN = "### prod\n\n| rule | before | after |\n|---|---|---|\n| default | 90/10 | 75/25 |\n"


def reviewed(
    tmp_path: Path, *, check: int = 0, diff: int = 0, said: str = "5 stacks: no problems\n"
) -> tuple[int, str, list[str]]:
    """Run the review with a `canary` whose two commands end like that: its exit code, comment, and calls."""
    folder = tmp_path / "bin"
    stub(folder, "check", out=said, code=check)
    stub(folder, "diff", out=MARKDOWN if diff == 0 else "", err="error: no such revision\n" if diff else "", code=diff)
    (folder / "canary").write_text('#!/usr/bin/env bash\nexec "$@"\n')
    (folder / "canary").chmod(0o755)
    file = tmp_path / "review.md"
    done = script("review", "HEAD^1", str(file), env=env_with(folder, REVIEWED="0123abcd"))
    return done.returncode, file.read_text(), calls(folder)


def test_a_review_begins_with_the_marker_and_shows_the_diff_and_then_the_check_folded(tmp_path: Path) -> None:
    code, comment, commands = reviewed(tmp_path)
    assert code == 0
    assert commands == ["check ", "diff --markdown HEAD^1"]
    assert comment.startswith("<!-- istio-canary review -->\n")
    assert MARKDOWN.strip() in comment
    assert comment.index("| default |") < comment.index("<details><summary>canary check: passes</summary>")
    assert "5 stacks: no problems" in comment
    assert comment.endswith("<sub>Commit 0123abcd; every push updates this comment.</sub>\n")


def test_a_failing_check_is_open_and_ends_the_job_with_its_exit_code(tmp_path: Path) -> None:
    code, comment, _ = reviewed(tmp_path, check=2, said="error: 4 problems in Pulumi.prod.yaml\n")
    assert code == 2
    assert "`canary check`: **fails** (exit code 2)" in comment
    assert "4 problems" in comment
    assert "<details>" not in comment
    assert MARKDOWN.strip() in comment, "the diff is shown, too"


def test_a_failing_diff_says_why_and_ends_the_job_with_its_exit_code(tmp_path: Path) -> None:
    code, comment, _ = reviewed(tmp_path, diff=2)
    assert code == 2
    assert "**fails** (exit code 2)" in comment
    assert "error: no such revision" in comment


def test_when_both_fail_the_exit_code_is_that_of_the_check(tmp_path: Path) -> None:
    assert reviewed(tmp_path, check=2, diff=1)[0] == 2


@pytest.mark.parametrize("said", ["```\n# not a heading\n", "````text\n@everyone\n````\n", "</details>\n"])
def test_what_a_stacks_file_puts_into_a_message_stays_in_its_code_block(tmp_path: Path, said: str) -> None:
    _, comment, _ = reviewed(tmp_path, check=2, said=said)
    fence = "`" * (max(3, 1 + said.split("\n")[0].count("`")))
    assert f"{fence}text\n{said.strip()}\n{fence}\n" in comment
