"""Values from YAML and JSON, made plain: text keys, and only the types that both have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stacks.settings.problems import Finding, Location

SECRET = "secure"  # noqa: S105  (Pulumi's mark of an encrypted value, not a secret)
SECRET_KEYS: Mapping[str, str] = {
    "grafanaAdminPassword": "Password of Grafana's user admin, encrypted; if unset, one is generated."
}
"""The keys whose value must be encrypted, with their descriptions. They are no settings: the program reads them from
Pulumi, which decrypts them."""
DEEPEST = 50
NUMBERED = (("portLevelMtls",), ("nodePort",))
"""Ends of the locations of mappings whose keys are numbers."""


def plain(value: Any, location: Location, found: list[Finding]) -> Any:
    """Return the value with text keys and plain scalars; values of other types are added to `found`."""
    if len(location) > DEEPEST:
        found.append(Finding(location[:2], "the value is nested too deeply", f"{DEEPEST} levels", "flatten it"))
        return None
    if isinstance(value, Mapping):
        return {
            _key(key, location, found): plain(entry, (*location, _text(key)), found) for key, entry in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [plain(entry, (*location, index), found) for index, entry in enumerate(value)]
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    found.append(
        Finding(
            location,
            f"YAML reads this as a {type(value).__name__}, which no setting has",
            "text, numbers, true or false, lists and mappings",
            f'put it in quotes: "{value}"',
            str(value),
        )
    )
    return str(value)


def encrypted(value: Any, location: Location = ()) -> list[Location]:
    """Return the locations of encrypted values: mappings whose only key is `secure`, as Pulumi writes them."""
    if isinstance(value, dict):
        if list(value) == [SECRET]:
            return [location]
        return [place for key, entry in value.items() for place in encrypted(entry, (*location, key))]
    if isinstance(value, list):
        return [place for index, entry in enumerate(value) for place in encrypted(entry, (*location, index))]
    return []


def sealed(value: Any, in_file: Any) -> Any:
    """Return a value that Pulumi has decrypted with its secrets encrypted as in the file.

    Pulumi says of a whole key that it is secret, and the file which of its values are. What the file does not have may
    be a secret of another source, such as an environment of Pulumi ESC: it is left out, as `{secure: ""}`.
    """
    if isinstance(in_file, Mapping) and list(in_file) == [SECRET]:
        return dict(in_file)
    if isinstance(in_file, Mapping) and isinstance(value, Mapping):
        names = {_text(key): key for key in in_file}
        unset = {key: None for key, one in in_file.items() if one is None}  # what removes a sample's entry
        return unset | {
            names.get(key, key): sealed(one, in_file[names[key]]) if key in names else {SECRET: ""}
            for key, one in value.items()
        }
    if isinstance(in_file, (list, tuple)) and isinstance(value, list):
        rest = [{SECRET: ""}] * (len(value) - len(in_file))
        return [*(sealed(one, other) for one, other in zip(value, in_file, strict=False)), *rest]
    return in_file if value == plain(in_file, (), []) else {SECRET: ""}


def _text(key: Any) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    return "null" if key is None else str(key)


def _key(key: Any, location: Location, found: list[Finding]) -> str:
    is_number = isinstance(key, int) and not isinstance(key, bool) and location[-1:] in NUMBERED
    if not isinstance(key, str) and not is_number:
        found.append(
            Finding(
                (*location, _text(key)),
                f"the key {_text(key)} is not text",
                "keys that are text",
                f'put it in quotes: "{_text(key)}"',
                _text(key),
            )
        )
    return _text(key)
