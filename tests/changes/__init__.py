"""A corpus of changes of a stack's file: each file has the config before, what differs after, and what must be said.

`before` and `after` are keys of a stack's config. `after` is laid over `before`: mappings are merged key by key, null
removes a key, all else is replaced. Versions are given by name and run the image of the tests. `requests` are all
groups of requests that change, with the witness of each; `rows` are all rules, versions and settings that differ.
`not_sent` says why a change is not sent to a cluster.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent
IMAGE = "istio-canary/echo:1.0.0"
Config = dict[str, Any]


@dataclass(frozen=True)
class ChangedRequests:
    """A group of requests as the corpus says: what about them changes, in words, and the witness."""

    part: str
    before: str
    after: str
    request: str


@dataclass(frozen=True)
class Change:
    """One change: its name, both configs without the project's namespace, and what must be said."""

    name: str
    title: str
    before: Config
    after: Config
    requests: tuple[ChangedRequests, ...]
    rows: tuple[str, ...]
    not_sent: str


def changes() -> list[Change]:
    """Return all changes, by name."""
    return [_read(file) for file in sorted(FOLDER.glob("*.yaml"))]


def as_stack_file(config: Config) -> str:
    """Return the text of a stack's file with this config."""
    return yaml.safe_dump({"config": {f"istio-canary:{key}": value for key, value in config.items()}}, sort_keys=False)


def _read(file: Path) -> Change:
    data = yaml.safe_load(file.read_text(encoding="utf-8"))
    after = _laid_over(data["before"], data["after"])
    return Change(
        file.stem,
        data["title"],
        _with_versions(data["before"]),
        _with_versions(after),
        tuple(ChangedRequests(**{"part": "destination", **one}) for one in data["requests"]),
        tuple(data["rows"]),
        data.get("not_sent", ""),
    )


def _with_versions(config: Config) -> Config:
    config = copy.deepcopy(config)
    for service in config.get("services", {}).values():
        service["versions"] = {
            name: {"image": IMAGE, "port": 8080, **(given or {})} for name, given in service["versions"].items()
        }
    return config


def _laid_over(below: Config, above: Config) -> Config:
    result = copy.deepcopy(below)
    for key, value in above.items():
        if value is None:
            del result[key]
        else:
            both = isinstance(value, dict) and isinstance(result.get(key), dict)
            result[key] = _laid_over(result[key], value) if both else value
    return result
