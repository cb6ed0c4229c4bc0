"""The key that was probably meant by an unknown one: only if a person who writes it instead gets what they asked for.

A wrong offer is worse than none: `ipBlocks` for an unknown `fromIpBlocks` compiles, and lets other callers in. So the
words of both keys must be the same but for their spelling, and the value given must be one that the key takes.
"""

from __future__ import annotations

import difflib
import functools
import operator
import re
import types
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError

from stacks.settings.model import Settings
from stacks.settings.problems import Location, nearest, shown
from traffic.model.match import CONDITIONS, Match

LIKE = 0.7
"""How alike two words must be to be one word in two spellings."""
OPPOSITES = (
    {"allow", "deny"}, {"enable", "disable"}, {"enabled", "disabled"}, {"set", "remove"}, {"add", "remove"},
    {"add", "drop"}, {"min", "max"}, {"present", "absent"}, {"before", "after"}, {"request", "response"},
)  # fmt: skip
KEPT_IN = frozenset(
    {"authorization", "match", "jwt", "mtls", "tls", "securityContext", "namespaces", "rollouts", "rollout"}
)
"""Keys in which a key less lets in more callers, or sends requests elsewhere, or earlier."""
KEPT = frozenset({*(KEPT_IN - {"rollouts"}), "denyByDefault", "hosts", "gateways"})
"""Keys that are not to be removed for the same reason."""
CONDITION = frozenset({"when", "where", "if", "condition", "conditions", "filter", "filters"})
"""Other words for a rule's match."""
COMPARISONS = frozenset({"exact", "prefix", "regex", "present"})
LIKE_MATCH = 0.6
"""How alike a word must be to be taken for `match`; lower than LIKE, since nothing is offered for it."""


def nearest_key(location: Location, value: Any, known: Iterable[str]) -> str | None:
    """Return which of the `known` keys was meant by the last one of `location`, None if that is not certain enough."""
    given = str(location[-1])
    near = nearest(given, known) or _python_name(given, known)
    if near is None or not is_same_name(given, near):
        return None
    return near if fits((*location[:-1], near), value) else None


def is_same_name(given: str, known: str) -> bool:
    """Return whether two names have the same words, in other spellings: `ip_blok` and `ipBlock`, not `notIpBlock`."""
    theirs, ours = words(given), words(known)
    if "".join(theirs) == "".join(ours):
        return True
    return len(theirs) == len(ours) and all(map(_is_same_word, theirs, ours))


def words(name: str) -> list[str]:
    """Return the words of a name, in lower case: `remoteIpBlocks` and `remote_ip_blocks` have the same three."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+", name)]


def fits(location: Location, value: Any) -> bool:
    """Return whether the key at a location takes the value; True where any value is taken."""
    adapter = _adapter(location)
    if adapter is None:
        return True
    try:
        adapter.validate_python(value, by_name=False, by_alias=True)
    except ValidationError:
        return False
    return True


def may_be_removed(location: Location) -> bool:
    """Return whether a file without the key does not let in more callers, nor send requests elsewhere."""
    if location[-1:] and str(location[-1]) in KEPT:
        return False
    return not KEPT_IN & set(map(str, location[:-1]))


def condition_meant(location: Location, value: Any) -> str | None:
    """Return what a key that a rule does not have must be in `match`, such as `{uri: {prefix: /a}}`; None if nothing.

    It is empty for a key that is like `match` itself. Without the key the rule would match every request.
    """
    *around, key = map(str, location)
    if location[:1] != ("services",) or location[2:3] != ("route",):
        return None
    if len(location) == 5:
        names = [info.alias or name for name, info in Match.model_fields.items()]
        near = key if key in names else next((name for name in names if is_same_name(key, name)), None)
        if near is not None and (near == key or _compares(value)):
            return shown({near: value})
        ratio = difflib.SequenceMatcher(None, "match", key.lower()).ratio()
        return "" if ratio >= LIKE_MATCH or key.lower() in CONDITION or _has_condition(value) else None
    is_header = len(location) == 6 and around[-1] == "headers" and isinstance(value, dict)
    return shown({"headers": {key: value}}) if is_header and COMPARISONS & value.keys() else None


def _compares(value: Any) -> bool:
    """Whether the value is a comparison, or has one for each name in it."""
    options = [value, *value.values()] if isinstance(value, dict) else []
    return any(isinstance(one, dict) and not COMPARISONS.isdisjoint(one) for one in options)


def _has_condition(value: Any) -> bool:
    """Whether the value is a match or a list of them."""
    options = value if isinstance(value, list) else [value]
    return any(isinstance(one, dict) and not one.keys().isdisjoint(CONDITIONS) for one in options)


def _python_name(given: str, known: Iterable[str]) -> str | None:
    return next((one for one in known if words(one) == words(given)), None)


def _is_same_word(one: str, other: str) -> bool:
    if one == other:
        return True
    if any({one, other} == pair for pair in OPPOSITES) or _un(one) == _un(other):
        return False
    return difflib.SequenceMatcher(None, one, other).ratio() >= LIKE


def _un(word: str) -> str:
    """The word without what makes it its opposite, so that `able` of `enable` is that of `disable`."""
    return re.sub(r"^(en|dis|un|non?|not|in)(?=[a-z]{4})", "", word)


@lru_cache(maxsize=1024)
def _adapter(location: Location) -> TypeAdapter[Any] | None:
    kinds: list[Any] = [Settings]
    for part in location:
        kinds = [inner for kind in kinds for one in _plain(kind) for inner in _inner(one, part)]
        if not kinds:
            return None
    kind: Any = functools.reduce(operator.or_, kinds)
    return TypeAdapter(kind)


def _plain(kind: Any) -> list[Any]:
    """The types that an annotation allows, without what only checks their values."""
    if get_origin(kind) is Annotated:
        return _plain(get_args(kind)[0])
    if get_origin(kind) in (Union, types.UnionType):
        return [one for option in get_args(kind) if option is not type(None) for one in _plain(option)]
    return [kind]


def _inner(kind: Any, part: str | int) -> list[Any]:
    """The annotation of a key or an entry of a type; none if it has no such key."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        for name, info in kind.model_fields.items():
            if part == (info.alias or name):
                return [Annotated[(info.annotation, *info.metadata)] if info.metadata else info.annotation]
        return []
    origin, args = get_origin(kind), get_args(kind)
    if origin is Literal or not args:
        return []
    if isinstance(origin, type) and issubclass(origin, Mapping) and isinstance(part, (str, int)):
        return [args[1]]
    return [args[0]] if origin in (tuple, list) and isinstance(part, int) else []
