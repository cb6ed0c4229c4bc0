"""The one comment of a pull request or merge request, against a server on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.ci.servers import TOKEN, FakeGitHub, FakeGitLab, script, serving

MARKER = "<!-- istio-canary review -->"


@pytest.fixture(params=[FakeGitHub, FakeGitLab])
def forge(request: pytest.FixtureRequest) -> Iterator[FakeGitHub | FakeGitLab]:
    """Each of the two servers."""
    server: FakeGitHub | FakeGitLab = request.param()
    with serving(server):
        yield server


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A comment to put there."""
    path = tmp_path / "review.md"
    path.write_text(f"{MARKER}\n\nversion-2: 10 % -> 25 %\n", encoding="utf-8")
    return path


def bodies(forge: FakeGitHub | FakeGitLab) -> list[str]:
    """The texts of all comments on the change."""
    return [entry["body"] for entry in forge.comments]


def test_the_first_run_creates_the_comment_and_later_ones_update_it(forge: FakeGitHub | FakeGitLab, file: Path) -> None:
    assert script("comment", str(file), env=forge.env()).returncode == 0
    assert bodies(forge) == [file.read_text()]

    file.write_text(f"{MARKER}\n\nversion-2: 10 % -> 50 %\n")
    assert script("comment", str(file), env=forge.env()).returncode == 0
    assert bodies(forge) == [file.read_text()]


def test_the_comment_is_found_behind_a_hundred_others(forge: FakeGitHub | FakeGitLab, file: Path) -> None:
    for number in range(230):
        forge.comment(f"comment {number}")
    forge.comment(f"{MARKER}\nold")
    script("comment", str(file), env=forge.env())
    assert len(forge.comments) == 231
    assert bodies(forge)[-1] == file.read_text()


def test_a_persons_comment_that_copies_the_marker_is_left_alone(forge: FakeGitHub | FakeGitLab, file: Path) -> None:
    if isinstance(forge, FakeGitHub):
        forge.comment(f"{MARKER}\nmine", login="somebody")
    else:
        forge.comment(f"{MARKER}\nmine", author=8)
    script("comment", str(file), env=forge.env())
    assert bodies(forge) == [f"{MARKER}\nmine", file.read_text()]


def test_an_own_comment_with_another_marker_is_left_alone(forge: FakeGitHub | FakeGitLab, file: Path) -> None:
    forge.comment(f"<!-- other -->\n{MARKER}")
    script("comment", str(file), env=forge.env())
    assert len(forge.comments) == 2


def test_a_long_comment_is_cut_to_what_github_takes_with_a_note_that_leads_to_the_rest(file: Path) -> None:
    server = FakeGitHub()
    lines = "website: 10 -> 25 é\n" * 9000
    file.write_text(f"{MARKER}\n\n<details><summary>all</summary>\n\n```text\n{lines}```\n</details>\n")
    with serving(server):
        script("comment", str(file), env=server.env())
        script("comment", str(file), env=server.env())
    (body,) = bodies(server)
    assert 60_000 < len(body) <= 65_536
    assert body.startswith(f"{MARKER}\n")
    assert body.endswith(
        "25 é\n```\n\n</details>\n\n*The rest was cut: the whole text is in"
        " [the run](https://github.example/team/mesh/actions/runs/99).*\n"
    )


def test_gitlab_takes_the_whole_text(file: Path) -> None:
    server = FakeGitLab()
    file.write_text(f"{MARKER}\n" + "website: 10 -> 25\n" * 9000)
    with serving(server):
        script("comment", str(file), env=server.env())
    assert bodies(server) == [file.read_text()]


def test_a_refusal_is_told_with_the_servers_words_and_without_the_token(
    forge: FakeGitHub | FakeGitLab, file: Path
) -> None:
    forge.refuse = "POST"
    done = script("comment", str(file), env=forge.env())
    assert done.returncode == 1
    assert "403" in done.stderr
    assert "Resource not accessible by integration" in done.stderr
    assert "Traceback" not in done.stderr
    assert TOKEN not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"PULL_REQUEST": ""}, "the variable PULL_REQUEST is not set"),
        ({"PULL_REQUEST": "12/../../../user"}, "not the number of a change"),
        ({"GITHUB_TOKEN": ""}, "the variable GITHUB_TOKEN is not set"),
        ({"GITHUB_ACTIONS": ""}, "no job of GitHub Actions or GitLab CI"),
        ({"GITHUB_TOKEN": "wrong"}, "401"),
    ],
)
def test_a_job_that_is_set_up_wrongly_is_told_what_is_missing(file: Path, changed: dict[str, str], words: str) -> None:
    server = FakeGitHub()
    with serving(server):
        done = script("comment", str(file), env=server.env() | changed)
    assert done.returncode == 1
    assert words in done.stderr
    assert not server.comments


def test_a_server_that_does_not_answer_is_named(file: Path) -> None:
    server = FakeGitHub()
    with serving(server):
        pass
    done = script("comment", str(file), env=server.env())
    assert done.returncode == 1
    assert server.url in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("text", ["", "no marker\n", "<!-- a --> trailing\n", "\n<!-- a -->\n"])
def test_a_file_without_a_marker_is_refused_before_any_request(tmp_path: Path, text: str) -> None:
    (tmp_path / "review.md").write_text(text)
    server = FakeGitHub()
    with serving(server):
        done = script("comment", str(tmp_path / "review.md"), env=server.env())
    assert done.returncode == 1
    assert "no hidden marker" in done.stderr
    assert server.requests == []


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    done = script("comment", str(tmp_path / "absent.md"), env=FakeGitHub(url="http://127.0.0.1:1").env())
    assert done.returncode == 1
    assert "absent.md cannot be read" in done.stderr
