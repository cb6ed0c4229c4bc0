"""pydantic's errors as our own messages: what is wrong, what the schema allows, and the fix."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import ValidationError

from metrics.durations import DURATION as PROMETHEUS_DURATION
from metrics.durations import promql_duration
from stacks.settings.cluster import MARKED as CLUSTERS
from stacks.settings.cluster import Kind
from stacks.settings.cluster_keys import said_of_cluster
from stacks.settings.comparisons import absent, comparison_with_nothing
from stacks.settings.encrypted import ENCRYPTED, NOT_ENCRYPTED, TEXT
from stacks.settings.environment_variables import SOURCE
from stacks.settings.gate_keys import gates_elsewhere
from stacks.settings.kubeconfig_text import PLAIN_TEXT, is_in_plain_text
from stacks.settings.later_keys import not_there_yet
from stacks.settings.mesh import ONE_PORT, SEVERAL_PORTS
from stacks.settings.model import VersionSettings
from stacks.settings.nearest_key import condition_meant, fits, is_same_name, may_be_removed, nearest_key
from stacks.settings.plain_values import SECRET, SECRET_KEYS
from stacks.settings.problems import NAMESPACE, Finding, Location, key_path, nearest, shown
from stacks.settings.rollout_keys import MEANT
from stacks.settings.schema_words import Schema, allowed, example_of, kind_of, options_of, schema_of, shape, step_into
from stacks.settings.usual_names import entry_meant, said_elsewhere
from traffic.fields import DNS_LABEL, DURATION, HOST, WRONG, bare_host
from traffic.model import (
    DEPLOYED,
    ONE_VERSION,
    OUTSIDE,
    STRATEGY,
    STRATEGY_NAME,
    WEIGHT_ALONE,
    WEIGHTS,
    WITH_HEADERS,
    OutsideVersion,
    VersionRouting,
)

MARKERS = (
    ONE_VERSION,
    WEIGHTS,
    WEIGHT_ALONE,
    WITH_HEADERS,
    STRATEGY,
    STRATEGY_NAME,
    ONE_PORT,
    SEVERAL_PORTS,
    DEPLOYED,
    OUTSIDE,
    TEXT,
    ENCRYPTED,
    SOURCE,
)
"""Parts of pydantic's locations that are no keys."""
ECHOES = ("default_factory_not_called",)
"""Error types that only follow from another error."""
NO_PORT = ("int_type", "greater_than_equal", "less_than_equal")
"""Error types of keys that are ports, the only numeric keys."""
NOW_LISTS: dict[Location, str] = {("mesh", "gateway", "port"): "ports"}
"""Former keys with a single value, and the key that replaced them with a list."""


MISSING = "this key is missing"
RENAME = "rename it to `"


def findings(error: ValidationError) -> Iterator[Finding]:
    """Yield every mistake that pydantic found; a key that is only misspelt is not missing, too."""
    found = list(_findings(error))
    renamed = [(*one.location[:-1], one.fix[len(RENAME) : -1]) for one in found if one.fix.startswith(RENAME)]
    yield from (one for one in found if one.what != MISSING or one.location not in renamed)


def _findings(error: ValidationError) -> Iterator[Finding]:
    for one in error.errors(include_url=False):
        if one["type"] in ECHOES or (one["type"] == "too_short" and one["input"]):
            continue
        marked = tuple(part for part in one["loc"] if part not in MARKERS)
        if marked[-1:] == ("[key]",):
            marked = marked[:-1]
        location = tuple(part for part in marked if part not in CLUSTERS)
        if one["loc"][-1:] == ("[key]",):
            if one["type"] in NO_PORT:
                yield _no_port(location, one["input"])
                continue
            if one["input"] == "" and one["type"] != WRONG:
                yield Finding(location, "the key is empty", "a key that is a name", "give it a name", '""')
                continue
        if location[-1:] == (SECRET,):
            yield Finding(location, *NOT_ENCRYPTED)
            continue
        if is_in_plain_text(location, one["input"]):
            yield Finding(location, *PLAIN_TEXT)
            continue
        yield _finding(one, location, marked)


