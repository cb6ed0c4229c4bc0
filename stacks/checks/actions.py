"""Checks of what rules do with requests: timeouts that cut off retries, redirect loops."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from urllib.parse import quote

from stacks.checks.places import Place, lets_in, places
from stacks.checks.view import Service, View, entries
from stacks.settings.problems import Finding, Location, key_path, shown
from traffic.fields import seconds
from traffic.model import Match, PathNormalization, Redirect, Retries, Rule, StringMatch
from traffic.reach import covers
from traffic.simulate.path import normalized, received, rewritten

LEAST_BACKOFF = 0.025
GROWTH_OF_BACKOFF = 10
"""Envoy's retry back-off: at most 25 ms before the first retry, doubled for each, up to ten times that."""


def check(view: View) -> Iterator[Finding]:
    """Yield what is wrong with the actions of rules."""
    for service in view.services.values():
        for index, rule in enumerate(service.rules):
            if rule is not None:
                location = (*service.location, "route", index)
                yield from _check_timeout(rule, location)
                yield from _check_rewrite(rule, location, view.mesh_traffic.path_normalization)
                yield from _check_redirect(view, service, index, rule, location)


def _check_timeout(rule: Rule, location: Location) -> Iterator[Finding]:
    """The rule's timeout covers all attempts and the back-off between them (Envoy: RetryPolicy)."""
    retries = rule.retries
    if rule.timeout is None or retries is None or retries.per_try_timeout is None:
        return
    total, once = seconds(rule.timeout), seconds(retries.per_try_timeout)
    tries = retries.attempts + 1
    needed = tries * once + longest_backoff(retries)
    if once >= total:
        yield Finding(
            (*location, "retries", "perTryTimeout"),
            f"perTryTimeout {retries.per_try_timeout} is not shorter than the rule's timeout {rule.timeout}: "
            "Envoy would ignore it",
            f"less than the rule's timeout, which is {rule.timeout}",
            f"raise timeout to {_duration(needed)}, or lower perTryTimeout",
            shown(retries.per_try_timeout),
        )
    elif needed > total:
        yield Finding(
            (*location, "timeout"),
            f"{tries} attempts of {retries.per_try_timeout} and the back-off between them take up to "
            f"{_duration(needed)}, but the timeout is {rule.timeout}",
            "a timeout that allows for all attempts: (attempts + 1) x perTryTimeout, plus Envoy's back-off",
            f"raise timeout to {_duration(needed)}, or lower attempts or perTryTimeout",
            shown(rule.timeout),
        )


def longest_backoff(retries: Retries) -> float:
    """Return the maximum total back-off of all retries, in seconds."""
    base = seconds(retries.backoff) if retries.backoff else LEAST_BACKOFF
    return sum(base * min(1 << number, GROWTH_OF_BACKOFF) for number in range(retries.attempts))


def _duration(amount: float) -> str:
    milliseconds = round(amount * 1000)
    return f"{milliseconds}ms" if milliseconds % 1000 else f"{milliseconds // 1000}s"


def _check_rewrite(rule: Rule, location: Location, how: PathNormalization) -> Iterator[Finding]:
    """A path that the rule certainly matches must still be a valid path after the rewrite."""
    if rule.rewrite is None:
        return
    regex = rule.rewrite.uri_regex_rewrite
    key, text = (("uriRegexRewrite", "rewrite"), regex.rewrite) if regex else (("uri",), rule.rewrite.uri)
    for match in rule.match or (Match.model_construct(),):
        for path in _paths(match, how):
            new = rewritten(rule.rewrite, match.uri, path)
            if received(new, how) is not None:
                continue
            better = quote(text or "", safe="/%\\?=&;:@!$'()*+,~")
            yield Finding(
                (*location, "rewrite", *key),
                f"{path} would become {new!r}, which the version's sidecar rejects with 400",
                "a rewrite that results in a path: it begins with / and has no spaces or non-ASCII characters",
                f"write {shown(better if better.startswith('/') else f'/{better}')}",
                shown(text),
            )
            return


def _paths(match: Match, how: PathNormalization) -> Iterator[str]:
    """Normalised paths that the match accepts."""
    if match.uri is None or match.uri.prefix is not None:
        prefix = match.uri.prefix if match.uri and match.uri.prefix else "/"
        texts = [prefix, f"{prefix}x", f"{prefix}/x"]
    else:
        texts = [match.uri.exact] if match.uri.exact else []
    yield from (text for text in texts if normalized(text, how) == text)


def _check_redirect(view: View, service: Service, index: int, rule: Rule, location: Location) -> Iterator[Finding]:
    if rule.redirect is None:
        return
    for place in places(service, view) or []:
        for match in rule.match or (Match.model_construct(),):
            if not _leads_back(rule.redirect, match, place, service.matching[:index]):
                continue
            yield Finding(
                (*location, "redirect"),
                f"the redirect is a loop: a request at {place} is redirected to the same rule",
                "a redirect to a URL that another rule matches",
                _way_out(rule.redirect, location),
                shown(entries(service.given.get("route"))[index].get("redirect")),
            )
            return


def _way_out(redirect: Redirect, location: Location) -> str:
    if redirect.scheme is not None and not (redirect.uri or redirect.authority or redirect.port):
        other = "http" if redirect.scheme == "https" else "https"
        return f"add {{scheme: {{exact: {other}}}}} to {key_path((*location, 'match'))}"
    return "add a rule for the new URL before this one, or narrow this rule's match"


def _leads_back(redirect: Redirect, match: Match, place: Place, earlier: Sequence[Rule | None]) -> bool:
    """Whether the same match certainly matches the redirected request again."""
    if redirect.scheme not in (None, place.scheme) or redirect.port not in (None, place.port):
        return False
    if not _is_met_at(match, place):
        return False
    asked = {}
    if redirect.authority is not None:
        exact = [host for host in place.hosts if "*" not in host]
        if not lets_in(exact, redirect.authority):
            return False
        asked["authority"] = StringMatch(exact=redirect.authority)
    if redirect.uri is not None:
        asked["uri"] = StringMatch(exact=redirect.uri)
    again = Rule.model_construct(match=(match.model_copy(update={**asked, "ignore_uri_case": False}),))
    if not covers(Rule.model_construct(match=(match,)), again):
        return False
    return not any(rule is None or covers(rule, again) for rule in earlier)


def _is_met_at(match: Match, place: Place) -> bool:
    return (
        (not match.gateways or place.gateway in match.gateways)
        and match.port in (None, place.port)
        and (match.scheme is None or match.scheme.exact == place.scheme)
    )
