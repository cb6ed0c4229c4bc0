"""The small types of the telemetry's settings: Prometheus' durations and labels, URLs, CEL expressions."""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from metrics.durations import DURATION, prometheus_seconds
from metrics.queries import OWN_LABELS
from stacks.settings.fields import QUANTITY_SCHEMA, amount, quantity
from stacks.settings.problems import shown, without_user
from traffic.fields import DNS_LABEL, SECRET_NAME, name_of_kind, wrong

NAME = r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?"
URL = rf"https?://({NAME}(\.{NAME})*|\[[0-9A-Fa-f:.]+\])(:[0-9]{{1,5}})?(/[^\s?#]*)?"
ENDPOINT = rf"{DNS_LABEL}(\.{DNS_LABEL})+:[0-9]{{1,5}}"
LABEL = r"[a-zA-Z_][a-zA-Z0-9_]*"
SMALLEST_VOLUME, LARGEST_VOLUME = "1Mi", "1Ei"
LONGEST_DURATION = 64
ISTIOS_LABELS = (
    "reporter", "source_workload", "source_workload_namespace", "source_principal", "source_app", "source_version",
    "source_cluster", "source_canonical_service", "source_canonical_revision", "destination_workload",
    "destination_workload_namespace", "destination_principal", "destination_app", "destination_version",
    "destination_service", "destination_service_name", "destination_service_namespace", "destination_cluster",
    "destination_canonical_service", "destination_canonical_revision", "request_protocol", "response_code",
    "response_flags", "grpc_response_status", "connection_security_policy", "le",
)  # fmt: skip
"""Labels of Istio's standard metrics (Istio: "Istio Standard Metrics"), and that of a histogram's buckets."""


def between(low: str, high: str, example: str) -> AfterValidator:
    """Return the validator of a duration of Prometheus from `low` to `high`."""

    def validate(value: str) -> str:
        allowed = f"whole numbers with the units y, w, d, h, m, s and ms, in this order, from {low} to {high}"
        if not 0 < len(value) <= LONGEST_DURATION or not re.fullmatch(DURATION, value):
            raise wrong(f"{value!r} is not a duration of Prometheus", allowed, f"write {example}, for example")
        if prometheus_seconds(value) < prometheus_seconds(low):
            raise wrong(f"{value} is less than {low}", allowed, f"write {low}, or more")
        if prometheus_seconds(value) > prometheus_seconds(high):
            raise wrong(f"{value} is more than {high}", allowed, f"write {high}, or less")
        return value

    return AfterValidator(validate)


def url(value: str) -> str:
    """Return the URL of a server, without a / at its end."""
    if _is_url(value):
        return value.rstrip("/")
    scheme = "https" if value.lower().startswith("https:") else "http"
    guess = scheme + "://" + re.sub(r"^(\w*:?//)?([^/]*@)?|[?#].*", "", value)
    raise wrong(
        f"{without_user(value)!r} is not the URL of a server",
        "http:// or https://, a host, and if needed a port from 1 to 65535 and a path; no user, password, query or "
        "fragment",
        f"write {guess}" if _is_url(guess) else "write http://prometheus.monitoring:9090, for example",
    )


def _is_url(text: str) -> bool:
    if not re.fullmatch(URL, text):
        return False
    try:
        parts = urlsplit(text)
        if ":" in str(parts.hostname):
            IPv6Address(str(parts.hostname))
        return parts.port != 0
    except ValueError:  # not an address, or a port above 65535
        return False


def endpoint(value: str) -> str:
    """Return `value` if it is a host of the mesh with a port."""
    host, _, port = value.rpartition(":")
    if re.fullmatch(ENDPOINT, value) and 1 <= int(port) <= 65535 and not host.rpartition(".")[2].isdecimal():
        return value
    raise wrong(
        f"{value!r} is not a host with a port",
        "the full name of a Service or another host that the mesh knows, and a port from 1 to 65535; no scheme, and no "
        "address",
        "write jaeger-collector.observability.svc.cluster.local:4317, for example",
    )


def metric_label(value: str) -> str:
    """Return `value` if it can be a label of Prometheus that Istio does not set itself."""
    allowed = "letters, digits and '_', beginning with a letter or one '_', and no label of Istio's own"
    for owner, labels in (("Istio sets", ISTIOS_LABELS), ("the queries by version set", OWN_LABELS)):
        if value in labels:
            raise wrong(f"{owner} the label {value} itself", allowed, f"write request_{value}, for example")
    if re.fullmatch(LABEL, value) and not value.startswith("__"):
        return value
    guess = re.sub(r"\W", "_", value, flags=re.ASCII).strip("_")
    usable = re.fullmatch(LABEL, guess) and guess not in (*ISTIOS_LABELS, *OWN_LABELS)
    raise wrong(
        f"{value!r} cannot be a label of Prometheus" + (": it reserves __" if value.startswith("__") else ""),
        allowed,
        f"write {guess}" if usable else "write request_host, for example",
    )


def cel(value: str) -> str:
    """Return `value` if it is not blank; its syntax is known to istiod alone."""
    if value.strip():
        return value
    raise wrong("the expression is blank", "an expression in CEL", "write response.code >= 400, for example")


def sampling(value: float) -> float:
    """Return `value` if Istio can sample it: in hundredths of a percent (Istio: "Telemetry")."""
    if round(value, 2) == value:
        return value
    raise wrong(
        f"{value} has more than two decimals",
        "a number from 0 to 100 in steps of 0.01",
        f"write {max(round(value, 2), 0.01)}",
    )


def volume_size(value: Any) -> str:
    """Return the quantity `value` if it can be the size of a volume; a smaller one has probably lost its unit."""
    try:
        size = str(quantity(value))
        if amount(SMALLEST_VOLUME) <= amount(size) <= amount(LARGEST_VOLUME):
            return size
    except (PydanticCustomError, ArithmeticError):
        pass
    raise wrong(
        f"{shown(value)} is not the size of a volume",
        f"a Kubernetes quantity of bytes from {SMALLEST_VOLUME} to {LARGEST_VOLUME}",
        "write 10Gi for 10 gibibytes",
    )


def storage_class(value: str) -> str:
    """Return `value` if it can be the name of a StorageClass."""
    fix = "write one that `kubectl get storageclasses` lists, or remove the key"
    return name_of_kind(value, "cannot be the name of a StorageClass", fix)


def _text(pattern: str, **more: Any) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": f"^({pattern})$", **more})


ScrapeInterval = Annotated[str, between("1s", "5m", "15s"), _text(DURATION, minLength=1)]
Retention = Annotated[str, between("1h", "10y", "15d"), _text(DURATION, minLength=1)]
PendingPeriod = Annotated[str, between("0s", "1d", "2m"), _text(DURATION, minLength=1)]
VolumeSize = Annotated[str, BeforeValidator(volume_size), QUANTITY_SCHEMA]
StorageClassName = Annotated[str, AfterValidator(storage_class), _text(SECRET_NAME, maxLength=253)]
Url = Annotated[str, AfterValidator(url), _text(URL)]
Endpoint = Annotated[str, AfterValidator(endpoint), _text(ENDPOINT)]
MetricLabel = Annotated[str, AfterValidator(metric_label), _text(LABEL)]
Cel = Annotated[str, AfterValidator(cel), WithJsonSchema({"type": "string", "minLength": 1})]
Sampling = Annotated[float, Field(ge=0, le=100), AfterValidator(sampling)]
