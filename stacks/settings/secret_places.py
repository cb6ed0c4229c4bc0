"""Where an encrypted value is possible in a stack's file, and elsewhere why not and where it belongs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stacks.settings.kubeconfig_text import KUBECONFIG, PATH, SET
from stacks.settings.plain_values import SECRET, SECRET_KEYS
from stacks.settings.problems import Finding, Location, key_path

ANY = "*"
REMOVE = "if it is no secret, write it in plain text"
IN_A_VARIABLE = "encrypt a variable of env, and refer to it here"
WHY: Mapping[tuple[str, ...], tuple[str, str]] = {
    ("services", ANY, "versions", ANY, "args"): (
        "arguments are in the pod's spec, where everyone who may look at pods can read them",
        f"{IN_A_VARIABLE}: args: ['--password=$(DB_PASSWORD)'], which Kubernetes replaces in the container alone",
    ),
    ("services", ANY, "versions", ANY, "command"): (
        "the command is in the pod's spec, where everyone who may look at pods can read it",
        f"{IN_A_VARIABLE}: command: ['/server', '$(DB_PASSWORD)'], which Kubernetes replaces in the container alone",
    ),
    ("services", ANY, "versions", ANY, "env"): (
        "what is below a variable only says where its text is",
        "encrypt the whole text of the variable",
    ),
    ("services", ANY, "versions", ANY, "configFiles"): (
        "only the whole text of a file can be encrypted",
        "encrypt the text of a file",
    ),
    ("services", ANY, "versions"): (
        "it is in the pod's spec, where everyone who may look at pods can read it",
        "encrypt a variable of env or a file of configFiles, and have the program read it there",
    ),
    ("services", ANY, "route"): (
        "a route is in a VirtualService, and in the configuration of every Envoy that has it",
        "have the program that needs it read it from a variable of env",
    ),
    ("services", ANY, "jwt"): (
        "istiod and every Envoy have the rules for tokens in plain text; keys that check tokens are public",
        "write the public keys in jwks, or their address in jwksUri",
    ),
    ("services", ANY, "authorization"): (
        "rules are in an AuthorizationPolicy, and in the configuration of every Envoy that has it",
        "tell callers apart by their service account or by a validated token",
    ),
    ("gateways",): (
        "a Gateway has no keys and certificates, but the name of the Secret that has them",
        "create a Secret of the type kubernetes.io/tls, and name it in tls.credentialName",
    ),
    ("mesh", "values"): (
        "Helm writes values into manifests, and keeps them with the release",
        "create a Secret in the cluster, and name it in the value that the chart has for that",
    ),
    ("telemetry",): (
        "it is in a server's configuration, which whoever may look at ConfigMaps and pods can read",
        "the password of Grafana's admin has a key of its own: pulumi config set --secret "
        f"{key_path(('grafanaAdminPassword',))}",
    ),
    ("cluster",): (
        "of a cluster, only the text of its kubeconfig can be encrypted",
        f"encrypt that: {SET} < FILE",
    ),
}
"""By the beginning of a place: why a value cannot be encrypted there, and where a secret belongs."""


def secret_finding(location: Location, value: Any = None) -> Finding:
    """Return the finding for an encrypted value where none is possible. It never shows the value."""
    reason, fix = next((WHY[begin] for begin in _longest_first() if _begins(location, begin)), ("", ""))
    where = f"encrypted values in env and configFiles of a version, in {PATH}, and in {_secret_keys()}"
    if isinstance(value, Mapping) and value.get(SECRET) == "" and location:
        return Finding(
            location,
            f"Pulumi marks {key_path(location[:1])} as secret, and the stack's file does not have this value, so it "
            "may be a secret of an environment of Pulumi ESC",
            "values that the stack's file has, encrypted or plain",
            f"write the cluster in the stack's file, and encrypt the text of its kubeconfig there: {SET} < FILE"
            if location[0] == KUBECONFIG[0]
            else "write the value in the stack's file; a secret of an environment belongs into a Secret of Kubernetes, "
            "which envFrom or valueFrom reads",
        )
    if len(location) == 1 and "." in str(location[0]):
        return Finding(
            location,
            "there is no such key: without --path, a dot does not separate keys",
            where,
            f"remove it, and run pulumi config set --secret --path '{key_path(location)}', which asks for the value",
        )
    return Finding(
        location,
        f"the value is encrypted, and {reason or 'settings are read without a passphrase'}",
        f"{where}; plain values everywhere else",
        f"{fix}; {REMOVE}"
        if fix
        else f"{REMOVE}; a secret belongs into env or configFiles of the version that reads "
        "it, or into a Secret of Kubernetes",
    )


def empty_finding(location: Location) -> Finding:
    """Return the finding for an encrypted value that is empty in the stack's file."""
    return Finding(
        location,
        "the encrypted value is empty",
        "what `pulumi config set --secret` has written",
        f"run pulumi config set --secret --path '{key_path(location)}', which asks for the value",
    )


def plain_text_finding(location: Location) -> Finding:
    """Return the finding for a value of a secret key that is not encrypted; it never shows the value."""
    return Finding(
        location,
        "the value is not encrypted, so everyone who reads the file knows it",
        "a value that Pulumi has encrypted (secure: …)",
        f"choose another one, and run pulumi config set --secret {key_path(location)}, which asks for it",
    )


def _longest_first() -> list[tuple[str, ...]]:
    return sorted(WHY, key=len, reverse=True)


def _begins(location: Location, begin: tuple[str, ...]) -> bool:
    return len(location) >= len(begin) and all(
        want in (ANY, part) for want, part in zip(begin, location[: len(begin)], strict=True)
    )


def _secret_keys() -> str:
    return ", ".join(key_path((key,)) for key in SECRET_KEYS)
