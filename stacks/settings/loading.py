"""The settings of a stack, read from `Pulumi.<stack>.yaml` or from Pulumi's runtime, and validated."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from stacks.checks import check
from stacks.checks.view import has
from stacks.checks.warnings import warnings as warning_findings
from stacks.samples import laid_under, sample_of
from stacks.samples.unlisted import stray_nulls, unlisted_entries, unlisted_findings
from stacks.settings.blue_green import decided
from stacks.settings.cluster import ClusterSettings
from stacks.settings.cluster_circle import circle
from stacks.settings.engines import with_engines
from stacks.settings.kubernetes_values import merged_template
from stacks.settings.mesh_reference import with_mesh_of_stack
from stacks.settings.messages import findings
from stacks.settings.model import Sample, ServiceSettings, Settings, VersionSettings
from stacks.settings.plain_values import (
    SECRET,
    SECRET_KEYS,
    encrypted,
    plain,
    sealed,
)
from stacks.settings.problems import NAMESPACE, Finding, Location, Problem, SettingsError, key_path
from stacks.settings.schema_words import may_be_encrypted
from stacks.settings.secret_places import empty_finding, plain_text_finding, secret_finding
from stacks.settings.stack_file import StackFile, read_stack_file
from stacks.settings.strategy import pods_strategy
from traffic.default_protocol import with_protocol
from traffic.model import OutsideVersion, Rule

OURS = f"{NAMESPACE}:"
TEXT_KEY = "versionHeader"
"""The only key whose value is text."""
NUMBER_KEYS = ("readyWithin", "takenWithin")
"""The keys whose value is a number."""
BOOLEANS = {"true": True, "false": False}
BOOLEAN_KEY = "fence"
"""The only key whose value is true or false."""


@dataclass(frozen=True)
class StackSettings:
    """The settings of a stack, and the file that they come from, if any."""

    settings: Settings
    source: StackFile | None


def load(
    values: Mapping[str, Any],
    source: StackFile | None = None,
    secrets: AbstractSet[str] = frozenset(),
    stack: str | None = None,
) -> Settings:
    """Return the settings in `values`, with samples merged into `services` and names filled in.

    `values` are the keys of `config:`, with our namespace or none; keys of other namespaces are ignored. `source` has
    the line numbers, and the mistakes of the file itself. `secrets` are the keys that Pulumi marks as secret; what is
    encrypted of them in the file stays so in the settings. `stack` is the stack's name, by default that of `source`.
    Raises SettingsError with all problems at once.
    """
    ours = _sealed(_unquoted(_ours(values)), source, secrets)
    found = [plain_text_finding((key,)) for key in _hide_secrets(ours)]
    given = plain(ours, (), found)
    misplaced = [place for place in encrypted(given) if not _may_be_encrypted(given, place)]
    merged = with_mesh_of_stack(laid_under(given), source, found)
    found += circle(merged, source)
    unlisted = unlisted_entries(given)
    for block, name in (entry for entries in unlisted.values() for entry in entries):
        merged[block] = {key: value for key, value in merged[block].items() if key != name}
    found += unlisted_findings(unlisted, given, source)
    whole = _with_strategies(merged)
    settings = None
    try:
        settings = Settings.model_validate(_without_secrets(whole), by_name=False, by_alias=True)
    except ValidationError as error:
        found += findings(error)
    stray = list(stray_nulls(given, merged))
    found = [*stray, *(finding for finding in found if finding.location not in [one.location for one in stray])]
    found += check(whole, settings, stack or (source.stack if source else None), merged, given, unlisted.keys())
    # Of a value that cannot be encrypted, only report that it is.
    found = [finding for finding in found if not any(_is_within(finding.location, place) for place in misplaced)]
    in_file = plain(_ours(source.values), (), []) if source else {}
    found += (
        empty_finding(place)
        if may_be_encrypted(place) and has(in_file, (*place, SECRET))
        else secret_finding(place, _at(given, place))
        for place in misplaced
    )

    place = _Placing(given, merged, source)
    problems = [*(source.problems if source else ()), *map(place, found)]
    if problems or settings is None:
        raise SettingsError(sorted(problems, key=_in_order), source.name if source else "the stack's config")
    return with_engines(_placed(_filled(settings), source))


def _placed(settings: Settings, source: StackFile | None) -> Settings:
    """The settings whose cluster knows where the file names it, for whoever cannot reach it."""
    if source is None or not isinstance(settings.cluster, ClusterSettings):
        return settings
    places = {}
    for key in ("kubeconfig", "context"):
        location: Location = ("cluster", key) if ("cluster", key) in source.lines else ("cluster",)
        if location in source.lines:
            places[key] = f"{source.name}:{source.lines[location]}: {key_path(location)}"
    return settings.model_copy(update={"cluster": settings.cluster.placed(places)})


def warnings(settings: Settings, source: StackFile | None = None) -> tuple[Problem, ...]:
    """Return the warnings for loaded settings, in the order of the file `source`."""
    given = plain(_ours(source.values), (), []) if source else {}
    place = _Placing(given, laid_under(given), source)
    return tuple(sorted(map(place, warning_findings(settings, given)), key=_in_order))


def load_stack(path: Path) -> StackSettings:
    """Return the settings of `Pulumi.<stack>.yaml` with their file. Raises SettingsError with all problems at once."""
    source = read_stack_file(path)
    return StackSettings(load(source.values, source), source)


def load_runtime(
    config: Mapping[str, str],
    source: StackFile | None = None,
    secrets: AbstractSet[str] = frozenset(),
    stack: str | None = None,
) -> Settings:
    """Return the settings in Pulumi's runtime, whose `config` has every value as text.

    Mappings and lists are JSON there. Raises SettingsError as `load` does.
    """
    return load({key: _from_text(key, text, source) for key, text in _ours(config).items()}, source, secrets, stack)


def json_schema() -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of a stack's file, for editors and validators."""
    from stacks.settings.schema import stack_file_schema

    return stack_file_schema()


