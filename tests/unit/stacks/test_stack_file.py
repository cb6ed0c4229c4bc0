"""A stack's file is read as Pulumi reads it, with the line of every key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from stacks.settings.problems import Problem, SettingsError
from stacks.settings.stack_file import StackFile, placed, read_stack_file, with_line
from stacks.settings.yaml_tree import compose, value_of


def read(folder: Path, text: str) -> StackFile:
    """The stack's file with this text."""
    file = folder / "Pulumi.dev.yaml"
    file.write_text(text)
    return read_stack_file(file)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("on", "on"),
        ("12:30", "12:30"),
        ("true", True),
        ("0o17", 15),
        ("0x1F", 31),
        ("1_000", 1000),
        ("1e3", 1000.0),
        ("+1", 1),
        ("~", None),
        ("", None),
        ("'5'", "5"),
        ("!!str 5", "5"),
        ("!!int '5'", 5),
        ('"\\u00e9"', "é"),
        ("http://a:80/b", "http://a:80/b"),
        ("{u: http://a:80, v: [http://b]}", {"u": "http://a:80", "v": ["http://b"]}),
        ("|\n  one\n  two\n", "one\ntwo\n"),
        (">-\n  one\n  two\n", "one two"),
    ],
)
def test_a_value_is_what_yaml_1_2_says(text: str, value: Any) -> None:
    read_here = value_of(compose(f"a: {text}\n"))

    assert read_here == {"a": value}
    assert type(read_here["a"]) is type(value)
    assert read_here == YAML(typ="safe", pure=True).load(f"a: {text}\n"), "ruamel.yaml is the reference"


def test_merged_keys_are_overridden_and_keep_their_own_lines(tmp_path: Path) -> None:
    text = """\
config:
  istio-canary:services:
    a: &a
      port: 1
      versions: {v: {image: x}}
    b: &b
      <<: *a
      port: 2
    c:
      <<: [*b, *a]
"""
    file = read(tmp_path, text)

    assert file.values["services"]["b"] == {"port": 2, "versions": {"v": {"image": "x"}}}
    assert file.values["services"]["c"]["port"] == 2, "the first of several wins"
    assert file.line(("services", "b", "port")) == 8
    assert file.line(("services", "b", "versions", "v")) == 5
    assert file.line(("services", "c", "port")) == 8


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("config:\n  a:b: !secret x\n  istio-canary:b: !secret x\n", 3, "'!secret'"),
        ("config:\n  istio-canary:b: !!set {x}\n", 2, "'set'"),
        ("config:\n  istio-canary:b:\n    ? [x]\n    : 1\n", 3, "a list cannot be a key"),
        ("config:\n  istio-canary:b:\n    <<: [1]\n", 3, "`<<`"),
        ("config:\n  istio-canary:b: *none\n", 2, "alias"),
        ("config: {}\n---\nconfig: {}\n", 2, "document"),
        ("config:\n  istio-canary:b: 'open\n", 3, "end of stream"),
    ],
)
def test_what_settings_cannot_have_is_reported_with_its_line(tmp_path: Path, text: str, line: int, words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, text)

    (problem,) = caught.value.problems
    assert problem.line == line, problem
    assert words in problem.what


def test_duplicate_keys_are_also_reported_on_one_line(tmp_path: Path) -> None:
    file = read(tmp_path, "config:\n  istio-canary:mesh: {mtls: STRICT, mtls: DISABLE}\n")

    (problem,) = file.problems
    assert problem.path == "istio-canary:mesh.mtls"
    assert "is given twice, first in line 2" in problem.what


def test_aliases_that_expand_exponentially_are_rejected_quickly(tmp_path: Path) -> None:
    laughs = "".join(f"  l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]\n" for n in range(1, 12))

    with pytest.raises(SettingsError, match="too large"):
        read(tmp_path, f"config:\n  l0: &l0 ha\n{laughs}  istio-canary:mesh: *l11\n")


def test_a_deep_file_is_rejected_and_does_not_crash(tmp_path: Path) -> None:
    for depth in (60, 900, 50_000):
        with pytest.raises(SettingsError, match=r"too large|not YAML"):
            read(tmp_path, f"config:\n  istio-canary:mesh: {'[' * depth}{']' * depth}\n")


def test_a_problem_that_is_found_later_has_the_line_of_its_key(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.dev.yaml"
    file.write_text("config:\n  istio-canary:cluster:\n    kind: kind\n    kubernetesVersion: 1.34.0\n")
    problems = [
        Problem(f"istio-canary:cluster.{key}", "a", "b", "c", "d", file=name)
        for key, name in (("kind", file.name), ("kubernetesVersion", file.name), ("name", file.name), ("kind", "other"))
    ]
    with pytest.raises(SettingsError) as error, placed(file):
        raise SettingsError(problems, file.name)
    assert [one.line for one in error.value.problems] == [3, 4, 2, None]
    assert str(error.value.problems[1]).startswith("Pulumi.dev.yaml:4: istio-canary:cluster.kubernetesVersion: a")


def test_a_problem_of_a_file_that_is_gone_keeps_its_words(tmp_path: Path) -> None:
    problem = Problem("istio-canary:cluster.kind", "a", "b", "c", "d", file="Pulumi.dev.yaml")
    assert with_line(problem, tmp_path / "Pulumi.dev.yaml") == problem
