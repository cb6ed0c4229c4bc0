"""The state of a resource: the live object, and beside its fields the inputs and the field manager that made it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.provider import objects
from sandbox.provider.values import copy_secrets, plain

INPUTS = "__inputs"
INITIAL_API_VERSION = "__initialApiVersion"
FIELD_MANAGER = "__fieldManager"


@dataclass(frozen=True)
class OldState:
    """What the state holds, without secret wrappers."""

    inputs: dict[str, Any]
    live: dict[str, Any]
    initial_api_version: str
    field_manager: str


def read(properties: Mapping[str, Any]) -> OldState:
    """Return the parts of a resource's state."""
    live: dict[str, Any] = plain(properties, objects.to_kubernetes_key)
    inputs = live.pop(INPUTS, None) or {}
    return OldState(
        inputs=inputs,
        initial_api_version=live.pop(INITIAL_API_VERSION, "") or str(inputs.get("apiVersion") or ""),
        field_manager=live.pop(FIELD_MANAGER, ""),
        live=live,
    )


def write(
    inputs: Mapping[str, Any],
    live: Mapping[str, Any],
    given: Mapping[str, Any],
    initial_api_version: str,
    field_manager: str,
) -> dict[str, Any]:
    """Return the state of ``live`` that came of ``inputs``; what is secret in ``given`` is secret in it."""
    outputs: dict[str, Any] = plain(live, objects.to_pulumi_key)
    kept_inputs: dict[str, Any] = plain(inputs, objects.to_pulumi_key)
    copy_secrets(outputs, given)
    copy_secrets(kept_inputs, given)
    return {
        **outputs,
        INPUTS: kept_inputs,
        INITIAL_API_VERSION: initial_api_version,
        FIELD_MANAGER: field_manager,
    }


def field_manager_for(urn: str, inputs: Mapping[str, Any], recorded: str = "") -> str:
    """Return the name under which the API server records who set a field.

    The official provider draws the suffix at random; here it comes of the URN, so that an object which an interrupted
    update made, but could not record, is known again (see ``crud.create``).
    """
    named = objects.annotation(inputs, objects.PATCH_FIELD_MANAGER)
    return named or recorded or f"pulumi-kubernetes-{hashlib.sha256(urn.encode()).hexdigest()[:8]}"


def inputs_with_secrets(inputs: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``inputs`` for the engine, secret where ``given`` is."""
    kept: dict[str, Any] = plain(inputs, objects.to_pulumi_key)
    copy_secrets(kept, given)
    return kept