def _with_strategies(merged: dict[str, Any]) -> dict[str, Any]:
    """The values with what the services' strategies decide."""
    return {**merged, "services": decided(merged["services"])} if "services" in merged else merged


def _ours(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key.removeprefix(OURS): value
        for key, value in ((str(key), value) for key, value in values.items())
        if key.startswith(OURS) or ":" not in key
    }


def _unquoted(values: dict[str, Any]) -> dict[str, Any]:
    """Convert quoted numbers and booleans: Pulumi quotes them in a file, for example in `pulumi config set`."""
    unquoted = {key: int(value) for key, value in values.items() if key in NUMBER_KEYS and _is_number(value)}
    given = values.get(BOOLEAN_KEY)
    if isinstance(given, str) and given in BOOLEANS:
        unquoted[BOOLEAN_KEY] = BOOLEANS[given]
    return {**values, **unquoted}


def _is_number(value: Any) -> bool:
    return isinstance(value, str) and value.isascii() and value.isdecimal() and not value.startswith("0")


def _from_text(key: str, text: str, source: StackFile | None) -> Any:
    """The value of a key that Pulumi's runtime has as text.

    If the file has an equal value, that one is used: the text loses quotes, and 1.0 becomes 1.
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
    """The values, with secrets encrypted as in the file, so that no message can show them."""
    for key in {key.removeprefix(OURS) for key in secrets} & values.keys():
        in_file = source.values.get(key) if source else None
        values[key] = sealed(values[key], in_file) if encrypted(in_file, (key,)) else {SECRET: ""}
    return values


def _may_be_encrypted(given: Mapping[str, Any], place: Location) -> bool:
    if len(place) < 2:
        return bool(place) and str(place[0]) in SECRET_KEYS
    return may_be_encrypted(place) and _at(given, place)[SECRET] != ""


def _at(values: Any, place: Location) -> Any:
    for part in place:
        values = values[part]
    return values


def _hide_secrets(values: dict[str, Any]) -> list[str]:
    """Mark what is given for the secret keys as encrypted, and return those keys that were in plain text.

    Pulumi.yaml has an empty default for them.
    """
    given = [key for key in SECRET_KEYS if values.get(key) not in (None, "")]
    in_plain_text = [key for key in given if encrypted(values[key]) != [()]]
    values.update({key: {SECRET: ""} for key in SECRET_KEYS if key in values})
    return in_plain_text


def _without_secrets(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in SECRET_KEYS}


def _is_within(location: Location, place: Location) -> bool:
    return location[: len(place)] == place


@dataclass(frozen=True)
class _Placing:
    """Adds the place of a finding: the line in the file, or the sample."""

    given: Mapping[str, Any]
    merged: Mapping[str, Any]
    source: StackFile | None

    def __call__(self, finding: Finding) -> Problem:
        # A missing key has no line: its place is that of the nearest enclosing key.
        around = next(
            place for place in _upwards(finding.location) if has(self.merged, place) or has(self.given, place)
        )
        sample = None if has(self.given, around) else self._sample(around)
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

    def _sample(self, place: Location) -> Sample | None:
        return sample_of(self.given.get("samples"), str(place[0]), str(place[1])) if len(place) > 1 else None


def _upwards(location: Location) -> Iterator[Location]:
    for end in range(len(location), -1, -1):
        yield location[:end]


def _in_order(problem: Problem) -> tuple[bool, int, str]:
    return problem.line is None, problem.line or 0, problem.path


def _filled(settings: Settings) -> Settings:
    """The settings with the names, namespaces and routes that default to others."""
    services = {
        name: with_protocol(_filled_service(name, service), settings.gateways)
        for name, service in settings.services.items()
    }
    telemetry = settings.telemetry
    telemetry = telemetry.model_copy(update={"namespace": telemetry.namespace or settings.mesh.namespace})
    gate = settings.gate_service
    gate = gate.model_copy(update={"namespace": gate.namespace or settings.mesh.namespace})
    return settings.model_copy(update={"services": services, "telemetry": telemetry, "gate_service": gate})


def _filled_service(name: str, service: ServiceSettings) -> ServiceSettings:
    versions = {version: _filled_version(name, version, service) for version in service.versions}
    route = service.route or (Rule(to=next(iter(versions))),)
    return service.placed(name).model_copy(update={"versions": versions, "route": route})


def _filled_version(name: str, version: str, service: ServiceSettings) -> VersionSettings | OutsideVersion:
    given, ramped = service.versions[version], service.strategy.ramped
    if isinstance(given, OutsideVersion):
        return given
    filled: dict[str, Any] = {
        "name": given.name or f"{name}-{version}",
        "strategy": pods_strategy(service.strategy, given.strategy),
        "pod_disruption_budget": given.pod_disruption_budget or service.pod_disruption_budget,
        "replicas": None if given.autoscaling else given.replicas,
        "pod_template": merged_template(service.pod_template, given.pod_template),
    }
    if ramped is not None and "min_ready_seconds" not in given.model_fields_set:
        filled["min_ready_seconds"] = ramped.min_ready_seconds
    return given.model_copy(update=filled)
