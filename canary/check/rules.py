"""The rules for a stack's objects: the schemas of Istio's CRDs, and the policies."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from canary.command_error import CommandError
from canary.exit_codes import ExitCode

if TYPE_CHECKING:
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


def istio_problems(objects: Iterable[Mapping[str, Any]]) -> list[ObjectProblem]:
    """Return what the schemas and rules of Istio's CRDs refuse in these objects; others are ignored."""
    problems_of = _optional("kube.crd_schemas", "problems_of")
    if problems_of is None:
        return []
    return [ObjectProblem(named(one), what) for one in objects if "kind" in one for what in problems_of(one)]


def recorded_findings(recorded: Iterable[Recorded]) -> list[PolicyProblem]:
    """Return what breaks the policies in the resources of a recording."""
    return _findings("from_recorded", list(recorded))


def state_findings(exported: Mapping[str, Any]) -> list[PolicyProblem]:
    """Return what breaks the policies in an exported state."""
    return _findings("from_state", exported)


def _findings(conversion: str, source: Any) -> list[PolicyProblem]:
    convert = _optional("policies.resource", conversion)
    if convert is None:
        return []
    try:
        resources = convert(source)
        configuration = _optional("policies.configuration", "read")()
    except _optional("policies.policy_error", "PolicyError") as error:
        raise CommandError(error.what, ExitCode.CONFIG, error.fix, details=(f"allowed: {error.allowed}",)) from None
    found = _optional("policies.engine", "findings")(resources, configuration)
    objects = {resource.urn: _object_of(resource) for resource in resources}
    return [
        PolicyProblem(
            rule=one.rule,
            severity=str(one.severity),
            enforcement=str(one.enforcement),
            object=objects.get(one.urn, one.urn),
            message=one.message,
            fix=one.fix,
        )
        for one in found
    ]


def _object_of(resource: Any) -> str:
    return named(resource.props) if "kind" in resource.props else f"{resource.type} {resource.name}"


def named(manifest: Mapping[str, Any]) -> str:
    """Return `<kind> <namespace>/<name>` of an object."""
    metadata = manifest.get("metadata") or {}
    return f"{manifest['kind']} {'/'.join(filter(None, (metadata.get('namespace'), metadata.get('name'))))}"


def _optional(module: str, name: str) -> Any:
    """The attribute of a module, None if this project does not have the module."""
    try:
        found = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        return None
    return None if found is None else getattr(importlib.import_module(module), name)
