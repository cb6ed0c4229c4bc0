"""What happens to a request that a rule takes, apart from where it goes. Field names and meaning are Istio's
(https://istio.io/latest/docs/reference/config/networking/virtual-service/#HTTPRoute).
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, Strict, model_validator

from traffic.fields import (
    CookieName,
    Duration,
    HttpStatus,
    Model,
    Percentage,
    Port,
    Regex,
    Text,
    compiled,
    seconds,
    wrong,
)
from traffic.model.header_value import HeaderValue
from traffic.model.match import StringMatch
from traffic.model.target import DestinationName

NAME_TO_SET = r"[-!#$%&'*+.^_`|~0-9A-Za-z]+"
REDIRECTS = (301, 302, 303, 307, 308)
RETRY_ON = (
    "5xx", "gateway-error", "reset", "reset-before-request", "connect-failure", "envoy-ratelimited", "retriable-4xx",
    "refused-stream", "retriable-status-codes", "retriable-headers", "http3-post-connect-failure",
    "cancelled", "deadline-exceeded", "internal", "resource-exhausted", "unavailable",
)  # fmt: skip
"""Conditions of Envoy's retries (Envoy: router filter, x-envoy-retry-on and x-envoy-retry-grpc-on)."""
STATUSES = tuple(str(status.value) for status in HTTPStatus)
GRPC_STATUSES = (
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
    "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip
CORS_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE", "*")


def _name_to_set(value: str) -> str:
    """Istio takes no pseudo header here; `host` is set by a rewrite, so that there is one way to do it."""
    if re.fullmatch(NAME_TO_SET, value) and value.lower() != "host":
        return value.lower()
    raise wrong(
        f"{value!r} is not a header that can be set",
        "a header's name, such as x-canary",
        "write rewrite: {authority: …} for the host"
        if value.lower().strip(":") in ("host", "authority")
        else "choose a name of letters, digits and '-'",
    )


def _status_of_redirect(value: int) -> int:
    if value in REDIRECTS:
        return value
    allowed = ", ".join(map(str, REDIRECTS))
    raise wrong(f"{value} is not a redirect that Envoy can answer", allowed, "write 302, or 301 for good")


def _retry_on(value: str) -> str:
    unknown = [part for part in value.split(",") if part not in RETRY_ON and part not in STATUSES]
    if not unknown:
        return value
    raise wrong(
        f"Envoy knows no such reason to retry: {', '.join(map(repr, unknown))}",
        f"reasons with ',' between them and no spaces: {', '.join(RETRY_ON)}, or a status such as 503",
        "write 5xx,connect-failure, for example",
    )


def _grpc_status(value: str) -> str:
    if value in GRPC_STATUSES:
        return value
    raise wrong(f"gRPC has no status {value!r}", ", ".join(GRPC_STATUSES), "write UNAVAILABLE, for example")


def _cors_method(value: str) -> str:
    if value in CORS_METHODS:
        return value
    known = value.upper() in CORS_METHODS
    raise wrong(
        f"{value!r} is not a method of HTTP as Istio writes it",
        ", ".join(CORS_METHODS),
        f"write {value.upper()}" if known else "write GET, for example",
    )


def _cors_header(value: str) -> str:
    if re.fullmatch(NAME_TO_SET, value):
        return value
    raise wrong(f"{value!r} is not a header's name", "a header's name, or *", "write x-canary, for example")


def _origin(value: StringMatch) -> StringMatch:
    text = value.exact or value.prefix
    pattern = r"[a-z][-+.a-z0-9]*://[^/]*|null" if value.exact else r"[a-z][-+.a-z0-9]*://[^/]*"
    if value.present or (text is not None and text != "*" and not re.fullmatch(pattern, text)):
        host = re.sub(r"^[a-z][-+.a-z0-9]*://", "", text or "").split("/")[0]
        raise wrong(
            "an origin is not compared so" if value.present else f"no origin is or begins with {text!r}",
            "exact or prefix with a scheme and no path, such as https://shop.example.com, '*' for all, or regex",
            f"write {{exact: {_scheme_of(text)}://{host}}}" if text and host else "write {exact: 'https://…'}",
        )
    return value


def _scheme_of(origin: str) -> str:
    return origin.split("://")[0] if "://" in origin else "https"


def _rooted(value: str) -> str:
    if value.startswith("/") and not re.search(r"[\s?#]", value):
        return value
    raise wrong(f"{value!r} is not a path", "a path that begins with / and has no query", "write /new, for example")


HeaderToSet = Annotated[str, AfterValidator(_name_to_set)]
GrpcStatus = Annotated[str, AfterValidator(_grpc_status)]
Origin = Annotated[StringMatch, AfterValidator(_origin)]
CorsMethod = Annotated[str, AfterValidator(_cors_method)]
CorsHeader = Annotated[str, AfterValidator(_cors_header)]
PathText = Annotated[str, AfterValidator(_rooted)]


class Redirect(Model):
    """Answer with another URL; what is left out stays as the caller asked for it."""

    uri: PathText | None = Field(default=None, description="The new path, instead of the whole old one.")
    authority: Text | None = Field(default=None, description="The new host.")
    scheme: Literal["http", "https"] | None = Field(default=None, description="The new scheme.")
    port: Port | None = Field(default=None, description="The new port.")
    redirect_code: Annotated[int, AfterValidator(_status_of_redirect)] = Field(
        default=301, description="Status of the answer: 301, 302, 303, 307 or 308."
    )

    @model_validator(mode="after")
    def _to_somewhere_else(self) -> Redirect:
        if self.uri or self.authority or self.scheme or self.port:
            return self
        raise wrong(
            "the redirect leads to where the caller is already",
            "at least one of uri, authority, scheme and port",
            "write for example {authority: shop.example.com}",
        )


class DirectResponse(Model):
    """Answer at once, without any version of the service."""

    status: HttpStatus = Field(examples=[503], description="Status of the answer.")
    body: Annotated[str, Field(max_length=4096)] | None = Field(default=None, description="Text of the answer.")


class UriRegexRewrite(Model):
    """Rewrite parts of the path."""

    match: Regex = Field(description="RE2 regular expression of the parts of the path to replace.")
    rewrite: Text = Field(description=r"What stands there instead; \1 is what the first group matched.")

    @model_validator(mode="after")
    def _groups_are_there(self) -> UriRegexRewrite:
        named = [int(digit) for digit in re.findall(r"\\([0-9])", self.rewrite.replace("\\\\", ""))]
        groups = compiled(self.match).groups
        if max(named, default=0) <= groups and not re.search(r"\\(?![0-9])", self.rewrite.replace("\\\\", "")):
            return self
        what = (
            f"match has {groups} groups, and rewrite names \\{max(named)}"
            if named
            else "rewrite ends a \\ with no digit"
        )
        raise wrong(
            f"{what}: Envoy would rewrite nothing",
            r"\0 for the whole match, \1 to \9 for its groups, \\ for a backslash",
            "put the part that you mean in ( ), or name another group",
        )


class Rewrite(Model):
    """Change the request's path or host on its way to the version."""

    uri: PathText | None = Field(
        default=None, description="Instead of the part of the path that `uri` matched: its prefix, or all of it."
    )
    uri_regex_rewrite: UriRegexRewrite | None = Field(default=None, description="Rewrite the path by RE2.")
    authority: Text | None = Field(default=None, description="The host that the version sees.")

    @model_validator(mode="after")
    def _one_way(self) -> Rewrite:
        if self.uri is not None and self.uri_regex_rewrite is not None:
            raise wrong(
                "uri and uriRegexRewrite are given together",
                "one of uri and uriRegexRewrite",
                "keep the one that says where requests shall go",
            )
        if self == Rewrite.model_construct():
            raise wrong("nothing is rewritten", "uri, uriRegexRewrite or authority", "write for example {uri: /}")
        return self


class HeaderOperations(Model):
    """Changes of headers, in Envoy's order: remove, then set, then add."""

    set: dict[HeaderToSet, HeaderValue] = Field(default_factory=dict, description="Headers to set, whatever they were.")
    add: dict[HeaderToSet, HeaderValue] = Field(default_factory=dict, description="Values to add to headers.")
    remove: Annotated[tuple[HeaderToSet, ...], Strict(False)] = Field(default=(), description="Headers to take away.")


class Headers(Model):
    """Changes of the headers of the request and of its answer."""

    request: HeaderOperations = Field(default_factory=HeaderOperations, description="Of the request.")
    response: HeaderOperations = Field(default_factory=HeaderOperations, description="Of the answer.")


class Retries(Model):
    """How often, and why, Envoy asks again; attempts 0 switches Istio's own two retries off."""

    attempts: Annotated[int, Field(ge=0, le=100)] = Field(examples=[2], description="Retries after the first try.")
    per_try_timeout: Duration | None = Field(default=None, description="How long one try may take, such as 2s.")
    retry_on: Annotated[str, AfterValidator(_retry_on)] | None = Field(
        default=None, description="Reasons to ask again, such as 5xx,connect-failure; left out, Istio's own."
    )
    retry_remote_localities: bool | None = Field(
        default=None, description="Whether retries may go to pods of other localities."
    )
    retry_ignore_previous_hosts: bool | None = Field(
        default=None, description="Whether retries prefer pods that were not tried yet; left out, they do."
    )
    backoff: Duration | None = Field(
        default=None, description="Least pause before a retry, which grows with each; left out, 25ms."
    )

    @model_validator(mode="after")
    def _are_switched_off_alone(self) -> Retries:
        if self.attempts == 0 and self.model_fields_set != {"attempts"}:
            raise wrong(
                "attempts is 0, so there are no retries, and the other keys say nothing",
                "attempts: 0 alone, or attempts of 1 or more",
                "take the other keys out, or raise attempts",
            )
        return self


class Percent(Model):
    """A share of the requests, with decimals."""

    value: Percentage = Field(examples=[50], description="Percent of the requests, from 0 to 100.")


class Delay(Model):
    """Hold requests back before they go on."""

    fixed_delay: Duration = Field(examples=["5s"], description="How long.")
    percentage: Percent = Field(default=Percent(value=100), description="Share of the requests.")


class Abort(Model):
    """Answer with an error instead of going on: exactly one of `httpStatus` and `grpcStatus`."""

    http_status: HttpStatus | None = Field(default=None, description="Status of the answer.")
    grpc_status: GrpcStatus | None = Field(default=None, description="Status of gRPC, such as UNAVAILABLE.")
    percentage: Percent = Field(default=Percent(value=100), description="Share of the requests.")

    @model_validator(mode="after")
    def _one_status(self) -> Abort:
        if (self.http_status is None) != (self.grpc_status is None):
            return self
        raise wrong(
            "the fault has no status" if self.http_status is None else "the fault has two statuses",
            "exactly one of httpStatus and grpcStatus",
            "write httpStatus: 503, for example",
        )


class Fault(Model):
    """Errors and delays on purpose, to see how callers bear them."""

    delay: Delay | None = Field(default=None, description="Hold requests back.")
    abort: Abort | None = Field(default=None, description="Answer with an error.")

    @model_validator(mode="after")
    def _some_fault(self) -> Fault:
        if self.delay or self.abort:
            return self
        raise wrong("the fault does nothing", "delay, abort, or both", "write for example abort: {httpStatus: 503}")


class Mirror(Model):
    """Send a copy of requests to another version as well; its answers are thrown away."""

    to: DestinationName = Field(
        examples=["version-2"], description="A version, or <service>/<version> of another service."
    )
    percentage: Percent = Field(default=Percent(value=100), description="Share of the requests that are copied.")


class CorsPolicy(Model):
    """Which pages of other origins may call from a browser (Fetch standard: CORS)."""

    allow_origins: Annotated[
        tuple[Annotated[StringMatch, AfterValidator(_origin)], ...], Strict(False), Field(min_length=1)
    ] = Field(examples=[[{"exact": "https://shop.example.com"}]], description="Origins that may call.")
    allow_methods: Annotated[tuple[CorsMethod, ...], Strict(False)] = Field(
        default=(), description="Methods they may use."
    )
    allow_headers: Annotated[tuple[CorsHeader, ...], Strict(False)] = Field(
        default=(), description="Headers they may send."
    )
    expose_headers: Annotated[tuple[CorsHeader, ...], Strict(False)] = Field(
        default=(), description="Headers of the answer they may read."
    )
    max_age: Duration | None = Field(default=None, description="How long a browser may keep the answer in mind.")
    allow_credentials: bool | None = Field(default=None, description="Whether cookies may be sent along.")
    unmatched_preflights: Literal["FORWARD", "IGNORE"] | None = Field(
        default=None, description="Whether preflights of other origins go on to the service."
    )

    @model_validator(mode="after")
    def _whole_seconds(self) -> CorsPolicy:
        if self.max_age is None or seconds(self.max_age).is_integer():
            return self
        raise wrong(f"maxAge is {self.max_age}", "whole seconds", "write 24h, for example")


class Sticky(Model):
    """Keep a user on the version that the weights chose: the answer sets a cookie, which later requests bring back."""

    cookie: CookieName = Field(examples=["website-version"], description="Name of the cookie.")
    ttl: Duration = Field(examples=["1h"], description="How long the cookie lives, in whole seconds.")

    @model_validator(mode="after")
    def _whole_seconds(self) -> Sticky:
        if seconds(self.ttl) >= 1 and seconds(self.ttl).is_integer():
            return self
        raise wrong(f"a cookie cannot live {self.ttl}", "whole seconds, at least 1s", "write 1h, for example")
