"""What a stack's file removes from a sample by `null`, though something else still refers to it.

The mistake is the `null`, or the reference if that is the file's own. The fix is never another name: requests would go
elsewhere than was meant.
"""

from __future__ import annotations

from stacks.checks.view import View
from stacks.settings.problems import Finding, Location, key_path, shown


def still_named(view: View, removed: Location, reference: Location, own: str) -> Finding | None:
    """Return the mistake if the file removes `removed`, to which `reference` refers; None if it does not.

    `own` is what the file can have of its own instead of the sample's reference, such as "a `route`".
    """
    if not view.is_removed(removed):
        return None
    name = removed[-1]
    if view.is_given(reference):
        return Finding(
            reference,
            f"{name} is removed by {key_path(removed)}: null",
            "names of what is not removed",
            f"remove that null, or name something else here than {name}",
            shown(name),
        )
    return Finding(
        removed,
        f"null removes {name}, but {key_path(reference)} of the sample refers to it",
        "null for what nothing refers to",
        f"remove it, or {own}",
        "null",
    )
