"""The first writes of `canary rollout abort`, before the command line and its libraries are imported.

These take longer than the abort: without them the requests are back in a third of the time. Whatever is not simple is
left to the command, which runs afterwards in any case, and says what has been done.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rollout.lean_abort import abort_at_once

BY_HAND = "by hand"
"""The reason of an abort or an undo if none is given."""

WITH_VALUE = {"--stack": "stack", "-s": "stack", "--namespace": "namespace", "-n": "namespace", "--context": "context"}
OURS = "istio-canary:"


def abort_first(arguments: Sequence[str]) -> bool:
    """Abort by the arguments of `canary rollout abort`; return whether record and routes were written.

    False for arguments that are not simple, and where the command may have something to say against them.
    """
    parsed = parse(arguments)
    if parsed is None:
        return False
    service, reason, given = parsed
    place = given if "namespace" in given else _in_file(service, given.get("stack") or os.environ.get("PULUMI_STACK"))
    if place is None or ("namespace" in given and "stack" in given):
        return False
    from canary.rollout.person import who

    return abort_at_once(place.get("kubeconfig"), place.get("context"), place["namespace"], service, reason, who())


def parse(arguments: Sequence[str]) -> tuple[str, str, dict[str, str]] | None:
    """Return service, reason and the options that name the place; None if there is anything else."""
    words: list[str] = []
    given: dict[str, str] = {}
    left = list(arguments)
    while left:
        word = left.pop(0)
        option, equals, value = word.partition("=")
        if word == "--json":
            continue
        if not word.startswith("-"):
            words.append(word)
        elif option in WITH_VALUE and WITH_VALUE[option] not in given and (equals or left):
            given[WITH_VALUE[option]] = value if equals else left.pop(0)
        else:
            return None
    if not words or ("context" in given and "namespace" not in given):
        return None
    return words[0], " ".join(words[1:]).strip() or BY_HAND, given


def _in_file(service: str, stack: str | None) -> dict[str, str] | None:
    """Namespace and cluster in the stack's file, if they stand there in plain sight."""
    if not stack:
        return None
    import yaml

    here = Path.cwd()
    root = next((one for one in (here, *here.parents) if (one / "Pulumi.yaml").is_file()), None)
    if root is None:
        return None
    try:
        text = (root / f"Pulumi.{stack.split('/')[-1]}.yaml").read_text(encoding="utf-8")
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        config: Any = yaml.load(text, loader)["config"]  # noqa: S506 - both are safe
        given: dict[str, Any] = {key: config.get(f"{OURS}{key}") or {} for key in ("cluster", "services")}
        own = given["services"][service]
        found = {"namespace": own["namespace"], **given["cluster"]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError):
        return None
    if not all(isinstance(value, str) for value in found.values()):
        return None
    if "kubeconfig" in found:
        found["kubeconfig"] = os.path.expandvars(os.path.expanduser(found["kubeconfig"]))
    return found
