"""Random requests for a table: most fit one of its matches, and many of them are then changed a little."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import strategies as st

from tests.differential import vocabulary as words
from tests.differential.place import CALLERS, DOMAIN, HTTP_PORT, HTTPS_PORT, MORE_PORT, OWN_PORT, PORTS, PUBLIC
from tests.differential.tables import Settings, mostly, often
from tests.differential.wire import Header, WireRequest
from traffic.model import MESH, StringMatch, own_gateway, service_host
from traffic.simulate import text_matches

PRINTABLE = st.characters(min_codepoint=0x21, max_codepoint=0x7E)
INVALID_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")
SHORT = st.text(st.sampled_from("abz01-"), min_size=1, max_size=3)
ORDERS = (
    ("x-echo-status", "503"), ("x-echo-status", "500 times=1 key={key}"), ("x-echo-status", "503 times=2 key={key}"),
    ("x-echo-status", "409"), ("x-echo-header", "x-color: green"), ("x-echo-header", "x-tier: theirs"),
    ("x-echo-delay", "2s"),
)  # fmt: skip
"""Orders to the version; `{key}` is replaced by the request's key."""


@st.composite
def requests(draw: st.DrawFn, table: dict[str, Settings]) -> WireRequest:
    """A request to one of the table's services; most fit one of its matches, and many are then changed a little."""
    name = draw(st.sampled_from(sorted(table)))
    service = table[name]
    rule = draw(st.sampled_from(service["route"]))
    match = draw(st.sampled_from(rule.get("match", [{}])))
    port, caller = draw(_entry(name, service, match))
    request: dict[str, Any] = {
        "authority": draw(_authority(name, service, match, port, caller)),
        "path": draw(_path(match)) + draw(_query(match)),
        "method": draw(_method(match, rule)),
        "headers": draw(_headers(match, rule)),
        "port": port,
        "caller": caller,
    }
    for _ in range(draw(st.sampled_from((0, 0, 1, 1, 1, 2)))):
        request |= draw(_variation(request, match))
    # The upstream's HTTP server refuses invalid escapes, which Envoy passes on.
    path = INVALID_ESCAPE.sub("", request["path"])
    return WireRequest(**{**request, "path": path, "headers": tuple(request["headers"])})


def text_for(want: Settings, usual: tuple[str, ...]) -> st.SearchStrategy[str]:
    """Texts that `want` matches: the usual ones that fit, and sometimes others."""
    if "exact" in want:
        return st.just(want["exact"])
    fitting = st.sampled_from([text for text in usual if text_matches(StringMatch(**want), text)] or usual)
    if "prefix" in want:
        return mostly(fitting, SHORT.map(lambda rest: f"{want['prefix']}{rest}"), 3)
    if "regex" in want:
        made = st.from_regex(want["regex"], fullmatch=True, alphabet=PRINTABLE)
        return mostly(fitting, made.map(lambda text: text[:40]), 3)
    return fitting


def _entry(name: str, service: Settings, match: Settings) -> st.SearchStrategy[tuple[int, str | None]]:
    """A port of the gateway, or a caller inside the mesh; mostly one for which the match can hold."""
    ways: list[tuple[int, str | None]] = []
    if PUBLIC in service["gateways"]:
        ways += [(HTTP_PORT, None)] * 2 + [(HTTPS_PORT, None)]
    if own_gateway(name) in service["gateways"]:
        ways += [(OWN_PORT, None)]
    if MESH in service["gateways"]:
        ports = [HTTP_PORT, *(port["port"] for port in service.get("ports", ()))]
        ways += [(port, caller) for port in ports for caller in sorted(CALLERS)]
    fitting = [way for way in ways if _may_hold(name, match, *way)] or ways
    others = ways if MESH in service["gateways"] else [(port, None) for port in PORTS]
    return mostly(st.sampled_from(fitting), st.sampled_from(others), 12)


