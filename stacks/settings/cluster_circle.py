"""Stacks that take their cluster from each other, in a circle: none of them has one. Known from the files beside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from stacks.settings.mesh_reference import REFERENCE, values_of
from stacks.settings.problems import NAMESPACE, Finding, shown
from stacks.settings.stack_file import StackFile


def circle(values: Mapping[str, Any], source: StackFile | None) -> Iterator[Finding]:
    """Yield a cluster that comes from a stack which takes its own from this one, directly or through others."""
    if source is None:
        return
    first, seen = cluster_reference(values), []
    named = first
    while named is not None and named not in seen and stack_of(named) != source.stack:
        seen.append(named)
        named = cluster_reference(values_of(named, source) or {})
    if first is None or named is None or not seen or stack_of(named) != source.stack:
        return
    way = " -> ".join((source.stack, *map(stack_of, seen), source.stack))
    yield Finding(
        ("cluster", REFERENCE),
        f"each of these stacks takes its cluster from the next one, and none of them has one: {way}",
        "a stack that creates its cluster, or reaches one by a kubeconfig",
        f"name that stack, or write a `kind` in Pulumi.{stack_of(seen[-1])}.yaml in place of stackReference",
        shown(first),
    )


def cluster_reference(values: Mapping[str, Any]) -> str | None:
    """Return the full name of the stack that the values name for their cluster; None if it is none of this project."""
    cluster = values.get("cluster")
    named = cluster.get(REFERENCE) if isinstance(cluster, dict) else None
    return named if isinstance(named, str) and named.split("/")[1:-1] == [NAMESPACE] else None


def stack_of(named: str) -> str:
    return named.rpartition("/")[2]