def _finding(error: Any, location: Location, marked: Location) -> Finding:
    """The finding for an error; `marked` is its location with the kind of the cluster that it is in."""
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    if kind == "union_tag_invalid" and location == ("cluster",):
        return _unknown_kind(location, value["kind"])
    schema = schema_of(marked)
    if kind == WRONG:
        fix = _meant(location, value, schema) or context["fix"]
        return Finding(location, context["what"], context["allowed"], fix, shown(value))
    if kind == "missing":
        return Finding(location, MISSING, allowed(schema), _add(location, schema))
    if kind == "extra_forbidden":
        return _unknown_key(location, value, marked, _kind_of_version(error["loc"]))
    if kind == "enum" or (kind == "literal_error" and isinstance(value, str)):
        return _not_one_of(location, value, schema)
    if kind in ("too_long", "string_too_long"):
        return _too_much(location, value, context["max_length"], schema)
    if kind in ("greater_than_equal", "less_than_equal"):
        bound = context.get("ge", context.get("le"))
        side = f"{'less' if 'ge' in context else 'more'} than {bound:g}" if value == value else "not a number"
        what = f"{shown(value)} is {side}"
        return Finding(location, what, allowed(schema), f"write {shape(schema)}", shown(value))
    if value in ("", [], {}):
        example = comparison_with_nothing(location) or example_of(schema)
        fix = example if value == "" else f"add an entry{_or_remove(marked, schema)}"
        return Finding(location, "the value is empty", allowed(schema), fix, shown(value))
    return Finding(location, _wrong_kind(value, schema), allowed(schema), _convert(value, marked, schema), shown(value))


def _unknown_kind(location: Location, kind: Any) -> Finding:
    known = [one.value for one in Kind]
    near = nearest(kind, known) if isinstance(kind, str) else None
    return Finding(
        (*location, "kind"),
        "the key has no value"
        if kind is None
        else f"there is no such kind of cluster{f'; the nearest is {near}' if near else ''}",
        f"one of {', '.join(known)}",
        f"write {near}" if near else "write existing, for a cluster that a kubeconfig leads to",
        shown(kind),
    )


def _no_port(location: Location, key: Any) -> Finding:
    fix = "write the container port, such as 8080"
    if location[-2:-1] == ("nodePort",):
        fix = f"write one of {key_path(('mesh', 'gateway', 'ports'))}"
    return Finding(location, f"the key {shown(key)} is not a port", "a whole number from 1 to 65535", fix, shown(key))


def _too_much(location: Location, value: Any, most: int, schema: Schema) -> Finding:
    things = "characters" if isinstance(value, str) else "entries"
    what = f"there are {len(value)} {things}, but at most {most} {'is' if most == 1 else 'are'} allowed"
    return Finding(location, what, allowed(schema), f"reduce it to {most}", shown(value))


def _kind_of_version(location: Location) -> type[VersionRouting] | None:
    """The model of the version that an error is in, of the two that a version may have; None if it is elsewhere."""
    kinds: dict[str | int, type[VersionRouting]] = {DEPLOYED: VersionSettings, OUTSIDE: OutsideVersion}
    return kinds.get(location[-2]) if len(location) > 1 else None


def _unknown_key(
    location: Location, value: Any, marked: Location, version: type[VersionRouting] | None = None
) -> Finding:
    later = not_there_yet(location, value) or gates_elsewhere(location, value)
    if later is not None:
        return later
    if location in NOW_LISTS:
        now = NOW_LISTS[location]
        what = f"this key was replaced by `{now}`, which is a list"
        return Finding(
            location, what, allowed(schema_of((*location[:-1], now))), f"write {now}: [{shown(value)}]", shown(value)
        )
    known = list({key: None for option in options_of(schema_of(marked[:-1])) for key in option.get("properties", {})})
    if version is not None:
        known = [field.alias or name for name, field in version.model_fields.items()]
    of_cluster = said_of_cluster(location, value, known)
    if of_cluster is not None:
        return Finding(location, of_cluster[0], f"the keys {', '.join(known)}", of_cluster[1], shown(value))
    dotted = _dotted(location, value, known)
    if dotted is not None:
        return dotted
    known += SECRET_KEYS if len(location) == 1 else ()
    secret = _secret_meant(location)
    if secret is not None:
        command = f"pulumi config set --secret {key_path((secret,))}"
        return Finding(
            location,
            f"there is no such key; the nearest is {key_path((secret,))}",
            f"the keys {', '.join(known)}",
            f"remove it, choose another password, and run {command}, which asks for it",
        )
    hidden = nearest(str(location[-1]), known)
    near = hidden if hidden in SECRET_KEYS else nearest_key(location, value, known)
    elsewhere = None if near else said_elsewhere(location, value, known)
    if elsewhere is not None:
        return Finding(location, elsewhere[0], f"the keys {', '.join(known)}", elsewhere[1], shown(value))
    what = f"there is no such key{f'; the nearest is `{near}`' if near else ''}"
    fix = f"rename it to `{near}`" if near else _without_near(location, value, known)
    given = "" if near in SECRET_KEYS else shown(value)
    return Finding(location, what, f"the keys {', '.join(known)}", fix, given)


