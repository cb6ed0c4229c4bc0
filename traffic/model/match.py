"""What a request must be like for a rule to take it. Field names and meaning are those of Istio's HTTPMatchRequest
(https://istio.io/latest/docs/reference/config/networking/virtual-service/#HTTPMatchRequest).
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, Strict, model_validator

from traffic.fields import (
    LONGEST_REGEX,
    CookieName,
    DnsLabel,
    HeaderName,
    LabelKey,
    LabelValue,
    Model,
    Port,
    Regex,
    Text,
    each_once,
    wrong,
)


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


def _authority(want: StringMatch) -> StringMatch:
    if want.present:
        raise wrong(
            "every request has an authority",
            "exact, prefix or regex for the host that the caller asks for",
            "write for example {exact: shop.example.com}",
        )
    return want


def _scheme(want: StringMatch) -> StringMatch:
    if want.exact not in ("http", "https"):
        raise wrong(
            "a request's scheme is http or https",
            "{exact: http} or {exact: https}",
            "write {exact: https}, for example",
        )
    return want


class Match(Model):
    """Conditions on a request that must all hold."""

    headers: dict[HeaderName, StringMatch] = Field(
        default_factory=dict, description="Headers, by lower-case name, and what their values must be."
    )
    without_headers: dict[HeaderName, StringMatch] = Field(
        default_factory=dict, description="Headers, by lower-case name, that must not have such a value."
    )
    cookies: Annotated[dict[CookieName, StringMatch], Field(max_length=1)] = Field(
        default_factory=dict, description="A cookie, by name, and what its value must be."
    )
    uri: Annotated[StringMatch, AfterValidator(_path)] | None = Field(
        default=None, description="The path of the request, without its query."
    )
    ignore_uri_case: bool = Field(default=False, description="Compare an exact or prefix `uri` without regard to case.")
    method: Annotated[StringMatch, AfterValidator(_method)] | None = Field(
        default=None, description="The request's method, such as {exact: GET}."
    )
    authority: Annotated[StringMatch, AfterValidator(_authority)] | None = Field(
        default=None, description="The host that the caller asks for, with its port where it names one."
    )
    scheme: Annotated[StringMatch, AfterValidator(_scheme)] | None = Field(
        default=None, description="{exact: http} or {exact: https}."
    )
    query_params: dict[Text, StringMatch] = Field(
        default_factory=dict, description="Parameters of the query, by name, and what their values must be."
    )
    port: Port | None = Field(default=None, description="Port that the caller asks: the gateway's, or the service's.")
    source_labels: dict[LabelKey, LabelValue] = Field(
        default_factory=dict, description="Labels of the calling pod: for callers inside the mesh."
    )
    source_namespace: DnsLabel | None = Field(
        default=None, description="Namespace of the calling pod: for callers inside the mesh."
    )
    gateways: Annotated[tuple[Text, ...], Strict(False), AfterValidator(each_once)] = Field(
        default=(),
        description="Only requests that come in at these: Gateways of the service, or `mesh` for callers inside.",
    )

    @model_validator(mode="after")
    def _some_condition(self) -> Match:
        if not self.model_fields_set - {"ignore_uri_case"} or self == NO_CONDITION:
            raise wrong(
                "the match has no condition, so it would match every request",
                f"at least one of {', '.join(CONDITIONS)}",
                "add a condition, or leave `match` out for the rule that takes all other requests",
            )
        if self.ignore_uri_case and (self.uri is None or self.uri.regex is not None):
            raise wrong(
                "ignoreUriCase has no effect without an exact or prefix `uri`",
                "ignoreUriCase beside uri: {exact: …} or uri: {prefix: …}",
                "begin the regex with (?i)" if self.uri else "take ignoreUriCase out",
            )
        return self

    @model_validator(mode="after")
    def _cookie_or_its_header(self) -> Match:
        if self.cookies and "cookie" in self.headers:
            raise wrong(
                "cookies and the header `cookie` are given together, and Istio compares a header only once",
                "one of cookies and headers.cookie",
                "say both in one regex of headers.cookie",
            )
        for name, want in self.cookies.items():
            if len(cookie_pattern(name, want).encode()) > LONGEST_REGEX:
                raise wrong(
                    f"the cookie {name} is compared by a regular expression that would be too long for Istio",
                    f"at most {LONGEST_REGEX} characters, of which the comparison itself takes some 30",
                    "shorten what it is compared with",
                )
        return self

    @model_validator(mode="after")
    def _source_is_heeded(self) -> Match:
        if self.gateways and (self.source_labels or self.source_namespace):
            raise wrong(
                "Istio passes over sourceLabels and sourceNamespace where gateways are named",
                "sourceLabels and sourceNamespace without gateways: they are for callers inside the mesh anyway",
                "take gateways out of this match",
            )
        return self


NO_CONDITION = Match.model_construct()
CONDITIONS = (
    "headers", "withoutHeaders", "cookies", "uri", "method", "authority", "scheme", "queryParams", "port",
    "sourceLabels", "sourceNamespace", "gateways",
)  # fmt: skip
"""The keys of a match that make a condition."""


def cookie_pattern(name: str, want: StringMatch) -> str:
    """Return the RE2 pattern of a header `cookie` in which the cookie `name` is as `want` asks."""
    value = (
        want.regex
        if want.regex is not None
        else f"{re.escape(want.prefix)}[^;]*"
        if want.prefix is not None
        else re.escape(want.exact)
        if want.exact is not None
        else "[^;]*"
    )
    return f"(.*;\\s*)?{re.escape(name)}=({value})(;.*)?"
