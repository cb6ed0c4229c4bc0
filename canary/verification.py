"""What `canary verify` asks and concludes: a probe for each rule of each service, and a verdict on its answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from canary.gateway import authority_for
from canary.measure import Answers, Probe
from canary.split import ALPHA, Share, judge_all

if TYPE_CHECKING:
    from stacks.settings import Settings
    from traffic.model import Rule, StringMatch

SHARED = 2000
"""Requests for a rule that shares requests out: enough to tell 90/10 from 85/15 at the default significance."""
SINGLE = 100
"""Requests for a rule that sends all to one version."""


@dataclass(frozen=True)
class Planned:
    """A rule, and how it is measured: `probe`, or None with the `reason` why it is not."""

    service: str
    index: int
    rule: str
    weights: Mapping[str, int]
    probe: Probe | None
    reason: str = ""


@dataclass(frozen=True)
class Finding:
    """A rule, what was answered, and what follows from it."""

    planned: Planned
    answers: Answers | None
    shares: tuple[Share, ...]

    @property
    def verdict(self) -> str:
        """`as wanted`, `not as wanted`, `failures`, `out of time` or `not measured`."""
        if self.answers is None:
            return "not measured"
        if any(not share.as_wanted for share in self.shares) and self.answers.versions:
            return "not as wanted"
        if self.answers.failures:
            return "failures"
        return "out of time" if self.answers.unsent else "as wanted"

    @property
    def ok(self) -> bool:
        """Whether the rule does what the config says, as far as chance allows to know."""
        return self.verdict == "as wanted"


def plan(settings: Settings, url_for_port: Callable[[int], str], count: int | None, seed: int) -> Iterator[Planned]:
    """Yield a plan for every rule; `count` is the number of requests for each, by default by kind of rule."""
    from traffic.sample import NoSample, sample_request

    for name, service in settings.services.items():
        authority = authority_for(service.hosts)
        for index, rule in enumerate(service.route):
            weights = rule.weights
            request = sample_request(service.route, index, authority=authority, seed=seed)
            if isinstance(request, NoSample):
                yield Planned(name, index, text_of(rule), weights, None, request.reason)
                continue
            single = sum(1 for weight in weights.values() if weight) == 1
            number = count or (SINGLE if single else SHARED)
            probe = Probe(url_for_port(service.gateway_port), request, number)
            yield Planned(name, index, text_of(rule), weights, probe)


def conclude(planned: list[Planned], answers: list[Answers], alpha: float = ALPHA) -> list[Finding]:
    """Return a finding for each plan; `answers` are those of the plans that have a probe, in order."""
    given = iter(answers)
    pairs = [(entry, next(given) if entry.probe else None) for entry in planned]
    judged = iter(judge_all([(entry.weights, got.versions) for entry, got in pairs if got is not None], alpha))
    return [Finding(entry, got, next(judged) if got is not None else ()) for entry, got in pairs]


def text_of(rule: Rule) -> str:
    """Return a rule's matches as a person says them; `default` for a rule without any."""
    return " or ".join(" and ".join(_conditions(match)) for match in rule.match) or "default"


def as_json(findings: list[Finding], stack: str, alpha: float) -> dict[str, Any]:
    """Return the document that `--json` prints."""
    return {
        "stack": stack,
        "ok": all(finding.ok for finding in findings),
        "significance": alpha,
        "rules": [_finding(finding) for finding in findings],
    }


def _finding(finding: Finding) -> dict[str, Any]:
    planned, answers = finding.planned, finding.answers
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
        for share in finding.shares
    ]
    return {
        "service": planned.service,
        "rule": planned.index + 1,
        "match": planned.rule,
        "verdict": finding.verdict,
        "ok": finding.ok,
        "reason": planned.reason,
        "requests": planned.probe.count if planned.probe else 0,
        "answers": answers.versions.total() if answers else 0,
        "failures": dict(answers.failures) if answers else {},
        "unsent": answers.unsent if answers else 0,
        "seconds": round(answers.seconds, 3) if answers else 0.0,
        "versions": shares,
    }


def _conditions(match: Any) -> Iterator[str]:
    for name, value in match.headers.items():
        yield f"{name} {_value(value)}"
    for name, value in match.without_headers.items():
        yield f"{name} not {_value(value)}"
    if match.uri:
        yield f"path {_value(match.uri)}"
    if match.method:
        yield f"method {_value(match.method)}"


def _value(match: StringMatch) -> str:
    if match.exact is not None:
        return f"= {match.exact}"
    if match.prefix is not None:
        return f"begins with {match.prefix}"
    return f"~ {match.regex}" if match.regex is not None else "is there"
