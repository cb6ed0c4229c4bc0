"""Keys of a cluster as other tools, or other kinds, name them, and where a stack's file says the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stacks.settings.cluster import OTHER_STACK, Kind
from stacks.settings.nearest_key import fits, nearest_key, words
from stacks.settings.problems import Location, shown

SAME: Mapping[str, tuple[str, ...]] = {
    "location": ("region", "zone"),
    "region": ("location",),
    "version": ("kubernetesVersion",),
    "kubernetesVersion": ("version",),
    "releaseChannel": ("channel",),
    "labels": ("tags", "resourceLabels"),
    "profile": ("name",),
    "name": ("profile", "clusterName"),
    "project": ("projectId",),
    "machineType": ("instanceType", "instanceTypes", "vmSize", "size"),
    "min": ("minCount", "minNodes", "minSize", "minNodeCount"),
    "max": ("maxCount", "maxNodes", "maxSize", "maxNodeCount"),
    "diskSize": ("diskSizeGb", "osDiskSizeGb", "diskSizeGB"),
    "zones": ("availabilityZones",),
    "authorizedNetworks": ("masterAuthorizedNetworks", "authorizedIpRanges", "authorizedIPRanges", "publicAccessCidrs"),
    "adminGroups": ("adminGroupObjectIds", "adminGroupObjectIDs"),
    "kind": ("type", "provider", "flavor"),
    OTHER_STACK: ("stack", "stackRef", "reference", "fromStack"),
}
"""By a key, other names for it."""


def said_of_cluster(location: Location, value: Any, known: Sequence[str]) -> tuple[str, str] | None:
    """Return what is wrong with a key of a cluster that is not one of `known`, and the fix; None if nothing is known.

    A key that says which cluster is meant is never to be removed: without it, it would be another one.
    """
    if location[:1] != ("cluster",):
        return None
    key = str(location[-1])
    is_top, is_existing = len(location) == 2, "context" in known
    names = [*known, *((OTHER_STACK,) if is_top and is_existing else ())]
    if key == OTHER_STACK and is_top:
        return (
            f"the cluster of another stack has no `kind`, and {OTHER_STACK} is its only key",
            f"remove `kind`, and the keys that are not {OTHER_STACK}",
        )
    if key == "workers" and "nodes" in names and type(value) is int:
        return "there is no such key; `nodes` counts all nodes", f"write nodes: {value + 1} instead"
    if key == "nodes" and "workers" in names and type(value) is int:
        return "there is no such key; `workers` are the nodes beside the control plane's", _workers(value)
    if key in ("nodeCount", "count", "nodes") and type(value) is int and {"nodes", "min"} & {*names}:
        inner = f"min: {value}, max: {value}"
        return (
            "the number of nodes follows the load, between `min` and `max`",
            f"write {inner}" if "min" in names else f"write nodes: {{{inner}}}",
        )
    same = [name for name in names if key in SAME.get(name, ()) or words(key) == words(name)]
    taken = [name for name in same if fits((*location[:-1], name), value)]
    if taken:
        return f"there is no such key; its name here is `{taken[0]}`", f"rename it to `{taken[0]}`"
    near = nearest_key(location, value, names)
    if near is not None and near not in known:
        return f"there is no such key; the nearest is `{near}`", f"rename it to `{near}`"
    if near is None and is_top and is_existing:
        return (
            "there is no such key" + (f"; its name here is `{same[0]}`" if same else ""),
            f"write kubeconfig, context, kind ({', '.join(Kind)}) or {OTHER_STACK}; with none of them, the cluster is "
            "that of your kubeconfig's current context",
        )
    return None


def _workers(value: int) -> str:
    return f"write workers: {shown(max(value - 1, 0))} instead"
