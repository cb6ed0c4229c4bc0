"""The small types that routes are made of, each with its validation message.

A validator here raises `wrong(...)`: what is wrong, what is allowed instead, and the fix. The JSON schema that
editors use (`WithJsonSchema`) is next to the check that decides.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Annotated, Any

import re2
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

WRONG = "wrong"
"""Type of the validation errors that carry their own message, what is allowed and the fix."""

DNS_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
HEADER_NAME = r"[-_.a-z0-9]+"
LONGEST_REGEX = 1024  # Istio rejects longer ones
CLAIM_HEADER = r"@?request\.auth\.claims(?![-\w])|@request\.auth\b[-.\w]*"
NOT_HEADERS = ("uri", "scheme", "method", "authority")
SECRET_NAME = rf"{DNS_LABEL}(\.{DNS_LABEL})*"
COOKIE_NAME = r"[-!#$%&'*+.^_`|~0-9A-Za-z]+"
LABEL_KEY = r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?"
LABEL_VALUE = r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?"
DURATION = r"([0-9]+(\.[0-9]+)?(ms|s|m|h))+"
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
HOST = rf"\*|\*\.{DNS_LABEL}(\.{DNS_LABEL})*|{DNS_LABEL}(\.{DNS_LABEL})+"
LONGEST_DURATION = 10_000  # hours; Istio's API allows centuries, browsers keep cookies for about a year
SMALLEST_PERCENTAGE = 0.0001
PORTS_OF_ISTIO = (15000, 15001, 15002, 15004, 15006, 15008, 15020, 15021, 15053, 15090)


class Model(BaseModel):
    """Base of all settings: immutable, no unknown keys, no silent conversions, camelCase keys in files."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
    )


def wrong(what: str, allowed: str, fix: str) -> PydanticCustomError:
    """Return the error for one value: what is wrong with it, what is allowed, and how to fix it."""
    return PydanticCustomError(WRONG, "{what}", {"what": what, "allowed": allowed, "fix": fix})


def dns_label(value: str) -> str:
    """Return `value` if it is a DNS label (RFC 1123), as Kubernetes requires of names."""
    if len(value) <= 63 and re.fullmatch(DNS_LABEL, value):
        return value
    suggestion = re.sub(r"[^a-z0-9-]+", "-", value.lower())[:63].strip("-")
    what = f"{value!r} has {len(value)} characters" if len(value) > 63 else f"{value!r} is not a DNS label"
    raise wrong(
        what,
        "1 to 63 characters of a-z, 0-9 and '-', beginning and ending with a letter or digit",
        f"write {suggestion!r}, for example" if suggestion else "use a name such as 'website'",
    )


def header_name(value: str) -> str:
    """Return `value` if Istio can match it as a header name: lower case, no spaces, not a pseudo-header."""
    allowed = "a header name in lower case, with '-' between words, such as x-canary"
    if value in NOT_HEADERS:
        raise wrong(
            f"Istio ignores {value!r} in `headers`",
            allowed,
            f"use the match key `{value}:`",
        )
    if re.match(CLAIM_HEADER, value, re.IGNORECASE):
        raise _claim_as_header(value, allowed)
    if re.fullmatch(HEADER_NAME, value):
        return value
    pseudo = value.lower().removeprefix(":")
    if value.startswith(":") and pseudo in NOT_HEADERS:
        raise wrong(f"{value!r} is not a header that Istio matches by name", allowed, f"use the match key `{pseudo}:`")
    # Without its other characters a name would be another header, which other callers may send.
    suggestion = re.sub(r"\s+", "-", value.strip().lower())
    what = f"{value!r} is not a header name that Istio can match"
    is_same = re.fullmatch(HEADER_NAME, suggestion)
    raise wrong(what, allowed, f"write {suggestion!r}" if is_same else "use a name such as 'x-canary'")


def _claim_as_header(value: str, allowed: str) -> PydanticCustomError:
    """Istio's notation for a claim of a validated token, and what is left of it without its @, a mere header."""
    claim = re.sub(CLAIM_HEADER, "", value, flags=re.IGNORECASE)
    key = claim if re.match(r"\[|$", claim) else claim.removeprefix(".")
    what = (
        f"{value!r} is not a header, but Istio's notation for a claim of a validated token"
        if value.startswith("@")
        else f"{value!r} would be a header that any caller can send, not a claim of a validated token"
    )
    shown = f"'{key}'" if re.search(r"[^\w.-]", key) else key or "groups"
    return wrong(what, allowed, f"use the match key `claims`: {{{shown}: {{exact: …}}}}, at a gateway and with `jwt`")


@lru_cache(maxsize=1024)
def compiled(pattern: str) -> Any:
    """Return the RE2 pattern that Envoy would compile. Raises `re2.error` with RE2's reason.

    Envoy matches bytes (measured): `.` matches half an `é`, which is two bytes in UTF-8.
    """
    options = re2.Options()
    options.log_errors = False
    options.encoding = re2.Options.Encoding.LATIN1
    return re2.compile(pattern.encode(), options)


