"""The settings of a stack, read from `Pulumi.<stack>.yaml` or from Pulumi's runtime, and checked."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from stacks.checks import check
from stacks.checks.warnings import warnings as may_surprise
from stacks.samples import laid_under, sample_of
from stacks.settings.messages import findings
from stacks.settings.model import ServiceSettings, Settings
from stacks.settings.plain_values import SECRET, encrypted, plain, secret_finding
from stacks.settings.problems import NAMESPACE, Finding, Location, Problem, SettingsError, key_path
from stacks.settings.stack_file import StackFile, read_stack_file
from traffic.model import Rule

OURS = f"{NAMESPACE}:"
TEXT_KEY = "versionHeader"
"""The only key whose value is text."""
NUMBER_KEYS = ("readyWithin", "takenWithin")
"""The keys whose value is a number."""


@dataclass(frozen=True)
class StackSettings:
    """The settings of a stack, and the file that they come from, if any."""

    settings: Settings
    source: StackFile | None


def load(
    values: Mapping[str, Any], source: StackFile | None = None, secrets: AbstractSet[str] = frozenset()
) -> Settings:
    """Return the settings that `values` give, with samples laid under `services` and names filled in.

    `values` are the keys of `config:`, with our namespace or with none; those of other namespaces are left alone.
    `source` tells the lines and the mistakes of the file itself. `secrets` are the keys that Pulumi knows as
    secret; their values are never shown. Raises SettingsError with all problems at once.
    """
    found: list[Finding] = []
    given = plain(_sealed(_unquoted(_ours(values)), source, secrets), (), found)
    sealed = encrypted(given)
    merged = _with_samples(given)
    settings = None
    try:
        settings = Settings.model_validate(merged, by_name=False, by_alias=True)
    except ValidationError as error:
        found += findings(error)
    found += check(merged, settings)
    # What is said of an encrypted value is that it is encrypted, and nothing else.
    found = [finding for finding in found if not any(_is_within(finding.location, place) for place in sealed)]
    found += map(secret_finding, sealed)

    place = _Placing(given, merged, source)
    problems = [*(source.problems if source else ()), *map(place, found)]
    if problems or settings is None:
        raise SettingsError(sorted(problems, key=_in_order), source.name if source else "the stack's config")
    return _filled(settings)


def warnings(settings: Settings, source: StackFile | None = None) -> tuple[Problem, ...]:
    """Return what may surprise in settings that were loaded, in the order of the file that `source` is."""
    given = plain(_ours(source.values), (), []) if source else {}
    place = _Placing(given, _with_samples(given), source)
    return tuple(sorted(map(place, may_surprise(settings)), key=_in_order))


def load_stack(path: Path) -> StackSettings:
    """Return the settings of `Pulumi.<stack>.yaml` with their file. Raises SettingsError with all problems at once."""
    source = read_stack_file(path)
    return StackSettings(load(source.values, source), source)


def load_stack_file(path: Path) -> Settings:
    """Return the settings of `Pulumi.<stack>.yaml`; raises as `load_stack` does."""
    return load_stack(path).settings


def load_runtime(
    config: Mapping[str, str], source: StackFile | None = None, secrets: AbstractSet[str] = frozenset()
) -> Settings:
    """Return the settings of Pulumi's runtime, whose `config` gives every key's value as text.

    Blocks and lists are JSON there, numbers and booleans text. Raises SettingsError as `load` does.
    """
    return load({key: _from_text(key, text, source) for key, text in _ours(config).items()}, source, secrets)


def json_schema() -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of a stack's file, for editors and checkers."""
    from stacks.settings.schema import stack_file_schema

    return stack_file_schema()


def _with_samples(given: dict[str, Any]) -> dict[str, Any]:
    if "samples" not in given:
        return given
    return {**given, "services": laid_under(given["samples"], given.get("services"))}


def _ours(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key.removeprefix(OURS): value
        for key, value in ((str(key), value) for key, value in values.items())
        if key.startswith(OURS) or ":" not in key
    }


def _unquoted(values: dict[str, Any]) -> dict[str, Any]:
    """Take the quotes from a number: Pulumi puts them there when it writes a file, as `pulumi config set` does."""
    return {key: int(value) if key in NUMBER_KEYS and _is_number(value) else value for key, value in values.items()}


def _is_number(value: Any) -> bool:
    return isinstance(value, str) and value.isascii() and value.isdecimal() and not value.startswith("0")


def _from_text(key: str, text: str, source: StackFile | None) -> Any:
    """The value of a key that Pulumi's runtime gives as text.

    The file's own value is taken where it is the same: text loses what was in quotes, and 1.0 becomes 1.
    """
    in_file = source.values.get(key) if source else None
    if in_file == text or key == TEXT_KEY:
        return text
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return in_file if value == plain(in_file, (), []) else value


def _sealed(values: dict[str, Any], source: StackFile | None, secrets: Iterable[str]) -> dict[str, Any]:
    """The values with secret ones as the file has them, encrypted, so that no message can show them."""
    for key in {key.removeprefix(OURS) for key in secrets} & values.keys():
        in_file = source.values.get(key) if source else None
        values[key] = in_file if encrypted(in_file, (key,)) else {SECRET: ""}
    return values


def _is_within(location: Location, place: Location) -> bool:
    return location[: len(place)] == place


@dataclass(frozen=True)
class _Placing:
    """Says where a finding is: in which line of the file, or in which sample."""

    given: Mapping[str, Any]
    merged: Mapping[str, Any]
    source: StackFile | None

    def __call__(self, finding: Finding) -> Problem:
        # A key that is missing has no place of its own: it is missing in the nearest block around it.
        around = next(place for place in _upwards(finding.location) if _has(self.merged, place))
        sample = None if _has(self.given, around) else sample_of(self.given.get("samples"), str(around[1]))
        return Problem(
            path=key_path(finding.location),
            what=finding.what,
            given=finding.given,
            allowed=finding.allowed,
            fix=finding.fix,
            file=self.source.name if self.source and not sample else None,
            line=self.source.line(around) if self.source and not sample else None,
            sample=sample,
        )


def _upwards(location: Location) -> Iterator[Location]:
    for end in range(len(location), -1, -1):
        yield location[:end]


def _has(values: Any, location: Location) -> bool:
    for part in location:
        if isinstance(part, int):
            if not isinstance(values, list) or part >= len(values):
                return False
        elif not isinstance(values, Mapping) or part not in values:
            return False
        values = values[part]
    return True


def _in_order(problem: Problem) -> tuple[bool, int, str]:
    return problem.line is None, problem.line or 0, problem.path


def _filled(settings: Settings) -> Settings:
    """The settings with the names, namespaces and routes that follow from others."""
    services = {name: _filled_service(name, service) for name, service in settings.services.items()}
    return settings.model_copy(update={"services": services})


def _filled_service(name: str, service: ServiceSettings) -> ServiceSettings:
    versions = {
        version: given.model_copy(update={"name": given.name or f"{name}-{version}"})
        for version, given in service.versions.items()
    }
    route = service.route or (Rule(to=next(iter(versions))),)
    return service.placed(name).model_copy(update={"versions": versions, "route": route})
