"""URLs as CEL's `url` and `isURL` read them in the API server: by Go's url.ParseRequestURI, https://pkg.go.dev/net/url.

That parser is stricter than Python's for hosts, ports and escapes, and needs a scheme or a path from the root.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import unquote

ESCAPE = "%[0-9A-Fa-f]{2}"
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)?:(.*)", re.DOTALL)
"""What begins with a scheme, or wrongly with a colon."""
ESCAPED = re.compile(f"(?:[^%]|{ESCAPE})*", re.DOTALL)
USER = re.compile(f"(?:[A-Za-z0-9._:~!$&'()*+,;=@-]|{ESCAPE})*")
HOST = re.compile(r"""(?:[A-Za-z0-9._~!$&'()*+,;=:\[\]<>"-]|[^\x00-\x7f]|%25|%[89A-Fa-f][0-9A-Fa-f])*""")
ZONE = re.compile(rf"(?:{HOST.pattern}|%[0-9A-Fa-f]{{2}})*")
PORT = re.compile("(?::[0-9]*)?")


def is_url(address: str) -> bool:
    """Return whether this is a URL, or a path from the root."""
    return _scheme(address) is not None


def scheme_of(address: str) -> str:
    """Return the scheme in small letters, empty for a path; raises ValueError if this is no URL."""
    url, _, fragment = address.partition("#")  # which `is_url` takes for a part of the path or the query
    scheme = _scheme(url, is_reference=True) if is_url(address) and ESCAPED.fullmatch(fragment) else None
    if scheme is None:
        raise ValueError("URL parse error during conversion from string")
    return scheme


def _scheme(address: str, *, is_reference: bool = False) -> str | None:
    """The scheme, or None if this is no URL. `//host` is a host in a reference only, else a path."""
    if not address or CONTROL.search(address):
        return None
    if address == "*":
        return ""
    match = SCHEME.fullmatch(address)
    if match and match[1] is None:
        return None
    scheme, rest = (match[1].lower(), match[2]) if match else ("", address)
    path = rest.partition("?")[0]
    if not path.startswith("/"):
        return scheme or None
    if path.startswith("//") and (scheme or (is_reference and not path.startswith("///"))):
        authority, _, path = path[2:].partition("/")
        if not _is_authority(scheme, authority):
            return None
    return scheme if ESCAPED.fullmatch(path) else None


def _is_authority(scheme: str, authority: str) -> bool:
    user, _, host = authority.rpartition("@")
    return bool(USER.fullmatch(user)) and _is_host(scheme, host)


def _is_host(scheme: str, host: str) -> bool:
    if host.startswith("[") and "[" not in host[1:]:
        literal, closed, port = host[1:].rpartition("]")
        return bool(closed and PORT.fullmatch(port)) and _is_ipv6(literal)
    if "[" in host:
        return False
    _, colon, port = host.partition(":") if scheme in ("http", "https") else host.rpartition(":")
    return bool(PORT.fullmatch(colon + port) if colon else True) and bool(HOST.fullmatch(host))


def _is_ipv6(literal: str) -> bool:
    address, percent, zone = literal.partition("%25")
    if not (HOST.fullmatch(address) and ZONE.fullmatch(zone)) or (percent and not zone):
        return False
    try:
        ipaddress.IPv6Address(unquote(address))
    except ValueError:
        return False
    return True
