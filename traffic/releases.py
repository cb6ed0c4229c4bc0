"""Releases of Istio, in the order of their age."""

from __future__ import annotations


def release_number(version: str) -> tuple[tuple[int, ...], bool]:
    """Return a release in a form that sorts by age; 1.32.0-rc.0 is before 1.32.0."""
    numbers, _, early = version.partition("-")
    return tuple(int(part) for part in numbers.split(".") if part.isdecimal()), not early
