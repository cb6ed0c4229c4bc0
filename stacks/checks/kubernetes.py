"""Values of a stack's file that Kubernetes defines, checked against its schemas."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from stacks.settings.problems import Finding, Location, shown


def findings_of(value: Mapping[str, Any], schema: str, location: Location) -> Iterator[Finding]:
    """Yield what does not fit the schema of Kubernetes with this name; `location` is that of the value."""
    from kube.kubernetes_schemas import misfits  # reads the schemas, which few stacks need

    for one in misfits(value, schema):
        given = "" if one.value is None else shown(one.value)
        yield Finding((*location, *one.path), one.what, one.allowed, one.fix, given)