def regex(value: str) -> str:
    """Return `value` if RE2, Envoy's regular expression engine, can parse it."""
    allowed = "an RE2 regular expression (no look-ahead, no back-references) that matches the whole value"
    if not value:
        raise wrong("the regular expression is empty", allowed, "write '.*Firefox.*', for example")
    if len(value.encode()) > LONGEST_REGEX:
        what = f"the regular expression has {len(value.encode())} characters"
        raise wrong(what, f"{allowed}, of at most {LONGEST_REGEX} characters", "shorten it, or split the match")
    if re.search(r"(?<!\\)(\\\\)*\\C", value):
        raise wrong(f"istiod does not accept \\C, as in {value!r}", allowed, "write . for any character")
    try:
        compiled(value)
    except re2.error as error:
        reason = error.args[0] if error.args else "it cannot be parsed"
        reason = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise wrong(
            f"RE2, which Envoy uses, cannot parse {value!r}: {reason}",
            allowed,
            "correct the expression; RE2's syntax: https://github.com/google/re2/wiki/Syntax",
        ) from None
    return value


def cookie_name(value: str) -> str:
    """Return `value` if it is a cookie name (RFC 6265)."""
    if re.fullmatch(COOKIE_NAME, value):
        return value
    raise wrong(
        f"{value!r} is not a cookie name",
        "letters, digits and !#$%&'*+-.^_`|~; no spaces, '=' or ';'",
        "write website-version, for example",
    )


def label_key(value: str) -> str:
    """Return `value` if it is a Kubernetes label key."""
    if re.fullmatch(LABEL_KEY, value) and len(value.rpartition("/")[2]) <= 63:
        return value
    raise wrong(
        f"{value!r} is not a label key",
        "at most 63 letters, digits, '-', '_' and '.', with an optional prefix of a DNS name and '/'",
        "write app, for example",
    )


def label_value(value: str) -> str:
    """Return `value` if it is a Kubernetes label value."""
    if re.fullmatch(LABEL_VALUE, value) and len(value) <= 63:
        return value
    raise wrong(
        f"{value!r} is not a label value",
        "at most 63 letters, digits, '-', '_' and '.'",
        "write website, for example",
    )


def duration(value: str) -> str:
    """Return `value` if it is a Go duration of whole milliseconds, at least 1ms, as Istio requires."""
    allowed = "a number with a unit (ms, s, m or h), at least 1ms"
    if not re.fullmatch(DURATION, value) or seconds(value) == 0:
        raise wrong(
            f"{value!r} is not a duration", allowed, f"write {_duration_meant(value) or '30s or 1.5h, for example'}"
        )
    milliseconds = round(seconds(value) * 1000, 6)
    if not milliseconds.is_integer():
        raise wrong(f"{value!r} has fractions of a millisecond", allowed, f"write {max(round(milliseconds), 1)}ms")
    if milliseconds > LONGEST_DURATION * 3_600_000:
        raise wrong(f"{value!r} is too long", f"{allowed}, and at most {LONGEST_DURATION}h", "write 8760h for a year")
    return value


def _duration_meant(value: str) -> str | None:
    """A duration in days, in words, with spaces, in ISO 8601 or without a unit, as Go has it."""
    text = re.sub(r"^pt|^p(?=[0-9]+[dw]$)", "", re.sub(r"[\s,]|and", "", value.lower()))  # P1M is a month
    text = re.sub(r"(hour|hr)s?", "h", re.sub(r"min(ute)?s?", "m", re.sub(r"sec(ond)?s?", "s", text)))
    days = re.fullmatch(r"([0-9]{1,4})(d|days?|w|weeks?)", text)
    text = f"{int(days[1]) * (24 if days[2][0] == 'd' else 168)}h" if days else text
    if re.fullmatch(r"0*[1-9][0-9]{0,5}", text):
        return f"{int(text)}ms or {int(text)}s, for example"
    return text if re.fullmatch(DURATION, text) and 0 < seconds(text) <= LONGEST_DURATION * 3600 else None


def seconds(text: str) -> float:
    """Return a duration in seconds: 90.0 for `1m30s`."""
    return float(sum(float(number) * UNITS[unit] for number, unit in re.findall(r"([0-9.]+)(ms|s|m|h)", text)))


def host(value: str) -> str:
    """Return `value` if an Istio Gateway can claim it: `*`, a DNS name or `*.example.com`."""
    # To Istio, a name without a dot is a Service in the namespace, not a host.
    labels = value.split(".")
    is_short = len(value) <= 253 and all(len(label) <= 63 for label in labels)
    if is_short and re.fullmatch(HOST, value) and not labels[-1].isdecimal():
        return value
    raise wrong(
        f"{value!r} is not a host that a gateway can claim",
        "'*', a name with a dot such as shop.example.com, or *.example.com; lower case, no scheme, port or path",
        _host_fix(value),
    )


def _host_fix(value: str) -> str:
    bare = bare_host(value)
    if not re.fullmatch(HOST, bare):
        return "write the name that callers ask for, such as shop.example.com"
    has_port = re.search(r":[0-9]+(/|$)", value)
    return f"write {bare!r}" + ("; the port is the service's `gatewayPort`" if has_port else "")


