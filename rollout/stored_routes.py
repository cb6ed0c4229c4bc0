"""The rendered routes of all steps as the content of an immutable ConfigMap, which is named by that content."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

KEY, COMPRESSED_KEY = "routes.json", "routes.json.gz"
COMPRESSED_ABOVE = 256 * 1024
"""Bytes of JSON up to which it is kept as text, which `kubectl get` shows."""
LIMIT = 1024 * 1024
"""Bytes that the API server takes as a ConfigMap's data."""

BACK = "back"
"""The key of the routes with all requests of the rollout's rules at the version that they come from."""

Routes = Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]]
"""Istio's http routes by step (its index as text, or `back`) and VirtualService."""


class StoredRoutesError(Exception):
    """The routes of a rollout cannot be stored or read back. Says why, and the fix."""


def digest_of(routes: Routes) -> str:
    """Return the hash that names the ConfigMap: the same for the same routes, in whatever order their keys are."""
    return hashlib.sha256(_json(routes)).hexdigest()[:16]


def encoded(routes: Routes, service: str) -> dict[str, Any]:
    """Return the fields `data` or `binaryData` of the ConfigMap. Raises StoredRoutesError if it would be too large."""
    plain = _json(routes)
    if len(plain) <= COMPRESSED_ABOVE:
        return {"data": {KEY: plain.decode()}}
    packed = gzip.compress(plain, mtime=0)
    if len(packed) > LIMIT:
        written = [http for step in routes.values() for http in step.values()]
        raise StoredRoutesError(
            f"the routes of {service} for all steps of its rollout are too large for a ConfigMap: "
            f"{len(packed):,} bytes compressed, for {len(routes)} steps of up to {max(map(len, written))} rules\n"
            f"    allowed: {LIMIT:,} bytes\n"
            "    fix:     use a strategy with fewer steps, or split the service's rules over several services"
        )
    return {"binaryData": {COMPRESSED_KEY: base64.b64encode(packed).decode()}}


def decoded(name: str, data: Mapping[str, str], binary_data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the routes in the ConfigMap `name`. Raises StoredRoutesError if they are not those of its name."""
    try:
        plain = (
            gzip.decompress(base64.b64decode(binary_data[COMPRESSED_KEY]))
            if COMPRESSED_KEY in binary_data
            else data[KEY].encode()
        )
        routes: dict[str, Any] = json.loads(plain)
    except (KeyError, ValueError, OSError, EOFError, zlib.error) as error:
        raise changed(name, f"it cannot be read ({type(error).__name__}: {error})") from None
    if not name.endswith(f"-{digest_of(routes)}"):
        raise changed(name, "its content is not the one that its name tells")
    return routes


def changed(name: str, reason: str) -> StoredRoutesError:
    """Return the error for a ConfigMap that somebody deleted or made anew."""
    return StoredRoutesError(
        f"the ConfigMap {name} has the routes of a rollout, but {reason}\n"
        "    fix:  delete it if it exists, and run `canary up`, which writes it again"
    )


def _json(routes: Routes) -> bytes:
    return json.dumps(routes, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
