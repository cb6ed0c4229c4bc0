"""Checks of what rules do with requests: rewrites that leave no path, redirect loops."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from urllib.parse import quote

from stacks.checks.host_ports import port_of, redirected_to
from stacks.checks.places import Place, holds_at, lets_in, places
from stacks.checks.view import Service, View, entries
from stacks.settings.problems import Finding, Location, key_path, shown
from traffic.model import Match, PathNormalization, Redirect, Rule, StringMatch
from traffic.reach import covers
from traffic.simulate.path import normalized, received, rewritten


def check(view: View) -> Iterator[Finding]:
    """Yield what is wrong with the actions of rules."""
    for service in view.services.values():
        for index, rule in enumerate(service.rules):
            if rule is not None:
                location = (*service.location, "route", index)
                yield from _check_rewrite(rule, location, view.mesh_traffic.path_normalization)
                yield from _check_redirect(view, service, index, rule, location)


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
    if redirect.scheme is not None and not (
        redirect.uri or redirect.prefix_rewrite or redirect.authority or redirect.port
    ):
        other = "http" if redirect.scheme == "https" else "https"
        return f"add {{scheme: {{exact: {other}}}}} to {key_path((*location, 'match'))}"
    return "add a rule for the new URL before this one, or narrow this rule's match"


def _returns(redirect: Redirect, place: Place) -> bool:
    """Whether a redirect leads to the scheme and the port at which the request came."""
    host = next((host for host in place.hosts if "*" not in host), "any-host.example")
    url = redirected_to(redirect, place, host)
    return url is not None and (url.scheme, port_of(url)) == (place.scheme, place.port)


def _leads_back(redirect: Redirect, match: Match, place: Place, earlier: Sequence[Rule | None]) -> bool:
    """Whether the same match certainly matches the redirected request again."""
    if not holds_at(match, place) or not _returns(redirect, place):
        return False
    asked = {}
    if redirect.authority is not None:
        exact = [host for host in place.hosts if "*" not in host]
        if not lets_in(exact, redirect.authority):
            return False
        asked["authority"] = StringMatch(exact=redirect.authority)
    if redirect.uri is not None:
        asked["uri"] = StringMatch(exact=redirect.uri)
    if redirect.prefix_rewrite is not None:
        asked["uri"] = StringMatch(prefix=redirect.prefix_rewrite)
    again = Rule.model_construct(match=(match.model_copy(update={**asked, "ignore_uri_case": False}),))
    if not covers(Rule.model_construct(match=(match,)), again):
        return False
    return not any(rule is None or covers(rule, again) for rule in earlier)
