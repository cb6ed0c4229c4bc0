"""A stack's state, as `pulumi stack export` writes it (Pulumi: "pulumi stack export")."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from canary.command_error import CommandError
from canary.exit_codes import ExitCode

FIX = "write it with: pulumi stack export --stack STACK --file FILE"


def read_state(file: Path) -> Mapping[str, Any]:
    """Return the document of a state file; raises CommandError if it is none."""
    try:
        exported = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}", ExitCode.CONFIG, FIX) from None
    except ValueError as error:
        raise CommandError(f"{file} is not JSON: {error}", ExitCode.CONFIG, FIX) from None
    deployment = exported.get("deployment") if isinstance(exported, dict) else None
    resources = deployment.get("resources", []) if isinstance(deployment, dict) else None
    if not isinstance(resources, list) or not all(isinstance(one, dict) and "urn" in one for one in resources):
        raise CommandError(f"{file} is not an exported state: it has no deployment.resources", ExitCode.CONFIG, FIX)
    found: Mapping[str, Any] = exported
    return found


def objects_in(exported: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the inputs of the state's resources as plain JSON, with secrets masked."""
    from stacks.recording import plain

    for resource in exported["deployment"].get("resources", []):
        if isinstance(resource.get("inputs"), dict) and not resource.get("delete"):
            yield plain(resource["inputs"])
