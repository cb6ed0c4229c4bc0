"""The replies of the gate service: by the path, for people, Argo's web metric, and Flagger's webhooks and queries."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from rollout.engines import flagger
from rollout.gate_service.answers import NOT_NOW, Reply, reply
from rollout.gate_service.judging import GateAnswer
from rollout.gates.decide import Answer
from tests.unit.rollout.gate_service.targets import target

SHOP = "/shop/website"
HOOKS = tuple(flagger.HOOKS)


def asked(path: str, answer: Answer | None, *, method: str = "GET", form: str = "", **fields: float) -> Reply:
    """The reply where this is the answer for website; None: none is known."""
    given = None if answer is None else GateAnswer(answer=answer, reason="so", **{"weight": 10.0, **fields})  # type: ignore[arg-type]
    known = {("shop", "website"): given}
    return reply(method, path, form, lambda namespace, service: known.get((namespace, service)), healthy=True)


@pytest.mark.parametrize("answer", Answer)
def test_only_rise_passes_and_only_harm_is_harm(answer: Answer) -> None:
    found = asked(SHOP, answer)
    assert found.status == 200
    assert (found.body["answer"], found.body["pass"], found.body["harm"]) == (
        answer.value,
        answer is Answer.RISE,
        answer is Answer.HARM,
    )
    assert found.body["reason"] == "so"


@pytest.mark.parametrize("answer", Answer)
@pytest.mark.parametrize("hook", HOOKS)
def test_a_webhook_says_yes_by_its_status(hook: str, answer: Answer) -> None:
    yes = answer is (Answer.HARM if hook == "rollback" else Answer.RISE)
    assert asked(f"{SHOP}/{hook}", answer, method="POST", form="{}").status == (200 if yes else NOT_NOW)


def test_the_first_weight_needs_no_evidence_and_the_promotion_does() -> None:
    answers = {hook: asked(f"{SHOP}/{hook}", Answer.HOLD, weight=0.0).status for hook in HOOKS}
    assert answers == {"confirm-traffic-increase": 200, "confirm-promotion": NOT_NOW, "rollback": NOT_NOW}


def test_a_weight_that_is_not_known_is_not_the_first_one() -> None:
    given = GateAnswer(answer=Answer.NO_DATA, reason="so")
    found = reply("POST", f"{SHOP}/confirm-traffic-increase", "", lambda *_: given, healthy=True)
    assert found.status == NOT_NOW


@pytest.mark.parametrize("path", ["/shop/other", "/other/website", f"/shop/other/{HOOKS[0]}"])
def test_a_service_that_is_not_known_is_not_found_and_never_a_pass(path: str) -> None:
    found = asked(path, Answer.RISE, method="POST" if "confirm" in path else "GET")
    assert found.status == 404
    assert "engine" in found.body["fix"]


def test_a_query_of_flagger_is_answered_with_the_evidence_as_by_a_prometheus() -> None:
    template = flagger.template_spec(_canary())
    assert template is not None
    found = asked(f"/api/v1/query?query={quote(template['query'])}", Answer.HARM, e=250.0)
    assert (found.status, found.body["status"]) == (200, "success")
    assert found.body["data"]["result"][0]["value"][1] == "250"


def test_the_query_by_which_flagger_sees_whether_a_prometheus_is_there_is_answered() -> None:
    found = asked("/api/v1/query", None, method="POST", form="query=vector(1)")
    assert found.body["data"]["result"][0]["value"][1] == "1"


@pytest.mark.parametrize("query", ["", "up", "canary_gate_evidence", 'canary_gate_evidence{service="website"}'])
def test_another_query_is_refused(query: str) -> None:
    found = asked(f"/api/v1/query?query={quote(query)}", Answer.RISE)
    assert (found.status, found.body["status"]) == (400, "error")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/shop", 404),
        ("GET", "/shop/website/harm", 404),
        ("GET", "/SHOP/website", 404),
        ("GET", f"/{'a' * 64}/website", 404),
        ("POST", SHOP, 404),
        ("DELETE", SHOP, 405),
        ("GET", "/healthz", 200),
        ("GET", "/livez", 200),
        ("GET", f"{SHOP}?pretty", 200),
    ],
)
def test_other_paths_and_methods(method: str, path: str, status: int) -> None:
    assert asked(path, Answer.RISE, method=method).status == status


def test_a_gate_that_has_not_seen_the_cluster_is_not_healthy() -> None:
    assert reply("GET", "/healthz", "", lambda *_: None, healthy=False).status == 503


def _canary() -> flagger.FlaggerCanary:
    given = target()
    return flagger.FlaggerCanary(
        service=given.service,
        namespace=given.namespace,
        deployment="website-main",
        port=80,
        target_port="http",
        port_name="http",
        hosts=("shop.example.com",),
        gateways=("website-gateway",),
        strategy=given.strategy,
        gate="http://gate:8087",
    )
