"""The settings of earlier runs of a stack, which Pulumi records in its backend (`pulumi stack history`)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from canary.command_error import CommandError
from canary.engine.engine_errors import stack_is_missing

if TYPE_CHECKING:
    from canary.engine.session import Session
    from stacks.settings.model import Settings
    from stacks.settings.problems import Location

MOST_RUNS = 50
"""Runs that are looked at; each has the whole config."""
SERVICES = "istio-canary:services"
OF_PASSWORDS = ("istio-canary:grafanaAdminPassword",)
CLUSTER = "istio-canary:cluster"
"""Secret if it has the text of a kubeconfig. Where a service goes back to does not depend on it."""
UNSEEN = {"secure": "recorded"}
"""Stands for a recorded text that may be a secret."""


@dataclass(frozen=True)
class Recorded:
    """A successful run: its settings, and when it ended (RFC 3339)."""

    settings: Settings
    ended: str


def recorded(session: Session) -> Iterator[Recorded]:
    """Yield the last successful updates of the stack, the newest first; raises CommandError if they cannot be read.

    Settings that are no longer valid are left out.
    """
    from stacks.settings.loading import load_runtime
    from stacks.settings.problems import SettingsError

    for run in _history(session):
        if run.get("kind") != "update" or run.get("result") != "succeeded":
            continue
        config: Mapping[str, Any] = run.get("config") or {}
        texts = {key: _text(key, entry) for key, entry in config.items() if not _is_left_out(key, entry)}
        try:
            yield Recorded(load_runtime(texts, None, frozenset(), session.stack), str(run.get("endTime", "")))
        except SettingsError:
            continue


def _is_left_out(key: str, entry: Mapping[str, Any]) -> bool:
    return key in OF_PASSWORDS or (key == CLUSTER and bool(entry.get("secret")))


def _text(key: str, entry: Mapping[str, Any]) -> str:
    """The recorded text of a key; what may be encrypted in it is, since Pulumi does not say what was."""
    text = str(entry.get("value", ""))
    if not entry.get("secret"):
        return text
    try:
        return json.dumps(_encrypted(json.loads(text), (key.rpartition(":")[2],)))
    except ValueError:
        return text


def _encrypted(value: Any, location: Location) -> Any:
    from stacks.settings.schema_words import may_be_encrypted

    if isinstance(value, dict):
        return {key: _encrypted(one, (*location, key)) for key, one in value.items()}
    return UNSEEN if isinstance(value, str) and may_be_encrypted(location) else value


def _history(session: Session) -> list[Any]:
    asked = ("stack", "history", "--json", "--page-size", str(MOST_RUNS), "--page", "1")
    done = session.engine.call(*asked)
    if done.returncode == 0 and any(_is_hidden(run) for run in json.loads(done.stdout)):
        done = session.engine.call(*asked, "--show-secrets")  # Pulumi shows nothing of a key with a secret in it
    if done.returncode == 0:
        found: list[Any] = json.loads(done.stdout)
        return found
    if stack_is_missing(done.stderr):
        return []
    raise CommandError("the stack's history cannot be read", details=tuple(done.stderr.splitlines()))


def _is_hidden(run: Mapping[str, Any]) -> bool:
    return bool(((run.get("config") or {}).get(SERVICES) or {}).get("secret"))
