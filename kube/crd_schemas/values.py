"""Values in messages, as the API server's errors print them."""

from __future__ import annotations

import json
from typing import Any


def printed(value: Any) -> str:
    """Return a value as JSON without spaces between its parts."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
