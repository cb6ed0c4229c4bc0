"""One value of a stack's file is changed, and nothing else of its text."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from stacks.settings.editing import NotEditableError, flow, with_value
from stacks.settings.stack_file import read_stack_file

PROJECT = Path(__file__).parents[3]
FILES = sorted(path.name for path in PROJECT.glob("Pulumi.*.yaml"))
FILE = """\
# The shop.
config:
  kubernetes:context: here
  istio-canary:services:
    shop: # sells
      versions:
        v1: {image: "shop:1", port: 8080} # stable

        v2:
          image: shop:2   # new
          port: 8080
      route:
        - match: [{headers: {qa: {exact: "yes"}}}]
          to: v2
        - to: # the rest
            v1: 90
            v2: 10
          timeout: 2s
    cart: {versions: {v1: {image: cart:1, port: 80}}, hosts: []}
encryptionsalt: v1:abc
"""
SHOP = ("services", "shop")


def lines(before: str, after: str) -> list[str]:
    """The lines that were removed and added."""
    found = difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm="")
    return [line for line in list(found)[2:] if not line.startswith("@@")]


@pytest.mark.parametrize(
    ("location", "value", "changed"),
    [
        ((*SHOP, "versions", "v1", "image"), "shop:3",
         ['-        v1: {image: "shop:1", port: 8080} # stable', "+        v1: {image: shop:3, port: 8080} # stable"]),
        ((*SHOP, "versions", "v2", "image"), "shop:1",
         ["-          image: shop:2   # new", "+          image: shop:1   # new"]),
        ((*SHOP, "route", 0, "to"), {"v1": 50, "v2": 50}, ["-          to: v2", "+          to: {v1: 50, v2: 50}"]),
        ((*SHOP, "route", 1, "to"), "v1", ["-            v1: 90", "-            v2: 10", "+            v1"]),
        ((*SHOP, "strategy"), {"blueGreen": {"active": "v2"}}, ["+      strategy: {blueGreen: {active: v2}}"]),
        ((*SHOP, "versions", "v2", "replicas"), 3, ["+          replicas: 3"]),
        (("services", "cart", "strategy"), "recreate",
         ["-    cart: {versions: {v1: {image: cart:1, port: 80}}, hosts: []}",
          "+    cart: {versions: {v1: {image: cart:1, port: 80}}, hosts: [], strategy: recreate}"]),
        (("services", "web", "strategy"), "ramped", ["+    web: {strategy: ramped}"]),
        (("versionHeader",), "x-v", ["+  istio-canary:versionHeader: x-v"]),
        (("services", "shop", "versions", "v1", "env"), {"ON": "on", "N": "1"},
         ['-        v1: {image: "shop:1", port: 8080} # stable',
          "+        v1: {image: \"shop:1\", port: 8080, env: {'ON': 'on', N: '1'}} # stable"]),
    ],
    ids=lambda value: ".".join(map(str, value)) if isinstance(value, tuple) else "",
)  # fmt: skip
def test_only_the_lines_of_the_value_change(location: Any, value: Any, changed: list[str]) -> None:
    assert lines(FILE, with_value(FILE, location, value)) == changed


def test_a_list_in_the_column_of_its_key_is_replaced() -> None:
    text = "config:\n  istio-canary:samples:\n  - website\n"

    assert with_value(text, ("samples",), ["assets"]) == "config:\n  istio-canary:samples:\n    [assets]\n"


@pytest.mark.parametrize("name", FILES)
def test_a_strategy_can_be_added_to_a_service_of_every_committed_stack(name: str, tmp_path: Path) -> None:
    text = (PROJECT / name).read_text()
    file = tmp_path / name
    file.write_text(with_value(text, ("services", "website", "strategy"), "recreate"))

    assert read_stack_file(file).values["services"]["website"]["strategy"] == "recreate"
    assert len(lines(text, file.read_text())) == 1


ALIASED = "config:\n  istio-canary:services:\n    a: &a {image: x}\n    b: *a\n"
MERGED = "config:\n  istio-canary:services:\n    a: &a {image: x}\n    b: {<<: *a, port: 80}\n"


@pytest.mark.parametrize(
    ("text", "location"),
    [
        (ALIASED, ("services", "a", "image")),
        (ALIASED, ("services", "b", "image")),
        (MERGED, ("services", "b", "image")),
        (FILE, (*SHOP, "route", 5, "to")),
        (FILE, ("services", "cart", "route", 0, "to")),
        (FILE, (*SHOP, "versions", "v1", "image", "tag")),
        ("config: [", ("services", "shop", "strategy")),
        ("- config\n", ("services", "shop", "strategy")),
    ],
    ids=["alias", "by an alias", "merged", "no such rule", "no route", "below text", "no YAML", "a list"],
)
def test_a_file_in_which_other_values_would_change_is_refused(text: str, location: Any) -> None:
    with pytest.raises(NotEditableError, match="cannot be changed without changing other values"):
        with_value(text, location, "new")


def test_a_merged_value_is_overridden_where_it_is_used() -> None:
    text = with_value(MERGED, ("services", "a", "port"), 81)

    assert yaml.safe_load(text)["config"]["istio-canary:services"]["b"] == {"image": "x", "port": 80}


NAMES = st.sampled_from(["a", "b", "on", "1.0", "é", "with space", "#", ""])
PLAIN = st.booleans() | st.integers(-5, 5) | NAMES
VALUES = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=6
)


LOCATIONS = st.sampled_from([("services", "a"), ("services", "new"), ("mesh",), ("x", "y", "z")])


@given(VALUES, VALUES, st.booleans(), LOCATIONS)
def test_the_changed_file_has_the_value_and_all_others_as_before(
    services: Any, value: Any, is_flow: bool, location: Any
) -> None:
    values = {"config": {"istio-canary:services": services, "istio-canary:mesh": {"mtls": "STRICT"}}}
    text = "# head\n" + yaml.safe_dump(values, default_flow_style=is_flow, allow_unicode=True) + "# end\n"
    parent = values["config"].get(f"istio-canary:{location[0]}", {})
    if len(location) > 1 and not isinstance(parent, dict):
        with pytest.raises(NotEditableError):
            with_value(text, location, value)
        return
    changed = with_value(text, location, value)
    expected: dict[str, Any] = values["config"]
    key = f"istio-canary:{location[0]}"
    if len(location) == 1:
        expected[key] = value
    else:
        inner = expected.setdefault(key, {})
        for name in location[1:-1]:
            inner = inner.setdefault(name, {})
        inner[location[-1]] = value
    assert yaml.safe_load(changed) == values
    assert changed.startswith("# head\n")
    assert changed.endswith("# end\n")


@given(VALUES)
def test_a_value_in_one_line_is_read_as_it_was(value: Any) -> None:
    text = flow(value)

    assert "\n" not in text
    assert yaml.safe_load(text) == value