def _without_near(location: Location, value: Any, known: Sequence[str]) -> str:
    """The fix for a key that is none of the known ones, not even misspelt."""
    listed = next((key for key in known if is_same_name(str(location[-1]), key)), None)
    if listed is not None and fits((*location[:-1], listed), [value]):
        return f"write {listed}: [{shown(value)}]"
    condition = condition_meant(location, value)
    if condition:
        return f"write it in match: [{condition}]; without it, the rule would match every request"
    if listed is not None:
        return f"did you mean `{listed}`? its value has mistakes, too"
    if condition is not None:
        return "write match: [{uri: {prefix: /cart}}], for example; without it, the rule would match every request"
    if may_be_removed(location):
        return "remove it"
    return "say it with one of these keys; it is not safe to leave it out"


def _secret_meant(location: Location) -> str | None:
    """The secret key that was probably meant by a key inside a setting, such as a server's password."""
    *_, around, key = ("", *map(str, location))
    if len(location) == 1 or "password" not in key.lower():
        return None
    return nearest(key, SECRET_KEYS) or nearest(around + key, SECRET_KEYS)


def _dotted(location: Location, value: Any, known: Sequence[str]) -> Finding | None:
    """A path as a top-level key, which `pulumi config set` writes without --path."""
    first, *rest = str(location[0]).split(".")
    if len(location) != 1 or not rest or first not in known or not all(re.fullmatch(r"[\w-]+", part) for part in rest):
        return None
    # Pulumi has quoted what the command line gave it.
    text = value if isinstance(value, str) and re.fullmatch(r"[\w./-]+", value) else shown(value)
    nested = text
    for part in reversed(rest):
        nested = f"{{{part}: {nested}}}"
    by_command = f", or run pulumi config set --path '{key_path(location)}' {shlex.quote(text)}"
    return Finding(
        location,
        "there is no such key: a dot does not separate keys here",
        f"the keys {', '.join(known)}",
        f"remove it, and write {NAMESPACE}:{first}: {nested}{'' if isinstance(value, (dict, list)) else by_command}",
        shown(value),
    )


def _or_remove(location: Location, schema: Schema) -> str:
    """The rest of the fix for a key without a value: an example if the key is required, else to remove it."""
    if isinstance(location[-1], int):
        return ", or remove the entry"
    examples = schema.get("examples")
    is_required = any(location[-1] in option.get("required", ()) for option in options_of(schema_of(location[:-1])))
    if may_be_removed(location) and not is_required:
        return ", or remove the key"
    return f", for example {shown(examples[0])}" if examples else ""


def _meant(location: Location, value: Any, schema: Schema) -> str | None:
    """What was probably meant, where the key says more about that than the type of its value; else None."""
    if location[-1:] == ("uri",) and isinstance(value, dict):
        texts = [(key, text) for key, text in value.items() if key in ("exact", "prefix") and isinstance(text, str)]
        if len(value) == len(texts) == 1 and re.fullmatch(r"[^/?#\s][^?#\s]*", texts[0][1]):
            return f"write {{{texts[0][0]}: /{texts[0][1]}}}"
    if isinstance(value, str) and schema.get("pattern") == f"^({HOST})$":
        name = bare_host(value)
        if re.fullmatch(DNS_LABEL, name):
            return f"write {name}.example.com, for example: {name!r} with its domain"
        if name == value or not re.fullmatch(HOST, name):
            return "write shop.example.com, for example"
    return None


