"""The result of checking a stack or a state file."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from canary.check.rules import ObjectProblem, PolicyProblem
from canary.exit_codes import ExitCode

if TYPE_CHECKING:
    from canary.project import Project
    from stacks.settings.problems import Problem


@dataclass(frozen=True)
class Result:
    """What is wrong with the stack or state file `name`, read from `source`.

    `errors` and `warnings` are about the settings; `objects` are Istio objects that the API server would refuse.
    """

    name: str
    source: str
    errors: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    objects: tuple[ObjectProblem, ...] = ()
    policies: tuple[PolicyProblem, ...] = ()

    @property
    def code(self) -> ExitCode:
        """The exit code of this result alone."""
        if self.errors or self.objects:
            return ExitCode.CONFIG
        return ExitCode.POLICY if any(one.is_mandatory for one in self.policies) else ExitCode.OK

    @property
    def lines(self) -> list[str]:
        """The result in words: a headline, then each problem with its place and fix."""
        lines = [f"{self.name}: {self._headline} ({self.source})"]
        for title, found in self._all.items():
            lines += [f"{title}: {problem}" for problem in found]
        return lines

    def as_json(self) -> dict[str, Any]:
        """Return the document of `--json` for this result."""
        document: dict[str, Any] = {"source": self.source, "code": int(self.code)}
        for name in ("errors", "warnings", "objects", "policies"):
            document[name] = [asdict(problem) for problem in getattr(self, name)]
        return document

    @property
    def _all(self) -> dict[str, tuple[Any, ...]]:
        return {"error": self.errors, "warning": self.warnings, "Istio": self.objects, "policy": self.policies}

    @property
    def _headline(self) -> str:
        mandatory = sum(one.is_mandatory for one in self.policies)
        counts = {
            "error": len(self.errors) + len(self.objects),
            "warning": len(self.warnings),
            "mandatory finding": mandatory,
            "advisory finding": len(self.policies) - mandatory,
        }
        found = [f"{count} {what}{'' if count == 1 else 's'}" for what, count in counts.items() if count]
        return ", ".join(found) or "nothing found"


def code_of(results: list[Result]) -> ExitCode:
    """Return the exit code of a command: settings come before policies."""
    codes = {result.code for result in results}
    return next((code for code in (ExitCode.CONFIG, ExitCode.POLICY) if code in codes), ExitCode.OK)


def check_stack(project: Project, stack: str) -> Result:
    """Return what is wrong with the settings of a stack and the objects that its program makes from them."""
    from canary.check.rules import istio_problems, recorded_findings
    from stacks.settings.loading import load_stack, warnings
    from stacks.settings.problems import SettingsError

    file = project.stack_file(stack)
    name = stack.split("/")[-1]
    try:
        loaded = load_stack(file)
    except SettingsError as error:
        return Result(name, file.name, errors=error.problems)
    from stacks.recording import record  # after the settings are found valid: it imports Pulumi

    recorded = record(loaded.settings, name, project=project.name)
    return Result(
        name,
        file.name,
        warnings=warnings(loaded.settings, loaded.source),
        objects=tuple(istio_problems(resource.inputs for resource in recorded)),
        policies=tuple(recorded_findings(recorded)),
    )


def check_state(file: Path) -> Result:
    """Return what is wrong with the objects in a file of `pulumi stack export`; raises CommandError."""
    from canary.check.rules import istio_problems, state_findings
    from canary.check.state_file import objects_in, read_state

    exported = read_state(file)
    return Result(
        file.name,
        str(file),
        objects=tuple(istio_problems(objects_in(exported))),
        policies=tuple(state_findings(exported)),
    )
