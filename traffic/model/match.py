"""The conditions under which a rule matches a request. Field names and meaning are those of Istio's HTTPMatchRequest
(https://istio.io/latest/docs/reference/config/networking/virtual-service/#HTTPMatchRequest).
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field, Strict, WithJsonSchema, model_validator

from traffic.fields import (
    HEADER_NAME,
    LONGEST_REGEX,
    CookieName,
    DnsLabel,
    HeaderName,
    Host,
    LabelKey,
    LabelValue,
    Model,
    Port,
    Text,
    each_once,
    wrong,
)
from traffic.model.claims import CLAIM, ClaimName, without_claims
from traffic.model.cookies import MOST_COOKIES, cookies_pattern
from traffic.model.string_match import StringMatch


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


MatchHeaderName = Annotated[
    HeaderName,
    WithJsonSchema({"type": "string", "pattern": rf"^({HEADER_NAME}|@request\.auth\.claims(\.?({CLAIM})))$"}),
]
"""A header's name, or Istio's notation for a claim, which is read as `claims`."""


class Match(Model):
    """Conditions on a request that must all hold."""

    headers: dict[MatchHeaderName, StringMatch] = Field(
        default_factory=dict, description="Headers, by lower-case name, and the values they must have."
    )
    without_headers: dict[HeaderName, StringMatch] = Field(
        default_factory=dict, description="Headers, by lower-case name, and the values they must not have."
    )
    cookies: Annotated[dict[CookieName, StringMatch], Field(max_length=MOST_COOKIES)] = Field(
        default_factory=dict, description="Cookies, by name, and the values they must have; in any order."
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
    claims: dict[ClaimName, StringMatch] = Field(
        default_factory=dict,
        description="Claims of the validated token, by name, and the text that each must be, or have among its texts: "
        "at gateways, for tokens of the issuers in the service's `jwt`.",
    )
    gateways: Annotated[tuple[Text, ...], Strict(False), AfterValidator(each_once)] = Field(
        default=(),
        description="Only requests that enter at these: Gateways of the service, or `mesh` for callers inside.",
    )

    @model_validator(mode="before")
    @classmethod
    def _claims_among_headers(cls, data: Any) -> Any:
        return without_claims(data)

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
        if self.cookies and len(cookies_pattern(self.cookies).encode()) > LONGEST_REGEX:
            one = len(self.cookies) == 1
            cookies = f"the cookie{'' if one else 's'} {' and '.join(self.cookies)}"
            raise wrong(
                f"the regular expression that matches {cookies} would be too long for Istio",
                f"at most {LONGEST_REGEX} characters, of which about 30 match the rest of the header"
                + ("" if one else ", for each order of the cookies"),
                f"shorten the value{'' if one else 's'} to compare with",
            )
        return self

    @model_validator(mode="after")
    def _claims_at_gateways(self) -> Match:
        if self.claims and (self.source_labels or self.source_namespace or self.gateways == ("mesh",)):
            raise wrong(
                "claims are known only at gateways, and the match is for callers inside the mesh",
                "claims without sourceLabels and sourceNamespace, and with other gateways than mesh",
                "make two rules of it: one with claims, for callers at the gateway, and one for callers inside",
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
    "sniHosts", "sourceLabels", "sourceNamespace", "claims", "gateways",
)  # fmt: skip
"""The keys of a match that are conditions."""
