"""The pipelines' files as data: jobs, steps, and the commands that they run."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
GITLAB = ROOT / ".gitlab-ci.yml"
NO_JOBS = {"workflow", "stages", "default", "variables", "include"}
Mapping = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """A job of a GitHub workflow."""

    file: str
    name: str
    workflow: Mapping
    content: Mapping

    @property
    def steps(self) -> list[Mapping]:
        """Its steps; a job that calls another workflow has none."""
        return list(self.content.get("steps", []))

    @property
    def condition(self) -> str:
        """Its `if`, else an empty text."""
        return str(self.content.get("if", ""))

    @property
    def writes(self) -> set[str]:
        """The permissions to write that it has."""
        return {scope for scope, level in self.content.get("permissions", {}).items() if level == "write"}

    def __str__(self) -> str:
        return f"{self.file}:{self.name}"


def load(path: Path) -> Mapping:
    """A workflow as data. YAML 1.1 reads the key `on` as true, so it is read as text here."""
    text = path.read_text(encoding="utf-8").replace("\non:\n", '\n"on":\n')
    loaded: Mapping = yaml.safe_load(text)
    return loaded


def github_jobs() -> list[Job]:
    """All jobs of all workflows."""
    workflows = {path.name: load(path) for path in WORKFLOWS}
    return [
        Job(file, name, workflow, content)
        for file, workflow in workflows.items()
        for name, content in workflow["jobs"].items()
    ]


def gitlab_jobs() -> dict[str, Mapping]:
    """The jobs of .gitlab-ci.yml with what they extend, by name; templates are left out."""
    written = yaml.safe_load(GITLAB.read_text(encoding="utf-8"))

    def whole(name: str) -> Mapping:
        content: Mapping = written[name]
        return {**(whole(content["extends"]) if "extends" in content else {}), **content}

    return {name: whole(name) for name in written if name not in NO_JOBS and not name.startswith(".")}


def gitlab_lines(job: Mapping) -> list[str]:
    """The shell lines of a GitLab job."""
    return [*job.get("before_script", []), *job["script"]]


def shell_lines() -> list[str]:
    """Every line of shell in the pipelines, and the commands that the review runs."""
    from ci.review import CHECK, DIFF

    github = [line for job in github_jobs() for step in job.steps for line in step.get("run", "").splitlines()]
    gitlab = [line for job in gitlab_jobs().values() for line in gitlab_lines(job)]
    return [*github, *gitlab, " ".join(CHECK), " ".join((*DIFF, "main"))]


def commands(program: str) -> Iterator[list[str]]:
    """The arguments of every call of `program` in the pipelines."""
    for line in shell_lines():
        words = shlex.split(line)
        if program in words:
            yield words[words.index(program) + 1 :]
