"""What `canary verify` asks and concludes: a batch for each rule of each service, and a verdict on its answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from canary.verify.measure import STATUS, Answers, RequestBatch
from canary.verify.split import ALPHA, VersionShare, judge_all
from stacks.simulator import simulator_of

if TYPE_CHECKING:
    from stacks.settings.model import Settings
    from traffic.simulate import Decision, Simulator

SHARED = 2000
"""Requests for a rule that shares requests out: enough to tell 90/10 from 85/15 at the default significance."""
SINGLE = 100
"""Requests for a rule that sends all to one version, or answers them all by itself."""
LONGEST_DELAY = 1.0
"""Seconds of a delay on purpose with which a rule is still measured."""


@dataclass(frozen=True)
class Planned:
    """A rule, and how it is measured: `batch`, or None with the `reason` why it is not.

    `weights` are in percent, by destination as the config names it, and by `status 503` for Envoy's own answers.
    `inside` tells that only callers inside the mesh can meet the rule.
    """

    service: str
    index: int
    rule: str
    weights: Mapping[str, float]
    batch: RequestBatch | None
    reason: str = ""
    inside: bool = False


@dataclass(frozen=True)
class RuleResult:
    """A rule, what was answered, and what follows from it."""

    planned: Planned
    answers: Answers | None
    shares: tuple[VersionShare, ...]

    @property
    def verdict(self) -> str:
        """`as wanted`, `not as wanted`, `failures`, `out of time`, `not measured` or `inside the mesh`."""
        if self.answers is None:
            return "inside the mesh" if self.planned.inside else "not measured"
        if any(not share.as_wanted for share in self.shares) and self.answers.versions:
            return "not as wanted"
        if self.answers.failures:
            return "failures"
        return "out of time" if self.answers.unsent else "as wanted"

    @property
    def ok(self) -> bool:
        """Whether the rule does what the config says, as far as chance allows to know."""
        return self.verdict == "as wanted"


def all_as_wanted(results: list[RuleResult]) -> bool:
    """Whether every rule that can be met from outside is as wanted, and there is one."""
    asked = [result for result in results if not result.planned.inside]
    return bool(asked) and all(result.ok for result in asked)


def plan(settings: Settings, count: int | None, seed: int) -> Iterator[Planned]:
    """Yield a plan for every rule; `count` is the number of requests for each, by default by kind of rule.

    The batches have no URL yet: see `addressed`.
    """
    simulator = simulator_of(settings)
    for name, service in settings.services.items():
        for index in range(len(service.route)):
            yield _planned(simulator, settings, name, index, count, seed)


def addressed(planned: list[Planned], url_for: Callable[[str, int], str]) -> list[Planned]:
    """Return the plans with the URLs of the gateway's ports, by scheme and port."""
    return [
        replace(entry, batch=replace(entry.batch, url=url_for(*entry.batch.asked))) if entry.batch else entry
        for entry in planned
    ]


def at_url(planned: list[Planned], url: str) -> list[Planned]:
    """Return the plans with one URL for all; what is asked by another scheme is not measured."""
    scheme = url.partition("://")[0]
    return [
        replace(entry, batch=None, reason=f"the rule is asked by {entry.batch.asked[0]}, and --gateway is {url}")
        if entry.batch and entry.batch.asked[0] != scheme
        else entry
        for entry in addressed(planned, lambda scheme, port: url)
    ]


def _planned(simulator: Simulator, settings: Settings, name: str, index: int, count: int | None, seed: int) -> Planned:
    from traffic.sample import NoSample, sample_request
    from traffic.words import rule_words

    words = rule_words(settings.services[name].route[index])
    request = sample_request(simulator, name, index, seed=seed)
    if isinstance(request, NoSample):
        return Planned(name, index, words, {}, None, request.reason, request.inside)
    decision = simulator.decide(request)
    wanted = _certificate_wanted(settings, decision) or wanted_shares(decision)
    if isinstance(wanted, str):
        return Planned(name, index, words, {}, None, wanted)
    single = sum(1 for share in wanted.values() if share) == 1
    statuses = frozenset(int(label.removeprefix(STATUS)) for label in wanted if label.startswith(STATUS))
    return Planned(
        name, index, words, wanted, RequestBatch("", request, count or (SINGLE if single else SHARED), statuses)
    )


def _certificate_wanted(settings: Settings, decision: Decision) -> str:
    """Why a caller without a certificate is not let in, or nothing."""
    from traffic.model.gateway import ServerTlsMode

    gateway = settings.gateways.get(decision.gateway or "")
    mutual = gateway and any(
        server.port == decision.request.port and server.tls and server.tls.mode is ServerTlsMode.MUTUAL
        for server in gateway.servers
    )
    return f"the gateway asks callers for a certificate on port {decision.request.port}" if mutual else ""


def wanted_shares(decision: Decision) -> Mapping[str, float] | str:
    """Return percent by destination, and by `status 503` where Envoy answers; or why that cannot be measured."""
    from traffic.simulate import Forwarded

    abort, delay = decision.abort, decision.delay
    if delay is not None and delay.seconds > LONGEST_DELAY:
        return f"the rule holds {100 * delay.probability:g} % of the requests back for {delay.seconds:g} s"
    if not isinstance(decision.outcome, Forwarded):
        return {f"{STATUS}{decision.status}": 100}
    assert decision.rule is not None
    weights = decision.rule.weights
    if abort is None:
        return weights
    if abort.status < 300:
        return f"the rule's fault answers {abort.status}, as the versions do"
    left = 1 - abort.probability
    passed_on = {name: round(weight * left, 6) for name, weight in weights.items()} if left else {}
    return {f"{STATUS}{abort.status}": round(100 * abort.probability, 6), **passed_on}


def conclude(planned: list[Planned], answers: list[Answers], alpha: float = ALPHA) -> list[RuleResult]:
    """Return a result for each plan; `answers` are those of the plans that have a batch, in order."""
    given = iter(answers)
    pairs = [(entry, next(given) if entry.batch else None) for entry in planned]
    judged = iter(judge_all([(entry.weights, got.versions) for entry, got in pairs if got is not None], alpha))
    return [RuleResult(entry, got, next(judged) if got is not None else ()) for entry, got in pairs]


def as_json(results: list[RuleResult], stack: str, alpha: float) -> dict[str, Any]:
    """Return the document that `--json` prints."""
    return {
        "stack": stack,
        "ok": all_as_wanted(results),
        "significance": alpha,
        "rules": [_result(result) for result in results],
    }


def _result(result: RuleResult) -> dict[str, Any]:
    planned, answers = result.planned, result.answers
    shares = [
        {
            "version": share.version,
            "wanted_percent": share.wanted,
            "count": share.count,
            "observed_percent": round(share.observed, 3),
            "interval_percent": [round(100 * share.low, 3), round(100 * share.high, 3)],
            "p_value": share.p_value,
            "as_wanted": share.as_wanted,
        }
        for share in result.shares
    ]
    return {
        "service": planned.service,
        "rule": planned.index + 1,
        "match": planned.rule,
        "verdict": result.verdict,
        "ok": result.ok,
        "reason": planned.reason,
        "requests": planned.batch.count if planned.batch else 0,
        "answers": answers.versions.total() if answers else 0,
        "failures": dict(answers.failures) if answers else {},
        "unsent": answers.unsent if answers else 0,
        "seconds": round(answers.seconds, 3) if answers else 0.0,
        "versions": shares,
    }
