"""The first write of `canary rollout abort`, `promote` and `resume`, before the command line is imported.

The imports take longer than the write: without them the requests are back, or the runner goes on, in a third of the
time. What is not simple is left to the command, which runs afterwards in any case, and says what has been done.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rollout.lean_verbs import Written, abort_at_once, promoted, resumed, write_at_once

BY_HAND = "by hand"
"""The reason of an abort or an undo if none is given."""

NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
"""A name of Kubernetes."""

WITH_VALUE = {"--stack": "stack", "-s": "stack", "--namespace": "namespace", "-n": "namespace", "--context": "context"}
FLAGS = {"abort": ("--json",), "promote": ("--json", "--full"), "resume": ("--json",)}
"""The options without a value that are simple, by verb."""
EXISTING = "existing"
"""The kind of a cluster whose kubeconfig is a file."""
PLAIN = frozenset({"namespace", "kubeconfig", "context"})

OURS = "istio-canary:"


class Asked(NamedTuple):
    """A command's words: the reason is empty if none is given; `given` has the options that name the place."""

    service: str
    reason: str
    given: Mapping[str, str]
    flags: frozenset[str]


def first_write(verb: str, arguments: Sequence[str]) -> Written | None:
    """Do the first write of `canary rollout VERB`, if its arguments are simple.

    Return the entry of the record's history that was written, or may have been: the command must not write it again.
    None for an abort, which may come twice, and where the command may have something to say against the arguments.
    """
    asked = parse(verb, arguments)
    if asked is None:
        return None
    service, given = asked.service, asked.given
    place = given if "namespace" in given else _in_file(service, given.get("stack") or os.environ.get("PULUMI_STACK"))
    if place is None or ("namespace" in given and "stack" in given) or not NAME.fullmatch(place["namespace"]):
        return None
    from rollout.person import who

    by = who()
    where = (place.get("kubeconfig"), place.get("context"), place["namespace"], service)
    if verb == "abort":
        abort_at_once(*where, asked.reason or BY_HAND, by)
        return None
    if verb == "resume":
        return write_at_once(*where, lambda record, at: resumed(record, by, at))
    full = "--full" in asked.flags
    return write_at_once(*where, lambda record, at: promoted(record, asked.reason, by, at, full=full))


def parse(verb: str, arguments: Sequence[str]) -> Asked | None:
    """Return what is asked for; None if it is not simple, or not right."""
    words: list[str] = []
    given: dict[str, str] = {}
    flags: set[str] = set()
    left = list(arguments)
    while left:
        word = left.pop(0)
        option, equals, value = word.partition("=")
        if word in FLAGS[verb]:
            flags.add(word)
        elif not word.startswith("-"):
            words.append(word)
        elif option in WITH_VALUE and WITH_VALUE[option] not in given and (equals or left):
            given[WITH_VALUE[option]] = value if equals else left.pop(0)
        else:
            return None
    if not words or not NAME.fullmatch(words[0]) or (verb == "resume" and len(words) > 1):
        return None
    if "context" in given and "namespace" not in given:
        return None
    return Asked(words[0], " ".join(words[1:]).strip(), given, frozenset(flags))


def _in_file(service: str, stack: str | None) -> Mapping[str, str] | None:
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
        given: dict[str, Any] = {key: config.get(f"{OURS}{key}") or {} for key in ("cluster", "services", "samples")}
        own = given["services"][service]
        # A sample may have a namespace of its own.
        namespace = own["namespace"] if given["samples"] else own.get("namespace") or service
        found = {"namespace": namespace, **given["cluster"]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError):
        return None
    if not all(isinstance(value, str) for value in found.values()):
        return None
    if found.pop("kind", EXISTING) != EXISTING or not found.keys() <= PLAIN:
        return None  # its kubeconfig is not in the file
    if "kubeconfig" in found:
        found["kubeconfig"] = os.path.expandvars(os.path.expanduser(found["kubeconfig"]))
    return found
