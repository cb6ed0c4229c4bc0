"""The version that a rollout came from, as it was in the stack's file: for who wants it back after the end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rollout.record import Phase, Record
from stacks.settings.encrypted import MASK


def previous_lines(record: Record) -> list[str]:
    """Return the old version's settings as lines of YAML to paste; none before Closed, when it is still there."""
    if record.phase is not Phase.CLOSED:
        return []
    import yaml

    before = record.from_
    masked: list[str] = []
    kept = _without_secrets(before.settings, (), masked)
    lines = [f"{before.version} as it was, for istio-canary:services.{record.service}.versions in the stack's file:"]
    if kept:
        text = yaml.safe_dump({before.version: kept}, sort_keys=False, allow_unicode=True, width=1000)
        lines += [f"    {line}" for line in text.splitlines()]
    else:
        lines = [f"{before.version} is in the history of the stack's file"]
    if masked:
        lines.append(f"encrypted, and in the history of the stack's file: {', '.join(masked)}")
    if before.image_ids:
        lines.append(f"its pods ran {', '.join(before.image_ids)}")
    return lines


def _without_secrets(given: Mapping[str, Any], path: tuple[str, ...], masked: list[str]) -> dict[str, Any]:
    """The settings without encrypted texts, whose paths are added to `masked`."""
    return dict(_kept(given, path, masked))


def _kept(given: Mapping[str, Any], path: tuple[str, ...], masked: list[str]) -> Iterator[tuple[str, Any]]:
    for key, value in given.items():
        if isinstance(value, str) and value.startswith(MASK):
            masked.append(".".join((*path, key)))
        elif isinstance(value, dict):
            yield key, _without_secrets(value, (*path, key), masked)
        else:
            yield key, value
