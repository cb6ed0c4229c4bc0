"""A stack to undo changes of, and what takes the place of the engine and of Pulumi's history."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from typer.testing import CliRunner

from canary.app import app
from canary.command_error import CommandError
from canary.engine.driver import Operation

STACK = """\
config:
  istio-canary:cluster: {kubeconfig: /nonexistent/kubeconfig}
  istio-canary:samples: [website]
  istio-canary:services:
    blue: # two of the same
      hosts: [blue.example.com]
      strategy: {blueGreen: {active: two}} # one line
      versions: {one: {image: "blue:1", port: 8080}, two: {image: "blue:2", port: 8080}}
    word:
      hosts: [word.example.com]
      strategy: blueGreen
      versions: {one: {image: "word:1", port: 8080}, two: {image: "word:2", port: 8080}}
    ramped:
      hosts: [ramped.example.com]
      strategy: ramped
      versions:
        one: {image: "ramped:2", port: 8080} # the new one
        two: {image: "ramped:9", port: 8080}
      route: [{to: {one: 50, two: 50}}]
    shop:
      hosts: [shop.example.com]
      versions: {one: {image: "shop:1", port: 8080}, two: {image: "shop:2", port: 8080}}
      route:
        - match: [{headers: {qa: {exact: "yes"}}}]
          to: two
        - to: {one: 50, two: 50} # more
"""


@dataclass
class Runs:
    """The runs of the engine: what the file had, and how each ends."""

    file: Path
    seen: list[tuple[Operation, str]] = field(default_factory=list)
    changes: bool = True
    failure: CommandError | None = None
    on_run: Callable[[], None] = lambda: None

    def __call__(self, session: Any, operation: Operation, more: dict[str, Any] | None = None) -> Any:
        self.seen.append((operation, self.file.read_text()))
        self.on_run()
        if self.failure is not None and operation is Operation.UP:
            raise self.failure
        session.ui.result({"operation": operation.value, **(more or {})}, lambda console: None)
        return SimpleNamespace(record=SimpleNamespace(changed=("a step",) if self.changes else ()))

    @property
    def operations(self) -> list[Operation]:
        return [operation for operation, _ in self.seen]


class Appending(list[dict[str, Any]]):
    """A list that is written to a file with each entry."""

    def __init__(self, write: Callable[[dict[str, Any]], None]) -> None:
        super().__init__()
        self._write = write

    def append(self, entry: dict[str, Any], /) -> None:
        self._write(entry)


def recorded(route: Any, *, service: str = "shop", kind: str = "update", result: str = "succeeded", **more: Any) -> Any:
    """A run that Pulumi has recorded, in which the service had this route."""
    versions = more.pop(
        "versions", {"one": {"image": "shop:1", "port": 8080}, "two": {"image": "shop:2", "port": 8080}}
    )
    services = {service: {"hosts": ["*"], "versions": versions, "route": route}}
    if service == "website":
        services = {"website": {"route": route}} if route else {}
    config = {"istio-canary:services": services, "istio-canary:samples": ["website"] if service == "website" else []}
    return {
        "kind": kind,
        "result": result,
        "endTime": "2026-11-26T08:20:58.000Z",
        "config": {
            **{
                key: {"value": json.dumps(value), "objectValue": value, "secret": False}
                for key, value in config.items()
            },
            "istio-canary:grafanaAdminPassword": {"value": "[secret]", "secret": True},
        },
        **more,
    }


def run(*arguments: str) -> Any:
    """The result of `canary undo` with these arguments."""
    return CliRunner().invoke(app, ["undo", *arguments])


TESTERS = {"match": [{"headers": {"qa": {"exact": "yes"}}}], "to": "two"}


def changed_lines(before: str, after: str) -> list[str]:
    found = difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm="")
    return [line for line in list(found)[2:] if not line.startswith("@@")]
