"""Which key is offered for an unknown one: the same key in another spelling, and only for a value that it takes."""

from __future__ import annotations

import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

import pytest
from pydantic import BaseModel

from stacks.settings.model import Settings
from stacks.settings.nearest_key import fits, is_same_name, may_be_removed, nearest_key, words
from stacks.settings.problems import Location
from tests.unit.problems import HOSTS, ONE, matching, only, problems_of, service, version

OPPOSITE = {"allow": "deny", "deny": "allow", "add": "drop", "drop": "add", "set": "remove", "remove": "set"}


def blocks(kind: Any, location: Location = (), within: tuple[type, ...] = ()) -> Iterator[tuple[Location, list[str]]]:
    """Every mapping with keys of its own in the settings: where it is, and its keys."""
    if get_origin(kind) in (Annotated, Union, types.UnionType):
        for option in get_args(kind) if get_origin(kind) is not Annotated else get_args(kind)[:1]:
            yield from blocks(option, location, within)
    elif get_origin(kind) is tuple:
        yield from blocks(get_args(kind)[0], (*location, 0), within)
    elif get_args(kind):
        yield from blocks(get_args(kind)[-1], (*location, "name"), within)
    elif isinstance(kind, type) and issubclass(kind, BaseModel) and kind not in within:
        keys = {info.alias or name: info for name, info in kind.model_fields.items()}
        yield location, list(keys)
        for key, info in keys.items():
            yield from blocks(info.annotation, (*location, key), (*within, kind))


BLOCKS = list(dict(blocks(Settings)).items())
KEYS = [(location, key, keys) for location, keys in BLOCKS for key in keys]


def values_for(location: Location, key: str) -> list[Any]:
    """Values of all kinds that the key takes."""
    kinds = ["any", "10ms", 1, 80, 1.5, True, {}, [], [{}], ["a"], ["10.0.0.0/8"], {"exact": "a"}, {"a": "b"}, "/a"]
    return [value for value in kinds if fits((*location, key), value)]


def test_the_walk_finds_the_keys_of_routes_policies_pods_and_gateways() -> None:
    found = {location for location, _ in BLOCKS}
    assert ("services", "name", "authorization", "allow", 0) in found
    assert ("services", "name", "route", 0, "match", 0) in found
    assert ("services", "name", "versions", "name", "securityContext") in found
    assert len(KEYS) > 200


@pytest.mark.parametrize(("location", "key", "keys"), KEYS, ids=lambda one: one if isinstance(one, str) else "")
def test_no_key_is_offered_for_one_with_a_word_more_or_less(location: Location, key: str, keys: list[str]) -> None:
    capital = key[0].upper() + key[1:]
    for more in (f"not{capital}", f"without{capital}", f"remote{capital}", f"disable{capital}"):
        for value in values_for(location, key):
            offered = nearest_key((*location, more), value, [one for one in keys if one != more])
            assert offered is None or words(offered) == words(more), f"{more} is not {offered} at {location}"
    first, *rest = words(key)
    if len(rest) > 1 or first in ("not", "without", "remote"):
        less = rest[0] + "".join(map(str.capitalize, rest[1:]))
        others = [one for one in keys if one != less]
        for value in values_for(location, key):
            assert nearest_key((*location, less), value, others) is None, f"{less} at {location}"


@pytest.mark.parametrize(("location", "key", "keys"), KEYS, ids=lambda one: one if isinstance(one, str) else "")
def test_no_opposite_is_offered(location: Location, key: str, keys: list[str]) -> None:
    opposite = OPPOSITE.get(key)
    for value in values_for(location, key):
        assert opposite is None or nearest_key((*location, opposite), value, [key]) is None
        for other in keys:
            if (
                other != key
                and key not in (f"{other}s", other.removesuffix("s"))
                and nearest_key((*location, other), value, [key]) is not None
            ):
                raise AssertionError(f"{key} is offered for {other}, which is a key of its own at {location}")


@pytest.mark.parametrize(("location", "key", "keys"), KEYS, ids=lambda one: one if isinstance(one, str) else "")
def test_a_key_is_offered_for_its_own_misspelling_with_a_value_that_it_takes_and_no_other(
    location: Location, key: str, keys: list[str]
) -> None:
    misspelt = f"{key}{key[-1]}"
    for value in values_for(location, key):
        assert nearest_key((*location, misspelt), value, keys) in (key, None)
    for value in ("any text", 7, True, ["a"], {"a": 1}, None):
        if not fits((*location, key), value):
            assert nearest_key((*location, misspelt), value, keys) != key, f"{key} does not take {value!r}"