def _may_hold(name: str, match: Settings, port: int, caller: str | None) -> bool:
    """Whether a match's port, scheme, gateways and source hold for requests that enter this way."""
    gateway = MESH if caller else own_gateway(name) if port == OWN_PORT else PUBLIC
    source = CALLERS[caller] if caller else None
    return (
        match.get("port", port) == port
        and match.get("scheme", {}).get("exact", "") in ("", "https" if port == HTTPS_PORT else "http")
        and gateway in match.get("gateways", (gateway,))
        and match.get("sourceLabels", {}).items() <= (source.labels if source else {}).items()
        and match.get("sourceNamespace", None) in (None, source.namespace if source else None)
    )


@st.composite
def _authority(draw: st.DrawFn, name: str, service: Settings, match: Settings, port: int, caller: str | None) -> str:
    """A host of the service; from inside the mesh also its DNS name, at a further port this alone.

    Of the tables, one has the DNS name and with it the ports of the Service; in the others, hosts are known at port 80.
    """
    host: str = draw(st.sampled_from(service["hosts"]))
    if caller is not None and (port == MORE_PORT or draw(st.integers(0, 2)) == 2):
        full = service_host(name, service["namespace"])
        short = f"{name}.{service['namespace']}"
        return draw(st.sampled_from((full, f"{full}:{port}", full.title(), short, f"{short}.svc")))
    if host.startswith("*."):
        host = draw(st.sampled_from(("shop", "www", "a.b", "eu.api"))) + host[1:]
    if caller is None:
        if "authority" in match and draw(st.booleans()):
            host = draw(text_for(match["authority"], words.AUTHORITIES))
        others = st.sampled_from((*words.AUTHORITIES, DOMAIN, f"no.{DOMAIN}"))
        host = draw(mostly(st.just(host), others, 12))
        if host != "*" and draw(st.integers(0, 4)) == 4:
            # Envoy looks for the host without its port; matches and redirects have it.
            host += draw(st.sampled_from((":80", ":443", ":8080")))
    return host


def _path(match: Settings) -> st.SearchStrategy[str]:
    usual = st.sampled_from(words.PATHS)
    odd = st.sampled_from([path for path in words.ODD_PATHS if "?" not in path and "#" not in path])
    if "uri" not in match:
        return mostly(usual, odd, 4)
    fitting = text_for(match["uri"], words.PATHS).map(lambda path: path if path.startswith("/") else f"/{path}")
    return mostly(fitting, mostly(usual, odd, 2), 8).map(lambda path: path.split("?")[0].split("#")[0])


@st.composite
def _query(draw: st.DrawFn, match: Settings) -> str:
    fitting = match.get("queryParams", {})
    parts = [f"{name}={draw(text_for(want, words.PARAMETER_VALUES))}" for name, want in fitting.items()]
    parts += draw(
        st.lists(st.sampled_from(("q=1", "q", "q=", "version=canary", "Q=1", "x=y", "a+b=1", "")), max_size=2)
    )
    if len(parts) > 1 and draw(st.booleans()):
        parts.reverse()
    query = "&".join(part.replace(" ", "%20") for part in parts)
    return f"?{query}" if query or draw(st.integers(0, 9)) == 9 else ""


@st.composite
def _method(draw: st.DrawFn, match: Settings, rule: Settings) -> str:
    if "corsPolicy" in rule and draw(st.booleans()):
        return "OPTIONS"
    methods = st.sampled_from(("GET", "GET", "GET", *words.METHODS))
    fitting = text_for(match["method"], words.METHODS) if "method" in match else methods
    method: str = draw(mostly(fitting, methods, 6))
    return re.sub("[^A-Za-z-]", "", method) or "GET"  # other characters are not valid in HTTP


