"""What a rule does to a request that it matches, as Envoy does it; measured at a gateway where it is not obvious."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

from traffic.fields import seconds
from traffic.model import CorsPolicy, Fault, Headers, MeshTraffic, Redirect, Retries, Rule, StringMatch, Target, target
from traffic.simulate.conditions import text_matches
from traffic.simulate.decision import Aborted, Answered, Delayed, Forwarded, Redirected, RetryPolicy, Share
from traffic.simulate.path import received, rewritten, with_prefix
from traffic.simulate.request import DEFAULT_PORTS, Seen
from traffic.sticky import StickyStep

RETRY_ON = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes"
ISTIOS_RETRIES = RetryPolicy(2, RETRY_ON)
"""Istio's default (istiod: retry.DefaultPolicy)."""
UNCHANGED = Headers()
Authorities = Callable[[Target], str | None]


def outcome(
    step: StickyStep,
    service: str,
    uri: StringMatch | None,
    seen: Seen,
    mesh: MeshTraffic,
    authority_of: Authorities = lambda _: None,
    *,
    keeps_hash: bool = False,
) -> Forwarded | Redirected | Answered:
    """Return what happens to a request that met the step by a match on `uri`.

    `authority_of` returns the Host header that a destination outside needs; `keeps_hash` is whether retries go to the
    pod that a hash chooses (`traffic.hashing`).
    """
    rule = step.rule
    headers = rule.headers or UNCHANGED
    if rule.redirect is not None:
        return Redirected(rule.redirect.redirect_code, location(rule.redirect, uri, seen), headers.response)
    if rule.direct_response is not None:
        answer = rule.direct_response
        return Answered(answer.status, answer.body or "", response_headers=headers.response)
    if rule.cors_policy is not None and _is_preflight(rule.cors_policy, seen):
        return Answered(200, headers=_preflight(rule.cors_policy, seen))
    path = rewritten(rule.rewrite, uri, seen.path) + seen.query
    taken = received(path, mesh.path_normalization)
    return Forwarded(
        shares=tuple(_shares(step, service, authority_of)),
        path=path if taken is None else taken,
        authority=(rule.rewrite and rule.rewrite.authority) or seen.authority,
        request_headers=headers.request,
        response_headers=headers.response,
        timeout=seconds(rule.timeout) if rule.timeout else None,
        retries=retry_policy(rule.retries or mesh.default_retries, keeps_hash),
        mirrors=tuple(_mirrors(rule, service)),
        is_taken=taken is not None,
    )


def _shares(step: StickyStep, service: str, authority_of: Authorities) -> Iterator[Share]:
    keeps_rules = step.rule.rewrite is not None and step.rule.rewrite.authority is not None
    for name, share in step.rule.shares.items():
        if share.weight > 0:
            called = target(service, name)
            authority = None if keeps_rules else authority_of(called)
            cookie = step.set_cookie.get(name)
            yield Share(name, called, round(share.weight / 100, 6), cookie, authority, share.headers)


def _mirrors(rule: Rule, service: str) -> Iterator[Share]:
    for mirror in rule.mirrors:
        if mirror.percentage.value > 0:
            yield Share(mirror.to, target(service, mirror.to), probability(mirror.percentage.value))


def probability(percent: float) -> float:
    """Return the probability that Envoy uses for a percentage: istiod truncates it to millionths."""
    return math.floor(percent * 10_000) / 1_000_000


def retry_policy(retries: Retries | None, keeps_hash: bool = False) -> RetryPolicy | None:
    """Return Envoy's retry policy, None if there are no retries (istiod: retry.ConvertPolicy)."""
    if retries is None:
        return ISTIOS_RETRIES if not keeps_hash else replace(ISTIOS_RETRIES, to_other_hosts=False)
    if retries.attempts == 0:
        return None
    to_others = retries.retry_ignore_previous_hosts
    return RetryPolicy(
        attempts=retries.attempts,
        retry_on=_retry_on(retries.retry_on) if retries.retry_on else RETRY_ON,
        per_try_timeout=seconds(retries.per_try_timeout) if retries.per_try_timeout else None,
        backoff=seconds(retries.backoff) if retries.backoff else ISTIOS_RETRIES.backoff,
        to_other_hosts=not keeps_hash if to_others is None else to_others,
        remote_localities=bool(retries.retry_remote_localities),
    )


