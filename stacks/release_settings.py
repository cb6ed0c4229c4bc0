"""What a version was in the stack's file, as a rollout's record keeps it for who wants it back after the end."""

from __future__ import annotations

import json
from typing import Any

from stacks.settings.model import Settings

LONGEST = 8000
"""Characters of JSON; a record is written often, and holds many other things."""
FILES = "configFiles"


def release_settings(settings: Settings, service: str, version: str) -> dict[str, Any]:
    """Return the keys of a version of loaded settings that differ from their defaults, with the stack's file's names.

    Encrypted texts are masked, and files are left out where they are too long; empty if the rest is, too, or if the
    stack does not deploy the version.
    """
    given = settings.services[service].deployed.get(version)
    if given is None:
        return {}
    found: dict[str, Any] = given.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    if found.get("name") == f"{service}-{version}":
        del found["name"]
    if len(json.dumps(found)) > LONGEST:
        found.pop(FILES, None)
    return found if len(json.dumps(found)) <= LONGEST else {}
