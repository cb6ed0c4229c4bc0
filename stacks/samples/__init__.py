"""The samples: defaults for `services` that a stack enables by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stacks.samples import website
from stacks.settings.model import Sample

SERVICES: dict[Sample, dict[str, Any]] = {Sample.WEBSITE: website.SERVICES}
"""The services of each sample, as in a stack's file."""


def chosen(samples: Any) -> list[Sample]:
    """Return the known samples in a stack's `samples:`, ignoring anything else."""
    known = {sample.value: sample for sample in Sample}
    return [known[name] for name in samples if name in known] if _is_list_of_text(samples) else []


def sample_of(samples: Any, service: str) -> Sample | None:
    """Return the chosen sample that has `service`, or None."""
    return next((sample for sample in chosen(samples) if service in SERVICES[sample]), None)


def laid_under(samples: Any, services: Any) -> Any:
    """Return `services` merged over the services of the chosen samples.

    Mappings are merged key by key, lists and all other values are replaced, and a version that is null is removed.
    """
    base = {name: service for sample in chosen(samples) for name, service in SERVICES[sample].items()}
    if not isinstance(services, Mapping):
        return base if services is None else services
    merged = {**base, **{name: _over(base.get(name), service) for name, service in services.items()}}
    return {name: _without_null_versions(service, base.get(name)) for name, service in merged.items()}


def _over(base: Any, top: Any) -> Any:
    if not isinstance(base, Mapping) or not isinstance(top, Mapping):
        return top
    return {**base, **{key: _over(base.get(key), value) for key, value in top.items()}}


def _without_null_versions(service: Any, base: Any) -> Any:
    versions = service.get("versions") if isinstance(service, Mapping) else None
    if base is None or not isinstance(versions, Mapping):
        return service
    kept = {
        version: value for version, value in versions.items() if value is not None or version not in base["versions"]
    }
    return {**service, "versions": kept}


def _is_list_of_text(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(entry, str) for entry in value)