def _retry_on(reasons: str) -> str:
    """Statuses only count with retriable-status-codes, which istiod adds."""
    numbers = any(reason.isdecimal() for reason in reasons.split(","))
    return f"{reasons},retriable-status-codes" if numbers and "retriable-status-codes" not in reasons else reasons


def location(redirect: Redirect, uri: StringMatch | None, seen: Seen) -> str:
    """Return the URL to which Envoy redirects what met `uri` (Envoy: Utility::newUri; istiod: ApplyRedirect)."""
    scheme = redirect.scheme or seen.scheme
    own_port = DEFAULT_PORTS[redirect.scheme or ("http" if seen.inside else seen.connection)]
    # istiod omits the scheme's default port, and then a port in the Host header is kept.
    port = "" if redirect.port in (None, own_port) else f":{redirect.port}"
    path = (redirect.uri or with_prefix(redirect.prefix_rewrite, uri, seen.path)) + seen.query
    return f"{scheme}://{redirect.authority or _host(seen, scheme, port)}{port}{path}"


def _host(seen: Seen, scheme: str, port: str) -> str:
    end = seen.authority.rfind(":")
    if end <= seen.authority.rfind("]"):
        return seen.authority
    old = seen.authority[end:]
    protocol = seen.headers["x-forwarded-proto"][0]
    default = {"http": ":80", "https": ":443"}.get(protocol)
    return seen.authority[:end] if port or (scheme != protocol and old == default) else seen.authority


def to_https(seen: Seen) -> Redirected:
    """Return the redirect of a Gateway that only accepts HTTPS (Envoy: createSslRedirectPath)."""
    return Redirected(301, f"https://{seen.authority}{seen.path}{seen.query}")


def delay(fault: Fault | None) -> Delayed | None:
    """Return the delay of requests, if any."""
    if fault is None or fault.delay is None or not probability(fault.delay.percentage.value):
        return None
    return Delayed(seconds(fault.delay.fixed_delay), probability(fault.delay.percentage.value))


def abort(fault: Fault | None) -> Aborted | None:
    """Return the error that requests are aborted with, if any; a gRPC status comes with HTTP status 200."""
    if fault is None or fault.abort is None or not probability(fault.abort.percentage.value):
        return None
    given = fault.abort
    return Aborted(given.http_status or 200, probability(given.percentage.value), given.grpc_status)


def cors_headers(policy: CorsPolicy | None, seen: Seen) -> dict[str, str]:
    """Return the headers that CORS adds to a version's response."""
    origin = _value("origin", seen)
    if policy is None or not origin or not _is_allowed(policy, origin):
        return {}
    headers = {"access-control-allow-origin": origin, **_credentials(policy)}
    if policy.expose_headers:
        headers["access-control-expose-headers"] = ",".join(policy.expose_headers)
    return headers


def _credentials(policy: CorsPolicy) -> dict[str, str]:
    return {"access-control-allow-credentials": "true"} if policy.allow_credentials else {}


def _is_preflight(policy: CorsPolicy, seen: Seen) -> bool:
    """Whether Envoy responds itself: preflights from other origins are forwarded unless the policy ignores them."""
    origin = _value("origin", seen)
    asks = seen.method == "OPTIONS" and bool(origin) and bool(_value("access-control-request-method", seen))
    return asks and (policy.unmatched_preflights == "IGNORE" or _is_allowed(policy, origin))


def _preflight(policy: CorsPolicy, seen: Seen) -> dict[str, str]:
    """An ignored preflight gets all headers except the origin, without which a browser does not continue."""
    headers = {**cors_headers(policy, seen), **_credentials(policy)}
    for requested, granted, allowed in (
        ("method", "methods", policy.allow_methods),
        ("headers", "headers", policy.allow_headers),
    ):
        if allowed:
            given = _value(f"access-control-request-{requested}", seen) if allowed == ("*",) else ",".join(allowed)
            headers[f"access-control-allow-{granted}"] = given
    if policy.max_age:
        headers["access-control-max-age"] = str(int(seconds(policy.max_age)))
    return headers


def _is_allowed(policy: CorsPolicy, origin: str) -> bool:
    return any(want.exact == "*" or text_matches(want, origin) for want in policy.allow_origins)


def _value(name: str, seen: Seen) -> str:
    return seen.headers.get(name, ("",))[0]
