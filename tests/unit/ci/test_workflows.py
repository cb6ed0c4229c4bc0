"""The laws that every GitHub workflow keeps, beyond what actionlint knows.

They follow GitHub's "Secure use reference" for Actions: commits instead of tags, no permission that a job does not
need, no text of a pull request in a shell line, no secret for a fork.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tests.unit.ci.pipelines import ROOT, WORKFLOWS, Job, github_jobs, load

JOBS = github_jobs()
STEPS = [(job, step) for job in JOBS for step in job.steps]
BY_FILE = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
BY_JOB = pytest.mark.parametrize("job", JOBS, ids=str)
SAME_REPOSITORY = "github.event.pull_request.head.repo.full_name == github.repository"
ENVIRONMENTS = ["dev", "staging", "prod"]
USES = re.compile(r"^\s*(?:- )?uses: (\S+)(.*)$", re.MULTILINE)
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}")
LOCAL = re.compile(r"\./\.github/workflows/[\w-]+\.yml")


def used() -> list[tuple[str, str]]:
    """Every `uses` of every workflow, with what follows it in its line."""
    return [found for path in WORKFLOWS for found in USES.findall(path.read_text(encoding="utf-8"))]


def test_there_are_the_workflows_that_the_page_describes() -> None:
    page = (ROOT / "docs/review.md").read_text()
    assert {path.name for path in WORKFLOWS} == set(re.findall(r"\.github/workflows/([\w-]+\.yml)", page))


@pytest.mark.parametrize(("action", "rest"), used(), ids=lambda value: value[:40])
def test_an_action_is_pinned_by_its_commit_with_the_version_beside_it(action: str, rest: str) -> None:
    if LOCAL.fullmatch(action):
        assert (ROOT / action).exists()
    else:
        assert PINNED.fullmatch(action), f"{action}: a tag can be moved to another commit"
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", rest), f"{action}: the version is for people and for Dependabot"


def test_an_action_has_one_commit_in_all_workflows() -> None:
    commits: dict[str, set[str]] = {}
    for action, rest in used():
        commits.setdefault(action.partition("@")[0], set()).add(action + rest)
    assert {name: found for name, found in commits.items() if len(found) > 1} == {}


@BY_FILE
def test_a_workflow_gives_its_jobs_no_permission_by_default(path: Path) -> None:
    assert load(path)["permissions"] == {}


@BY_FILE
def test_no_workflow_runs_a_forks_code_with_the_repositorys_rights(path: Path) -> None:
    assert not {"pull_request_target", "workflow_run", "issue_comment"} & set(load(path)["on"])


@BY_FILE
def test_a_workflow_says_what_happens_to_a_run_that_another_one_follows(path: Path) -> None:
    workflow = load(path)
    if "workflow_call" not in workflow["on"]:
        assert "cancel-in-progress" in workflow["concurrency"]


@BY_FILE
def test_no_workflow_stops_a_run_that_changes_a_cluster(path: Path) -> None:
    workflow = load(path)
    if any(job.get("with", {}).get("command") == "up" for job in workflow["jobs"].values()):
        assert workflow["concurrency"] == {"group": "deploy", "cancel-in-progress": False}


@BY_JOB
def test_a_job_names_its_permissions_and_its_limit_of_time(job: Job) -> None:
    assert job.content["permissions"], "an empty one is the workflow's"
    if "uses" not in job.content:  # the called workflow's jobs have their own
        assert 0 < job.content["timeout-minutes"] <= 150


@BY_JOB
def test_a_job_may_write_at_most_one_thing(job: Job) -> None:
    assert len(job.writes) <= 1
    assert job.writes <= {"id-token", "issues", "pull-requests"}, "nothing here pushes to the repository"


@BY_JOB
def test_no_job_of_a_pull_request_that_may_write_or_has_secrets_runs_for_a_fork(job: Job) -> None:
    if "pull_request" in job.workflow["on"] and (job.writes or "secrets" in job.content):
        assert SAME_REPOSITORY in job.condition
        assert "||" not in job.condition.replace("|| '[]'", ""), "no other way around it"


@BY_JOB
def test_secrets_are_named_only_where_an_environment_guards_them(job: Job) -> None:
    if re.search(r"\bsecrets\.", str(job.content)):
        assert job.content["environment"]


@pytest.mark.parametrize(("job", "step"), STEPS, ids=[f"{job}-{number}" for number, (job, _) in enumerate(STEPS)])
def test_a_shell_line_takes_values_from_its_environment_alone(job: Job, step: dict[str, str]) -> None:
    assert "${{" not in step.get("run", ""), "the shell would run what a title or a branch's name contains"


@pytest.mark.parametrize("value", ["head_ref", "head.ref", "title", "body", "label", "message", "commits"])
def test_no_workflow_reads_a_text_that_the_author_of_a_pull_request_chose(value: str) -> None:
    for path in WORKFLOWS:
        assert not re.search(rf"\$\{{\{{[^}}]*github\.[\w.]*{re.escape(value)}\b", path.read_text()), path.name


def test_every_checkout_leaves_no_token_behind() -> None:
    checkouts = [step for _, step in STEPS if step.get("uses", "").startswith("actions/checkout@")]
    assert len(checkouts) >= 4
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


@BY_JOB
def test_what_comments_and_opens_issues_runs_no_code_of_a_pull_request(job: Job) -> None:
    if not job.writes & {"issues", "pull-requests"}:
        return
    checkout, *others = job.steps
    assert checkout["with"]["sparse-checkout"] == "ci"
    if "pull_request" in job.workflow["on"]:
        assert checkout["with"]["ref"] == "${{ github.event.pull_request.base.sha }}"
    for step in others:
        assert step.get("run", "python3 -m ci.").startswith("python3 -m ci."), "it installs nothing"


def test_the_environments_follow_one_another_and_stop_at_the_first_that_fails() -> None:
    deploy = {job.name: job for job in JOBS if job.file == "deploy.yml"}
    assert list(deploy) == ENVIRONMENTS
    for number, (name, job) in enumerate(deploy.items()):
        assert job.content.get("needs", []) == ENVIRONMENTS[:number]
        assert f"'{name}'" in job.condition
        if number:  # a skipped one is no failure
            assert job.condition.startswith("${{ !failure() && !cancelled() &&")


def test_a_stack_is_changed_only_in_the_environment_of_its_name() -> None:
    changing = [job.content["with"] for job in JOBS if job.content.get("with", {}).get("command") == "up"]
    assert [(given["stack"], given["environment"]) for given in changing] == [(name, name) for name in ENVIRONMENTS]
    (called,) = (job for job in JOBS if job.file == "pulumi.yml")
    assert called.content["environment"] == "${{ inputs.environment }}"


def test_what_only_reads_runs_in_an_environment_of_its_own() -> None:
    reading = [
        job.content["with"] for job in JOBS if job.content.get("with", {}).get("command") in ("preview", "drift")
    ]
    assert len(reading) == 2
    assert all(given["environment"] == "${{ matrix.stack }}-preview" for given in reading)


def test_a_stack_is_checked_before_its_credentials_are_there() -> None:
    (called,) = (job for job in JOBS if job.file == "pulumi.yml")
    text = [str(step) for step in called.steps]
    check = next(number for number, step in enumerate(text) if "canary check" in step)
    assert check < min(number for number, step in enumerate(text) if "vars." in step)


def test_the_cli_is_the_sdks_release() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (sdk,) = (name.partition("==")[2] for name in project["dependencies"] if name.startswith("pulumi=="))
    installed = [
        step["with"]["pulumi-version"] for _, step in STEPS if step.get("uses", "").startswith("pulumi/actions@")
    ]
    assert installed == [sdk, sdk]


def test_the_projects_own_workflow_runs_every_test() -> None:
    runs = " ".join(step.get("run", "") for job, step in STEPS if job.file == "ci.yml")
    assert "make lint unit" in runs
    assert "make e2e" in runs
    folders = {path.relative_to(ROOT / "tests").parts[0] for path in (ROOT / "tests").rglob("test_*.py")}
    assert folders == {"unit", "policies", "e2e"}, "what `make unit` and `make e2e` run"
