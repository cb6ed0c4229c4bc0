"""docs/review.md: its commands work in a repository, and the comment that it shows is the one that they make.

`ISTIO_CANARY_UPDATE=1 python -m pytest tests/unit/test_review_doc.py` writes docs/review-comment.md anew.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/review.md"
COMMENT = ROOT / "docs/review-comment.md"
COMMANDS = [
    line for block in re.findall(r"^```bash\n(.*?)^```", PAGE.read_text(), re.M | re.S) for line in block.splitlines()
]
CANARY = f"#!/usr/bin/env bash\nexec {sys.executable} -c 'from canary.app import main; main()' \"$@\"\n"
"""The command, with the packages of the folder that it is called in."""
NOBODY = {f"GIT_{role}_{fact}": "reader@example.com" for role in ("AUTHOR", "COMMITTER") for fact in ("NAME", "EMAIL")}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A repository with the checkout on main, after the page's commands; and what each of them printed."""
    folder = tmp_path_factory.mktemp("review") / "istio-canary"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    for name in filter(None, listed):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    programs = folder.parent / "bin"
    programs.mkdir()
    (programs / "canary").write_text(CANARY)
    (programs / "canary").chmod(0o755)
    env = {"PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(folder.parent), "PYTHONPATH": str(folder), **NOBODY}
    printed: dict[str, str] = {}
    for command in ["git init --quiet --initial-branch main", "git add --all", "git commit --quiet -m main", *COMMANDS]:
        done = subprocess.run(["bash", "-c", command], cwd=folder, env=env, capture_output=True, text=True, check=False)
        printed[command] = done.stdout + done.stderr
        assert done.returncode == 0, f"`{command}` exited with {done.returncode}:\n{printed[command]}"
    return folder, printed


def test_the_commands_find_the_change_without_a_cluster(ran: tuple[Path, dict[str, str]]) -> None:
    _, printed = ran
    assert "website" in printed["canary diff main"]
    assert "prod" in printed["canary diff main"]
    assert "weight: 10" in printed["canary render --stack prod --skip-charts"]


def test_the_comment_that_the_page_shows_is_the_one_that_the_commands_make(ran: tuple[Path, dict[str, str]]) -> None:
    made = (ran[0] / "review.md").read_text()
    if os.environ.get("ISTIO_CANARY_UPDATE") == "1":
        COMMENT.write_text(made)
    assert COMMENT.read_text() == made, "docs/review-comment.md is not up to date: see this module's docstring"


def test_every_file_that_the_page_links_to_exists() -> None:
    for link in re.findall(r"\]\(([^)#:]+)(?:#[\w-]+)?\)", PAGE.read_text()):
        assert (PAGE.parent / link).exists(), link


@pytest.mark.parametrize("file", [".github/workflows/pulumi.yml", "ci/kubeconfig.sh", "ci/gitlab-credentials.sh"])
def test_every_variable_of_an_environment_is_on_the_page(file: str) -> None:
    text = (ROOT / file).read_text()
    read = set(re.findall(r"\b(?:vars|secrets)\.([A-Z_]+)", text))
    if file.endswith(".sh"):
        read = set(re.findall(r"\$\{?([A-Z][A-Z_]+)", text)) - {
            "STACK",
            "GITHUB_ENV",
            "CLOUD_TOKEN",
            "CLOUD_TOKEN_FILE",
        }
        read -= {"GOOGLE_APPLICATION_CREDENTIALS", "KUBECONFIG"}
    missing = {name for name in read if f"`{name}`" not in PAGE.read_text()}
    assert read
    assert not missing


def test_the_required_checks_of_the_page_are_jobs() -> None:
    named = re.search(r"status checks (.*?), require branches", PAGE.read_text(), re.S)
    assert named
    jobs = "".join((ROOT / f".github/workflows/{file}.yml").read_text() for file in ("review", "ci"))
    for check in re.findall(r"\*([^*]+)\*", named[1]):
        assert f"name: {' '.join(check.split())}\n" in jobs
