"""Requests as sent over the wire, what the pods received, and the answers."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from tests.differential.place import CALLERS, DOMAIN, HTTP_PORT, HTTPS_PORT

Header = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class WireRequest:
    """A request: to a port of the gateway, or from a caller inside the mesh to a service's port."""

    authority: str
    path: str = "/"
    method: str = "GET"
    headers: tuple[Header, ...] = ()
    port: int = HTTP_PORT
    caller: str | None = None

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> WireRequest:
        return cls(**{**content, "headers": tuple((name, value) for name, value in content.get("headers", ()))})

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def host(self) -> str:
        """The authority without its port, in lower case."""
        return self.authority.partition(":")[0].lower()

    @property
    def scheme(self) -> str:
        return "https" if self.port == HTTPS_PORT and self.caller is None else "http"

    @property
    def can_be_sent(self) -> bool:
        """Whether the request can be sent: TLS needs a DNS name for SNI."""
        return self.scheme == "http" or re.fullmatch(r"[-_a-z0-9]{1,63}(\.[-_a-z0-9]{1,63})*", self.host) is not None

    @property
    def by_dns_name(self) -> bool:
        """Whether the request is for a service's DNS name inside the mesh, which all tables share."""
        return self.caller is not None and not self.host.endswith(DOMAIN)

    def service(self, names: Iterable[str]) -> str | None:
        """Return which of these services the request is for by its DNS name."""
        return next((name for name in names if self.host.startswith(f"{name}.")), None)

    def curl(self, gateway: str) -> str:
        """The curl command that sends the request; for a caller inside the mesh, the body of its POST /_call."""
        if self.caller is not None:
            pod = CALLERS[self.caller]
            return f"from {pod.namespace}/{pod.name} (labels {pod.labels}): {json.dumps(self.as_json())}"
        words = ["curl", "-sik", "--path-as-is", "-X", self.method]
        for name, value in (("Host", self.authority), *self.headers):
            words += ["-H", f"{name}: {value}" if value else f"{name};"]
        if self.scheme == "http":
            return shlex.join([*words, f"http://{gateway}:{self.port}{self.path}"])
        words += ["--connect-to", f"::{gateway}:{self.port}"]  # the SNI must be the host, not the address
        return shlex.join([*words, f"https://{self.host}:{self.port}{self.path}"])


@dataclass(frozen=True, kw_only=True)
class Upstream:
    """A request as a pod of a service received it."""

    pod: str
    method: str
    path: str  # with the query
    host: str
    headers: dict[str, tuple[str, ...]]
    status: int

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Upstream:
        return cls(
            pod=content["pod"],
            method=content["method"],
            path=content["uri"],
            host=content["host"],
            headers={name: tuple(values) for name, values in content["headers"].items()},
            status=content["status"],
        )


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the caller got, and what the services' pods received: all tries, and the mirrored copies."""

    status: int
    headers: tuple[Header, ...]
    body: str
    seconds: float
    seen: tuple[Upstream, ...] = ()

    @property
    def pod(self) -> str | None:
        """The pod that answered, if the body names it."""
        try:
            content = json.loads(self.body)
        except ValueError:
            return None
        return content.get("pod") if isinstance(content, dict) else None

    def values(self, name: str) -> tuple[str, ...]:
        return tuple(value for key, value in self.headers if key == name)
