"""Paths: how Envoy normalises them before it selects a route, and how it rewrites them afterwards.

With Istio's default (MeshConfig.pathNormalization: BASE), Envoy normalises as browsers do: dot segments are removed,
unreserved characters are decoded, `\\` becomes `/`; double slashes and `%2f` are kept. MERGE_SLASHES also makes one of
several slashes, DECODE_AND_MERGE_SLASHES decodes `%2f` and `%5c` before that, NONE changes nothing. All measured.
"""

from __future__ import annotations

import re
from typing import Any

from traffic.fields import compiled
from traffic.model import PathNormalization, Rewrite, StringMatch

PLAIN = re.compile(r"(/[A-Za-z0-9_~!$&'()*+,;=:@-][A-Za-z0-9._~!$&'()*+,;=:@-]*)*/?")
"""Paths that are already normalised: no escapes, no segment that begins with a dot or is empty."""
UNRESERVED = re.compile(r"%(2[dDeE]|3[0-9]|[46][1-9a-fA-F]|[57][0-9aA]|5[fF]|7[eE])")
ESCAPED = re.compile(r'["<>^`{|}]')
DOTS_WITH_PARAMETERS = re.compile(r"(?<=/)(\.\.?);[^/]*")
UNSENDABLE = re.compile(r"[^\x21-\x7e]")
ESCAPED_SLASH = re.compile(r"%(?:2[fF]|5[cC])")


def normalized(path: str, how: PathNormalization = PathNormalization.BASE) -> str | None:
    """Return the path as routes see it, or None if Envoy responds with 400. `path` has no query or fragment."""
    if PLAIN.fullmatch(path) and path:
        return path
    if not path.startswith("/") or UNSENDABLE.search(path):
        return None
    if how is PathNormalization.NONE:
        return path
    if how is PathNormalization.DECODE_AND_MERGE_SLASHES:
        path = ESCAPED_SLASH.sub(lambda found: "/" if found[0][1] == "2" else "\\", path)
    clean = _without_dots(path)
    if clean is None or how is PathNormalization.BASE:
        return clean
    merged = re.sub("//+", "/", clean)
    # Measured: of a path of slashes alone, two are left.
    return "//" if merged == "/" and clean != "/" else merged


def _without_dots(path: str) -> str | None:
    """The path as Istio's default normalises it, None if Envoy responds with 400."""
    path = DOTS_WITH_PARAMETERS.sub(r"\1", path).replace("\\", "/")
    if "%00" in path:
        return None
    path = UNRESERVED.sub(lambda found: chr(int(found[1], 16)), path)
    path = ESCAPED.sub(lambda found: f"%{ord(found[0]):02X}", path)
    kept: list[str] = []
    segments = path[1:].split("/")
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)


def received(target: str, how: PathNormalization = PathNormalization.BASE) -> str | None:
    """Return path and query as a version sees them, or None if its sidecar responds with 400.

    The sidecar normalises the rewritten path, as the caller's Envoy normalised the original one.
    """
    path, question, query = target.split("#", 1)[0].partition("?")
    clean = normalized(path, how)
    return None if clean is None else f"{clean}{question}{query}"


def rewritten(rewrite: Rewrite | None, uri: StringMatch | None, path: str) -> str:
    """Return the rewritten path; `path` is normalised, `uri` is the condition that it met.

    `rewrite.uri` replaces what `uri` matched: its prefix, or the whole path; without a `uri`, the first `/`. Slashes
    are not adjusted: /shop rewritten to / turns /shop/cart into //cart. If a regex rewrite leaves nothing, the path is
    kept.
    """
    if rewrite is None:
        return path
    if rewrite.uri_regex_rewrite is not None:
        return replace_all(rewrite.uri_regex_rewrite.match, rewrite.uri_regex_rewrite.rewrite, path) or path
    return with_prefix(rewrite.uri, uri, path)


def with_prefix(new: str | None, uri: StringMatch | None, path: str) -> str:
    """Return `path` with `new` in place of what `uri` matched; `path` itself if `new` is None."""
    if new is None:
        return path
    prefix = "/" if uri is None else path if uri.prefix is None else uri.prefix
    return new + path[len(prefix) :]


def replace_all(pattern: str, replacement: str, text: str) -> str:
    """Return `text` with every match of `pattern` replaced, as RE2's GlobalReplace does.

    Python's `sub` treats empty matches differently. A replacement with a missing group changes nothing.
    """
    expression = compiled(pattern)
    parts = re.findall(r"\\[0-9]|\\\\|[^\\]+|\\", replacement)
    if any(int(part[1]) > expression.groups for part in parts if re.fullmatch(r"\\[0-9]", part)):
        return text
    out: list[str] = []
    position, last_end = 0, -1
    while position <= len(text):
        found = expression.search(text, position)
        if found is None:
            break
        out.append(text[position : found.start()])
        if found.end() == found.start() == last_end:
            out.append(text[found.start() : found.start() + 1])
            position = found.start() + 1
            continue
        out += (_part(part, found) for part in parts)
        position = last_end = found.end()
    return "".join(out) + text[position:]


def _part(part: str, found: Any) -> str:
    if part == "\\\\":
        return "\\"
    return found[int(part[1])] or "" if re.fullmatch(r"\\[0-9]", part) else part