def bare_host(value: str) -> str:
    """Return a host without scheme, port and path, or without the namespace before it (Istio: Server.hosts).

    `*/shop.example.com` is one host for all namespaces: what is before the `/` is never a host, which would be a wider
    one.
    """
    rest = re.sub(r"^[a-z]+://", "", value.lower())
    first, slash, last = rest.partition("/")
    has_namespace = rest == value.lower() and slash and re.fullmatch(rf"[*.~]|{DNS_LABEL}", first)
    return (last if has_namespace else first).split("/")[0].split(":")[0]


def open_port(value: int) -> int:
    """Return `value` if Istio's proxies do not use that port (Istio: Ports used by Istio)."""
    if value not in PORTS_OF_ISTIO:
        return value
    raise wrong(
        f"port {value} is used by Istio's proxy in the same pod",
        f"any port except {', '.join(map(str, PORTS_OF_ISTIO))}",
        "use another port, such as 8080",
    )


def name_of_kind(value: str, problem: str, fix: str) -> str:
    """Return `value` if Kubernetes takes it as a name; `problem` is said of one that it does not take, with `fix`."""
    if len(value) <= 253 and re.fullmatch(SECRET_NAME, value):
        return value
    allowed = "a Kubernetes name: a-z, 0-9, '-' and '.', beginning and ending with a letter or digit"
    raise wrong(f"{value!r} {problem}", allowed, fix)


def secret_name(value: str) -> str:
    """Return `value` if it is the name of a Kubernetes Secret."""
    return name_of_kind(value, "is not a Secret name", "write shop-cert, for example")


def object_name(value: str) -> str:
    """Return `value` if it is a name that Kubernetes takes for objects of most kinds (Kubernetes: "Object Names")."""
    if len(value) <= 253 and re.fullmatch(SECRET_NAME, value):
        return value
    near = re.sub(r"[^a-z0-9.-]+", "-", value.lower())[:253].strip("-.")
    raise wrong(
        f"{value!r} is not a name that Kubernetes takes",
        "a-z, 0-9, '-' and '.', beginning and ending with a letter or digit, at most 253 characters",
        f"write its name as `kubectl get` shows it{f', such as {near!r}' if re.fullmatch(SECRET_NAME, near) else ''}",
    )


def percentage(value: float) -> float:
    """Return `value` if Envoy supports so small a percentage: it counts in millionths."""
    if value == 0 or value >= SMALLEST_PERCENTAGE:
        return value
    raise wrong(
        f"{value:f} percent is less than Envoy supports",
        f"0, or {SMALLEST_PERCENTAGE:f} to 100",
        f"write {SMALLEST_PERCENTAGE:f}, or 0",
    )


def each_once(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return `values` if they have no duplicates."""
    if len(set(values)) == len(values):
        return values
    twice = next(value for index, value in enumerate(values) if value in values[:index])
    raise wrong(f"{twice!r} is given twice", "each entry once", "remove one of the two")


DnsLabel = Annotated[
    str,
    AfterValidator(dns_label),
    WithJsonSchema({"type": "string", "pattern": f"^{DNS_LABEL}$", "maxLength": 63}),
]
HeaderName = Annotated[
    str, AfterValidator(header_name), WithJsonSchema({"type": "string", "pattern": f"^{HEADER_NAME}$"})
]
Regex = Annotated[str, AfterValidator(regex), WithJsonSchema({"type": "string", "minLength": 1, "format": "regex"})]
Text = Annotated[str, Field(min_length=1)]
Port = Annotated[int, Field(ge=1, le=65535)]
Percent = Annotated[int, Field(ge=0, le=100)]
OpenPort = Annotated[Port, AfterValidator(open_port)]
Percentage = Annotated[float, Field(ge=0, le=100), AfterValidator(percentage)]
"""Percent with decimals, as in Istio's `percentage.value`."""
SecretName = Annotated[
    str,
    AfterValidator(secret_name),
    WithJsonSchema({"type": "string", "pattern": f"^{SECRET_NAME}$", "maxLength": 253}),
]
ObjectName = Annotated[
    str,
    AfterValidator(object_name),
    WithJsonSchema({"type": "string", "pattern": f"^{SECRET_NAME}$", "maxLength": 253}),
]
HttpStatus = Annotated[int, Field(ge=200, le=599)]
Duration = Annotated[str, AfterValidator(duration), WithJsonSchema({"type": "string", "pattern": f"^({DURATION})$"})]
Host = Annotated[
    str, AfterValidator(host), WithJsonSchema({"type": "string", "pattern": f"^({HOST})$", "maxLength": 253})
]
CookieName = Annotated[
    str, AfterValidator(cookie_name), WithJsonSchema({"type": "string", "pattern": f"^{COOKIE_NAME}$"})
]
LabelKey = Annotated[str, AfterValidator(label_key), WithJsonSchema({"type": "string", "pattern": f"^{LABEL_KEY}$"})]
LabelValue = Annotated[
    str, AfterValidator(label_value), WithJsonSchema({"type": "string", "pattern": f"^{LABEL_VALUE}$"})
]
