"""A decision of the simulator as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from canary.asked import headers_of, url_of
from canary.explain.connection_words import connection_words
from canary.explain.upstream_words import upstream_sentence

if TYPE_CHECKING:
    from stacks.settings.model import Settings
    from stacks.settings.stack_file import StackFile
    from traffic.model import HeaderOperations, Rule
    from traffic.simulate import Decision, Forwarded, Request, RetryPolicy, Share


@dataclass(frozen=True)
class Places:
    """Where the rules of a stack are defined."""

    settings: Settings
    source: StackFile

    def of(self, service: str, index: int) -> tuple[str, int | None]:
        """Return the file or sample that defines a rule, and its line, None for a sample.

        The file is empty if the service has no route and its only version gets every request.
        """
        from stacks.samples import sample_of

        given = self.source.values.get("services") or {}
        written = given.get(service) if isinstance(given, Mapping) else None
        if isinstance(written, Mapping) and "route" in written:
            return self.source.name, self.source.line(("services", service, "route", index))
        sample = sample_of(self.source.values.get("samples"), "services", service)
        if sample is not None:
            return f"from sample {sample.value}", None
        return "", None

    def words(self, service: str, index: int) -> str:
        """Return `Pulumi.dev.yaml:14`, or `from sample website`."""
        place, line = self.of(service, index)
        return place if line is None else f"{place}:{line}"

    def active(self, service: str, rule: Rule) -> str:
        """Return the sentence that says that the strategy blueGreen decides where the rule leads; empty if not."""
        settings = self.settings.services[service]
        active = settings.strategy.active
        if active is None or set(rule.weights) != set(settings.versions) or rule.weights[active] != 100:
            return ""
        line = self.source.line(("services", service, "strategy"))
        return f"The strategy blueGreen sends it to the active version, {active} ({self.source.name}:{line})."


@dataclass(frozen=True)
class Explanation:
    """The text that explains a decision about a request to `service`."""

    service: str
    decision: Decision
    places: Places

    @property
    def request(self) -> str:
        """The request, in one line."""
        from canary.explain.client import words

        request = self.decision.request
        if request.is_connection:
            where = _from(request) if request.caller else self._through()
            return f"A {connection_words(request)} {where}"
        headers = ", ".join(f"{name}: {value}" for name, value in headers_of(request))
        where = _from(request) if request.caller else self._through()
        known = words(request)
        where = f"{where}, {known}" if known else where
        return f"{request.method} {url_of(request)}{f', with {headers},' if headers else ''} {where}"

    @property
    def result(self) -> str:
        """The outcome, in one sentence."""
        from canary.explain.access import denial
        from traffic.simulate import Answered, Connected, Forwarded, Redirected, Refused

        outcome = self.decision.outcome
        if isinstance(outcome, Forwarded):
            to = f"goes to {_or([_share(share) for share in outcome.shares])}"
            if not outcome.is_taken:
                return f"{to}, whose sidecar answers 400: {outcome.path!r} is not a valid path."
            denying = next((name for name in self._called(outcome) if self._access(name) is False), None)
            if denying is None:
                return f"{to}."
            is_only = len(self._called(outcome)) == 1 and not self._outside(outcome)
            whose = "whose sidecar" if is_only else f"of which the sidecar of {denying}"
            return f"{to}, {whose} answers 403: {denial(self.places.settings, denying)}."
        if isinstance(outcome, Connected):
            return f"goes to {_or([_share(share) for share in outcome.shares])}."
        if isinstance(outcome, Redirected):
            return f"is redirected ({outcome.status}) to {outcome.location}"
        if isinstance(outcome, Answered):
            body = f" and {outcome.body!r}" if outcome.body else ""
            return f"is answered {outcome.status}{body} by Envoy itself."
        if isinstance(outcome, Refused):
            answer = f"is answered {outcome.status}" if outcome.status else "gets no connection"
            return f"{answer}: {outcome.reason}."
        return f"is not routed: {outcome.reason}."

    @property
    def rule(self) -> str:
        """The rule that decides and where it is defined; empty if none does."""
        from traffic.simulate import Redirected
        from traffic.words import match_words

        decision = self.decision
        if decision.index is None or decision.rule is None or decision.service is None:
            redirects = isinstance(decision.outcome, Redirected)
            return f"The Gateway {decision.gateway} accepts only HTTPS (httpsRedirect)." if redirects else ""
        whose = f" of {decision.service}" if decision.service != self.service else ""
        place = self.places.words(decision.service, decision.index)
        if not place and self.places.active(decision.service, decision.rule):
            return f"No route is configured{whose}."
        if not place:
            return f"No route is configured{whose}, so every request goes to the only version."
        head = f"Rule {decision.index + 1}{whose} decides ({place})"
        if not decision.rule.match:
            return f"{head}: it matches every other {'connection' if decision.request.is_connection else 'request'}."
        return f"{head}: {' or '.join(map(match_words, decision.rule.match))}."

    @property
    def details(self) -> tuple[str, ...]:
        """Further effects on the request and the response, one sentence each."""
        return tuple(self._details())

    @property
    def before(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """The earlier rules, each with the reasons why its matches failed."""
        from traffic.words import miss_words

        service = self.decision.service or self.service
        return tuple(
            (
                f"rule {passed.index + 1} ({self.places.words(service, passed.index)})",
                tuple(map(miss_words, passed.misses)),
            )
            for passed in self.decision.passed
        )

    @property
    def allowed(self) -> bool | None:
        """Whether the services that get the request allow its caller; None if that is not known, or if none gets it."""
        from traffic.simulate import Forwarded

        outcome = self.decision.outcome
        found = {self._access(name) for name in self._called(outcome)} if isinstance(outcome, Forwarded) else set()
        return found.pop() if len(found) == 1 else None

    def _called(self, outcome: Forwarded) -> list[str]:
        """The services of the stack whose pods get requests."""
        outside = self._outside(outcome)
        called = (share.target.service for share in outcome.shares if share.destination not in outside)
        return list(dict.fromkeys(called))

    def _outside(self, outcome: Forwarded) -> dict[str, str]:
        """The destinations that have no pods of the service, and what they are, in words."""
        from canary.explain.outside import outside_words

        return outside_words(self.places.settings, outcome)

    def _access(self, name: str) -> bool | None:
        from canary.explain.access import is_caller_allowed

        return is_caller_allowed(self.places.settings, name, self.decision.request)

    def _through(self) -> str:
        decision = self.decision
        if decision.gateway is None:
            return f"at the gateway's port {decision.request.asked_port}"
        elsewhere = decision.service not in (None, self.service)
        owner = f" (its host belongs to {decision.service}, not to {self.service})" if elsewhere else ""
        owns = self.places.settings.services.get(decision.service or "")
        if owns is not None and decision.service is not None and owns.has_ingress(decision.service):
            return f"through the Ingress {decision.service}{owner}"
        return f"through the gateway {decision.gateway}{owner}"

    def _details(self) -> Iterator[str]:
        from canary.explain.mesh_words import by_chance, overwritten
        from traffic.simulate import Answered, Forwarded, Redirected, Unrouted

        decision, outcome = self.decision, self.decision.outcome
        if decision.delay:
            seconds = f"{decision.delay.seconds:g} s"
            yield f"Fault injection: {_percent(decision.delay.probability)} of the requests are delayed by {seconds}."
        if decision.abort:
            status = (
                f"{decision.abort.status}{f' ({decision.abort.grpc_status})' if decision.abort.grpc_status else ''}"
            )
            share = _percent(decision.abort.probability)
            yield f"Fault injection: {share} of the requests are answered {status} instead."
        yield from by_chance(decision)
        yield from overwritten(decision)
        if isinstance(outcome, Forwarded):
            yield from self._forwarding(outcome)
        elif isinstance(outcome, Redirected | Answered):
            yield from _headers("Response", outcome.response_headers)
        elif isinstance(outcome, Unrouted) and outcome.service is None:
            yield self._without_route()
        if isinstance(outcome, Answered):
            for name, value in outcome.headers.items():
                yield f"The response has {name}: {value}."

    def _forwarding(self, outcome: Forwarded) -> Iterator[str]:
        from canary.explain.outside import outside_details
        from canary.explain.rollout_words import rollout_details

        decision = self.decision
        if decision.service is not None and decision.rule is not None:
            yield from filter(None, [self.places.active(decision.service, decision.rule)])
        yield from rollout_details(self.places.settings, decision)
        yield from _stays(decision, outcome)
        is_rewritten = decision.rule is not None and decision.rule.rewrite is not None
        if is_rewritten or (outcome.path, outcome.authority) != (decision.request.path, decision.request.authority):
            yield f"The version sees {decision.request.method} {outcome.path} at {outcome.authority}."
        yield from outside_details(self.places.settings, decision.request.method, outcome)
        yield from _headers("Request", outcome.request_headers)
        yield from _headers("Response", outcome.response_headers)
        yield from _headers_of_shares(outcome.shares)
        for name, value in decision.cors.items():
            yield f"The response has {name}: {value}."
        for mirror in outcome.mirrors:
            yield f"{_percent(mirror.probability)} of the requests are mirrored to {mirror.destination}."
        yield _timeout_and_retries(outcome, decision)
        yield from filter(None, [upstream_sentence(self.places.settings, decision, outcome)])
        yield from self._at_gateway()
        undecided = [name for name in self._called(outcome) if self._access(name) is None]
        if undecided:
            yield f"The pods of {_or(undecided)} then check whether the caller is allowed."

    def _at_gateway(self) -> Iterator[str]:
        """What the gateway checks before it routes, as far as it is not known."""
        decision = self.decision
        settings, seen = self.places.settings, decision.seen
        if seen is None or seen.inside or decision.service is None:
            return
        from stacks.simulator import simulator_of

        if simulator_of(settings).is_denied(decision.service, decision.request, seen) is None:
            yield "Before that, the gateway checks whether the caller's address is allowed (--client-ip simulates it)."
        if decision.claims is not None and decision.request.claims is None:
            yield "The gateway accepts the token only with a valid signature, which is not checked here."

    def _without_route(self) -> str:
        from stacks.mesh_traffic import mesh_traffic
        from traffic.model import OutboundTrafficPolicy
        from traffic.simulate import bare, intersection

        settings, host = self.places.settings, bare(self.decision.request.authority)
        policy = mesh_traffic(settings).outbound_traffic_policy
        for name, external in settings.egress.items():
            if intersection([host], external.hosts):
                return f"It leaves the mesh: {host} is a host of egress {name}."
        if policy is OutboundTrafficPolicy.REGISTRY_ONLY:
            return "The caller's sidecar answers 502, because the host is not in the mesh (REGISTRY_ONLY)."
        return "It is sent to its host without any routing (mesh.outboundTrafficPolicy: ALLOW_ANY)."


def _from(request: Request) -> str:
    assert request.caller is not None
    labels = ", ".join(f"{key}={value}" for key, value in request.caller.labels.items())
    return f"from inside the mesh (a pod with {labels} in {request.caller.namespace})"


def _share(share: Share) -> str:
    return share.destination if share.probability == 1 else f"{share.destination} ({_percent(share.probability)})"


def _stays(decision: Decision, outcome: Forwarded) -> Iterator[str]:
    sticky = decision.rule.sticky if decision.rule else None
    if sticky and decision.sticks:
        yield f"The cookie {sticky.cookie} keeps the user on that version."
    elif sticky:
        yield f"The response sets the cookie {sticky.cookie}, which keeps the user on that version for {sticky.ttl}."


def _headers_of_shares(shares: tuple[Share, ...]) -> Iterator[str]:
    for share in shares:
        if share.headers is not None:
            yield from _headers("Request", share.headers.request, f" for {share.destination}")
            yield from _headers("Response", share.headers.response, f" for {share.destination}")


def _headers(whose: str, changes: HeaderOperations | None, which: str = "") -> Iterator[str]:
    if changes is None:
        return
    for name in changes.remove:
        yield f"{whose} header removed{which}: {name}."
    for name, value in changes.set.items():
        yield f"{whose} header set{which}: {name}: {value}."
    for name, value in changes.add.items():
        yield f"{whose} header added{which}: {name}: {value}."


def _timeout_and_retries(outcome: Forwarded, decision: Decision) -> str:
    from dataclasses import replace

    from traffic.simulate.actions import ISTIOS_RETRIES

    retries = outcome.retries
    limit = "No timeout" if outcome.timeout is None else f"Timeout {outcome.timeout:g} s"
    by_mesh = decision.mesh.default_retries is not None and (decision.rule is None or decision.rule.retries is None)
    whose = ", as the whole mesh's default says" if by_mesh else ""
    if retries is None:
        return f"{limit}; no retries{whose}."
    where = "" if retries.to_other_hosts else ", which may go to the same pod again"
    if replace(retries, to_other_hosts=True) == ISTIOS_RETRIES and not by_mesh:
        return f"{limit}; Istio's default of 2 retries{where}."
    each = f" of at most {retries.per_try_timeout:g} s each" if retries.per_try_timeout else ""
    if outcome.timeout and retries.per_try_timeout and outcome.timeout < _longest(retries):
        limit = f"{limit} for all tries together"
    times = "1 retry" if retries.attempts == 1 else f"up to {retries.attempts} retries"
    return f"{limit}; {times}{each}, on {retries.retry_on.replace(',', ', ')}{where}{whose}."


def _longest(retries: RetryPolicy) -> float:
    """Seconds that all tries take if each takes as long as it may, without the time between them."""
    return (retries.attempts + 1) * (retries.per_try_timeout or 0)


def _percent(probability: float) -> str:
    from traffic.proportions import percent_words

    return percent_words(100 * probability)


def _or(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
