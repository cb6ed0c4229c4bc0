"""What becomes of a request: the outcome, the rule that decided it, and why the rules before did not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from traffic.model import HeaderOperations, Rule, Target
from traffic.simulate.conditions import Condition, Found
from traffic.simulate.request import Request


@dataclass(frozen=True)
class Share:
    """A destination as the config names it, the version that it is, and the probability of it, from 0 to 1.

    `set_cookie` is the header of the answer that keeps the user there.
    """

    destination: str
    target: Target
    probability: float
    set_cookie: str | None = None


@dataclass(frozen=True)
class RetryPolicy:
    """How often Envoy asks again, and why; seconds, None where there is no limit of its own."""

    attempts: int
    retry_on: str
    per_try_timeout: float | None = None
    backoff: float = 0.025
    to_other_hosts: bool = True
    remote_localities: bool = False


@dataclass(frozen=True)
class Forwarded:
    """The request goes to a version. `path` has the query and is, like `authority`, what the version sees.

    `timeout` is in seconds, None where there is none; `retries` None where there are none. `mirrors` get a copy each,
    with their probability. Not `is_taken`: a rewrite made a path for which the sidecars there answer 400.
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
class Redirected:
    """Envoy answers with another URL."""

    status: int
    location: str
    response_headers: HeaderOperations | None = None


@dataclass(frozen=True)
class Answered:
    """Envoy answers by itself; `headers` are those of the answer, apart from `response_headers`."""

    status: int
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    response_headers: HeaderOperations | None = None


@dataclass(frozen=True)
class Refused:
    """No rule takes the request. `status` is Envoy's answer, None where there is not even a connection."""

    status: int | None
    reason: str


@dataclass(frozen=True)
class Unrouted:
    """No route has a say inside the mesh: the Service sends it to any of its pods, or the host is not of the mesh.

    `service` is None where the host is unknown: then mesh.outboundTrafficPolicy and `egress` decide.
    """

    service: str | None
    reason: str


Outcome = Forwarded | Redirected | Answered | Refused | Unrouted


@dataclass(frozen=True)
class Delayed:
    """Held back for `seconds`, with a probability from 0 to 1."""

    seconds: float
    probability: float


@dataclass(frozen=True)
class Aborted:
    """Answered with an error, with a probability from 0 to 1; a delay comes before it. `grpc_status` by its name."""

    status: int
    probability: float
    grpc_status: str | None = None


@dataclass(frozen=True)
class Miss:
    """The first condition of a match that did not hold, and what the request has instead.

    `inside` tells whether the request comes from inside the mesh.
    """

    condition: Condition
    found: Found
    inside: bool


@dataclass(frozen=True)
class Passed:
    """A rule that did not take the request: for each of its matches what was missed."""

    index: int
    misses: tuple[Miss, ...]


@dataclass(frozen=True)
class Decision:
    """What becomes of `request`.

    `service` is whose route decides, at the host `domain` and the Gateway `gateway` (or `mesh`); None where nobody has
    the host. `index` and `rule` are the rule that fires, and `sticks` tells that the user's cookie chose the version.
    `delay` and `abort` are its faults, which come before the outcome. `cors` are the headers that CORS adds to the
    answer. `missed` gives, for each rule before, the first condition of each match that did not hold.
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

    @cached_property
    def passed(self) -> tuple[Passed, ...]:
        """Why each rule before the one that fires did not take the request, in order."""
        seen = self.request.seen
        if seen is None:
            return ()
        placed = seen if seen.inside or self.gateway is None else seen.at(self.gateway, seen.caller)
        return tuple(
            Passed(index, tuple(Miss(condition, condition.found(placed), placed.inside) for condition in failed))
            for index, failed in self.missed
        )

    @property
    def status(self) -> int | None:
        """The status of the answer where Envoy alone decides it, faults aside."""
        return None if isinstance(self.outcome, Forwarded | Unrouted) else self.outcome.status
