"""The environment variables of a version's container: plain ones, secret ones, and those that Kubernetes reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import pulumi
import pulumi_kubernetes as k8s

from components.secrets import SecretText

Variable: TypeAlias = "pulumi.Input[str] | SecretText | k8s.core.v1.EnvVarSourceArgs"


def secret_variables(env: Mapping[str, Variable]) -> dict[str, SecretText]:
    """Return the variables whose texts are secret."""
    return {name: value for name, value in env.items() if isinstance(value, SecretText)}


def variables(env: Mapping[str, Variable], secret: pulumi.Input[str] | None) -> list[k8s.core.v1.EnvVarArgs]:
    """Return the container's variables, in the order given; `secret` is the name of the Secret with the secret ones."""
    return [_variable(name, value, secret) for name, value in env.items()]


def _variable(name: str, value: Variable, secret: pulumi.Input[str] | None) -> k8s.core.v1.EnvVarArgs:
    """An empty value is omitted: Kubernetes drops it, and every later update would show a diff."""
    if isinstance(value, SecretText):
        key = k8s.core.v1.SecretKeySelectorArgs(name=secret, key=name)
        return k8s.core.v1.EnvVarArgs(name=name, value_from=k8s.core.v1.EnvVarSourceArgs(secret_key_ref=key))
    if isinstance(value, k8s.core.v1.EnvVarSourceArgs):
        return k8s.core.v1.EnvVarArgs(name=name, value_from=value)
    return k8s.core.v1.EnvVarArgs(name=name, value=None if value == "" else value)
