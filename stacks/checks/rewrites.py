"""Warnings about rules that replace the part of the path that was matched: what is left over may not be what is meant.

Envoy puts the replacement in place of the prefix of the match that was met, and adjusts no slashes.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import urlsplit

from stacks.settings.model import Settings
from stacks.settings.problems import Finding, Location, key_path, shown
from stacks.simulator import simulator_of
from traffic.candidates import ANY_NAMESPACE, candidate, place
from traffic.idle import replacement, taken_by
from traffic.model import Match, Rewrite, Rule, StringMatch
from traffic.reach import EVERY_REQUEST
from traffic.simulate import Caller, Forwarded, Outcome, Redirected, Request, Simulator, authority_of, entries
from traffic.simulate.path import rewritten

TRIES = 40
TAILS = ("x", "other")
"""What may follow a prefix; an earlier rule may take the one and not the other."""


def warnings(settings: Settings) -> Iterator[Finding]:
    """Yield matches whose longer prefix is never replaced, and replacements that leave `//` or join two words."""
    stack = _Stack(settings)
    for name, service in settings.services.items():
        for index, rule in enumerate(service.route):
            new = replacement(rule)
            if new is not None:
                location = ("services", name, "route", index)
                yield from _out_of_order(rule, new, location)
                yield from _glued(stack, name, index, new, location)


def _key(rule: Rule) -> tuple[str, str]:
    return ("rewrite", "uri") if rule.rewrite and rule.rewrite.uri else ("redirect", "prefixRewrite")


def _out_of_order(rule: Rule, new: str, location: Location) -> Iterator[Finding]:
    for index, match in enumerate(rule.match):
        earlier = taken_by(rule, index)
        if earlier is None or not match.uri:
            continue
        own, first = match.uri, rule.match[earlier].uri
        path = own.exact or (f"{own.prefix}x" if own.prefix else "")
        example = f": {path} becomes {_replaced(new, first, path)}" if path else ""
        by = key_path((*location, "match", earlier))
        yield Finding(
            (*location, "match", index),
            f"{by} takes all requests of this match first, and {'.'.join(_key(rule))} then replaces "
            f"{_matched(first)}, not {_matched(own)}{example}",
            "the match that compares more of the path first",
            f"move this match before {by}; or remove it, if no more of the path is to be replaced",
            shown(match.model_dump(by_alias=True, exclude_defaults=True)),
        )


def _matched(uri: StringMatch | None) -> str:
    if uri is None:
        return "the first /"
    return f"the prefix {uri.prefix}" if uri.prefix is not None else "the whole path"


def _replaced(new: str, uri: StringMatch | None, path: str) -> str:
    return rewritten(Rewrite.model_construct(uri=new), uri, path)


@dataclass(frozen=True)
class _Stack:
    """A stack's settings, and their simulator, which is only made for a rule that is suspected."""

    settings: Settings

    @cached_property
    def simulator(self) -> Simulator:
        return simulator_of(self.settings)

    def is_met(self, name: str, index: int, match: Match, new: str, path: str) -> bool:
        """Whether a request for the path is found that meets the match of the rule at `index`, and no earlier one."""
        service = self.settings.services[name]
        wanted = match.model_copy(update={"uri": StringMatch(exact=path), "ignore_uri_case": False})
        avoided = [one for rule in service.route[: index + 1] for one in rule.match if one is not match]
        after = _replaced(new, match.uri, path)
        # Not for secrets: a fixed seed makes the result reproducible.
        rng = random.Random(0)  # noqa: S311
        try:
            for at in self._places(name, wanted):
                for attempt in range(TRIES):
                    request = candidate([wanted], avoided, at, rng, plain=attempt == 0)
                    decision = self.simulator.decide(request)
                    is_decided = (decision.service, decision.index) == (name, index)
                    if is_decided and _path_after(decision.outcome) == after:
                        return True
        except re.error:
            pass  # Python cannot parse an RE2 regular expression, so no text can be generated for it.
        return False

    def _places(self, name: str, match: Match) -> Iterator[Request]:
        """Requests without conditions at each place where those for the service enter."""
        service = self.settings.services[name]
        for entry in entries(name, service, self.settings.gateways):
            host = entry.domain.replace("*", "any", 1) if entry.domain != "*" else "any-host.invalid"
            authority = authority_of(host, entry.scheme, entry.server.port)
            yield Request(authority=authority, scheme=entry.scheme, port=entry.server.port)
        if service.in_mesh:
            found = place((match,))
            caller = found.caller if found and found.caller else Caller(ANY_NAMESPACE)
            authority = authority_of(f"{name}.{service.namespace}", "http", service.port)
            yield Request(authority=authority, port=service.port, caller=caller)


def _path_after(outcome: Outcome) -> str | None:
    """The path after the replacement, without its query; None if the request is answered."""
    if isinstance(outcome, Forwarded):
        return outcome.path.partition("?")[0]
    return urlsplit(outcome.location).path if isinstance(outcome, Redirected) else None


def _glued(stack: _Stack, name: str, index: int, new: str, location: Location) -> Iterator[Finding]:
    rule = stack.settings.services[name].route[index]
    for match in rule.match or (EVERY_REQUEST,):
        prefix = (match.uri or StringMatch(prefix="/")).prefix
        if prefix is None or prefix.endswith("/") == new.endswith("/"):
            continue
        paths = [f"{prefix}{tail}" if prefix.endswith("/") else f"{prefix}/{tail}" for tail in TAILS]
        path = next((path for path in paths if stack.is_met(name, index, match, new, path)), None)
        if path is None:
            continue
        yield Finding(
            (*location, *_key(rule)),
            f"{path} would become {new}{path.removeprefix(prefix)}",
            "a prefix and a replacement that both end with / or both do not",
            f"write {{prefix: {prefix}/}} and {{exact: {prefix}}} in the match"
            if new.endswith("/")
            else f"write {_key(rule)[-1]}: {new}/",
            shown(new),
        )
        return
