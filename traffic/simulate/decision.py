"""What happens to a request: the outcome, the rule that decided it, and why earlier rules did not match."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from traffic.model import ISTIOS_MESH, HeaderOperations, Headers, MeshTraffic, Rule, Target
from traffic.simulate.conditions import Condition, Found
from traffic.simulate.request import Request, Seen


@dataclass(frozen=True)
class Share:
    """A destination as named in the config, the version it refers to, and its probability, from 0 to 1.

    `set_cookie` is the response header that keeps the user there. `authority` is the host that it sees, if that is not
    the one that the rule's other destinations see. `headers` are changes of this share alone, which Envoy makes before
    those of the rule; None if there are none.
    """

    destination: str
    target: Target
    probability: float
    set_cookie: str | None = None
    authority: str | None = None
    headers: Headers | None = None


@dataclass(frozen=True)
class RetryPolicy:
    """How often Envoy retries, and on which conditions; times in seconds, None if there is no per-try timeout."""

    attempts: int
    retry_on: str
    per_try_timeout: float | None = None
    backoff: float = 0.025
    to_other_hosts: bool = True
    remote_localities: bool = False


@dataclass(frozen=True)
class Forwarded:
    """The request goes to a version. `path` has the query and is, like `authority`, what the version sees.

    `timeout` is in seconds, None if there is none; `retries` is None if there are none. `mirrors` each get a copy, with
    their probability. `is_taken` is false if the version's sidecar responds with 400 to the rewritten path.
    """

    shares: tuple[Share, ...]
    path: str
    authority: str
    request_headers: HeaderOperations
    response_headers: HeaderOperations
    timeout: float | None = None
    retries: RetryPolicy | None = None
    mirrors: tuple[Share, ...] = ()
    is_taken: bool = True


@dataclass(frozen=True)
class Connected:
    """The connection goes to a version, for as long as it lasts."""

    shares: tuple[Share, ...]


@dataclass(frozen=True)
class Redirected:
    """Envoy redirects to another URL."""

    status: int
    location: str
    response_headers: HeaderOperations | None = None


@dataclass(frozen=True)
class Answered:
    """Envoy responds itself; `headers` are those of the response, apart from `response_headers`."""

    status: int
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    response_headers: HeaderOperations | None = None


@dataclass(frozen=True)
class Refused:
    """No rule matches the request. `status` is Envoy's response status, None if there is no connection."""

    status: int | None
    reason: str


@dataclass(frozen=True)
class Unrouted:
    """No route applies inside the mesh: the Service sends it to any of its pods, or the host is not in the mesh.

    `service` is None if the host is unknown: then mesh.outboundTrafficPolicy and `egress` decide.
    """

    service: str | None
    reason: str


Outcome = Forwarded | Connected | Redirected | Answered | Refused | Unrouted


@dataclass(frozen=True)
class Delayed:
    """Delayed by `seconds`, with a probability from 0 to 1."""

    seconds: float
    probability: float


@dataclass(frozen=True)
class Aborted:
    """Aborted with an error, with a probability from 0 to 1, after any delay. `grpc_status` is the name."""

    status: int
    probability: float
    grpc_status: str | None = None


@dataclass(frozen=True)
class Miss:
    """The first condition of a match that did not hold, and what the request has instead.

    `inside` is whether the request comes from inside the mesh.
    """

    condition: Condition
    found: Found
    inside: bool


@dataclass(frozen=True)
class Passed:
    """A rule that did not match the request, with what each of its matches missed."""

    index: int
    misses: tuple[Miss, ...]


@dataclass(frozen=True)
class Decision:
    """What happens to `request`.

    `service` is the service whose route decides, at the host `domain` and the Gateway `gateway` (or `mesh`); None if no
    service has the host. `index` and `rule` are the rule that matches; `sticks` is whether the user's cookie chose the
    version. `delay` and `abort` are its faults, which come before the outcome. `cors` are the headers that CORS adds to
    the response. `missed` has, for each earlier rule, the first condition of each match that did not hold. `claims` are
    those that the gateway has accepted, `mesh` the mesh that decided.
    """

    request: Request
    outcome: Outcome
    service: str | None = None
    domain: str | None = None
    gateway: str | None = None
    index: int | None = None
    rule: Rule | None = None
    sticks: bool = False
    delay: Delayed | None = None
    abort: Aborted | None = None
    cors: Mapping[str, str] = field(default_factory=dict)
    missed: tuple[tuple[int, tuple[Condition, ...]], ...] = ()
    claims: Mapping[str, Any] | None = None
    mesh: MeshTraffic = ISTIOS_MESH

    @property
    def seen(self) -> Seen | None:
        """The request as Envoy saw it, None if it responded with 400."""
        return self.request.seen_in(self.mesh)

    @cached_property
    def passed(self) -> tuple[Passed, ...]:
        """Why each rule before the one that matches did not match the request, in order."""
        seen = self.seen
        if seen is None:
            return ()
        placed = seen if seen.inside or self.gateway is None else seen.at(self.gateway, seen.caller)
        placed = placed if self.claims is None else replace(placed, claims=self.claims)
        return tuple(
            Passed(index, tuple(Miss(condition, condition.found(placed), placed.inside) for condition in failed))
            for index, failed in self.missed
        )

    @property
    def status(self) -> int | None:
        """The response status if Envoy alone decides it, apart from faults."""
        return None if isinstance(self.outcome, Forwarded | Connected | Unrouted) else self.outcome.status
