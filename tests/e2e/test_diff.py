"""Every request that `canary diff` shows changes on the real Envoy as it says.

All changes of tests/changes are in one stack: it is deployed as before, each request is sent, it is deployed as after,
and each is sent again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import pytest

from canary.diff.revisions import Revision
from canary.diff.rows import request_words
from canary.diff.stack_diff import stack_diff
from stacks.settings.stack_file import read_stack_file
from tests.changed_stacks import BACKEND, NAMESPACE, services_of
from tests.changes import Change, changes
from tests.differential.order import Order
from tests.differential.wire import WireRequest
from tests.e2e.routing import STACK, Lab
from tests.e2e.routing_judge import check_answer
from tests.e2e.samples import INGRESS_CLASS
from tests.e2e.tools import Project, wait_until
from tests.routing_doc import Answer, Request
from traffic.diff import Effect, Group, Part
from traffic.model import HeaderOperations
from traffic.simulate import Answered, Forwarded, Redirected, Refused
from traffic.simulate import Request as Simulated

pytestmark = pytest.mark.long  # make test compares the same model with Envoy in test_differential

SENT = [change for change in changes() if not change.not_sent]
MARK = "mark.example.com"
"""A host whose answer shows which side is in effect."""
LEAST = 40
"""Least number of groups of requests, so that the test is meaningful."""
ORDERS = ("503 times=1 key=a", "500 times=1 key=a", "409 times=1 key=a")
"""Orders to the version that show whether Envoy retries."""
LONGER = 0.5
"""Seconds by which an answer exceeds the shorter of two timeouts."""


@pytest.fixture(scope="module")
def lab(mesh: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The stack of the changes, in a mesh that serves Ingresses."""
    mesh.cluster.kubectl("apply", "--filename=-", stdin=json.dumps(INGRESS_CLASS))
    with Lab.opened(Project.create(tmp_path_factory.mktemp("changes"), mesh.cluster)) as lab:
        yield lab
    mesh.cluster.kubectl("delete", "ingressclass", "istio")


def config_of(project: Project, side: str, sent: list[Change]) -> dict[str, object]:
    """The stack's config at a side."""
    services = services_of(sent, side)
    marked = {"match": [{"headers": {"x-mark": {"present": True}}}], "directResponse": {"status": 200, "body": side}}
    idle = {**services[BACKEND]["versions"]["version-1"], "replicas": 0}
    services["mark"] = {
        "namespace": NAMESPACE,
        "hosts": [MARK],
        "versions": {"idle": idle},
        "route": [marked, {"to": {f"{BACKEND}/version-1": 100, "idle": 0}}],
    }
    mesh = {"install": False, "gateway": {"ports": [80, 9191]}}  # the ports of the mesh that is shared
    return {**project.service_config(services), "istio-canary:mesh": mesh}


def groups_of(folder: Path) -> list[Group]:
    """The groups of requests that come from outside; `folder` has the files `before` and `after` of a stack."""
    before, after = (
        Revision(side, (STACK,), partial(lambda side, stack: read_stack_file(folder / f"Pulumi.{side}.yaml"), side))
        for side in ("before", "after")
    )
    diff = stack_diff(STACK, before, after, with_policies=False)
    assert diff.problems == ()
    own = [group for group in diff.traffic.groups if group.service != "mark"]
    return [group for group in own if group.witness.request.caller is None]


def test_every_request_that_is_shown_changes_as_said(lab: Lab) -> None:
    project = lab.project
    configs = {side: config_of(project, side, SENT) for side in ("before", "after")}
    for side, config in configs.items():
        project.write_stack(side, config)
    groups = groups_of(project.folder)
    assert len(groups) >= LEAST
    for side, config in configs.items():
        project.write_stack(STACK, config)
        project.up(STACK)
        _until_in_effect(lab, side)
        for group in groups:
            probe = Probe.of(group)
            effect = group.witness.before if side == "before" else group.witness.after
            what = f"{side}, {group.service}, {group.change}: {request_words(group.witness.request)}"
            check_answer(lab, probe.request, probe.expected(effect), what)
            if group.change.part is Part.COOKIE:
                assert _cookies(lab, probe.request) == _expected_cookies(effect), what


def _cookies(lab: Lab, request: Request) -> set[str | None]:
    return {seen.headers.get("set-cookie") for seen in lab.send_all(request, 60)}


def _expected_cookies(effect: Effect) -> set[str | None]:
    """The cookies of all destinations: 60 answers come from each of two halves."""
    outcome = effect.decision.outcome
    assert isinstance(outcome, Forwarded)
    return {share.set_cookie for share in outcome.shares}


def _until_in_effect(lab: Lab, side: str) -> None:
    asked = Request("GET", f"http://{MARK}/", (("x-mark", "1"),), None, False)
    wait_until(lambda: all(seen.body == side for seen in lab.send_all(asked, 16)), f"the routes {side}")


