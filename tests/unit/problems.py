"""Files with one mistake each, and what must be reported for them."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest

from stacks.settings.loading import load_stack, warnings
from stacks.settings.problems import Problem, SettingsError

HERE = "# HERE"
"""Marks the line that the message must name."""

SHOP = "istio-canary:services.shop"
ROUTE = f"{SHOP}.route"
MATCH = f"{ROUTE}[0].match[0]"
V1 = f"{SHOP}.versions.v1"
SECURITY = f"{V1}.securityContext"
LONG = "a" * 40

TELEMETRY = "istio-canary:telemetry"
PROMETHEUS = f"{TELEMETRY}.prometheus"
ALL_SERVERS = ", ".join(f"{name}: {{enabled: true}}" for name in ("prometheus", "jaeger", "grafana", "kiali"))

HOSTS = "hosts: [shop.example.com]\n"
ONE = "versions: {v1: {image: shop:1, port: 8080}}\n"
TWO = "versions:\n  v1: {image: shop:1, port: 8080}\n  v2: {image: shop:2, port: 8080}\n"


@dataclass(frozen=True)
class Case:
    """A file with one mistake, the path that the message must have, and words that it must contain."""

    name: str
    text: str
    path: str
    words: tuple[str, ...]


def marked_line(text: str) -> int:
    """The number of the line that is marked."""
    return next(number for number, line in enumerate(text.splitlines(), 1) if HERE in line)


def config(keys: str) -> str:
    """A file with these keys of ours."""
    lines = "\n".join(f"istio-canary:{line}" if not line.startswith(" ") else line for line in keys.splitlines())
    return f"config:\n{textwrap.indent(lines, '  ')}\n"


def service(keys: str) -> str:
    """A file with the service `shop`, which has these keys."""
    return config(f"services:\n  shop:\n{textwrap.indent(keys, '    ')}")


def only(line: str) -> str:
    """A service in which only this line is wrong."""
    hosts = "" if line.startswith("hosts:") else HOSTS
    versions = "" if line.startswith("versions:") else ONE
    return service(f"{line} {HERE}\n{hosts}{versions}")


def version(keys: str) -> str:
    """A service whose one version has these keys as well as image and port, on one line."""
    return only(f"versions: {{v1: {{image: shop:1, port: 8080, {keys}}}}}")


def security(keys: str) -> str:
    """A service whose one version has these keys in its securityContext."""
    return version(f"securityContext: {{{keys}}}")


def routed(route: str) -> str:
    """A service with two versions and this route."""
    return service(f"{HOSTS}{TWO}route:\n{textwrap.indent(route, '  ')}")


def matching(match: str) -> str:
    """A service with a route whose first rule has this one match."""
    return routed(f"- {{match: [{match}], to: v2}} {HERE}\n- to: v1\n")


def problems_of(folder: Path, text: str) -> SettingsError:
    """The error for a file."""
    file = folder / "Pulumi.dev.yaml"
    file.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_stack(file)
    return caught.value


def warnings_of(folder: Path, text: str) -> tuple[Problem, ...]:
    """The warnings for a file."""
    file = folder / "Pulumi.dev.yaml"
    file.write_text(text)
    loaded = load_stack(file)
    return warnings(loaded.settings, loaded.source)


def assert_is_reported(case: Case, folder: Path) -> None:
    """The mistake is reported with its line, its key's path, what is allowed and the fix."""
    error = problems_of(folder, case.text)

    at_path = [problem for problem in error.problems if problem.path == case.path]
    assert at_path, f"no problem at {case.path}, but:\n{error}"
    problem = at_path[0]
    assert (problem.file, problem.line) == ("Pulumi.dev.yaml", marked_line(case.text)), (
        "the place must be the line to fix"
    )
    for words in case.words:
        assert words in str(problem), f"{words!r} is missing in:\n{problem}"
    assert problem.allowed, "what is allowed must be given"
    assert problem.fix, "the fix must be given"
    jargon = re.search(
        r"pydantic|Input should|Extra inputs|str_|int_|ctx|loc=|Traceback|<one version>|<weights>", str(error)
    )
    assert jargon is None, f"the message has internal terms: {error}"


def assert_is_reported_once(case: Case, folder: Path) -> None:
    """One mistake is not reported many times."""
    error = problems_of(folder, case.text)

    assert len(error.problems) <= 3, f"one mistake should not fill the screen:\n{error}"


def doing(keys: str) -> str:
    """A service with a route whose first rule has these keys as well as its match and destination."""
    return routed(f"- {{match: [{{uri: {{exact: /x}}}}], to: v2, {keys}}} {HERE}\n- to: v1\n")


def ending(keys: str) -> str:
    """A service with a route whose first rule has these keys instead of a destination."""
    return routed(f"- {{match: [{{uri: {{exact: /x}}}}], {keys}}} {HERE}\n- to: {{v1: 50, v2: 50}}\n")


def calling(policy: str) -> str:
    """A service with this trafficPolicy."""
    return only(f"trafficPolicy: {{{policy}}}")


def telemetry(key: str, before: str = "") -> str:
    """A telemetry in which only `key` is wrong; `before` are lines of its other keys."""
    return config(f"telemetry:\n{before}  {key} {HERE}\n")


def created(server: str) -> str:
    """A line of the telemetry that creates a server."""
    return f"  {server}: {{enabled: true}}\n"


def told(what: str, given: str, allowed: str, fix: str) -> tuple[str, ...]:
    """The words of a message."""
    return (what, f"given:   {given}", f"allowed: {allowed}", f"fix:     {fix}")


def assert_is_warned_of(case: Case, folder: Path) -> None:
    """Assert that the case's file has one warning: its place, its words, what is allowed and the fix."""
    (warning,) = warnings_of(folder, case.text)

    assert (warning.file, warning.line, warning.path) == ("Pulumi.dev.yaml", marked_line(case.text), case.path)
    for words in case.words:
        assert words in str(warning), f"{words!r} is missing in:\n{warning}"
    assert warning.allowed
    assert warning.fix
