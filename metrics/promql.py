"""The parts of PromQL that the queries are put together from: vectors, selectors, names and texts."""

from __future__ import annotations

import re
from collections.abc import Sequence


def sum_by(vector: str, by: Sequence[str] = ("version",)) -> str:
    return f"sum by ({', '.join(by)}) ({vector})"


def total(*vectors: str) -> str:
    """The sum of vectors by version; a version that one of them lacks counts as 0 in it."""
    return sum_by(union(*vectors))


def union(*vectors: str) -> str:
    """All elements of the vectors, kept apart by the label `part`: `or` drops elements whose labels it has already."""
    if len(vectors) == 1:
        return vectors[0]
    return " or ".join(labelled(vector, part=str(number)) for number, vector in enumerate(vectors, 1))


def labelled(vector: str, **labels: str) -> str:
    for label, value in labels.items():
        vector = f'label_replace({vector}, "{label}", "{value}", "", "")'
    return vector


def version_from(vector: str, label: str, pattern: str) -> str:
    # A named group: the service's name may be a variable that brings groups of its own.
    return f'label_replace({vector}, "version", "${{name}}", "{label}", {quoted(pattern)})'


def selector_of(metric: str, *matchers: str) -> str:
    return f"{metric}{{{','.join(matchers)}}}"


def equals(label: str, name: str) -> str:
    return f"{label}{'=~' if is_variable(name) else '='}{quoted(name)}"


def pattern_of(name: str) -> str:
    """A regular expression for a name; a variable stays as it is, in a group since it may stand for alternatives."""
    return f"({name})" if is_variable(name) else re.sub(r"([\\.+*?()|\[\]{}^$])", r"\\\1", name)


def is_variable(name: str) -> bool:
    return "$" in name


def quoted(text: str) -> str:
    """A string literal of PromQL."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
