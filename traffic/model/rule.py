"""The route of a service: ordered rules, each with its matches, its destination and its other actions.

The same objects are rendered to Istio, simulated, explained, compared and measured. Field names are those of a
VirtualService (https://istio.io/latest/docs/reference/config/networking/virtual-service/).
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Discriminator, Field, Strict, Tag, model_validator

from traffic.fields import LONGEST_REGEX, DnsLabel, Duration, Model, Text, wrong
from traffic.model.actions import (
    CorsPolicy,
    DirectResponse,
    Fault,
    Headers,
    Mirror,
    Redirect,
    Retries,
    Rewrite,
    Sticky,
)
from traffic.model.cookies import MOST_COOKIES, cookies_pattern
from traffic.model.match import Match
from traffic.model.rollout import RuleRollout
from traffic.model.rule_rollout import rollout_mistake
from traffic.model.share import GivenShare, RouteDestination
from traffic.model.string_match import StringMatch
from traffic.model.target import DestinationName
from traffic.proportions import percentages

ONE_VERSION, WEIGHTS = "<one version>", "<weights>"
"""Markers of the two kinds of destination in the locations of validation errors; no key can have these names."""

ENDS = ("to", "redirect", "direct_response")
ONLY_WHEN_FORWARDED = ("rewrite", "timeout", "retries", "fault", "mirrors", "sticky")
"""Actions on requests that are forwarded to a version; they have no effect with a redirect or direct response."""


def _kind_of_destination(value: Any) -> str | None:
    if isinstance(value, str):
        return ONE_VERSION
    return WEIGHTS if isinstance(value, dict) else None


Destination = Annotated[
    Annotated[DestinationName, Tag(ONE_VERSION)]
    | Annotated[dict[DestinationName, GivenShare], Field(min_length=1), Tag(WEIGHTS)],
    Discriminator(_kind_of_destination),
]


def _printable(value: str) -> str:
    """Access logs have the name as it is, one line for each request."""
    if value.isprintable():
        return value
    suggestion = "".join(one if one.isprintable() else " " for one in value)
    raise wrong(
        "the name has characters that cannot be printed, such as a line break, and would break access logs",
        "printable characters",
        f"write {suggestion!r}",
    )


RuleName = Annotated[Text, AfterValidator(_printable)]


class Rule(Model):
    """One rule of a route: the first rule with a match that holds decides what happens to a request.

    Exactly one of `to`, `redirect` and `directResponse` is set.
    """

    name: RuleName | None = Field(default=None, description="Name of the rule in access logs (Istio's HTTPRoute.name).")
    match: Annotated[tuple[Match, ...], Field(min_length=1), Strict(False)] = Field(
        default=(), description="Any of these must hold; if unset, the rule matches all remaining requests."
    )
    to: Destination | None = Field(
        default=None,
        examples=["version-1"],
        description="A version, or percentages that sum to 100: {version-1: 90, version-2: 10}; whole numbers may sum "
        "to 1000, 10000, 100000 or 1000000 instead. <service>/<version> is a version of another service.",
    )
    redirect: Redirect | None = Field(default=None, description="Redirect to another URL.")
    direct_response: DirectResponse | None = Field(
        default=None, description="Respond directly, with a status and body."
    )
    rewrite: Rewrite | None = Field(default=None, description="Change the path or the host that the version sees.")
    headers: Headers | None = Field(default=None, description="Change headers of the request and of the response.")
    timeout: Duration | None = Field(
        default=None, description="Timeout for the response, including retries, such as 10s."
    )
    retries: Retries | None = Field(default=None, description="How often, and on which conditions, Envoy retries.")
    fault: Fault | None = Field(default=None, description="Injected delays and errors.")
    mirrors: Annotated[tuple[Mirror, ...], Strict(False)] = Field(
        default=(), description="Versions that get a copy of the requests."
    )
    cors_policy: CorsPolicy | None = Field(default=None, description="Other origins that may call from a browser.")
    sticky: Sticky | None = Field(default=None, description="Keep a user on the version that the weights chose.")
    rollout: RuleRollout | None = Field(
        default=None,
        examples=["careful"],
        description="Move the requests to `to` step by step: the name of a strategy in `rollouts`, or a strategy.",
    )
    from_version: DnsLabel | None = Field(
        default=None,
        alias="from",
        examples=["version-1"],
        description="The version that gets the requests until the rollout moves them; by default, the one that gets "
        "them now.",
    )

    @model_validator(mode="after")
    def _one_end(self) -> Rule:
        given = [name for name in ENDS if getattr(self, name) is not None]
        if len(given) == 1:
            return self
        names = " and ".join(_alias(name) for name in given)
        raise wrong(
            f"{names} are set together" if given else "the rule has no destination",
            "exactly one of to, redirect and directResponse",
            "keep one of them" if given else "add `to: version-1`, for example",
        )

    @model_validator(mode="after")
    def _actions_have_an_effect(self) -> Rule:
        ignored = [name for name in ONLY_WHEN_FORWARDED if getattr(self, name)]
        if self.to is not None or not ignored or not (self.redirect or self.direct_response):
            return self
        end = "redirect" if self.redirect else "directResponse"
        names = " and ".join(map(_alias, ignored))
        raise wrong(
            f"{names} {'has' if len(ignored) == 1 else 'have'} no effect with {end}: no version gets the request",
            f"{', '.join(map(_alias, ONLY_WHEN_FORWARDED))} with `to`",
            f"remove {names}, or give the rule a `to` instead of the {end}",
        )

    @model_validator(mode="after")
    def _sticks_to_weights(self) -> Rule:
        if self.sticky is None:
            return self
        if not isinstance(self.to, dict) and self.rollout is None:
            raise wrong(
                "sticky has no effect without weights",
                "sticky with weights: {version-1: 90, version-2: 10}",
                "remove sticky, or give the versions weights",
            )
        for match in self.match:
            names = (*self.weights, self.from_version or "")
            reason = _not_beside(match, self.sticky.cookie, max(names, key=len))
            if reason is not None:
                raise wrong(*reason)
        return self

    @model_validator(mode="after")
    def _can_be_rolled_out(self) -> Rule:
        mistake = rollout_mistake(self)
        if mistake is not None:
            raise wrong(*mistake)
        return self

    @property
    def weights(self) -> dict[str, float]:
        """Percentage of the rule's requests by destination, in the order given; sums to 100, empty without `to`.

        Whole ones are of type int. With a rollout, all are at the version that it leads to, at whatever step it is.
        """
        if self.to is None:
            return {}
        if isinstance(self.to, str):
            return {self.to: 100}
        return percentages({name: one if isinstance(one, int | float) else one.weight for name, one in self.to.items()})

    @property
    def shares(self) -> dict[str, RouteDestination]:
        """The destinations with their percentage, and with the headers that each changes by itself."""
        given = self.to if isinstance(self.to, dict) else {}
        own = {name: one.headers for name, one in given.items() if isinstance(one, RouteDestination)}
        return {
            name: RouteDestination.model_construct(weight=weight, headers=own.get(name))
            for name, weight in self.weights.items()
        }


Route = tuple[Rule, ...]


def version_label(service: str, version: str) -> str:
    """Return the value of the label `version` on the pods of a version: `website-version-1`."""
    return f"{service}-{version}"


def _alias(name: str) -> str:
    return Rule.model_fields[name].alias or name


def _not_beside(match: Match, cookie: str, longest: str) -> tuple[str, str, str] | None:
    """Why a match cannot be beside a sticky cookie, what is allowed, and the fix; None if it can."""
    if "cookie" in match.headers:
        return (
            "the rule already matches on the header cookie, and Istio matches a header only once",
            "sticky with matches on `cookies`",
            "write the cookies that the match looks at under `cookies` instead of headers.cookie",
        )
    if cookie in match.cookies:
        return (
            f"the match looks at the cookie {cookie}, which sticky sets to the version",
            "different cookies for the match and for sticky",
            "give one of them another name",
        )
    too_many = len(match.cookies) == MOST_COOKIES
    kept = {**match.cookies, cookie: StringMatch.model_construct(exact=longest)}
    if too_many or len(cookies_pattern(kept).encode()) > LONGEST_REGEX:
        return (
            "the regular expression for the cookies of the match and that of sticky would be too long for Istio",
            f"at most {MOST_COOKIES} cookies with that of sticky, and {LONGEST_REGEX} characters for all their orders",
            "look at fewer cookies, or at shorter values",
        )
    return None
