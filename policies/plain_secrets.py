"""Rules on secrets: they are in Secrets, and not where everybody who may look at pods can read them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

from policies.mesh import containers, workloads
from policies.resource import UNKNOWN, items
from policies.rule import TEXTS, Context, Parameter, Problem, Rule, Severity

WORDS = frozenset(
    {"password", "passwd", "pwd", "passphrase", "token", "secret", "key", "apikey", "credential", "credentials"}
)
NO_SECRETS = frozenset({"name", "file", "path", "url", "uri", "dir", "folder", "ttl", "enabled", "ref", "type", "size"})
"""Last words of names that say where a secret is, or something about it."""
PUBLIC = frozenset({"public", "primary", "foreign", "partition", "sort"})
"""Words before `key` with which it is no secret."""
ASSIGNMENT = re.compile(
    r"""^\s*(?:export\s+|-\s+)?["']?(?P<name>[A-Za-z][\w.-]*)["']?\s*[:=]\s*["']?(?P<value>[^"'#\s,}]+)""", re.MULTILINE
)
"""A line of a YAML, JSON, properties, TOML, INI or env file."""
REFERENCE = re.compile(r"^(\$|/|\{\{|<|file:|vault:|https?://)|^(true|false|null|none|~)$", re.IGNORECASE)
"""Values that only say where the secret is, or that there is none."""
SPLIT = re.compile(r"[^A-Za-z0-9]+|(?<=[a-z0-9])(?=[A-Z])")


def names_a_secret(name: str) -> bool:
    """Whether a variable or key of this name usually holds a secret."""
    words = [word.lower() for word in SPLIT.split(name) if word]
    if not words or words[-1] in NO_SECRETS or PUBLIC & set(words):
        return False
    return bool(WORDS & set(words))


def secrets_not_plain(context: Context) -> Iterator[Problem]:
    """Neither a container's variables nor a ConfigMap have a secret's value."""
    allowed = context.parameters["allowedNames"]

    def is_secret(name: str, value: Any) -> bool:
        return (
            isinstance(value, str)
            and value not in ("", UNKNOWN)
            and names_a_secret(name)
            and not REFERENCE.search(value)
            and not any(fnmatchcase(name, pattern) for pattern in allowed)
        )

    for workload in workloads(context.resources):
        for container in containers(workload):
            for variable in items(container.get("env")):
                name = str(variable.get("name"))
                if is_secret(name, variable.get("value")):
                    yield Problem(
                        workload,
                        f"the container {container.get('name')} has the value of {name} in its spec, where everybody "
                        "who may look at pods can read it",
                        f"encrypt it: pulumi config set --secret --path '<the version>.env.{name}', which asks for "
                        "it; or read it from a Secret that exists, with valueFrom or envFrom (docs/secrets.md)",
                    )
    for config_map in context.resources.of_kind("ConfigMap"):
        for file, text in config_map.mapping("data").items():
            assignments = ASSIGNMENT.finditer(text) if isinstance(text, str) else ()
            found = sorted({one["name"] for one in assignments if is_secret(one["name"], one["value"])})
            if is_secret(str(file), text) and not found:
                found = [str(file)]
            if found:
                yield Problem(
                    config_map,
                    f"{file} has values for {', '.join(found)} in plain text",
                    f'encrypt the file: pulumi config set --secret --path \'<the version>.configFiles["<folder>"]'
                    f'["{file}"]\', which asks for its text; or name them in allowedNames if they are no secrets',
                )


RULES = (
    Rule(
        name="secrets-not-plain",
        check=secrets_not_plain,
        severity=Severity.CRITICAL,
        description="No variable of a container and no ConfigMap has a password, token or key in plain text.",
        parameters={
            "allowedNames": Parameter(
                schema=TEXTS, default=[], description="Patterns of names that look like a secret's and are none."
            )
        },
    ),
)
