"""What happens to a request that a rule matches, apart from its destination. Field names and meaning are Istio's
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
from traffic.model.string_match import StringMatch
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
    """Istio accepts no pseudo-headers here; `host` is set by a rewrite, so that there is one way to do it."""
    if re.fullmatch(NAME_TO_SET, value) and value.lower() != "host":
        return value.lower()
    raise wrong(
        f"{value!r} is not a header that can be set",
        "a header name, such as x-canary",
        "write rewrite: {authority: …} for the host"
        if value.lower().strip(":") in ("host", "authority")
        else "use a name of letters, digits and '-'",
    )


def _status_of_redirect(value: int) -> int:
    if value in REDIRECTS:
        return value
    allowed = ", ".join(map(str, REDIRECTS))
    raise wrong(
        f"{value} is not a redirect status that Envoy supports", allowed, "write 302, or 301 for a permanent redirect"
    )


def _retry_on(value: str) -> str:
    unknown = [part for part in value.split(",") if part not in RETRY_ON and part not in STATUSES]
    if not unknown:
        return value
    raise wrong(
        f"unknown retry condition: {', '.join(map(repr, unknown))}",
        f"a comma-separated list without spaces of {', '.join(RETRY_ON)}, or a status such as 503",
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
        f"{value!r} is not an HTTP method that Istio accepts",
        ", ".join(CORS_METHODS),
        f"write {value.upper()}" if known else "write GET, for example",
    )


def _cors_header(value: str) -> str:
    if re.fullmatch(NAME_TO_SET, value):
        return value
    raise wrong(f"{value!r} is not a header name", "a header name, or *", "write x-canary, for example")


def _origin(value: StringMatch) -> StringMatch:
    text = value.exact or value.prefix
    pattern = r"[a-z][-+.a-z0-9]*://[^/]*|null" if value.exact else r"[a-z][-+.a-z0-9]*://[^/]*"
    if value.present or (text is not None and text != "*" and not re.fullmatch(pattern, text)):
        host = re.sub(r"^[a-z][-+.a-z0-9]*://", "", text or "").split("/")[0]
        raise wrong(
            "an origin cannot be matched by present" if value.present else f"no origin is or begins with {text!r}",
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
    """Redirect to another URL; unset fields keep the value of the request."""

    uri: PathText | None = Field(default=None, description="The new path, in place of the whole path.")
    prefix_rewrite: PathText | None = Field(
        default=None,
        description="The new text for the prefix that `uri` matched; the rest of the path stays. Istio 1.31 or newer.",
    )
    authority: Text | None = Field(default=None, description="The new host.")
    scheme: Literal["http", "https"] | None = Field(default=None, description="The new scheme.")
    port: Port | None = Field(default=None, description="The new port.")
    redirect_code: Annotated[int, AfterValidator(_status_of_redirect)] = Field(
        default=301, description="Response status: 301, 302, 303, 307 or 308."
    )

    @model_validator(mode="after")
    def _to_somewhere_else(self) -> Redirect:
        if self.uri and self.prefix_rewrite:
            raise wrong(
                "uri and prefixRewrite are set together",
                "uri, which replaces the whole path, or prefixRewrite, which keeps what follows the prefix",
                "remove one of the two",
            )
        if self.uri or self.prefix_rewrite or self.authority or self.scheme or self.port:
            return self
        raise wrong(
            "the redirect leads to the URL that was requested",
            "at least one of uri, prefixRewrite, authority, scheme and port",
            "write {authority: shop.example.com}, for example",
        )


class DirectResponse(Model):
    """Respond directly, without sending the request to a version."""

    status: HttpStatus = Field(examples=[503], description="Response status.")
    body: Annotated[str, Field(max_length=4096)] | None = Field(default=None, description="Response body.")


class UriRegexRewrite(Model):
    """Rewrite parts of the path."""

    match: Regex = Field(description="RE2 regular expression of the parts of the path to replace.")
    rewrite: Text = Field(description=r"The replacement; \1 is what the first group matched.")

    @model_validator(mode="after")
    def _groups_are_there(self) -> UriRegexRewrite:
        named = [int(digit) for digit in re.findall(r"\\([0-9])", self.rewrite.replace("\\\\", ""))]
        groups = compiled(self.match).groups
        if max(named, default=0) <= groups and not re.search(r"\\(?![0-9])", self.rewrite.replace("\\\\", "")):
            return self
        what = (
            f"match has {groups} groups, and rewrite refers to \\{max(named)}"
            if named
            else "rewrite has a \\ without a digit after it"
        )
        raise wrong(
            f"{what}: Envoy would not rewrite anything",
            r"\0 for the whole match, \1 to \9 for its groups, \\ for a backslash",
            "put the part you mean in ( ), or refer to another group",
        )


class Rewrite(Model):
    """Change the request's path or host on its way to the version."""

    uri: PathText | None = Field(
        default=None, description="Replacement for the part of the path that `uri` matched: its prefix, or all of it."
    )
    uri_regex_rewrite: UriRegexRewrite | None = Field(default=None, description="Rewrite the path with RE2.")
    authority: Text | None = Field(default=None, description="The host that the version sees.")

    @model_validator(mode="after")
    def _one_way(self) -> Rewrite:
        if self.uri is not None and self.uri_regex_rewrite is not None:
            raise wrong(
                "uri and uriRegexRewrite are both set",
                "one of uri and uriRegexRewrite",
                "remove one of the two",
            )
        if self == Rewrite.model_construct():
            raise wrong("nothing is rewritten", "uri, uriRegexRewrite or authority", "write {uri: /}, for example")
        return self


