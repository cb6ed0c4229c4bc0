"""The conditions under which a rule matches a request. Field names and meaning are those of Istio's HTTPMatchRequest
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
    Host,
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
    """How a value is compared: exactly one of `exact`, `prefix`, `regex` and, for headers, `present`."""

    exact: Text | None = Field(default=None, description="The whole value, case-sensitive.")
    prefix: Text | None = Field(default=None, description="The beginning of the value, case-sensitive.")
    regex: Regex | None = Field(default=None, description="RE2 regular expression that the whole value must match.")
    present: Literal[True] | None = Field(
        default=None, description="true: the header is present, with any value; for absent headers use withoutHeaders."
    )

    @model_validator(mode="after")
    def _one_comparison(self) -> StringMatch:
        chosen = [name for name in ("exact", "prefix", "regex", "present") if getattr(self, name) is not None]
        if len(chosen) == 1:
            return self
        what = f"{' and '.join(chosen)} are set together" if chosen else "there is no value to compare with"
        raise wrong(
            what,
            "exactly one of exact, prefix, regex and (for headers) present",
            f"keep one of {', '.join(chosen)}; one regex can combine them"
            if chosen
            else "write {exact: canary-test}, for example, or {present: true} for any value",
        )


def _path(want: StringMatch) -> StringMatch:
    text = want.exact or want.prefix
    if want.present or (text is not None and not re.fullmatch(r"/[^?#\s]*", text)):
        raise wrong(
            "every request has a path" if want.present else f"no request's path is or begins with {text!r}",
            "exact or prefix with a path that begins with / and has no query or spaces, or regex",
            "write {prefix: /shop}, for example",
        )
    return want


def _method(want: StringMatch) -> StringMatch:
    text = want.exact or want.prefix
    if want.present or (text is not None and not re.fullmatch(r"[A-Z]+", text)):
        raise wrong(
            "every request has a method" if want.present else f"no request's method is or begins with {text!r}",
            "an HTTP method in upper case, such as GET, or a regex",
            f"write {text.upper()}" if text and text.isalpha() else "write {exact: GET}, for example",
        )
    return want


def _authority(want: StringMatch) -> StringMatch:
    if want.present:
        raise wrong(
            "every request has an authority",
            "exact, prefix or regex for the request's Host header",
            "write {exact: shop.example.com}, for example",
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
        default_factory=dict, description="Headers, by lower-case name, and the values they must have."
    )
    without_headers: dict[HeaderName, StringMatch] = Field(
        default_factory=dict, description="Headers, by lower-case name, and the values they must not have."
    )
    cookies: Annotated[dict[CookieName, StringMatch], Field(max_length=1)] = Field(
        default_factory=dict, description="A cookie, by name, and the value it must have."
    )
    uri: Annotated[StringMatch, AfterValidator(_path)] | None = Field(
        default=None, description="The path of the request, without its query."
    )
    ignore_uri_case: bool = Field(default=False, description="Ignore case when comparing an exact or prefix `uri`.")
    method: Annotated[StringMatch, AfterValidator(_method)] | None = Field(
        default=None, description="The request's method, such as {exact: GET}."
    )
    authority: Annotated[StringMatch, AfterValidator(_authority)] | None = Field(
        default=None, description="The request's Host header, with its port if it has one."
    )
    scheme: Annotated[StringMatch, AfterValidator(_scheme)] | None = Field(
        default=None, description="{exact: http} or {exact: https}."
    )
    query_params: dict[Text, StringMatch] = Field(
        default_factory=dict, description="Query parameters, by name, and the values they must have."
    )
    port: Port | None = Field(
        default=None, description="Port that the request is sent to: the gateway's, or the service's."
    )
    sni_hosts: Annotated[tuple[Host, ...], Strict(False), AfterValidator(each_once)] = Field(
        default=(),
        examples=[["broker.example.com"]],
        description="Server names (SNI) of TLS connections, any of them; only in routes of protocol TLS.",
    )
    source_labels: dict[LabelKey, LabelValue] = Field(
        default_factory=dict, description="Labels of the calling pod: for callers inside the mesh."
    )
    source_namespace: DnsLabel | None = Field(
        default=None, description="Namespace of the calling pod: for callers inside the mesh."
    )
    gateways: Annotated[tuple[Text, ...], Strict(False), AfterValidator(each_once)] = Field(
        default=(),
        description="Only requests that enter at these: Gateways of the service, or `mesh` for callers inside.",
    )

    @model_validator(mode="after")
    def _some_condition(self) -> Match:
        if not self.model_fields_set - {"ignore_uri_case"} or self == NO_CONDITION:
            raise wrong(
                "the match has no condition, so it would match every request",
                f"at least one of {', '.join(CONDITIONS)}",
                "add a condition, or omit `match` in the rule for all other requests",
            )
        if self.ignore_uri_case and (self.uri is None or self.uri.regex is not None):
            raise wrong(
                "ignoreUriCase has no effect without an exact or prefix `uri`",
                "ignoreUriCase with uri: {exact: …} or uri: {prefix: …}",
                "begin the regex with (?i)" if self.uri else "remove ignoreUriCase",
            )
        return self

    @model_validator(mode="after")
    def _cookie_or_its_header(self) -> Match:
        if self.cookies and "cookie" in self.headers:
            raise wrong(
                "cookies and headers.cookie are both set, and Istio matches a header only once",
                "one of cookies and headers.cookie",
                "combine both in one regex of headers.cookie",
            )
        for name, want in self.cookies.items():
            if len(cookie_pattern(name, want).encode()) > LONGEST_REGEX:
                raise wrong(
                    f"the regular expression that matches the cookie {name} would be too long for Istio",
                    f"at most {LONGEST_REGEX} characters, of which about 30 match the rest of the header",
                    "shorten the value to compare with",
                )
        return self

    @model_validator(mode="after")
    def _source_has_an_effect(self) -> Match:
        if self.gateways and (self.source_labels or self.source_namespace):
            raise wrong(
                "Istio ignores sourceLabels and sourceNamespace in a match with gateways",
                "sourceLabels and sourceNamespace without gateways: they only match callers inside the mesh",
                "remove gateways from this match",
            )
        return self


NO_CONDITION = Match.model_construct()
CONDITIONS = (
    "headers", "withoutHeaders", "cookies", "uri", "method", "authority", "scheme", "queryParams", "port",
    "sniHosts", "sourceLabels", "sourceNamespace", "gateways",
)  # fmt: skip
"""The keys of a match that are conditions."""


def cookie_pattern(name: str, want: StringMatch) -> str:
    """Return the RE2 pattern for a `cookie` header in which the cookie `name` satisfies `want`."""
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
