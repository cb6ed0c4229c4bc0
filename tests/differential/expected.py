"""What follows from the simulator's decision: the answer that the caller gets, and what the services' pods receive."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from tests.differential.order import Order
from tests.differential.place import (
    CALLERS,
    DOMAIN,
    GATEWAY_NAMESPACE,
    HTTP_PORT,
    HTTPS_PORT,
    OWN_PORT,
    PUBLIC,
    SELECTOR,
)
from tests.differential.wire import Header, WireRequest
from traffic.model import HeaderOperations, RouteTable, SharedGateway, version_label
from traffic.simulate import (
    Answered,
    Caller,
    Decision,
    Forwarded,
    Redirected,
    Refused,
    Request,
    Share,
    Simulator,
    Unrouted,
)

ABORTED, LATE, NOT_TAKEN = "fault filter abort", "upstream request timeout", "Bad Request"
"""The bodies of Envoy's own answers."""
Values = dict[str, tuple[str, ...]]

PROXY = Caller(GATEWAY_NAMESPACE, SELECTOR)
_ANY = [f"*.{DOMAIN}"]
_TLS = {"mode": "SIMPLE", "credentialName": "any"}
_SERVERS = {
    PUBLIC: [
        {"port": HTTP_PORT, "hosts": _ANY},
        {"port": HTTPS_PORT, "hosts": _ANY, "protocol": "HTTPS", "tls": _TLS},
    ],
    # The port of the services' own gateways is open whether or not a table's services use it.
    "own-port": [{"port": OWN_PORT, "hosts": _ANY}],
}
GATEWAYS = {name: SharedGateway.model_validate({"servers": servers}) for name, servers in _SERVERS.items()}


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What is expected of a request; None is unknown.

    `status` 0 means no connection. `headers` are the possible headers of the answer, by the pod that answers, "" for
    Envoy. `visits` are the numbers of requests that each pod receives, mirrored copies included, by the pod that
    answers; `path` and `host` are what the pods receive, and so are `request_headers`, by the pod that answers.
    """

    decision: Decision
    status: int | None
    headers: Mapping[str, tuple[Values, ...]] = field(default_factory=dict)
    body: str | None = None
    location: str | None = None
    seconds: float = 0.0
    visits: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    path: str = ""
    host: str = ""
    request_headers: Mapping[str, Values] = field(default_factory=dict)

    @property
    def arrivals(self) -> int:
        """How many requests the pods receive in total."""
        return max((sum(visits.values()) for visits in self.visits.values()), default=0)

    @property
    def kinds(self) -> Iterator[str]:
        """The kinds of behavior that it covers."""
        yield type(self.decision.outcome).__name__
        marks = {
            "inside the mesh": self.decision.request.caller is not None,
            "aborted": self.body == ABORTED,
            "late": self.body == LATE,
            "delayed": self.seconds > 0,
            "several requests": self.arrivals > 1,
            "sticks": self.decision.sticks,
            "CORS": bool(self.decision.cors),
        }
        yield from (mark for mark, is_so in marks.items() if is_so)


def expected_of(table: RouteTable, request: WireRequest) -> Expected:
    """Return what the simulator expects of one request."""
    return expectation(Simulator(table, GATEWAYS, PROXY).decide(as_request(request)), request)


def as_request(request: WireRequest) -> Request:
    """Return the request as the simulator takes it."""
    caller = CALLERS[request.caller] if request.caller else None
    return Request(
        headers=request.headers,
        path=request.path,
        method=request.method,
        authority=request.authority,
        scheme=request.scheme,
        port=request.port,
        caller=Caller(caller.namespace, caller.labels) if caller else None,
    )


def expectation(decision: Decision, request: WireRequest) -> Expected:
    """Return what follows from a decision: a redirect comes before a fault, and a fault before any other answer."""
    outcome = decision.outcome
    if isinstance(outcome, Unrouted):
        return Expected(decision=decision, status=None)
    if isinstance(outcome, Refused):
        return _of_envoy(decision, outcome.status or 0, {})
    delay = decision.delay.seconds if decision.delay and decision.delay.probability == 1 else 0.0
    if isinstance(outcome, Redirected):
        expected = _of_envoy(decision, outcome.status, changed({}, outcome.response_headers))
        expected = replace(expected, location=outcome.location)
    elif decision.abort and decision.abort.probability == 1:
        expected = _aborted(decision, decision.abort.status)
    elif isinstance(outcome, Answered):
        headers = changed({name: (value,) for name, value in outcome.headers.items()}, outcome.response_headers)
        expected = replace(_of_envoy(decision, outcome.status, headers), body=outcome.body)
    else:
        assert isinstance(outcome, Forwarded), "only requests are asked"
        expected = _forwarded(decision, outcome, request)
    return replace(expected, seconds=delay)


def _of_envoy(decision: Decision, status: int, *headers: Values) -> Expected:
    return Expected(decision=decision, status=status, headers={"": headers}, visits={"": {}})


def _aborted(decision: Decision, status: int) -> Expected:
    """The destination is chosen before the fault: the answer has its cookie and the rule's headers."""
    if isinstance(decision.outcome, Forwarded):
        headers = tuple(_answer(decision.outcome, share, ()) for share in decision.outcome.shares)
    else:
        rule = decision.rule
        headers = (changed({}, rule.headers.response if rule and rule.headers else None),)
    return replace(_of_envoy(decision, status, *headers), body=ABORTED)


