"""The laws that .gitlab-ci.yml keeps, beyond GitLab's schema: those of the GitHub workflows, in GitLab's terms."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest
import yaml

from tests.unit.ci.pipelines import GITLAB, ROOT, commands, github_jobs, gitlab_jobs, gitlab_lines

JOBS = gitlab_jobs()
BY_JOB = pytest.mark.parametrize("name", JOBS)
ENVIRONMENTS = ["dev", "staging", "prod"]
SAME_PROJECT = "$CI_MERGE_REQUEST_SOURCE_PROJECT_ID == $CI_MERGE_REQUEST_PROJECT_ID"


def conditions(name: str) -> list[str]:
    """The `if` of each rule of a job."""
    return [rule["if"] for rule in JOBS[name]["rules"]]


def of(verb: str) -> dict[str, dict[str, Any]]:
    """The jobs of the three environments that do `verb`, by environment."""
    return {JOBS[name]["variables"]["STACK"]: JOBS[name] for name in JOBS if name.startswith(verb)}


@BY_JOB
def test_a_job_with_credentials_does_not_run_for_a_fork(name: str) -> None:
    if "environment" not in JOBS[name]:
        return
    for condition in conditions(name):
        assert SAME_PROJECT in condition or '"push"' in condition or '"schedule"' in condition
        assert "||" not in condition


@BY_JOB
def test_only_jobs_of_an_environment_have_an_oidc_token_or_write(name: str) -> None:
    if "id_tokens" in JOBS[name] or re.search(r"ci\.(comment|drift_issue)", str(JOBS[name]["script"])):
        assert JOBS[name]["environment"]["name"]


@BY_JOB
def test_a_job_that_writes_installs_nothing(name: str) -> None:
    if re.search(r"ci\.(comment|drift_issue)", str(JOBS[name]["script"])):
        assert len(gitlab_lines(JOBS[name])) == 1


def test_the_review_has_no_environment_and_so_no_token() -> None:
    assert "environment" not in JOBS["review"]
    assert JOBS["comment"]["environment"] == {"name": "comment", "action": "access"}


@pytest.mark.parametrize("verb", ["preview", "up", "drift of"])
def test_each_environment_has_its_jobs_and_they_run_only_where_it_is_set_up(verb: str) -> None:
    jobs = of(verb)
    assert list(jobs) == ENVIRONMENTS
    for stack, job in jobs.items():
        assert all(rf"$PULUMI_STACKS =~ /\b{stack}\b/" in rule["if"] for rule in job["rules"])
        assert job["environment"]["name"] == ("$STACK" if verb == "up" else "$STACK-preview")


def test_the_environments_follow_one_another_and_prod_waits_for_a_person() -> None:
    jobs = of("up")
    for number, stack in enumerate(ENVIRONMENTS):
        before = [need["job"] for need in jobs[stack].get("needs", []) if need.get("optional")]
        assert before == [f"up {name}" for name in ENVIRONMENTS[:number]]
    manual = {stack for stack, job in jobs.items() if any(rule.get("when") == "manual" for rule in job["rules"])}
    assert manual == {"prod"}
    assert jobs["prod"]["rules"][0]["allow_failure"] is False, "else the pipeline passes without it"


def test_a_run_that_changes_a_cluster_is_alone_and_is_not_stopped() -> None:
    assert all(job["resource_group"] == "$STACK" and job["interruptible"] is False for job in of("up").values())


def test_the_cli_is_the_sdks_release_and_every_image_has_a_version() -> None:
    written = yaml.safe_load(GITLAB.read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (sdk,) = (name.partition("==")[2] for name in project["dependencies"] if name.startswith("pulumi=="))
    assert written[".pulumi"]["image"]["name"] == f"pulumi/pulumi:{sdk}"
    for image in (written["default"]["image"], JOBS["unit"]["image"]):
        assert re.fullmatch(r"[\w./-]+:\d[\w.-]+", image)


def test_a_stack_is_checked_before_its_credentials_are_there() -> None:
    lines = gitlab_lines(JOBS["up prod"])
    assert lines.index('canary check --stack "$STACK"') < lines.index("source ci/gitlab-credentials.sh")


def test_both_servers_run_the_same_scripts() -> None:
    github = {found for job in github_jobs() for found in re.findall(r"-m (ci\.\w+)", str(job.steps))}
    gitlab = {found for job in JOBS.values() for found in re.findall(r"-m (ci\.\w+)", str(job["script"]))}
    assert github == gitlab == {"ci.comment", "ci.drift", "ci.drift_issue", "ci.review"}


def test_the_programs_that_are_called_are_those_that_the_images_have() -> None:
    assert (
        list(commands("pulumi"))
        == [
            ["preview", "--stack", "$STACK", "--diff", "--non-interactive"],
        ]
        * 3
        + [["up", "--stack", "$STACK", "--yes", "--diff", "--non-interactive"]] * 3
    )
