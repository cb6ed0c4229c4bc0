"""Checks of the chosen samples: no two may have the same service, gateway, namespace or host outside the mesh."""

from __future__ import annotations

from collections.abc import Iterator

from stacks.checks.view import View
from stacks.samples import SETTINGS, chosen
from stacks.settings.problems import Finding


def check(view: View) -> Iterator[Finding]:
    """Yield samples that another chosen sample contradicts."""
    first: dict[tuple[str, str], str] = {}
    for sample in dict.fromkeys(chosen(view.values.get("samples"))):
        entries = [(block, name) for block, entry in SETTINGS[sample].items() for name in entry]
        shared = [entry for entry in entries if entry in first]
        if shared:
            block, name = shared[0]
            yield Finding(
                ("samples",),
                f"{first[shared[0]]} and {sample.value} both have {name!r} in {block}",
                "samples that have nothing in common",
                f"remove {first[shared[0]]} or {sample.value}",
                sample.value,
            )
        first |= {entry: sample.value for entry in entries if entry not in first}