@pytest.mark.parametrize(
    ("given", "known", "same"),
    [
        ("ip_blocks", "ipBlocks", True),
        ("ipBlcoks", "ipBlocks", True),
        ("IPBlocks", "ipBlocks", True),
        ("remoteIpBlocks", "ipBlocks", False),
        ("notIpBlocks", "ipBlocks", False),
        ("sourceIpBlocks", "ipBlocks", False),
        ("authorisation", "authorization", True),
        ("denny", "deny", True),
        ("denied", "deny", False),
        ("alow", "allow", True),
        ("ENABLE", "DISABLE", False),
        ("disabled", "enabled", False),
        ("withoutHeader", "withoutHeaders", True),
        ("headers", "withoutHeaders", False),
        ("rollout", "route", False),
        ("maxSurge", "minSurge", False),
    ],
)
def test_two_names_are_the_same_if_their_words_are(given: str, known: str, same: bool) -> None:
    assert is_same_name(given, known) is same


@pytest.mark.parametrize(
    ("file", "offered"),
    [
        (only("authorization: {allow: [{sourceIpBlocks: [198.51.100.0/24]}]}"), None),
        (only("authorization: {deny: [{paths: [/a], notPorts: [8080]}]}"), None),
        (only("authorization: {allow: [{ip_blocks: [198.51.100.0/24]}]}"), "ipBlocks"),
        (only("authorization: {denny: [{paths: [/admin]}]}"), "deny"),
        (service(f"{HOSTS}{ONE}rout: [{{to: v1}}]\n"), "route"),
        (service(f"{HOSTS}{ONE}rout: v1\n"), None),
        (matching("{uri: {exact: /x}, withoutHeader: {x-a: {exact: b}}}"), "withoutHeaders"),
        (matching("{uri: {exact: /x}, notHeaders: {x-a: {exact: b}}}"), None),
        (version("secretRef: {name: x}"), None),
    ],
)
def test_files_are_told_only_of_keys_that_mean_what_was_asked_for(
    file: str, offered: str | None, tmp_path: Path
) -> None:
    problems = problems_of(tmp_path, file).problems
    (problem,) = [one for one in problems if "no such key" in one.what]
    assert (f"rename it to `{offered}`" == problem.fix) is (offered is not None), str(problem)
    assert offered is not None or "nearest" not in str(problem)


@pytest.mark.parametrize(
    "file",
    [
        only("authorization: {allow: [{paths: [/a], sourceIpBlocks: [198.51.100.0/24]}]}"),
        only("authorization: {allow: [{paths: [/a], ipBlocks: []}]}"),
        only("authorization: {allow: [{principals: }]}"),
        matching("{uri: {exact: /x}, tokenClaims: {groups: {exact: beta}}}"),
        matching(""),
    ],
)
def test_no_fix_is_to_remove_a_condition_on_who_may_call_or_on_what_a_rule_matches(file: str, tmp_path: Path) -> None:
    error = problems_of(tmp_path, file)
    assert all("remove" not in problem.fix for problem in error.problems), str(error)


def test_a_key_may_be_removed_only_if_nothing_is_let_in_by_that() -> None:
    assert may_be_removed(("services", "shop", "route", 0, "timeot"))
    assert not may_be_removed(("services", "shop", "authorization", "allow", 0, "principal"))
    assert not may_be_removed(("mesh", "denyByDefault"))


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("@request.auth.claims.groups", "use the match key `claims`: {groups: {exact: …}}"),
        ("@Request.Auth.Claims[realm][roles]", "use the match key `claims`: {'[realm][roles]': {exact: …}}"),
        ("request.auth.claims.groups", "use the match key `claims`: {groups: {exact: …}}"),
        ("@request.auth.principal", "use the match key `claims`"),
        (":authority", "use the match key `authority:`"),
        ("@x-user", "use a name such as 'x-canary'"),
        (":path", "use a name such as 'x-canary'"),
        ("X-Tester", "write 'x-tester'"),
        ("x tester", "write 'x-tester'"),
    ],
)
def test_no_header_is_offered_for_what_is_none(name: str, fix: str, tmp_path: Path) -> None:
    error = problems_of(tmp_path, matching(f'{{uri: {{exact: /}}, withoutHeaders: {{"{name}": {{exact: beta}}}}}}'))
    assert fix in error.problems[0].fix, str(error)


@pytest.mark.parametrize("value", ["cluster.local/ns/*/sa/shop", "cluster.local/*/sa/*"])
def test_no_wider_pattern_is_offered_for_a_star_in_the_middle(value: str, tmp_path: Path) -> None:
    error = problems_of(tmp_path, only(f"authorization: {{allow: [{{principals: ['{value}']}}]}}"))
    assert "*" not in error.problems[0].fix.replace("with a * at one end", ""), str(error)
