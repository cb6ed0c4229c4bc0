"""The decrypted texts of a stack's encrypted settings, as secrets of Pulumi.

Settings have what the stack's file has, which is encrypted. Pulumi decrypts it for the program and hands it over in the
config of the run; here it becomes a secret output at once, which Pulumi encrypts in the state and masks in what it
prints (Pulumi: "Secrets").
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pulumi
from pulumi.runtime import config as runtime_config

from components.secrets import SecretText
from stacks.settings.encrypted import MASK, Encrypted
from stacks.settings.problems import NAMESPACE, Location, Problem, SettingsError, key_path

Decrypt = Callable[[Location], pulumi.Output[str]]
"""Returns the text at a location of the settings as a secret."""


def masked(location: Location) -> pulumi.Output[str]:
    """Return what stands for every secret where nothing is decrypted."""
    return pulumi.Output.secret(MASK)


class RuntimeSecrets:
    """The decrypted texts in the config of a run, whose keys have the namespace and whose values are JSON."""

    def __init__(self, config: Mapping[str, str]) -> None:
        self._config = config
        self._read: dict[str, Any] = {}

    @classmethod
    def of_run(cls) -> RuntimeSecrets:
        """Return the texts that Pulumi has decrypted for the program that is running."""
        return cls(runtime_config.CONFIG.get())

    def __call__(self, location: Location) -> pulumi.Output[str]:
        """Return the text at a location as a secret; raises SettingsError if Pulumi has none there."""
        return pulumi.Output.secret(self.plain(location))

    def plain(self, location: Location) -> str:
        """Return the text at a location, for what is not handed to Pulumi; raises SettingsError as a call does."""
        key = str(location[0])
        if key not in self._read:
            self._read[key] = _json(self._config.get(f"{NAMESPACE}:{key}", ""))
        value = self._read[key]
        for part in location[1:]:
            value = value.get(part) if isinstance(value, dict) else None
        if not isinstance(value, str):
            raise SettingsError([_not_decrypted(location)], "the stack's config")
        return value

    def __repr__(self) -> str:
        return f"{type(self).__name__}({MASK})"


def text_of(value: str | Encrypted, location: Location, decrypt: Decrypt) -> str | SecretText:
    """Return a plain text as it is, and an encrypted one with its decrypted value."""
    if isinstance(value, Encrypted):
        return SecretText(value=decrypt(location), fingerprint=value.fingerprint)
    return value


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _not_decrypted(location: Location) -> Problem:
    path = key_path(location)
    return Problem(
        path,
        "the stack's file has an encrypted value, but the config of this run has no text there",
        "",
        "a text that Pulumi has encrypted with the stack's own key",
        f"run pulumi config set --secret --path '{path}', which asks for it",
    )
