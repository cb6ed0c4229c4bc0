"""Settings that a stack lays over a sample which is not in its `samples`: one mistake, however many keys they have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from stacks.samples import BLOCKS, SETTINGS, chosen
from stacks.settings.model import Sample
from stacks.settings.problems import Finding, Location, key_path, nearest

if TYPE_CHECKING:
    from stacks.settings.stack_file import StackFile

Entry = tuple[str, str]
"""A block, such as `services`, and a name in it."""
WHOLE = {"gateways": "servers", "egress": "hosts"}
"""A key that every entry of a block has which is not laid over a sample's."""


def unlisted_entries(given: Mapping[str, Any]) -> dict[Sample, list[Entry]]:
    """Return the entries of a stack's own values that only make sense over those of a sample that is not chosen."""
    found: dict[Sample, list[Entry]] = {}
    services = given.get("services")
    for block in (*(block for block in BLOCKS if block != "namespaces"), "namespaces"):
        entries = given.get(block)
        for name, entry in entries.items() if isinstance(entries, Mapping) else ():
            sample = _sample_with(block, name)
            if sample is None or any(name in _names(other, block) for other in chosen(given.get("samples"))):
                continue
            if block == "namespaces":
                taken = [one for of_sample in found.values() for one in of_sample]
                used = _namespaces(services, [service for block_, service in taken if block_ == "services"])
                is_laid_over = sample in found and name not in used
            else:
                is_laid_over = _is_laid_over(block, entry, SETTINGS[sample][block][name])
            if is_laid_over:
                found.setdefault(sample, []).append((block, name))
    return found


def unlisted_findings(
    unlisted: Mapping[Sample, list[Entry]], given: Mapping[str, Any], source: StackFile | None
) -> Iterator[Finding]:
    """Yield one mistake for each sample, unless `samples` has it misspelt, which is reported there."""
    samples = given.get("samples")
    named = [samples] if isinstance(samples, str) else samples if isinstance(samples, list) else []
    meant = {nearest(name, Sample) for name in named if isinstance(name, str)}
    for sample, entries in unlisted.items():
        if sample in meant:
            continue
        yield Finding(
            entries[0],
            f"the sample {sample.value}, over which this is laid, is not in {key_path(('samples',))}",
            "settings over those of a sample that is listed, or entries with all that they need",
            f"add {sample.value} to {key_path(('samples',))}, or remove {_where(entries, source)}",
        )


def stray_nulls(given: Mapping[str, Any], merged: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield entries and versions that are null, though the stack's samples have them only under a similar name."""
    for block in BLOCKS:
        base: dict[str, Any] = {}
        for sample in chosen(given.get("samples")):
            base |= SETTINGS[sample].get(block, {})
        entries = merged.get(block)
        for name, entry in entries.items() if isinstance(entries, Mapping) else ():
            if entry is None:
                yield from _stray((block, name), base)
            versions = entry.get("versions") if isinstance(entry, Mapping) and block == "services" else None
            for version, one in versions.items() if isinstance(versions, Mapping) else ():
                if one is None and name in base:
                    yield from _stray((block, name, "versions", version), base[name]["versions"])


def _stray(location: Location, base: Mapping[str, Any]) -> Iterator[Finding]:
    near = nearest(str(location[-1]), base)
    nearest_is = f"; the nearest is {near!r}" if near else ""
    if base:
        yield Finding(
            location,
            f"null removes what a sample has, and none has {location[-1]!r}{nearest_is}",
            f"null for {', '.join(base)}",
            f"write {near}: null, or remove it" if near else "remove it",
            "null",
        )


def _sample_with(block: str, name: str) -> Sample | None:
    return next((sample for sample in Sample if name in _names(sample, block)), None)


def _names(sample: Sample, block: str) -> set[str]:
    services = SETTINGS[sample]["services"].values() if block == "namespaces" else ()
    return {*SETTINGS[sample].get(block, {}), *(service["namespace"] for service in services)}


def _is_laid_over(block: str, entry: Any, base: Mapping[str, Any]) -> bool:
    if not isinstance(entry, Mapping):
        return entry is None
    if block != "services":
        return WHOLE[block] not in entry
    versions = entry.get("versions", {})
    return (
        isinstance(versions, Mapping)
        and versions.keys() <= base["versions"].keys()
        and not any(isinstance(one, Mapping) and {"image", "port"} <= one.keys() for one in versions.values())
    )


def _namespaces(services: Any, without: Iterable[str]) -> set[str]:
    """The namespaces of the services, except some."""
    given = services.items() if isinstance(services, Mapping) else ()
    return {
        str(service.get("namespace", name))
        for name, service in given
        if isinstance(service, Mapping) and name not in without
    }


def _where(entries: Iterable[Entry], source: StackFile | None) -> str:
    """The entries by their lines in the file, or by their paths if they are in none."""
    lines = [source.lines_of(entry) for entry in entries] if source else []
    found = sorted(one for one in lines if one is not None)
    if not found:
        return " and ".join(map(key_path, entries))
    ranges = [found[0]]
    for first, last in found[1:]:
        # Only comments and empty lines between them, which have no key.
        before = source is not None and any(ranges[-1][1] < line < first for line in source.lines.values())
        if before:
            ranges.append((first, last))
        else:
            ranges[-1] = (ranges[-1][0], last)
    words = " and ".join(f"{first}-{last}" if first != last else str(first) for first, last in ranges)
    return f"the entries in line{'s' if len(ranges) > 1 or ranges[0][0] != ranges[0][1] else ''} {words}"
