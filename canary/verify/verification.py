"""Plans and judges what `canary verify` measures: a batch of requests for each rule, and a verdict on the answers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from canary.verify.grpc import as_grpc
from canary.verify.measure import STATUS, Answers, RequestBatch
from canary.verify.split import ALPHA, VersionShare, comparisons, enough, fewest, judge_all
from stacks.simulator import simulator_of

if TYPE_CHECKING:
    from stacks.settings.model import Settings
    from traffic.simulate import Decision, Simulator

SHARED = 2000
"""Requests for a weighted rule: enough to tell 90/10 from 85/15 at the default significance."""
MOST = 50_000
"""Requests for a rule with a small share, unless --count asks for more: enough for a share of 0.1 %."""
SINGLE = 100
"""Requests for a rule with a single outcome: one version, or an answer of Envoy itself."""
INSIDE, BY_INGRESS, CONNECTIONS = "inside the mesh", "by an Ingress", "connections"
LONGEST_DELAY = 1.0
"""Rules with a fault delay of more seconds than this are not measured."""


@dataclass(frozen=True)
class Planned:
    """A rule and how it is measured: `batch`, or None and the `reason` why it cannot be.

    `weights` are in percent, by destination as named in the config, and by `status 503` for Envoy's own answers.
    `exempt` is the verdict of a rule that is not to be measured: for callers inside the mesh alone, of an Ingress, or
    of connections. `needed` is the number of requests below which even a version without any answer would pass.
    """

    service: str
    index: int
    rule: str
    weights: Mapping[str, float]
    batch: RequestBatch | None
    reason: str = ""
    exempt: str = ""
    needed: int = 0


@dataclass(frozen=True)
class RuleResult:
    """A rule, its answers, and the share of each version."""

    planned: Planned
    answers: Answers | None
    shares: tuple[VersionShare, ...]

    @property
    def verdict(self) -> str:
        """`pass`, `fail`, `errors`, `timed out`, `not enough`, `not measured`, or why it is exempt."""
        if self.answers is None:
            return self.planned.exempt or "not measured"
        if any(not share.passes for share in self.shares) and self.answers.versions:
            return "fail"
        if self.answers.errors:
            return "errors"
        if self.answers.unsent:
            return "timed out"
        return "not enough" if self.answers.versions.total() < self.planned.needed else "pass"

    @property
    def passes(self) -> bool:
        """Whether the rule was measured in full and its split is as configured."""
        return self.verdict == "pass"


def all_pass(results: list[RuleResult]) -> bool:
    """Whether every rule that is to be measured passes; False if there is no such rule."""
    measurable = [result for result in results if not result.planned.exempt]
    return bool(measurable) and all(result.passes for result in measurable)


def plan(settings: Settings, count: int | None, seed: int, services: Collection[str] = ()) -> Iterator[Planned]:
    """Yield a plan for every rule of `services`, by default of all.

    `count` is the number of requests for each rule, or None for the default of its kind.

    The batches have no URL yet; `addressed` sets it.
    """
    simulator = simulator_of(settings)
    for name in services or settings.services:
        for index in range(len(settings.services[name].route)):
            yield _planned(simulator, settings, name, index, count, seed)


def counted(planned: list[Planned], count: int | None, alpha: float) -> list[Planned]:
    """Return the plans with enough requests for their smallest shares; `count` is what was asked for, if anything.

    A share that would take more than MOST requests is not measured unless `count` asks for them.
    """
    each = alpha / max(1, sum(comparisons(entry.weights) for entry in planned if entry.batch))
    return [_counted(entry, entry.batch, count, each) if entry.batch else entry for entry in planned]


def _counted(entry: Planned, batch: RequestBatch, count: int | None, each: float) -> Planned:
    needed = fewest(entry.weights, each)
    if count is not None or needed == 0:
        return replace(entry, needed=needed)
    if needed > MOST:
        reason = f"so small a share takes {needed} requests to measure, and {MOST} is the most without --count"
        return replace(entry, batch=None, needed=needed, reason=reason)
    return replace(
        entry, needed=needed, batch=replace(batch, count=max(batch.count, min(MOST, enough(entry.weights, each))))
    )


def addressed(planned: list[Planned], url_for: Callable[[str, int, str], str]) -> list[Planned]:
    """Return the plans with their gateway URLs; `url_for` gets the scheme, the port and the deployment."""
    return [
        replace(entry, batch=replace(entry.batch, url=url_for(*entry.batch.endpoint))) if entry.batch else entry
        for entry in planned
    ]


def at_url(planned: list[Planned], url: str) -> list[Planned]:
    """Return the plans with one URL for all; rules that need the other scheme are not measured."""
    scheme = url.partition("://")[0]
    return [
        replace(entry, batch=None, reason=f"the rule needs {entry.batch.endpoint[0]}, but --gateway is {url}")
        if entry.batch and entry.batch.endpoint[0] != scheme
        else entry
        for entry in addressed(planned, lambda scheme, port, deployment: url)
    ]


def _planned(simulator: Simulator, settings: Settings, name: str, index: int, count: int | None, seed: int) -> Planned:
    from traffic.sample import NoSample, sample_request
    from traffic.words import rule_words

    words = rule_words(settings.services[name].route[index])
    if settings.services[name].has_ingress(name):
        reason = "an Ingress does not name the version that served a request"
        return Planned(name, index, words, {}, None, reason, BY_INGRESS)
    if not settings.services[name].protocol.is_http:
        reason = f"a connection of {settings.services[name].protocol.value} does not tell which version has it"
        return Planned(name, index, words, {}, None, reason, CONNECTIONS)
    request = sample_request(simulator, name, index, seed=seed, path=_answered_path(settings, name, index))
    if isinstance(request, NoSample):
        return Planned(name, index, words, {}, None, request.reason, INSIDE if request.inside else "")
    decision = simulator.decide(request)
    expected = _client_certificate_required(settings, decision) or expected_shares(decision)
    if isinstance(expected, str):
        return Planned(name, index, words, {}, None, expected)
    request = as_grpc(simulator, decision)
    single = sum(1 for share in expected.values() if share) == 1
    statuses = frozenset(int(label.removeprefix(STATUS)) for label in expected if label.startswith(STATUS))
    return Planned(
        name, index, words, expected, RequestBatch("", request, count or (SINGLE if single else SHARED), statuses)
    )


def _answered_path(settings: Settings, name: str, index: int) -> str:
    """A path that the rule's versions answer: that of their readiness probe, if it probes the same port."""
    from traffic.model import target

    for destination in settings.services[name].route[index].weights:
        service, key = target(name, destination)
        version = settings.services[service].deployed.get(key) if service in settings.services else None
        probed = version.readiness_probe.http_get if version else None
        if version is not None and probed is not None and probed.port == version.port:
            return probed.path
    return "/"