def _not_one_of(location: Location, value: Any, schema: Schema) -> Finding:
    options = [str(option) for choice in options_of(schema) for option in choice.get("enum", [])]
    near = nearest(value, options) if isinstance(value, str) else None
    near = near if near and isinstance(value, str) and is_same_name(value, near) else None
    if near is None and isinstance(value, str):  # friday, Mon
        near = next((one for one in options if len(one) > 2 and value.lower().startswith(one)), None)
        near = near or (MEANT[value.lower()] if MEANT.get(value.lower()) in options else None)
    what = f"{shown(value)} is not one of the choices{f'; the nearest is {near}' if near else ''}"
    return Finding(location, what, allowed(schema), f"write {near or ' or '.join(options)}", shown(value))


def _wrong_kind(value: Any, schema: Schema) -> str:
    if value is None:
        return "the key has no value"
    return f"this is {kind_of(value)}, but must be {shape(schema, short=True)}"


def _convert(value: Any, location: Location, schema: Schema) -> str:
    """The fix for a value of the wrong kind: the same value in the right kind, if possible."""
    kinds = {option.get("type") for option in options_of(schema)}
    if value is None:
        return f"give it a value{_or_remove(location, schema)}"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        patterns = [option.get("pattern") for option in options_of(schema)]
        if any(f"{DURATION})$" in str(pattern) for pattern in patterns):
            return f"write {shown(value)}s for seconds, or use ms, m or h"
        if f"^({PROMETHEUS_DURATION})$" in patterns:
            is_one = 0 < value < float("inf")
            return f"write {promql_duration(value)} for seconds, or use ms, m or h" if is_one else example_of(schema)
    if value is False and location[-1] == "present" and len(location) > 3:
        return absent(location)
    if value is False and "object" in kinds and any(option.get("type") == "null" for option in schema.get("anyOf", ())):
        return "write null, for none"
    if "string" in kinds and isinstance(value, (bool, int, float)):
        forms = [str(option["pattern"]) for option in options_of(schema) if "pattern" in option]
        forms += [f"^({'|'.join(map(str, option['enum']))})$" for option in options_of(schema) if "enum" in option]
        is_text = not forms or any(re.search(form, shown(value)) for form in forms)
        return f'put it in quotes: "{shown(value)}"' if is_text else example_of(schema)
    if kinds & {"integer", "number"} and isinstance(value, str) and value.strip().isdecimal():
        return f"remove the quotes: {value.strip()}"
    if schema.get("maximum") == 100 and re.fullmatch(r"[0-9]+(\.[0-9]+)? ?%", str(value)):
        return f"write {value.rstrip('% ')}"
    if "integer" in kinds and isinstance(value, float) and value.is_integer():
        return f"write {int(value)}"
    if "boolean" in kinds and isinstance(value, (str, int, float)):
        return f"write true or false{', without quotes' if isinstance(value, str) else ''}"
    if "array" in kinds and isinstance(value, (str, int)):
        entry, more = entry_meant(location, value) or (shown(value), "")
        return f"write it as a list: [{entry}]{more}"
    if isinstance(location[-1], int) and (meant := entry_meant(location[:-1], value)):
        return f"write {''.join(meant)}"
    if "array" in kinds and isinstance(value, dict) and _is_block_of(value, step_into(schema, 0) or {}):
        return f"write it as a list: [{shown(value)}]"
    inside = next((key for key in _first_keys(schema, value)), None)
    return f"write {shown({inside: value})}, for example" if inside else example_of(schema)


def _is_block_of(value: dict[Any, Any], schema: Schema) -> bool:
    return bool(value) and any(value.keys() <= option.get("properties", {}).keys() for option in options_of(schema))


def _first_keys(schema: Schema, value: Any) -> Iterator[str]:
    """The first key of each alternative that can hold the value on its own: {exact: …}, {value: …}, {mode: …}."""
    kinds = {bool: ("boolean",), str: ("string",), int: ("integer", "number"), float: ("number",)}.get(type(value), ())
    for option in options_of(schema):
        key, inner = next(iter(option.get("properties", {}).items()), ("", {}))
        if set(option.get("required", ())) <= {key} and any(
            kind.get("type") in kinds and value in kind.get("enum", [value]) for kind in options_of(inner)
        ):
            yield key


def _add(location: Location, schema: Schema) -> str:
    examples = schema.get("examples")
    return f"add `{location[-1]}: {shown(examples[0])}`, for example" if examples else f"add `{location[-1]}:`"