class HeaderOperations(Model):
    """Changes to headers, in Envoy's order: remove, then set, then add."""

    set: dict[HeaderToSet, HeaderValue] = Field(
        default_factory=dict, description="Headers to set, replacing any existing value."
    )
    add: dict[HeaderToSet, HeaderValue] = Field(default_factory=dict, description="Values to add to headers.")
    remove: Annotated[tuple[HeaderToSet, ...], Strict(False)] = Field(default=(), description="Headers to remove.")


class Headers(Model):
    """Changes to the headers of the request and of the response."""

    request: HeaderOperations = Field(default_factory=HeaderOperations, description="Changes to the request headers.")
    response: HeaderOperations = Field(default_factory=HeaderOperations, description="Changes to the response headers.")


class Retries(Model):
    """How often, and on which conditions, Envoy retries; `attempts: 0` disables Istio's default of two retries."""

    attempts: Annotated[int, Field(ge=0, le=100)] = Field(examples=[2], description="Retries after the first attempt.")
    per_try_timeout: Duration | None = Field(default=None, description="Timeout of each attempt, such as 2s.")
    retry_on: Annotated[str, AfterValidator(_retry_on)] | None = Field(
        default=None, description="Retry conditions, such as 5xx,connect-failure; if unset, Istio's default."
    )
    retry_remote_localities: bool | None = Field(
        default=None, description="Whether retries may go to pods in other localities."
    )
    retry_ignore_previous_hosts: bool | None = Field(
        default=None, description="Whether retries prefer pods that were not tried yet; true if unset."
    )
    backoff: Duration | None = Field(
        default=None, description="Base interval between retries, which grows with each retry; 25ms if unset."
    )

    @model_validator(mode="after")
    def _are_switched_off_alone(self) -> Retries:
        if self.attempts == 0 and self.model_fields_set != {"attempts"}:
            raise wrong(
                "attempts is 0, so there are no retries, and the other keys have no effect",
                "attempts: 0 with no other key, or attempts of 1 or more",
                "remove the other keys, or raise attempts",
            )
        return self


class Percent(Model):
    """A percentage of the requests, with decimals."""

    value: Percentage = Field(examples=[50], description="Percent of the requests, from 0 to 100.")


class Delay(Model):
    """Delay requests before they are forwarded."""

    fixed_delay: Duration = Field(examples=["5s"], description="Length of the delay.")
    percentage: Percent = Field(default=Percent(value=100), description="Percentage of the requests.")


class Abort(Model):
    """Respond with an error instead of forwarding the request: exactly one of `httpStatus` and `grpcStatus`."""

    http_status: HttpStatus | None = Field(default=None, description="Response status.")
    grpc_status: GrpcStatus | None = Field(default=None, description="gRPC status, such as UNAVAILABLE.")
    percentage: Percent = Field(default=Percent(value=100), description="Percentage of the requests.")

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
    """Injected delays and errors, to test how callers handle them."""

    delay: Delay | None = Field(default=None, description="Delay requests.")
    abort: Abort | None = Field(default=None, description="Respond with an error.")

    @model_validator(mode="after")
    def _some_fault(self) -> Fault:
        if self.delay or self.abort:
            return self
        raise wrong("the fault does nothing", "delay, abort, or both", "write abort: {httpStatus: 503}, for example")


class Mirror(Model):
    """Also send a copy of requests to another version; its responses are discarded."""

    to: DestinationName = Field(
        examples=["version-2"], description="A version, or <service>/<version> for another service."
    )
    percentage: Percent = Field(default=Percent(value=100), description="Percentage of the requests that are copied.")


class CorsPolicy(Model):
    """Which other origins may call the service from a browser (Fetch standard: CORS)."""

    allow_origins: Annotated[
        tuple[Annotated[StringMatch, AfterValidator(_origin)], ...], Strict(False), Field(min_length=1)
    ] = Field(examples=[[{"exact": "https://shop.example.com"}]], description="Origins that are allowed.")
    allow_methods: Annotated[tuple[CorsMethod, ...], Strict(False)] = Field(
        default=(), description="Methods that are allowed."
    )
    allow_headers: Annotated[tuple[CorsHeader, ...], Strict(False)] = Field(
        default=(), description="Request headers that are allowed."
    )
    expose_headers: Annotated[tuple[CorsHeader, ...], Strict(False)] = Field(
        default=(), description="Response headers that pages may read."
    )
    max_age: Duration | None = Field(default=None, description="How long a browser may cache the preflight response.")
    allow_credentials: bool | None = Field(default=None, description="Whether requests may carry cookies.")
    unmatched_preflights: Literal["FORWARD", "IGNORE"] | None = Field(
        default=None, description="Whether preflights from other origins are forwarded to the service."
    )

    @model_validator(mode="after")
    def _whole_seconds(self) -> CorsPolicy:
        if self.max_age is None or seconds(self.max_age).is_integer():
            return self
        raise wrong(f"maxAge is {self.max_age}", "whole seconds", "write 24h, for example")


class Sticky(Model):
    """Keep a user on the version that the weights chose, by a cookie that the response sets."""

    cookie: CookieName = Field(examples=["website-version"], description="Name of the cookie.")
    ttl: Duration = Field(examples=["1h"], description="Lifetime of the cookie, in whole seconds.")

    @model_validator(mode="after")
    def _whole_seconds(self) -> Sticky:
        if seconds(self.ttl) >= 1 and seconds(self.ttl).is_integer():
            return self
        raise wrong(f"a cookie's lifetime cannot be {self.ttl}", "whole seconds, at least 1s", "write 1h, for example")
