"""The samples: defaults for `services` and what belongs to them, which a stack enables by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stacks.samples import assets, cloud_native_starter, hello_minikube, java_service, website
from stacks.settings.blue_green import is_blue_green, without_destinations
from stacks.settings.model import Sample
from stacks.settings.strategy import NAMES

SETTINGS: Mapping[Sample, Mapping[str, Any]] = {
    Sample.WEBSITE: website.SETTINGS,
    Sample.HELLO_MINIKUBE: hello_minikube.SETTINGS,
    Sample.JAVA_SERVICE: java_service.SETTINGS,
    Sample.ASSETS: assets.SETTINGS,
    Sample.ASSETS_INGRESS: assets.BY_INGRESS,
    Sample.CLOUD_NATIVE_STARTER: cloud_native_starter.SETTINGS,
}
"""What each sample lays under a stack's file, by key and name: its services, and their gateways, namespaces, egress."""

BLOCKS = ("gateways", "services", "namespaces", "egress")
"""The keys that samples have. Each holds entries by name."""


def chosen(samples: Any) -> list[Sample]:
    """Return the known samples in a stack's `samples:`, ignoring anything else."""
    known = {sample.value: sample for sample in Sample}
    return [known[name] for name in samples if name in known] if _is_list_of_text(samples) else []


def sample_of(samples: Any, block: str, name: str) -> Sample | None:
    """Return the chosen sample that has the entry `name` in `block`, such as `services`, or None."""
    return next((sample for sample in chosen(samples) if name in SETTINGS[sample].get(block, {})), None)


def laid_under(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stack's `values` merged over the settings of its samples.

    Mappings are merged key by key, lists and all other values are replaced. What a sample has is removed by null. A
    strategy replaces another one.
    """
    samples = chosen(values.get("samples"))
    merged = dict(values)
    for block in BLOCKS:
        base = {name: entry for sample in samples for name, entry in SETTINGS[sample].get(block, {}).items()}
        if base:
            merged[block] = _block(base, values.get(block))
    return merged


def _block(base: Mapping[str, Any], own: Any) -> Any:
    if not isinstance(own, Mapping):
        return dict(base) if own is None else own
    merged = {**base, **{name: _entry(base.get(name), entry) for name, entry in own.items()}}
    return {name: entry for name, entry in merged.items() if entry is not None or name not in base}


def _entry(base: Any, own: Any) -> Any:
    """An entry of a stack over that of a sample, if there is one."""
    if not isinstance(base, Mapping) or not isinstance(own, Mapping):
        return own
    if is_blue_green(own.get("strategy")) and "route" not in own and "route" in base:
        base = {**base, "route": without_destinations(base["route"])}
    merged = {**_over(base, own)}
    if own.get("strategy") is not None and _names(base.get("strategy")) != _names(own["strategy"]):
        merged["strategy"] = own["strategy"]
    if isinstance(own.get("versions"), Mapping):
        merged["versions"] = _counted(merged["versions"], own["versions"])
    return merged


def _counted(versions: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """The versions without a sample's `replicas` where the stack has `autoscaling` or `replicas: null` instead."""
    counted = dict(versions)
    for name, version in own.items():
        if not isinstance(version, Mapping) or not isinstance(counted.get(name), Mapping):
            continue
        others = {key: value for key, value in counted[name].items() if key != "replicas"}
        if "replicas" in version and version["replicas"] is None:
            counted[name] = {**others, "replicas": None}
        elif version.get("autoscaling") is not None and "replicas" not in version:
            counted[name] = others
    return counted


def _over(base: Any, own: Any) -> Any:
    if not isinstance(base, Mapping) or not isinstance(own, Mapping):
        return own
    merged = {**base, **{key: _over(base.get(key), value) for key, value in own.items()}}
    return {key: value for key, value in merged.items() if value is not None or key not in base}


def _names(strategy: Any) -> set[str]:
    return {name for name in NAMES if name == strategy or (isinstance(strategy, Mapping) and name in strategy)}


def _is_list_of_text(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(entry, str) for entry in value)
