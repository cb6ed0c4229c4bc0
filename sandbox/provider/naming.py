"""Names of objects that the program does not name: ``<resource name>-<8 hex digits>``, and kept from then on."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.provider import objects
from sandbox.provider.values import Unknown

SUFFIX_DIGITS = 8


class NamingError(Exception):
    """The stack's autonaming settings forbid a name to be made up."""


@dataclass(frozen=True)
class Autonaming:
    """What the stack's ``pulumi:autonaming`` setting asks for; ``mode`` is propose, enforce or disable."""

    proposed: str = ""
    mode: str = "propose"


def unique_name(prefix: str, seed: bytes) -> str:
    """Return ``prefix`` and eight hex digits, always the same for the same ``seed`` and random without one."""
    digits = hashlib.sha256(seed + prefix.encode()).hexdigest() if seed else secrets.token_hex(SUFFIX_DIGITS)
    return prefix + digits[:SUFFIX_DIGITS]


def has_name(inputs: Mapping[str, Any]) -> bool:
    """Say whether the object is named; a name that is not known yet is a name."""
    return bool(objects.name_of(inputs)) or isinstance(objects.dig(inputs, "metadata", "name"), Unknown)


def has_generate_name(inputs: Mapping[str, Any]) -> bool:
    """Say whether the API server shall make up the name."""
    return not has_name(inputs) and bool(objects.dig(inputs, "metadata", "generateName"))


def is_autonamed(inputs: Mapping[str, Any]) -> bool:
    """Say whether the name was made up here."""
    return objects.is_annotated(inputs, objects.AUTONAMED)


def assign(inputs: dict[str, Any], resource_name: str, seed: bytes, autonaming: Autonaming | None) -> None:
    """Name an object that has no name. Raises ``NamingError``."""
    if has_name(inputs) or objects.dig(inputs, "metadata", "generateName"):
        return
    if autonaming and autonaming.mode == "disable":
        raise NamingError("automatic naming is disabled: give the resource a `metadata.name`")
    proposed = autonaming.proposed if autonaming else ""
    _set(inputs, proposed or unique_name(f"{resource_name}-", seed))


def adopt(inputs: dict[str, Any], old_inputs: Mapping[str, Any]) -> None:
    """Give an object that has no name the name that was made up for it before."""
    if not has_name(inputs) and is_autonamed(old_inputs):
        _set(inputs, objects.name_of(old_inputs))


def _set(inputs: dict[str, Any], name: str) -> None:
    metadata = inputs.setdefault("metadata", {})
    if not isinstance(metadata, dict):
        return  # not known yet
    metadata["name"] = name
    annotations = metadata.setdefault("annotations", {})
    if isinstance(annotations, dict):
        annotations[objects.AUTONAMED] = "true"
