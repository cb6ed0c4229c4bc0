"""One spelling for inputs that mean the same to the API server, so that no diff appears between them.

The API server answers with quantities in canonical form ("0.5" comes back as "500m") and leaves out fields that hold
their type's zero value. Which fields those are is told by the Go types of k8s.io/api: a field that is a pointer
keeps its zero, a plain one loses it. The official provider sends inputs through those types; here the names do.
"""

from __future__ import annotations

import base64
import binascii
import copy
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from sandbox.provider import objects
from sandbox.provider.kinds import is_custom_resource_definition, kind_of
from sandbox.provider.values import contains_unknown

# Fields that the API server leaves out when they are false or 0.
_DROPPED_WHEN_FALSE = objects.words(
    """chapAuthDiscovery chapAuthSession clusterScope globalDefault hostIPC hostNetwork hostPID paused
    publishNotReadyAddresses readOnly sslEnabled stdin stdinOnce tty unschedulable"""
)
_DROPPED_WHEN_ZERO = objects.words(
    """failureThreshold healthCheckNodePort hostPort initialDelaySeconds minReadySeconds nodePort number
    successThreshold"""
)
_DROPPED_WHEN_ZERO_IN_PROBES = frozenset({"periodSeconds", "timeoutSeconds"})
_PROBES = frozenset({"livenessProbe", "readinessProbe", "startupProbe"})
# Text that is kept although it is empty: the Go field is a pointer, and empty means something else than absent.
_KEPT_WHEN_EMPTY = objects.words(
    """apiGroup appProtocol fsType hostname ingressClassName loadBalancerClass runtimeClassName storageClassName
    timeZone url volumeAttributesClassName"""
)
_MAPS = objects.words(
    """annotations binaryData data default defaultRequest extra hard labels limits matchLabels max maxLimitRequestRatio
    min nodeSelector overhead parameters requests stringData userAnnotations volumeAttributes"""
)
_LISTS_KEPT_WHEN_EMPTY = objects.words(
    """addresses admissionReviewVersions containers endpoints monitors nodeSelectorTerms paths rules sources
    verbs"""
)
_QUANTITY_MAPS = objects.words(
    """capacity default defaultRequest hard limits max maxLimitRequestRatio min overhead requests"""
)
_QUANTITIES = frozenset({"averageValue", "divisor", "maximumVolumeSize", "sizeLimit"})
_READ_ONLY = (
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "uid",
)

_QUANTITY = re.compile(r"^([+-]?[0-9.]+)([eE][+-]?[0-9]+|[KMGTPE]i|[numkMGTPE]?)$")
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}


def normalize(obj: Mapping[str, Any]) -> dict[str, Any]:
    """Return a normalized copy of inputs; custom resources and what holds an unknown only lose read-only fields."""
    copied: dict[str, Any] = copy.deepcopy(dict(obj))
    if kind_of(copied).built_in and not contains_unknown(copied):
        if is_custom_resource_definition(copied):
            _normalize_definition(copied)
        elif copied.get("kind") == "Secret":
            _normalize_secret(copied)
        else:
            copied = {k: _normalize(v, k) for k, v in copied.items()}
    for key in _READ_ONLY:
        objects.remove(copied, "metadata", key)
    return copied


def _normalize_definition(obj: dict[str, Any]) -> None:
    obj.pop("status", None)
    if objects.dig(obj, "spec", "preserveUnknownFields") is False:
        objects.remove(obj, "spec", "preserveUnknownFields")


def _normalize_secret(obj: dict[str, Any]) -> None:
    """Turn stringData into data, as the API server does, and base64 into the one spelling that it answers with."""
    text = obj.get("stringData")
    if isinstance(text, dict) and text:
        data = obj.setdefault("data", {})
        data.update({k: base64.b64encode(str(v).encode()).decode() for k, v in text.items()})
        del obj["stringData"]
        return
    for key, value in (obj.get("data") or {}).items():
        try:
            obj["data"][key] = base64.b64encode(base64.b64decode("".join(value.split()), validate=True)).decode()
        except (binascii.Error, ValueError, AttributeError):
            continue


def _normalize(value: Any, key: str) -> Any:
    if key in _QUANTITIES:
        return quantity(value)
    if isinstance(value, list):
        return [_normalize(item, "") for item in value]
    if not isinstance(value, dict):
        return value
    if key in _QUANTITY_MAPS and all(isinstance(v, (str, int, float)) for v in value.values()):
        return {k: quantity(v) for k, v in value.items()}
    if key in _MAPS and all(isinstance(v, str) for v in value.values()):
        return value
    made = {k: _normalize(v, k) for k, v in value.items()}
    return {k: v for k, v in made.items() if not _is_dropped(k, v, in_probe=key in _PROBES)}


def _is_dropped(key: str, value: Any, *, in_probe: bool) -> bool:
    match value:
        case bool():
            return not value and key in _DROPPED_WHEN_FALSE
        case int() | float():
            zeroes = key in _DROPPED_WHEN_ZERO or (in_probe and key in _DROPPED_WHEN_ZERO_IN_PROBES)
            return value == 0 and zeroes
        case str():
            return value == "" and key not in _KEPT_WHEN_EMPTY
        case list():
            return not value and key not in _LISTS_KEPT_WHEN_EMPTY
        case dict():
            return not value and key in _MAPS
        case _:
            return False


def quantity(value: Any) -> Any:
    """Return a quantity in canonical form ("Quantity" in the Kubernetes API reference), and what is none as it is."""
    match = _QUANTITY.match(str(value).strip()) if not isinstance(value, bool) else None
    if match is None:
        return value
    number, suffix = match.groups()
    try:
        amount = Decimal(number)
    except ArithmeticError:
        return value
    if suffix in _BINARY:
        return _canonical_binary(amount * 2 ** _BINARY[suffix])
    if suffix[:1] in ("e", "E") and suffix != "E":
        return _canonical_exponent(amount.scaleb(int(suffix[1:])))
    return _canonical_decimal(amount.scaleb(_DECIMAL[suffix]))


def _canonical_binary(amount: Decimal) -> str:
    """Binary suffixes need whole numbers of at least 1024; less, and parts of one, are written decimally."""
    if amount != amount.to_integral_value() or abs(amount) < 1024:
        return _canonical_decimal(amount)
    whole = int(amount)
    for suffix, power in reversed(_BINARY.items()):
        if whole % 2**power == 0 and whole:
            return f"{whole // 2**power}{suffix}"
    return str(whole)


def _split_thousands(amount: Decimal) -> tuple[int, int]:
    """Return a whole mantissa and the greatest exponent that is a multiple of three."""
    sign, digits, exponent = amount.normalize().as_tuple()
    if not isinstance(exponent, int) or not any(digits):
        return 0, 0
    mantissa = int("".join(map(str, digits))) * (-1 if sign else 1)
    shift = exponent % 3
    return mantissa * 10**shift, exponent - shift


def _canonical_decimal(amount: Decimal) -> str:
    mantissa, exponent = _split_thousands(amount)
    suffixes = {power: suffix for suffix, power in _DECIMAL.items()}
    while exponent > 18:
        mantissa, exponent = mantissa * 1000, exponent - 3
    if exponent < -9:  # the API server rounds up to a billionth
        return f"{-(-amount.scaleb(9) // 1)}n"
    return f"{mantissa}{suffixes[exponent]}"


def _canonical_exponent(amount: Decimal) -> str:
    mantissa, exponent = _split_thousands(amount)
    return f"{mantissa}e{exponent}" if exponent else str(mantissa)