def _client_certificate_required(settings: Settings, decision: Decision) -> str:
    """Why the rule cannot be measured without a client certificate; empty if it can."""
    from traffic.model.gateway import ServerTlsMode

    gateway = settings.gateways.get(decision.gateway or "")
    mutual = gateway and any(
        server.port == decision.request.port and server.tls and server.tls.mode is ServerTlsMode.MUTUAL
        for server in gateway.servers
    )
    return f"the gateway requires a client certificate on port {decision.request.port}" if mutual else ""


def expected_shares(decision: Decision) -> Mapping[str, float] | str:
    """Return percent by destination, and by `status 503` where Envoy answers; or why the rule cannot be measured."""
    from traffic.simulate import Forwarded

    abort, delay = decision.abort, decision.delay
    if delay is not None and delay.seconds > LONGEST_DELAY:
        return f"the rule delays {100 * delay.probability:g} % of the requests by {delay.seconds:g} s"
    if not isinstance(decision.outcome, Forwarded):
        return {f"{STATUS}{decision.status}": 100}
    assert decision.rule is not None
    weights = decision.rule.weights
    if abort is None:
        return weights
    if abort.status < 300:
        return f"the rule's fault answers {abort.status}, which cannot be told from a version's answer"
    left = 1 - abort.probability
    passed_on = {name: round(weight * left, 6) for name, weight in weights.items()} if left else {}
    return {f"{STATUS}{abort.status}": round(100 * abort.probability, 6), **passed_on}


def conclude(planned: list[Planned], answers: list[Answers], alpha: float = ALPHA) -> list[RuleResult]:
    """Return the result of each plan; `answers` belong to the plans that have a batch, in order."""
    given = iter(answers)
    pairs = [(entry, next(given) if entry.batch else None) for entry in planned]
    judged = iter(judge_all([(entry.weights, got.versions) for entry, got in pairs if got is not None], alpha))
    return [RuleResult(entry, got, next(judged) if got is not None else ()) for entry, got in pairs]


def as_json(results: list[RuleResult], stack: str, alpha: float, unsimulated: Sequence[str] = ()) -> dict[str, Any]:
    """Return the document printed by `--json`; `unsimulated` is what the expected shares leave out."""
    return {
        "stack": stack,
        "passes": all_pass(results),
        "significance": alpha,
        "rules": [_result(result) for result in results],
        "notSimulated": list(unsimulated),
    }


def _result(result: RuleResult) -> dict[str, Any]:
    planned, answers = result.planned, result.answers
    shares = [
        {
            "version": share.version,
            "configured_percent": share.configured,
            "count": share.count,
            "observed_percent": round(share.observed, 3),
            "interval_percent": [round(100 * share.low, 3), round(100 * share.high, 3)],
            "p_value": share.p_value,
            "passes": share.passes,
        }
        for share in result.shares
    ]
    return {
        "service": planned.service,
        "rule": planned.index + 1,
        "match": planned.rule,
        "verdict": result.verdict,
        "passes": result.passes,
        "reason": planned.reason,
        "requests": planned.batch.count if planned.batch else 0,
        "requests_needed": planned.needed,
        "answers": answers.versions.total() if answers else 0,
        "errors": dict(answers.errors) if answers else {},
        "unsent": answers.unsent if answers else 0,
        "seconds": round(answers.seconds, 3) if answers else 0.0,
        "versions": shares,
    }
