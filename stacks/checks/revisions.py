"""Checks of Istio's revisions and their tags, and of what is said to belong to one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from components.names import DEFAULT_REVISION
from stacks.checks.view import View, block
from stacks.settings.problems import Finding, Location, key_path, nearest, shown

REVISIONS: Location = ("mesh", "revisions")
TAGS: Location = ("mesh", "tags")
REVISION: Location = ("mesh", "revision")
LONGEST = 46
"""Characters of a revision's name: Helm allows 53 for `istiod-<revision>`."""


def check(view: View) -> Iterator[Finding]:
    """Yield tags of no revision, and what is said to belong to a revision that the mesh has not."""
    revisions, tags = block(view.mesh.get("revisions")), block(view.mesh.get("tags"))
    yield from _check_names(revisions)
    yield from _check_tags(revisions or {DEFAULT_REVISION: {}}, tags)
    yield from _check_usual(view, revisions)
    if view.installs_mesh or revisions:
        known = [*(revisions or [DEFAULT_REVISION]), *tags]
        yield from (_unknown(place, given, known) for place, given in _asked(view) if given not in known)


def _check_names(revisions: dict[str, Any]) -> Iterator[Finding]:
    for name in revisions:
        if isinstance(name, str) and len(name) > LONGEST:
            yield Finding(
                (*REVISIONS, name),
                f"its Helm release, istiod-{name}, has {len(name) + 7} characters",
                f"a name of at most {LONGEST} characters",
                "shorten it; write the release with '-', such as 1-31-4",
            )


def _check_tags(revisions: dict[str, Any], tags: dict[str, Any]) -> Iterator[Finding]:
    for tag, revision in tags.items():
        if tag in revisions:
            yield Finding(
                (*TAGS, tag),
                f"{tag} is also the name of a revision, and both would inject the pods of its namespaces",
                f"a name that none of the revisions has: {', '.join(map(str, revisions))}",
                f"rename the tag, or remove it: namespaces can name the revision {tag} itself",
            )
        elif revision not in revisions:
            yield _unknown((*TAGS, tag), revision, list(revisions))


def _check_usual(view: View, revisions: dict[str, Any]) -> Iterator[Finding]:
    if len(revisions) > 1 and DEFAULT_REVISION not in revisions and view.mesh.get("revision") is None:
        first = next(iter(revisions))
        yield Finding(
            REVISION,
            "missing: none of the revisions is `default`, so it is not known which one namespaces belong to that name "
            "none",
            f"one of {', '.join(map(str, revisions))}, or a tag",
            f"add {key_path(REVISION)}: {first}, for example",
        )


def _asked(view: View) -> Iterator[tuple[Location, str]]:
    """What is said to belong to a revision or tag."""
    places: list[tuple[Location, Any]] = [
        (REVISION, view.mesh.get("revision")),
        (("mesh", "gateway", "revision"), block(view.mesh.get("gateway")).get("revision")),
        *((("namespaces", name, "revision"), one.revision) for name, one in view.namespaces.items() if one),
    ]
    yield from ((place, given) for place, given in places if isinstance(given, str))


def _unknown(place: Location, given: Any, known: list[str]) -> Finding:
    near = nearest(given, known) if isinstance(given, str) else None
    return Finding(
        place,
        "the mesh has no such revision" + ("" if place[:2] == TAGS else " or tag"),
        ", ".join(map(str, known)),
        f"write {near or known[0]}, or add {given} to {key_path(REVISIONS)}",
        shown(given),
    )
