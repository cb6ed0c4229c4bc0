"""`canary schema`: the JSON schema of a stack's settings."""

from __future__ import annotations

import json


def schema() -> None:
    """Print the JSON schema of a stack's file.

    Editors complete and check the file by it.
    """
    from stacks.settings.loading import json_schema

    print(json.dumps(json_schema(), indent=2))
