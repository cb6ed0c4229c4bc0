"""The text of a kubeconfig in a stack's file: encrypted, it is taken; in plain text, it is refused and not shown."""

from __future__ import annotations

import re
from typing import Any

from kube.late_kubeconfig import LateKubeconfig
from stacks.settings.problems import Location, key_path

KUBECONFIG: Location = ("cluster", "kubeconfig")
"""Where a stack's file has it."""
PATH = key_path(KUBECONFIG)
SET = f"pulumi config set --secret --path '{PATH}'"
"""The command that encrypts the text, which it reads from stdin."""
PLAIN_TEXT = (
    "this is the text of a kubeconfig, not encrypted, so everyone who reads the file knows its keys",
    "a text that Pulumi has encrypted (secure: …), or the path of a file, with ~ and $VARS",
    f"remove it, fetch a kubeconfig with other keys, and run {SET} < FILE; or name a file that only you can read",
)
"""What is wrong with the text in plain, what is allowed, and the fix."""
INVALID = (
    f"the text that is encrypted in {PATH} is not a valid kubeconfig",
    f"encrypt another one: {SET} < FILE",
)
"""What is wrong with an encrypted text that is no kubeconfig, and the fix."""
PARTS = ("apiVersion", "clusters", "contexts", "users", "current-context")
"""Keys of a kubeconfig, which no setting of a cluster has."""
BEGIN = re.compile(r"\s*(apiVersion\s*:|\{)")
BASE64 = re.compile(r"[A-Za-z0-9+][A-Za-z0-9+/]{199,}=*")
"""No path is that long without a dot or a dash."""


def is_text(value: str) -> bool:
    """Return whether a text is no path but what a kubeconfig has in it, as it is or in base64."""
    return "\n" in value.strip() or bool(BEGIN.match(value) or BASE64.fullmatch(value.strip()))


def is_in_plain_text(location: Location, value: Any) -> bool:
    """Return whether a value at a location of the settings is a kubeconfig, or a part of one, which is not encrypted.

    It is not to be shown, whatever else may be wrong with it.
    """
    is_block = isinstance(value, (dict, list))
    place = (*str(location[0]).split("."), *location[1:]) if location else ()  # as written without --path
    if place[:2] == KUBECONFIG or place[:1] == KUBECONFIG[1:]:
        return is_block or len(place) > len(KUBECONFIG) or (isinstance(value, str) and is_text(value))
    if place[:1] != KUBECONFIG[:1]:
        return False
    return (is_block and place[-1] in PARTS) or (
        isinstance(value, (str, dict)) and any(part in value for part in PARTS)
    )


def late_kubeconfig() -> LateKubeconfig:
    """Return where the decrypted text comes from; what reads it is set by whoever can decrypt it."""
    return LateKubeconfig(PATH, INVALID)
