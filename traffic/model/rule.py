"""The route of a service: ordered rules, each with its matches, its destination, and what else happens to a request.

The same objects are rendered to Istio, simulated, explained, compared and measured. Field names are those of a
VirtualService (https://istio.io/latest/docs/reference/config/networking/virtual-service/).
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Field, Strict, Tag, model_validator

from traffic.fields import Duration, Model, Percent, wrong
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
from traffic.model.match import Match
from traffic.model.target import DestinationName

ONE_VERSION, WEIGHTS = "<one version>", "<weights>"
"""Marks of the two kinds of destination in the places of validation errors; no key can be named so."""

ENDS = ("to", "redirect", "direct_response")
ONLY_ON_THE_WAY = ("rewrite", "timeout", "retries", "fault", "mirrors", "sticky")
"""What is done to requests that go on to a version, and so says nothing beside a redirect or a direct response."""


def _kind_of_destination(value: Any) -> str | None:
    if isinstance(value, str):
        return ONE_VERSION
    return WEIGHTS if isinstance(value, dict) else None


Destination = Annotated[
    Annotated[DestinationName, Tag(ONE_VERSION)]
    | Annotated[dict[DestinationName, Percent], Field(min_length=1), Tag(WEIGHTS)],
    Discriminator(_kind_of_destination),
]


class Rule(Model):
    """One rule of a route: the first rule of which any match fits decides what happens to a request.

    Exactly one of `to`, `redirect` and `directResponse` says where it ends.
    """

    match: Annotated[tuple[Match, ...], Field(min_length=1), Strict(False)] = Field(
        default=(), description="Any of these must hold; left out, the rule takes every request that is left."
    )
    to: Destination | None = Field(
        default=None,
        examples=["version-1"],
        description="A version, or percentages that sum to 100: {version-1: 90, version-2: 10}; "
        "<service>/<version> is a version of another service.",
    )
    redirect: Redirect | None = Field(default=None, description="Answer with another URL.")
    direct_response: DirectResponse | None = Field(default=None, description="Answer at once with a status and text.")
    rewrite: Rewrite | None = Field(default=None, description="Change the path or the host that the version sees.")
    headers: Headers | None = Field(default=None, description="Change headers of the request and of its answer.")
    timeout: Duration | None = Field(default=None, description="How long the answer may take in all, such as 10s.")
    retries: Retries | None = Field(default=None, description="How often, and why, Envoy asks again.")
    fault: Fault | None = Field(default=None, description="Errors and delays on purpose.")
    mirrors: Annotated[tuple[Mirror, ...], Strict(False)] = Field(
        default=(), description="Versions that get a copy of the requests."
    )
    cors_policy: CorsPolicy | None = Field(default=None, description="Pages of other origins that may call.")
    sticky: Sticky | None = Field(default=None, description="Keep a user on the version that the weights chose.")

    @model_validator(mode="after")
    def _one_end(self) -> Rule:
        given = [name for name in ENDS if getattr(self, name) is not None]
        if len(given) == 1:
            return self
        names = " and ".join(_alias(name) for name in given)
        raise wrong(
            f"{names} are given together" if given else "nothing says where the requests go",
            "exactly one of to, redirect and directResponse",
            "keep one of them" if given else "add `to: version-1`, for example",
        )

    @model_validator(mode="after")
    def _on_the_way(self) -> Rule:
        idle = [name for name in ONLY_ON_THE_WAY if getattr(self, name)]
        if self.to is not None or not idle or not (self.redirect or self.direct_response):
            return self
        end = "redirect" if self.redirect else "directResponse"
        names = " and ".join(map(_alias, idle))
        raise wrong(
            f"{names} {'says' if len(idle) == 1 else 'say'} nothing beside {end}: the request goes to no version",
            f"{', '.join(map(_alias, ONLY_ON_THE_WAY))} beside `to`",
            f"take {names} out, or give the rule a `to` instead of the {end}",
        )

    @model_validator(mode="after")
    def _sticks_to_weights(self) -> Rule:
        if self.sticky is None or (isinstance(self.to, dict) and not any(_compares_cookies(m) for m in self.match)):
            return self
        if not isinstance(self.to, dict):
            raise wrong(
                "the rule has no weights, so there is nothing that a user could stick to",
                "sticky beside weights: {version-1: 90, version-2: 10}",
                "take sticky out, or give the versions weights",
            )
        raise wrong(
            "a match of the rule compares cookies, and Istio compares a header only once",
            "sticky beside matches without cookies",
            "take the cookie out of the match, or take sticky out",
        )

    @property
    def weights(self) -> dict[str, int]:
        """Percent of the rule's requests by destination, in the order written; sums to 100, empty without `to`."""
        if self.to is None:
            return {}
        return {self.to: 100} if isinstance(self.to, str) else dict(self.to)


Route = tuple[Rule, ...]


def version_label(service: str, version: str) -> str:
    """Value of the label `version` on the pods of one version: `website-version-1`."""
    return f"{service}-{version}"


def _alias(name: str) -> str:
    return Rule.model_fields[name].alias or name


def _compares_cookies(match: Match) -> bool:
    return bool(match.cookies) or "cookie" in match.headers
