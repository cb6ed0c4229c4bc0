"""The Pulumi project and the stack that a command works on."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from canary.command_error import CommandError
from canary.exit_codes import ExitCode


@dataclass(frozen=True)
class Project:
    """The folder with `Pulumi.yaml`."""

    root: Path

    @cached_property
    def definition(self) -> dict[str, Any]:
        """The content of `Pulumi.yaml`; raises CommandError if it cannot be read or names no project."""
        import yaml

        path = self.root / "Pulumi.yaml"
        try:
            definition = yaml.safe_load(path.read_text(encoding="utf-8"))
        except OSError as error:
            fix = "make it readable for this user"
            raise CommandError(f"{path} cannot be read: {error.strerror}", ExitCode.CONFIG, fix) from None
        except UnicodeDecodeError as error:
            raise CommandError(f"{path} is not UTF-8: {error}", ExitCode.CONFIG, fix="save it as UTF-8") from None
        except yaml.YAMLError as error:
            raise CommandError(f"{path} is not YAML: {error}", ExitCode.CONFIG) from error
        if not isinstance(definition, dict) or not isinstance(definition.get("name"), str):
            raise CommandError(f"{path} names no project", ExitCode.CONFIG, fix="add `name: ...`")
        return definition

    @property
    def name(self) -> str:
        """The project's name."""
        return str(self.definition["name"])

    @property
    def stacks(self) -> tuple[str, ...]:
        """The names of the stacks that have a file in the project, sorted."""
        files = self.root.glob("Pulumi.*.yaml")
        return tuple(sorted(file.name.removeprefix("Pulumi.").removesuffix(".yaml") for file in files))

    def stack_file(self, stack: str) -> Path:
        """Return the settings file of `stack`, which may be given as organization/project/stack."""
        return self.root / f"Pulumi.{stack.split('/')[-1]}.yaml"


def find_project(start: Path | None = None) -> Project:
    """Return the project in `start` (default: the current folder) or in its nearest parent; raises CommandError."""
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / "Pulumi.yaml").is_file():
            return Project(folder)
    raise CommandError(
        f"no Pulumi.yaml in {start} or its parent folders",
        ExitCode.CONFIG,
        fix="run canary in the project folder",
    )


def choose_stack(project: Project, given: str | None, selected: Callable[[], str | None]) -> str:
    """Return the stack to work on: `given`, else $PULUMI_STACK, else what `selected` returns; raises CommandError."""
    stack = given or os.environ.get("PULUMI_STACK") or selected()
    if not stack:
        raise CommandError(
            "no stack is given, and none is selected",
            ExitCode.CONFIG,
            fix=f"add --stack with one of: {', '.join(project.stacks) or '(the project has no Pulumi.<stack>.yaml)'}",
        )
    if not project.stack_file(stack).is_file():
        raise _no_such_stack(project, stack)
    return stack


def _no_such_stack(project: Project, stack: str) -> CommandError:
    near = difflib.get_close_matches(stack, project.stacks, n=1)
    hint = f"did you mean --stack {near[0]}? " if near else ""
    known = ", ".join(project.stacks) or "none"
    return CommandError(
        f"stack {stack!r} has no file {project.stack_file(stack).name} in {project.root}",
        ExitCode.CONFIG,
        fix=f"{hint}create that file, or choose one of: {known}",
    )
