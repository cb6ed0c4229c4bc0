"""Drift: the preview's three ends, and the one issue that follows them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.ci.servers import FakeGitHub, FakeGitLab, script, serving
from tests.unit.ci.stubs import calls, env_with, stub

DIFFERENT = """\
Previewing update (prod):
  ~ kubernetes:networking.istio.io/v1:VirtualService: (update)
      ~ weight: 50 => 10
Resources:
    ~ 1 to update
"""
NO_CHANGES_WERE_EXPECTED = "error: error: no changes were expected but changes were proposed\n"
"""pkg/v3/cmd/pulumi/operations/preview.go of the CLI."""


@pytest.fixture
def bin_folder(tmp_path: Path) -> Path:
    """The folder of the stubs."""
    return tmp_path / "bin"


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    """The folder of the stacks' reports."""
    return tmp_path / "drift"


def test_a_cluster_that_is_as_its_stack_says_gives_no_report(bin_folder: Path, reports: Path) -> None:
    stub(bin_folder, "pulumi", out="Resources:\n    31 unchanged\n")
    done = script("drift", "prod", str(reports), env=env_with(bin_folder))
    assert done.returncode == 0
    assert done.stdout == "Resources:\n    31 unchanged\n"
    assert not reports.exists()


def test_the_preview_reads_the_cluster_anew_and_writes_nothing(bin_folder: Path, reports: Path) -> None:
    stub(bin_folder, "pulumi")
    script("drift", "prod", str(reports), env=env_with(bin_folder))
    assert calls(bin_folder) == [
        "pulumi preview --stack prod --refresh --expect-no-changes --diff --non-interactive --color=never"
    ]


def test_a_difference_is_reported_and_is_no_failure_of_the_job(bin_folder: Path, reports: Path) -> None:
    stub(bin_folder, "pulumi", out=DIFFERENT, err=NO_CHANGES_WERE_EXPECTED, code=1)
    done = script("drift", "team/mesh/prod", str(reports), env=env_with(bin_folder))
    assert done.returncode == 0
    (report,) = reports.iterdir()
    assert report.name == "team.mesh.prod.md"
    assert report.read_text().startswith("## team/mesh/prod\n\n<details>")
    assert "~ weight: 50 => 10" in report.read_text()


def test_a_preview_that_fails_for_another_reason_fails_the_job(bin_folder: Path, reports: Path) -> None:
    stub(bin_folder, "pulumi", err="error: the cluster is unreachable\n", code=255)
    done = script("drift", "prod", str(reports), env=env_with(bin_folder))
    assert done.returncode == 255
    assert "the preview of prod failed" in done.stderr
    assert not reports.exists()


@pytest.fixture(params=[FakeGitHub, FakeGitLab])
def forge(request: pytest.FixtureRequest) -> Iterator[FakeGitHub | FakeGitLab]:
    """Each of the two servers."""
    server: FakeGitHub | FakeGitLab = request.param()
    with serving(server):
        yield server


def report(reports: Path, *stacks: str) -> None:
    """Write the reports of stacks that have drifted, and remove all others."""
    reports.mkdir(exist_ok=True)
    for old in reports.iterdir():
        old.unlink()
    for stack in stacks:
        (reports / f"{stack}.md").write_text(f"## {stack}\n")


def text(issue: dict[str, str]) -> str:
    """An issue's text, on either server."""
    return issue.get("description") or issue["body"]


def test_one_issue_is_opened_updated_and_closed(forge: FakeGitHub | FakeGitLab, reports: Path) -> None:
    report(reports, "staging")
    assert script("drift_issue", str(reports), env=forge.env()).returncode == 0
    (issue,) = forge.issues
    assert issue["title"]
    assert "## staging" in text(issue)
    assert "99" in text(issue), "it leads to the run"

    report(reports, "prod", "staging")
    script("drift_issue", str(reports), env=forge.env())
    assert len(forge.issues) == 1
    assert text(issue).index("## prod") < text(issue).index("## staging")

    report(reports)
    script("drift_issue", str(reports), env=forge.env())
    assert issue["state"] == "closed"
    assert "found no difference" in issue["said"]

    report(reports, "prod")
    script("drift_issue", str(reports), env=forge.env())
    assert len(forge.issues) == 2


def test_no_drift_opens_no_issue(forge: FakeGitHub | FakeGitLab, reports: Path) -> None:
    assert script("drift_issue", str(reports), env=forge.env()).returncode == 0
    assert forge.issues == []
    assert not any(request.startswith("POST") for request in forge.requests)


def test_an_issue_stays_open_while_a_stack_could_not_be_asked(forge: FakeGitHub | FakeGitLab, reports: Path) -> None:
    report(reports, "prod")
    script("drift_issue", str(reports), env=forge.env())
    report(reports)
    script("drift_issue", str(reports), "--incomplete", env=forge.env())
    assert forge.issues[0]["state"] in ("open", "opened")


def test_somebodys_issue_with_the_label_is_left_alone(forge: FakeGitHub | FakeGitLab, reports: Path) -> None:
    marker = "<!-- istio-canary drift -->"
    if isinstance(forge, FakeGitHub):
        forge.issue(marker, login="somebody")
        forge.issue(marker, pull_request={"url": "…"})
    else:
        forge.issue(marker, author=8)
    mine = len(forge.issues)
    report(reports, "prod")
    script("drift_issue", str(reports), env=forge.env())
    assert [text(issue) for issue in forge.issues[:mine]] == [marker] * mine
    assert len(forge.issues) == mine + 1