@st.composite
def _headers(draw: st.DrawFn, match: Settings, rule: Settings) -> list[Header]:
    headers: list[Header] = []
    for name, want in match.get("headers", {}).items():
        headers.append((name, draw(text_for(want, words.VALUES))))
    pairs = [f"{name}={draw(text_for(want, words.COOKIE_VALUES))}" for name, want in match.get("cookies", {}).items()]
    if "sticky" in rule and draw(st.booleans()):
        version = draw(st.sampled_from([*rule["to"], "version-9"]))
        pairs.append(f"{rule['sticky']['cookie']}={version}")
    if pairs:
        joined = draw(st.sampled_from(("; ", ";", "; a=b; ")))
        together = draw(mostly(st.just([joined.join(draw(st.permutations(pairs)))]), st.just(pairs), 6))
        headers += [("cookie", draw(_cookie(pair))) for pair in together]
    if "corsPolicy" in rule or not draw(st.integers(0, 19)):
        headers.append(("origin", draw(st.sampled_from(words.ORIGINS))))
        headers += draw(
            st.sampled_from(
                ([], [("access-control-request-method", "PUT")], [("access-control-request-method", "GET")])
            )
        )
    for name in draw(st.lists(st.sampled_from((*words.HEADERS, *words.CHANGED)), max_size=1)):
        headers.append((name, draw(st.sampled_from(words.VALUES))))
    order = draw(often(st.sampled_from(ORDERS), 2 if "retries" in rule or "timeout" in rule else 8))
    return [*headers, order] if order else headers


def _cookie(pair: str) -> st.SearchStrategy[str]:
    return st.sampled_from(
        (pair, f"a=b; {pair}", f"{pair}; a=b", f"a=b;{pair};c=d", f"x{pair}", f"a={pair}", f"{pair}x")
    )


@st.composite
def _variation(draw: st.DrawFn, request: dict[str, Any], match: Settings) -> dict[str, Any]:
    """A change of one property that may or may not matter; mostly one that the match uses."""
    headers = [header for header in request["headers"] if not header[0].startswith("x-echo-")]
    orders = [header for header in request["headers"] if header[0].startswith("x-echo-")]
    kinds = ["path", "query", "method", "odd", *(["host"] if request["caller"] is None else [])]
    kinds += ["path"] * 4 * ("uri" in match) + ["query"] * 3 * ("queryParams" in match)
    kinds += ["header"] * 4 * bool(headers)
    kind = draw(st.sampled_from(kinds))
    path, question, query = request["path"].partition("?")
    if kind == "path":
        return {"path": draw(_near(path)) + question + query}
    if kind == "odd":
        return {"path": draw(st.sampled_from(words.ODD_PATHS))}
    if kind == "query":
        return {"path": f"{path}?{draw(st.sampled_from((query.upper(), f'{query}&q=2', f'q=2&{query}', f'x{query}')))}"}
    if kind == "method":
        return {"method": draw(st.sampled_from((*words.METHODS, *words.METHODS, "get", "X-TRY")))}
    if kind == "host":
        host = request["authority"].partition(":")[0]
        others = (host.upper(), f"{host}:80", f"{host}:9", f"x.{host}", f"{host}.", f"x{host}")
        return {"authority": draw(st.sampled_from(others))}
    index = draw(st.integers(0, len(headers) - 1))
    return {"headers": [*headers[:index], *draw(_near_header(*headers[index])), *headers[index + 1 :], *orders]}


def _near_header(name: str, value: str) -> st.SearchStrategy[list[Header]]:
    changes: list[list[Header]] = [
        [],
        [(name, "")],
        *([(name, text)] for text in (f"{value}x", f"x{value}", value.upper(), value.lower(), f"  {value} ")),
        [(name.upper(), value)],
    ]
    twice = st.sampled_from(words.VALUES).map(lambda other: [(name, value), (name, other)])
    return mostly(st.sampled_from(changes), twice, 4)


def _near(path: str) -> st.SearchStrategy[str]:
    case = (path.upper(), path.lower(), path.title())
    ends = (f"{path}/", path.rstrip("/") or "/", f"{path}x", f"{path}/x", path[:-1] or "/", f"{path}%20")
    begins = (f"/x{path}", f"/{path}", f"/a/..{path}")
    spelled = (path.replace("o", "%6F"), path.replace("/", "/./"))
    return st.sampled_from((case, case, ends, begins, spelled)).flatmap(st.sampled_from)
