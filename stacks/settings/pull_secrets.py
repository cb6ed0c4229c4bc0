"""The Secrets with which the kubelet pulls images of a private registry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Strict, WithJsonSchema

from traffic.fields import SECRET_NAME, SecretName, each_once

_NAME = {"type": "string", "pattern": f"^{SECRET_NAME}$", "maxLength": 253}
_REFERENCE = {"type": "object", "properties": {"name": _NAME}, "required": ["name"], "additionalProperties": False}


def _name(value: Any) -> Any:
    """The name in Kubernetes' own form, `{name: regcred}`."""
    return value["name"] if isinstance(value, Mapping) and list(value) == ["name"] else value


PullSecret = Annotated[SecretName, BeforeValidator(_name), WithJsonSchema({"anyOf": [_NAME, _REFERENCE]})]
PullSecrets = Annotated[tuple[PullSecret, ...], AfterValidator(each_once), Strict(False)]
"""Names of Secrets of the type kubernetes.io/dockerconfigjson in the service's namespace."""
