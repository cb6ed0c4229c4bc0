"""The rules for a stack's objects: the schemas of Istio's CRDs, and the policies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from canary.command_error import CommandError
from canary.exit_codes import ExitCode

if TYPE_CHECKING:
    from policies.policy_error import PolicyError
    from policies.resource import Resource
    from stacks.recording import Recorded


@dataclass(frozen=True)
class ObjectProblem:
    """An Istio object that the API server would refuse: `object` is `<kind> <namespace>/<name>`."""

    object: str
    what: str

    def __str__(self) -> str:
        return f"{self.object}: {self.what}"


@dataclass(frozen=True)
class PolicyProblem:
    """An object that breaks a rule of the policies."""

    rule: str
    severity: str
    enforcement: str
    object: str
    message: str
    fix: str

    @property
    def is_mandatory(self) -> bool:
        """Whether the command fails for it."""
        return self.enforcement == "mandatory"

    def __str__(self) -> str:
        head = f"{self.enforcement}, {self.severity}: {self.rule}: {self.object}: {self.message}"
        return f"{head}\n    fix:     {self.fix}" if self.fix else head


OF_ISTIO = "istio-objects-valid"
"""The policy that repeats what `istio_problems` returns."""


def istio_problems(objects: Iterable[Mapping[str, Any]]) -> list[ObjectProblem]:
    """Return what the schemas and rules of Istio's CRDs refuse in these objects; others are ignored."""
    from kube.crd_schemas import problems_of

    return [ObjectProblem(named(one), what) for one in objects if "kind" in one for what in problems_of(one)]


def recorded_findings(recorded: Iterable[Recorded], before: Iterable[Recorded] | None = None) -> list[PolicyProblem]:
    """Return what breaks the policies in the resources of a recording; `before` is that before the change, if known."""
    from policies.resource import from_recorded

    return _findings(from_recorded(recorded), None if before is None else from_recorded(before))


def state_findings(exported: Mapping[str, Any]) -> list[PolicyProblem]:
    """Return what breaks the policies in an exported state."""
    from policies.policy_error import PolicyError
    from policies.resource import from_state

    try:
        return _findings(from_state(exported))
    except PolicyError as error:
        raise _config_error(error) from None


def _findings(resources: list[Resource], before: list[Resource] | None = None) -> list[PolicyProblem]:
    from policies import configuration
    from policies.engine import findings
    from policies.policy_error import PolicyError

    try:
        found = findings(resources, configuration.read(), before)
    except PolicyError as error:
        raise _config_error(error) from None
    objects = {resource.urn: _object_of(resource) for resource in resources}
    return [
        PolicyProblem(
            rule=one.rule,
            severity=one.severity.value,
            enforcement=one.enforcement.value,
            object=objects.get(one.urn, one.urn),
            message=one.message,
            fix=one.fix,
        )
        for one in found
        if one.rule != OF_ISTIO
    ]


def _config_error(error: PolicyError) -> CommandError:
    return CommandError(error.what, ExitCode.CONFIG, error.fix, details=(f"allowed: {error.allowed}",))


def _object_of(resource: Resource) -> str:
    return named(resource.props) if "kind" in resource.props else f"{resource.type} {resource.name}"


def named(manifest: Mapping[str, Any]) -> str:
    """Return `<kind> <namespace>/<name>` of an object."""
    metadata = manifest.get("metadata") or {}
    return f"{manifest['kind']} {'/'.join(filter(None, (metadata.get('namespace'), metadata.get('name'))))}"