@dataclass(frozen=True)
class Probe:
    """How a change is made visible: the request, with what makes a lesser effect show."""

    group: Group
    extra: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, group: Group) -> Probe:
        """The request of a group; timeouts need a slow answer, and retries an error."""
        outcomes = [group.witness.before.decision.outcome, group.witness.after.decision.outcome]
        forwarded = [outcome for outcome in outcomes if isinstance(outcome, Forwarded)]
        if group.change.part is Part.TIMEOUT:
            shortest = min(one.timeout for one in forwarded if one.timeout is not None)
            return cls(group, (("x-echo-delay", f"{shortest + LONGER:g}s"),))
        if group.change.part is Part.RETRIES:
            for text in ORDERS:
                probe = cls(group, (("x-echo-status", text),))
                if len({probe.status(one) for one in forwarded}) == 2:
                    return probe
            raise AssertionError(f"no order shows the change of {group.change}")
        return cls(group)

    @property
    def request(self) -> Request:
        """The request as it is sent."""
        return as_sent(replace(self.group.witness.request, headers=(*self.group.witness.request.pairs, *self.extra)))

    def status(self, outcome: Forwarded) -> int:
        """The status of the version's answer, after any retries and within the timeout."""
        order = Order.of(WireRequest(authority="any", headers=self.extra))
        if outcome.timeout is not None and order.delay > outcome.timeout:
            return 504
        return order.tries(outcome.retries)[1]

    def expected(self, effect: Effect) -> Answer:
        """The answer that follows from what is said about the request."""
        return replace(_answer(effect, self), **_lesser(self.group, effect))  # type: ignore[arg-type]


def as_sent(request: Simulated) -> Request:
    """The request to the gateway's port."""
    port = "" if request.asked_port == 80 else f":{request.asked_port}"
    url = f"{request.scheme}://{request.authority}{port}{request.path}"
    return Request(request.method, url, request.pairs, None, False)


@dataclass
class _Outcomes:
    """Percent by version or status."""

    shares: dict[str, float] = field(default_factory=dict)

    def add(self, name: str, share: float) -> None:
        self.shares[name] = round(self.shares.get(name, 0) + 100 * share, 6)


def _answer(effect: Effect, probe: Probe) -> Answer:
    decision, found = effect.decision, _Outcomes()
    outcome, passed = decision.outcome, 1.0
    body: str | None = None
    headers: dict[str, str | None] = {}
    if decision.abort is not None:
        found.add(str(decision.abort.status), decision.abort.probability)
        passed -= decision.abort.probability
    if isinstance(outcome, Forwarded):
        status = probe.status(outcome)
        for share in outcome.shares if passed else ():
            name = f"{share.target.service}/{share.target.version}"
            found.add(name if status == 200 else str(status), share.probability * passed)
    elif isinstance(outcome, Redirected):
        found.add(str(outcome.status), 1)
        headers = {"location": outcome.location}
    elif isinstance(outcome, Answered):
        found.add(str(outcome.status), passed)
        body = outcome.body
        headers = dict(outcome.headers)
    else:
        assert isinstance(outcome, Refused)
        found.add("no connection" if outcome.status is None else str(outcome.status), 1)
    return Answer(found.shares, headers, (), None, body, {}, None)


def _lesser(group: Group, effect: Effect) -> Mapping[str, object]:
    """The parts of the answer in which a lesser effect shows; None is a header that is absent."""
    outcome, part = effect.decision.outcome, group.change.part
    sides = [group.witness.before.decision.outcome, group.witness.after.decision.outcome]
    if part is Part.DELAY:
        return {"after": effect.decision.delay.seconds if effect.decision.delay else 0.0}
    if part is Part.CORS:
        both = {*group.witness.before.decision.cors, *group.witness.after.decision.cors}
        return {"headers": {name: effect.decision.cors.get(name) for name in both}}
    if not isinstance(outcome, Forwarded):
        return {}
    forwarded = [one for one in sides if isinstance(one, Forwarded)]
    if part is Part.PATH:
        return {"sees_path": outcome.path}
    if part is Part.HOST:
        return {"sees": (("host", outcome.authority),)}
    if part is Part.REQUEST_HEADERS:
        headers = _set_headers([one.request_headers for one in forwarded], outcome.request_headers)
        return {"sees": tuple(headers.items())}
    if part is Part.RESPONSE_HEADERS:
        return {"headers": _set_headers([one.response_headers for one in forwarded], outcome.response_headers)}
    if part is Part.MIRRORS:
        both = {f"{one.target.service}/{one.target.version}" for side in forwarded for one in side.mirrors}
        given = {f"{one.target.service}/{one.target.version}": 100 * one.probability for one in outcome.mirrors}
        return {"copies": {name: given.get(name, 0) for name in both}}
    return {}


def _set_headers(both: list[HeaderOperations], own: HeaderOperations) -> dict[str, str | None]:
    return {name: own.set.get(name) for operations in both for name in operations.set}
