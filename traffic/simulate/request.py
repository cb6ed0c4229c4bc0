"""A request as its caller sends it, and as Envoy sees it when it selects a route."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from traffic.model import ISTIOS_MESH, MeshTraffic
from traffic.simulate.client_address import forwarded_for, trusted_client_address
from traffic.simulate.path import normalized

Pairs = tuple[tuple[str, str], ...]
DEFAULT_PORTS = {"http": 80, "https": 443}
CONNECTIONS = ("tcp", "tls")
"""Schemes of connections whose content Envoy does not read."""
REQUEST_ID_HEADER = "x-request-id"
"""Header of the id that Envoy gives each request: always at gateways, inside the mesh if the caller sends none."""
REQUEST_ID = "00000000-0000-4000-8000-000000000000"
"""Placeholder for the x-request-id that Envoy generates."""
CLIENT = "192.0.2.1"
"""Placeholder for the address of a caller outside the mesh (RFC 5737: for documentation)."""

JOINED = frozenset({
    "accept", "accept-encoding", "access-control-request-headers", "access-control-request-method", "authorization",
    "cache-control", "content-encoding", "content-type", "expect", "grpc-timeout", "if-none-match", "origin", "pragma",
    "referer", "user-agent", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-request-id",
})  # fmt: skip
"""Headers whose values Envoy joins with ','; it compares the values of all others one by one (measured)."""
METHODS = frozenset({
    "ACL", "BIND", "CHECKOUT", "COPY", "DELETE", "GET", "HEAD", "LINK", "LOCK", "MERGE", "MKACTIVITY", "MKCALENDAR",
    "MKCOL", "MOVE", "MSEARCH", "NOTIFY", "OPTIONS", "PATCH", "POST", "PROPFIND", "PROPPATCH", "PURGE", "PUT",
    "REBIND", "REPORT", "SEARCH", "SOURCE", "SUBSCRIBE", "TRACE", "UNBIND", "UNLINK", "UNLOCK", "UNSUBSCRIBE",
})  # fmt: skip
"""Methods that Envoy accepts over HTTP/1.1; it responds to all others with 400 (measured)."""
REFUSED_IN_HOST = re.compile(r'[^\x21-\x7e]|["#/<>?\\^`{|}]')
"""What a Host header must not contain; Envoy responds with 400 (measured)."""
HOP_BY_HOP = ("connection", "keep-alive", "proxy-connection", "transfer-encoding")
"""Headers that Envoy removes before it selects a route."""
OF_THE_MESH = (
    "x-envoy-decorator-operation", "x-envoy-internal", "x-envoy-max-retries", "x-envoy-original-path",
    "x-envoy-retry-on",
)  # fmt: skip
"""Headers that a gateway removes because only Envoys may set them."""


def authority_of(host: str, scheme: str, port: int) -> str:
    """Return the Host header that clients send for a URL: with its port, unless that is the scheme's (RFC 9110, 7.2).

    A `host` that has a port already is returned as it is.
    """
    has_port = host.rfind(":") > host.rfind("]")
    return host if has_port or port == DEFAULT_PORTS.get(scheme) else f"{host}:{port}"


@dataclass(frozen=True)
class Caller:
    """A calling pod inside the mesh."""

    namespace: str
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """A request at a gateway or, with a `caller`, from inside the mesh.

    `headers` are by name, in any case, or pairs if a name is repeated. `path` includes the query. `authority` is the
    Host header. `port` is the gateway's or the service's, by default that of the scheme. `gateway` restricts the hosts
    to those of one Gateway, by default those of all Gateways on that port. `deployment` is the gateway deployment that
    gets it (SharedGateway.deployment), by default the mesh's. `client` is the caller's address, the one that the
    gateway trusts; None if it is not known. `claims` are those of a valid token, instead of a real one in a header;
    without `iss` it is of an issuer of the service.

    With the scheme `tcp` or `tls` it is a connection: of it there are only `port`, `caller`, `gateway` and, as
    `authority`, the server name (SNI) of TLS, or the host of a service that a caller inside the mesh connects to.
    """

    headers: Mapping[str, str] | Pairs = field(default_factory=dict)
    path: str = "/"
    method: str = "GET"
    authority: str = ""
    scheme: str = "http"
    port: int | None = None
    gateway: str | None = None
    caller: Caller | None = None
    client: str | None = None
    claims: Mapping[str, Any] | None = field(default=None, hash=False)
    deployment: str = ""

    @property
    def pairs(self) -> Pairs:
        """The headers as pairs of name and value, in the order given."""
        return tuple(self.headers.items()) if isinstance(self.headers, Mapping) else self.headers

    @property
    def asked_port(self) -> int:
        """The port that the request is sent to."""
        return self.port or DEFAULT_PORTS.get(self.scheme, 0)

    @property
    def is_connection(self) -> bool:
        """Whether it is a connection of TCP or TLS, in which Envoy sees no request."""
        return self.scheme in CONNECTIONS

    @cached_property
    def seen(self) -> Seen | None:
        """The request as Envoy sees it in a mesh with Istio's defaults; see `seen_in`."""
        return self._seen(ISTIOS_MESH)

    def seen_in(self, mesh: MeshTraffic) -> Seen | None:
        """Return the request as Envoy sees it in `mesh`, or None if it responds with 400 without selecting a route."""
        return self.seen if mesh is ISTIOS_MESH else self._seen(mesh)

    def _seen(self, mesh: MeshTraffic) -> Seen | None:
        path, question, query = self.path.split("#", 1)[0].partition("?")
        clean = normalized(path, mesh.path_normalization)
        if clean is None or self.method not in METHODS or REFUSED_IN_HOST.search(self.authority):
            return None
        headers = _values(self.pairs)
        scheme = _set_by_envoy(headers, self, mesh.num_trusted_proxies)
        headers["host"] = (self.authority,)
        return Seen(
            headers=headers,
            path=clean,
            query=f"{question}{query}",
            method=self.method,
            authority=self.authority,
            scheme=scheme,
            connection=self.scheme,
            port=self.asked_port,
            gateway=self.gateway,
            caller=self.caller,
            inside=self.caller is not None,
            claims=self.claims,
        )


