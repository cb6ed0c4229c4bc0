"""A decision of the simulator as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from canary.asked import url_of
from canary.explain.upstream_words import upstream_protocols

if TYPE_CHECKING:
    from canary.explain.decision_words import Explanation
    from stacks.settings.model import Settings
    from traffic.simulate import Decision, Passed, Request


def as_json(explanation: Explanation, stack: str) -> dict[str, Any]:
    """Return the document printed by `--json`."""
    from canary.explain.mesh_words import mesh_json

    decision = explanation.decision
    request = decision.request
    rule = None
    if decision.index is not None and decision.service is not None:
        place, line = explanation.places.of(decision.service, decision.index)
        rule = {"number": decision.index + 1, "place": place, "line": line, "words": explanation.rule}
    return {
        "stack": stack,
        "request": {
            **_asked(request),
            "from": {"namespace": request.caller.namespace, "labels": dict(request.caller.labels)}
            if request.caller
            else None,
            "client": request.client,
            "claims": request.claims,
        },
        "service": decision.service,
        "gateway": decision.gateway,
        "rule": rule,
        "sticks": decision.sticks,
        "result": _outcome(decision, explanation.places.settings),
        "allowed": explanation.allowed,
        "words": [f"{explanation.request} {explanation.result}", *explanation.details],
        "before": [_passed(explanation, passed) for passed in decision.passed],
        **mesh_json(explanation.places),
    }


def _asked(request: Request) -> dict[str, Any]:
    if request.is_connection:
        return {"protocol": request.scheme.upper(), "host": request.authority or None, "port": request.asked_port}
    return {
        "method": request.method,
        "url": url_of(request),
        "host": request.authority,
        "headers": [list(pair) for pair in request.pairs],
    }


def _outcome(decision: Decision, settings: Settings) -> dict[str, Any]:
    from dataclasses import asdict

    from traffic.fields import Model
    from traffic.simulate import Forwarded

    def plain(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return {key: value.model_dump(mode="json") if isinstance(value, Model) else value for key, value in pairs}

    fields = asdict(decision.outcome, dict_factory=plain)
    for share in (*fields.get("shares", ()), *fields.get("mirrors", ())):
        share["target"] = share["target"]._asdict()
    if isinstance(decision.outcome, Forwarded):
        fields["protocols"] = upstream_protocols(settings, decision, decision.outcome)
    faults = {name: asdict(fault) for name in ("delay", "abort") if (fault := getattr(decision, name)) is not None}
    return {"kind": type(decision.outcome).__name__.lower(), **fields, "faults": faults, "cors": dict(decision.cors)}


def _passed(explanation: Explanation, passed: Passed) -> dict[str, Any]:
    from traffic.words import miss_words

    place, line = explanation.places.of(explanation.decision.service or explanation.service, passed.index)
    misses = [
        {
            "condition": miss.condition.kind.value,
            "name": miss.condition.name,
            "expected": _expected(miss.condition.want),
            "found": miss.found,
            "words": miss_words(miss),
        }
        for miss in passed.misses
    ]
    return {"rule": passed.index + 1, "place": place, "line": line, "misses": misses}


def _expected(want: Any) -> Any:
    from traffic.model import StringMatch

    return want.model_dump(exclude_none=True) if isinstance(want, StringMatch) else want
