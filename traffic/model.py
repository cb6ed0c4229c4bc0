"""The route table of a service: ordered rules, each with its matches and its destination.

The same objects are rendered to Istio, simulated, compared and measured. Field names are those of a
VirtualService (https://istio.io/latest/docs/reference/config/networking/virtual-service/).
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Strict, Tag, model_validator

from traffic.fields import HeaderName, Model, Percent, Regex, Text, wrong

ONE_VERSION, WEIGHTS = "<one version>", "<weights>"
"""Marks of the two kinds of destination in the places of validation errors; no key can be named so."""


class StringMatch(Model):
    """How a text is compared: exactly one of `exact`, `prefix`, `regex` and, for headers, `present`."""

    exact: Text | None = Field(default=None, description="The whole value, case-sensitive.")
    prefix: Text | None = Field(default=None, description="What the value begins with, case-sensitive.")
    regex: Regex | None = Field(default=None, description="RE2 regular expression that the whole value must match.")
    present: Literal[True] | None = Field(
        default=None, description="true: the header is there, with any value; not there is withoutHeaders."
    )

    @model_validator(mode="after")
    def _one_comparison(self) -> StringMatch:
        chosen = [name for name in ("exact", "prefix", "regex", "present") if getattr(self, name) is not None]
        if len(chosen) == 1:
            return self
        what = f"{' and '.join(chosen)} are given together" if chosen else "nothing to compare with is given"
        raise wrong(
            what,
            "exactly one of exact, prefix, regex and (for headers) present",
            f"keep one of {', '.join(chosen)}; one regex can say what both say"
            if chosen
            else "write for example {exact: canary-test}, or {present: true} for any value",
        )


def _path(want: StringMatch) -> StringMatch:
    text = want.exact or want.prefix
    if want.present or (text is not None and not re.fullmatch(r"/[^?#\s]*", text)):
        raise wrong(
            "every request has a path" if want.present else f"no request's path is or begins with {text!r}",
            "exact or prefix with a path that begins with / and has no query and no spaces, or regex",
            "write for example {prefix: /shop}",
        )
    return want


def _method(want: StringMatch) -> StringMatch:
    text = want.exact or want.prefix
    if want.present or (text is not None and not re.fullmatch(r"[A-Z]+", text)):
        raise wrong(
            "every request has a method" if want.present else f"no request's method is or begins with {text!r}",
            "a method of HTTP in upper case, such as GET, or a regex",
            f"write {text.upper()}" if text and text.isalpha() else "write for example {exact: GET}",
        )
    return want


class Match(Model):
    """Conditions on a request that must all hold. Field names and meaning are Istio's HTTPMatchRequest."""

    headers: dict[HeaderName, StringMatch] = Field(
        default_factory=dict, description="Headers, by lower-case name, and what their values must be."
    )
    without_headers: dict[HeaderName, StringMatch] = Field(
        default_factory=dict, description="Headers, by lower-case name, that must not have such a value."
    )
    uri: Annotated[StringMatch, AfterValidator(_path)] | None = Field(
        default=None, description="The path of the request, without its query."
    )
    ignore_uri_case: bool = Field(default=False, description="Compare an exact or prefix `uri` without regard to case.")
    method: Annotated[StringMatch, AfterValidator(_method)] | None = Field(
        default=None, description="The request's method, such as {exact: GET}."
    )

    @model_validator(mode="after")
    def _some_condition(self) -> Match:
        if not (self.headers or self.without_headers or self.uri or self.method):
            raise wrong(
                "the match has no condition, so it would match every request",
                "at least one of headers, withoutHeaders, uri and method",
                "add a condition, or leave `match` out for the rule that takes all other requests",
            )
        if self.ignore_uri_case and (self.uri is None or self.uri.regex is not None):
            raise wrong(
                "ignoreUriCase has no effect without an exact or prefix `uri`",
                "ignoreUriCase beside uri: {exact: …} or uri: {prefix: …}",
                "begin the regex with (?i)" if self.uri else "take ignoreUriCase out",
            )
        return self


def _kind_of_destination(value: Any) -> str | None:
    if isinstance(value, str):
        return ONE_VERSION
    return WEIGHTS if isinstance(value, dict) else None


Destination = Annotated[
    Annotated[str, Tag(ONE_VERSION)] | Annotated[dict[str, Percent], Field(min_length=1), Tag(WEIGHTS)],
    Discriminator(_kind_of_destination),
]


class Rule(Model):
    """One rule of a route: the first rule of which any match fits decides where a request goes."""

    match: Annotated[tuple[Match, ...], Field(min_length=1), Strict(False)] = Field(
        default=(), description="Any of these must hold; left out, the rule takes every request that is left."
    )
    to: Destination = Field(
        examples=["version-1"],
        description="One version, or percentages that sum to 100: {version-1: 90, version-2: 10}.",
    )

    @property
    def weights(self) -> dict[str, int]:
        """Percent of the rule's requests by version, in the order written; sums to 100."""
        return {self.to: 100} if isinstance(self.to, str) else dict(self.to)


Route = tuple[Rule, ...]


def version_label(service: str, version: str) -> str:
    """Value of the label `version` on the pods of one version: `website-version-1`."""
    return f"{service}-{version}"
