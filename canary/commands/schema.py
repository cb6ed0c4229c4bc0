"""`canary schema`: the JSON schema of a stack's file."""

from __future__ import annotations

import json


def schema() -> None:
    """Print the JSON schema of a stack's file.

    Editors use it to complete and check the file.
    """
    from stacks.settings.loading import json_schema

    print(json.dumps(json_schema(), indent=2))
