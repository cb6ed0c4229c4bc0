"""Which rules run, how strictly, and with which settings: `policies/policy-config.json`.

The file is in the form that `pulumi --policy-pack-config` takes (Pulumi: "Policy configuration"), JSON or YAML: by the
name of a rule its enforcement level, or a mapping with `enforcementLevel` and the rule's settings. `all` is the
enforcement level of the rules that have none there.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from policies.policy_error import PolicyError
from policies.rule import Enforcement, Rule
from policies.rules import RULES

FILE = Path(__file__).parent / "policy-config.json"
ALL = "all"
LEVEL = "enforcementLevel"


@dataclass(frozen=True)
class ConfiguredRule:
    """A rule with its enforcement level and all its settings."""

    rule: Rule
    enforcement: Enforcement
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class Configuration:
    """The rules in their order, with what is configured for each."""

    rules: tuple[ConfiguredRule, ...]


def default(rules: Iterable[Rule] = RULES) -> Configuration:
    """Return the configuration with every rule as it is by default."""
    return parse({}, "", rules)


def read(path: Path | None = None, rules: Iterable[Rule] = RULES) -> Configuration:
    """Return the configuration in a file, by default that of the policy pack if there is one.

    Raises PolicyError for a file that cannot be read, an unknown rule or setting, and a wrong value.
    """
    return parse(read_values(path), shown_path(path or FILE), rules)


def shown_path(path: Path) -> str:
    """Return the path as messages name it."""
    return f"policies/{path.name}" if path == FILE else str(path)


def read_values(path: Path | None = None) -> Any:
    """Return what a file has, unchecked; nothing if the pack has none. Raises PolicyError if it is not JSON or YAML."""
    import yaml

    file = path or FILE
    if path is None and not file.exists():
        return {}
    try:
        return yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise PolicyError(
            f"{shown_path(file)} cannot be read: {error.strerror}",
            "a JSON or YAML file with the configuration of the policies",
            "give the path of an existing file",
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PolicyError(
            f"{shown_path(file)} is neither JSON nor YAML: {' '.join(str(error).split())}",
            'a mapping, such as {"hosts-not-open": "advisory"}',
            "correct the syntax",
        ) from None


def parse(values: Any, source: str, rules: Iterable[Rule] = RULES) -> Configuration:
    """Return the configuration that `values` are; `source` is the file's name for messages.

    Raises PolicyError for an unknown rule or setting, and a wrong value.
    """
    known = {rule.name: rule for rule in rules}
    if not isinstance(values, Mapping):
        raise _wrong(source, (), values, 'a mapping, such as {"hosts-not-open": "advisory"}', "write it as a mapping")
    for name in values:
        if name not in known and name != ALL:
            raise _unknown(source, (), str(name), "rule", known)
    of_all = _block(values.get(ALL, {}), source, ALL)
    for key in of_all:
        if key != LEVEL:
            raise _unknown(source, (ALL,), str(key), "setting", [LEVEL])
    common = of_all.get(LEVEL)
    return Configuration(tuple(_configured(rule, values.get(rule.name, {}), common, source) for rule in known.values()))


def _configured(rule: Rule, given: Any, common: Any, source: str) -> ConfiguredRule:
    block = _block(given, source, rule.name)
    settings = rule.settings
    for key, value in block.items():
        if key == LEVEL:
            continue
        if key not in settings:
            raise _unknown(source, (rule.name,), key, "setting", [LEVEL, *settings])
        _require_valid(settings[key].as_schema(), value, source, (rule.name, key))
    level = rule.enforcement if (LEVEL not in block and common is None) else _level(block, common, source, rule)
    defaults = {key: setting.default for key, setting in settings.items()}
    return ConfiguredRule(rule, level, {**defaults, **{key: value for key, value in block.items() if key != LEVEL}})


def _level(block: Mapping[str, Any], common: Any, source: str, rule: Rule) -> Enforcement:
    name = rule.name if LEVEL in block else ALL
    given = block.get(LEVEL, common)
    allowed = [level.value for level in Enforcement]
    if given not in allowed:
        raise _wrong(source, (name, LEVEL), given, ", ".join(allowed), f"write {LEVEL}: advisory, for example")
    level = Enforcement(given)
    if level is Enforcement.REMEDIATE and rule.remediation is None:
        if name == ALL:
            return rule.enforcement
        allowed.remove(Enforcement.REMEDIATE)
        fix = f"write {LEVEL}: mandatory; this rule has no remediation"
        raise _wrong(source, (name, LEVEL), given, ", ".join(allowed), fix)
    return level


def _block(given: Any, source: str, name: str) -> Mapping[str, Any]:
    """A rule's configuration as a mapping; the enforcement level may stand alone."""
    if isinstance(given, str):
        return {LEVEL: given}
    if not isinstance(given, Mapping):
        raise _wrong(source, (name,), given, "an enforcement level or a mapping", 'write "advisory", for example')
    return given


def _require_valid(schema: Mapping[str, Any], value: Any, source: str, path: tuple[str, ...]) -> None:
    from jsonschema import Draft202012Validator

    error = next(iter(Draft202012Validator(dict(schema)).iter_errors(value)), None)
    if error is not None:
        raise _wrong(
            source, path, value, f"{schema['description']} {error.message}", f"write {schema['default']!r}, the default"
        )


def _unknown(source: str, path: tuple[str, ...], name: str, what: str, known: Iterable[str]) -> PolicyError:
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    place = _place(source, (*path, name))
    return PolicyError(
        f"{place}: no such {what}{f'; the nearest is {near[0]}' if near else ''}",
        ", ".join(names),
        f"rename it to {near[0]}" if near else "remove it",
    )


def _wrong(source: str, path: tuple[str, ...], given: Any, allowed: str, fix: str) -> PolicyError:
    return PolicyError(f"{_place(source, path)}: {given!r} is not allowed", allowed, fix)


def _place(source: str, path: tuple[str, ...]) -> str:
    return ": ".join(part for part in (source, ".".join(path)) if part) or "the configuration"
