"""Texts that are secret, and the Secrets that they are in."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import pulumi
import pulumi_kubernetes as k8s


@dataclass(frozen=True, kw_only=True)
class SecretText:
    """A text that nobody may see. `fingerprint` changes with it, and tells nothing about it."""

    value: pulumi.Input[str] = field(repr=False)
    fingerprint: str


def immutable_secret(
    resource: str, metadata: k8s.meta.v1.ObjectMetaArgs, texts: Mapping[str, SecretText], opts: pulumi.ResourceOptions
) -> k8s.core.v1.Secret:
    """Build an immutable Secret with these texts by key.

    Like an immutable ConfigMap, it is named by its content, but by the fingerprints of the texts: a name must not help
    to guess them. A changed text makes a new Secret, the pods roll over to it, and the old one is deleted last
    (Kubernetes: "Immutable Secrets"). The values are `data`, which a refresh reads back, unlike `stringData`; the SDK
    marks both as secret.
    """
    return k8s.core.v1.Secret(
        resource,
        metadata=metadata,
        type="Opaque",
        immutable=True,
        data={key: _base64(text) for key, text in texts.items()},
        opts=opts,
    )


def fingerprints_hash(what: str, texts: Mapping[str, SecretText]) -> str:
    """Return a hash of what the texts are for and of their fingerprints, ten hexadecimal digits."""
    given = json.dumps([what, {key: text.fingerprint for key, text in texts.items()}], sort_keys=True)
    return hashlib.sha256(given.encode()).hexdigest()[:10]


def _base64(text: SecretText) -> pulumi.Output[str]:
    return pulumi.Output.secret(text.value).apply(lambda value: base64.b64encode(value.encode()).decode())