@dataclass(frozen=True)
class Seen:
    """A request as conditions see it: header names in lower case, the path normalised and without its query.

    `query` begins with `?` unless it is empty. `connection` is `https` over TLS, and `scheme` what x-forwarded-proto
    says where it is trusted. At a gateway, `caller` is the gateway's own pod, which Istio compares sourceLabels with
    there; None if it is not known. `inside` is whether the caller is inside the mesh. `claims` are those of the token
    that the gateway has accepted.
    """

    headers: Mapping[str, tuple[str, ...]]
    path: str
    query: str
    method: str
    authority: str
    scheme: str
    connection: str
    port: int
    gateway: str | None
    caller: Caller | None
    inside: bool
    claims: Mapping[str, Any] | None = field(default=None, hash=False)

    @cached_property
    def params(self) -> dict[str, str]:
        """Query parameters by name, not decoded; the first value of a name counts."""
        params: dict[str, str] = {}
        for part in self.query[1:].split("&") if self.query else ():
            name, _, value = part.partition("=")
            params.setdefault(name, value)
        return params

    def at(self, gateway: str, proxy: Caller | None) -> Seen:
        """Return the request as the routes of the Gateway `gateway` see it, at the gateway pod `proxy`."""
        return replace(self, gateway=gateway, caller=proxy)


def _values(pairs: Pairs) -> dict[str, tuple[str, ...]]:
    values: dict[str, tuple[str, ...]] = {}
    for name, value in pairs:
        key, value = name.lower(), value.strip(" \t")
        if key not in values:
            values[key] = (value,)
        elif key in JOINED:
            values[key] = (",".join(filter(None, (*values[key], value))),)
        else:
            values[key] = (*values[key], value)
    return values


def _set_by_envoy(headers: dict[str, tuple[str, ...]], request: Request, num_trusted_proxies: int) -> str:
    """Change `headers` as Envoy does before it selects a route, and return the scheme that it sees.

    A gateway trusts x-forwarded-proto only of trusted proxies in front of it; a sidecar always does (Envoy:
    use_remote_address, xff_num_trusted_hops).
    """
    for name in _removed(headers, request):
        headers.pop(name, None)
    if headers.get("te", ("trailers",)) != ("trailers",):
        del headers["te"]
    if request.caller is None:
        headers[REQUEST_ID_HEADER] = (REQUEST_ID,)
        forwarded = headers.get("x-forwarded-for", (None,))[0]
        connection, client = CLIENT, request.client
        if client is not None and num_trusted_proxies == 0:
            connection = client
        elif client is not None and forwarded is None:  # the proxies in front add the addresses that they see
            forwarded = ",".join([client, *[CLIENT] * (num_trusted_proxies - 1)])
        trusted = client or trusted_client_address(connection, forwarded, num_trusted_proxies)
        headers["x-envoy-external-address"] = (trusted,)
        headers["x-forwarded-for"] = (forwarded_for(connection, forwarded),)
        if num_trusted_proxies == 0:
            headers["x-forwarded-proto"] = (request.scheme,)
            return request.scheme
    headers.setdefault(REQUEST_ID_HEADER, (REQUEST_ID,))
    scheme = headers.setdefault("x-forwarded-proto", (request.scheme,))[0].lower()
    return scheme if scheme in DEFAULT_PORTS else request.scheme


def _removed(headers: Mapping[str, tuple[str, ...]], request: Request) -> Iterator[str]:
    named = {name.strip().lower() for value in headers.get("connection", ()) for name in value.split(",")}
    yield from HOP_BY_HOP
    yield from named - {"upgrade", "te"}
    if "upgrade" not in named or headers.get("upgrade", ("",))[0].lower() != "websocket":
        yield "upgrade"
    if request.caller is None:
        yield from OF_THE_MESH
