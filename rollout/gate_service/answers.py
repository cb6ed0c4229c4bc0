"""What the gate service answers, by method and path: for people, Argo's web metric, Flagger's webhooks and metrics."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from rollout.engines.flagger import METRIC
from rollout.gate_service.judging import GateAnswer

Lookup = Callable[[str, str], GateAnswer | None]
"""The answer for a namespace and a service; None if there is no canary of another engine."""

NAME = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
SERVICE = re.compile(rf"/({NAME})/({NAME})")
HOOK = re.compile(rf"/({NAME})/({NAME})/(confirm-traffic-increase|confirm-promotion|rollback)")
QUERY = re.compile(rf'{METRIC}\{{namespace="({NAME})",service="({NAME})"\}}')
ONLINE = "vector(1)"
"""What Flagger asks a Prometheus to see whether it is there."""
NOT_NOW = 409
"""Status of a webhook that says no: anything but 2xx does."""


@dataclass(frozen=True)
class Reply:
    """An HTTP status, and what is sent as JSON."""

    status: int
    body: dict[str, Any]


def reply(method: str, path: str, form: str, lookup: Lookup, healthy: bool) -> Reply:
    """Return the reply to a request; `form` is its body, `healthy` whether the cluster was seen lately."""
    if method not in ("GET", "POST"):
        return Reply(405, {"error": f"{method} is not known here", "allowed": "GET, and POST for webhooks"})
    parts = urlsplit(path)
    if parts.path == "/healthz":
        return Reply(200 if healthy else 503, {"healthy": healthy})
    if parts.path == "/livez":
        return Reply(200, {"alive": True})
    if parts.path == "/api/v1/query":
        return _queried(parts.query if method == "GET" else form, lookup)
    if (hook := HOOK.fullmatch(parts.path)) is not None:
        return _hooked(hook[1], hook[2], hook[3], lookup)
    if method == "GET" and (found := SERVICE.fullmatch(parts.path)) is not None:
        answer = lookup(found[1], found[2])
        return _unknown(found[1], found[2]) if answer is None else Reply(200, document(found[1], found[2], answer))
    return Reply(404, {"error": f"there is nothing at {parts.path[:200]}", "allowed": "/<namespace>/<service>"})


def document(namespace: str, service: str, answer: GateAnswer) -> dict[str, Any]:
    """Return an answer as JSON."""
    return {
        "namespace": namespace,
        "service": service,
        "answer": answer.answer.value,
        "pass": answer.passes,
        "harm": answer.harm,
        "e": answer.e,
        "reason": answer.reason,
        "weight": answer.weight,
        "step": answer.step,
        "since": answer.since,
        "observedSeconds": answer.observed_seconds,
        "metrics": dict(answer.metrics),
    }


def _hooked(namespace: str, service: str, hook: str, lookup: Lookup) -> Reply:
    answer = lookup(namespace, service)
    if answer is None:
        return _unknown(namespace, service)
    # The first weight needs no evidence: there is none before it.
    rises = answer.passes or (hook == "confirm-traffic-increase" and answer.is_idle)
    yes = answer.harm if hook == "rollback" else rises
    return Reply(200 if yes else NOT_NOW, document(namespace, service, answer))


def _queried(form: str, lookup: Lookup) -> Reply:
    """The answer of a Prometheus to one query. An e-value of 1 says nothing: no data is no failed check."""
    query = (parse_qs(form).get("query") or [""])[0].strip()
    if query == ONLINE:
        return _vector(1.0)
    found = QUERY.fullmatch(query)
    if found is None:
        return Reply(400, {"status": "error", "errorType": "bad_data", "error": f"the only series is {METRIC}"})
    answer = lookup(found[1], found[2])
    return _unknown(found[1], found[2]) if answer is None else _vector(answer.e)


def _vector(value: float) -> Reply:
    result = [{"metric": {}, "value": [0, f"{value:g}"]}]
    return Reply(200, {"status": "success", "data": {"resultType": "vector", "result": result}})


def _unknown(namespace: str, service: str) -> Reply:
    return Reply(
        404,
        {
            "error": f"no canary of {service} in namespace {namespace} is known here",
            "fix": "write `engine` and `gates` into its strategy, run `canary up`, and serve its namespace",
        },
    )