def _forwarded(decision: Decision, outcome: Forwarded, request: WireRequest) -> Expected:
    seen = decision.seen
    assert seen is not None
    if not outcome.is_taken:
        headers = tuple(_answer(outcome, share, ()) | _cors(decision) for share in outcome.shares)
        return replace(_of_envoy(decision, 400, *headers), body=NOT_TAKEN)
    order = Order.of(request)
    tries, status = order.tries(outcome.retries)
    is_late = outcome.timeout is not None and order.delay > outcome.timeout
    copies = Counter(map(pod_of, outcome.mirrors))
    own = () if is_late else order.headers
    # A mirrored copy at the same pod counts as one of the times that it fails.
    uncertain = order.times is not None and any(pod_of(share) in copies for share in outcome.shares)
    visits = {pod_of(share): Counter({pod_of(share): tries}) + copies for share in outcome.shares}
    return Expected(
        decision=decision,
        status=None if uncertain else 504 if is_late else status,
        headers={pod_of(share): (_answer(outcome, share, own) | _cors(decision),) for share in outcome.shares},
        body=LATE if is_late else None,
        visits={} if uncertain else visits,
        path=outcome.path,
        host=outcome.authority,
        request_headers={
            pod_of(share): changed(
                changed(dict(seen.headers), share.headers.request if share.headers else None), outcome.request_headers
            )
            for share in outcome.shares
        },
    )


def _cors(decision: Decision) -> Values:
    return {name: (value,) for name, value in decision.cors.items()}


def _answer(outcome: Forwarded, share: Share, own: tuple[Header, ...]) -> Values:
    """The headers of a version's answer: its own, then those of the destination, then those of the rule."""
    headers: Values = {}
    for name, value in (*own, *((("set-cookie", share.set_cookie),) if share.set_cookie else ())):
        headers[name] = (*headers.get(name, ()), value)
    return changed(changed(headers, share.headers.response if share.headers else None), outcome.response_headers)


def changed(headers: Values, operations: HeaderOperations | None) -> Values:
    """Return the headers after Envoy has removed, set and added some, in this order."""
    if operations is None:
        return headers
    result = {name: values for name, values in headers.items() if name not in operations.remove}
    for name, value in operations.set.items():
        result[name] = (value.replace("%%", "%"),)
    for name, value in operations.add.items():
        result[name] = (*result.get(name, ()), value.replace("%%", "%"))
    return result


def pod_of(share: Share) -> str:
    """Return the name of a destination's pod; each version has one."""
    return version_label(*share.target)
