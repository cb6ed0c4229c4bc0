"""Checks of redirects that keep the rest of the path (Istio: HTTPRedirect.prefix_rewrite)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from stacks.checks.view import View, at, entries
from stacks.settings.mesh_reference import REFERENCE
from stacks.settings.model import Settings
from stacks.settings.problems import Finding, Location, key_path, shown
from traffic.model import Rule, StringMatch

SINCE = (1, 31)
"""The release of Istio that has the field: an older CRD drops it, and the rest of the redirect would apply alone."""


def check(view: View) -> Iterator[Finding]:
    """Yield redirects whose prefix is not known, or that the mesh's release does not have."""
    is_known = view.installs_mesh or (REFERENCE in view.mesh and view.mesh.keys() & {"version", "revisions"})
    known = [_release(one.version) for one in view.releases] if is_known else []
    release = min((one for one in known if one is not None), default=None)
    for service in view.services.values():
        given = entries(service.given.get("route"))
        for index, rule in enumerate(service.rules):
            if rule is None or rule.redirect is None or rule.redirect.prefix_rewrite is None:
                continue
            location: Location = (*service.location, "route", index)
            if release is not None and release < SINCE:
                yield _too_old(view, rule, location)
            yield from _check_match(rule, location, given[index] if index < len(given) else None)


def _release(version: Any) -> tuple[int, int] | None:
    found = re.match(r"([0-9]+)\.([0-9]+)\.", version) if isinstance(version, str) else None
    return (int(found[1]), int(found[2])) if found else None


def _too_old(view: View, rule: Rule, location: Location) -> Finding:
    assert rule.redirect is not None
    needed = ".".join(map(str, SINCE))
    old = next(one for one in view.releases if (_release(one.version) or SINCE) < SINCE)
    return Finding(
        (*location, "redirect", "prefixRewrite"),
        f"Istio {old.version} ({'.'.join(map(str, old.location))}) does not have prefixRewrite, and would redirect "
        "without it",
        f"prefixRewrite with Istio {needed} or newer",
        f"raise {key_path(old.location)} to {needed} or newer, or write a rule with uri for each path",
        shown(rule.redirect.prefix_rewrite),
    )


def _check_match(rule: Rule, location: Location, given: Any) -> Iterator[Finding]:
    """Istio refuses exact paths and regular expressions; without a path the whole path would be appended."""
    assert rule.redirect is not None
    allowed = "a rule in which every match has uri: {prefix: …}"
    if not rule.match:
        yield Finding(
            (*location, "redirect", "prefixRewrite"),
            "the rule has no match, so no prefix of the path is known",
            allowed,
            "add match: [{uri: {prefix: /old/}}], for example",
            shown(rule.redirect.prefix_rewrite),
        )
    matches = entries(given.get("match")) if isinstance(given, Mapping) else []
    for number, match in enumerate(rule.match):
        if match.uri is not None and match.uri.prefix is not None:
            continue
        yield Finding(
            (*location, "match", number, *(("uri",) if match.uri else ())),
            "redirect.prefixRewrite replaces a prefix, and this match has none"
            if match.uri is None
            else f"redirect.prefixRewrite replaces a prefix, and this is {_kind(match.uri)}",
            allowed,
            "give this match a rule of its own with redirect: {uri: …}, or compare a prefix of the path in it",
            shown(at(matches[number], ("uri",)) if match.uri else matches[number]) if number < len(matches) else "",
        )


def _kind(uri: StringMatch) -> str:
    return "an exact path" if uri.exact is not None else "a regular expression" if uri.regex is not None else "any path"


def warnings(settings: Settings) -> Iterator[Finding]:
    """Yield redirects that a mesh of an older release would make differently."""
    mesh = settings.mesh
    if mesh.install or (mesh.stack_reference and mesh.model_fields_set & {"version", "revisions"}):
        return
    for name, service in settings.services.items():
        for index, rule in enumerate(service.route):
            if rule.redirect is not None and rule.redirect.prefix_rewrite is not None:
                yield _unknown_mesh(("services", name, "route", index), rule.redirect.prefix_rewrite)


def _unknown_mesh(location: Location, new: str) -> Finding:
    needed = ".".join(map(str, SINCE))
    return Finding(
        (*location, "redirect", "prefixRewrite"),
        f"a mesh older than Istio {needed} does not have prefixRewrite, and would redirect without it; mesh.install is "
        "false, so its release is not known",
        f"prefixRewrite with Istio {needed} or newer",
        f"none needed if `istioctl version` shows {needed} or newer",
        shown(new),
    )
