"""Prometheus' own checks of rules and queries: `promtool check rules` and `promtool test rules`.

See Prometheus' "promtool" and "Unit testing for rules".
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.builder.cache import default_root
from sandbox.builder.go_modules import MODULES, entry_name, find_go

Labels = Mapping[str, str]
Result = Sequence[tuple[Labels, float]]


@dataclass(frozen=True)
class Recorded:
    """A series as a scrape recorded it; `values` in promtool's notation, such as `0+10x20`."""

    name: str
    labels: Labels
    values: str

    @property
    def selector(self) -> str:
        return _text(self.name, self.labels)


def promtool() -> Path:
    """Return the program: $PROMTOOL, one on PATH, or the one that the sandbox builds.

    Without one the test is skipped; where CI=true it fails, since nothing else proves the queries.
    """
    found = _find()
    if found is None:
        why = "promtool is neither in $PROMTOOL, on PATH nor in the sandbox's cache; `canary sandbox up` builds it"
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)
    return found


@cache
def _find() -> Path | None:
    named = os.environ.get("PROMTOOL") or shutil.which("promtool")
    if named:
        return Path(named)
    module, go = next((module for module in MODULES if module.name == "prometheus"), None), find_go()
    if module is None or go is None:
        return None
    built = default_root() / entry_name(module, go) / "promtool"
    return built if built.exists() else None


def check_rules(groups: Mapping[str, Any], folder: Path) -> None:
    """Raise AssertionError unless Prometheus accepts the rule file and its linter finds nothing."""
    file = folder / "rules.yaml"
    file.write_text(yaml.safe_dump(dict(groups)), encoding="utf-8")
    _run("check", "rules", "--lint=all", "--lint-fatal", str(file))


def check_queries(queries: Iterable[str], folder: Path) -> None:
    """Raise AssertionError unless Prometheus can parse every query."""
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries)]
    check_rules({"groups": [{"name": "queries", "rules": rules}]}, folder)


def evaluate(
    series: Iterable[Recorded],
    results: Mapping[str, Result],
    folder: Path,
    at: str = "5m",
    scrape: str = "15s",
) -> None:
    """Raise AssertionError unless each query of `results` has exactly its result at the time `at`.

    Values are compared to six decimals: promtool itself tolerates only the last bit of a number.
    """
    test = {
        "interval": scrape,
        "input_series": [{"series": one.selector, "values": one.values} for one in series],
        "promql_expr_test": [
            {
                "expr": f"round({query}, 1e-6)",
                "eval_time": at,
                "exp_samples": [{"labels": _text("", labels), "value": round(value, 6)} for labels, value in samples],
            }
            for query, samples in results.items()
        ],
    }
    run_tests([test], folder)


def run_tests(tests: Sequence[Mapping[str, Any]], folder: Path, rules: Mapping[str, Any] | None = None) -> None:
    """Raise AssertionError unless all tests of a test file pass; the rules are evaluated every minute."""
    document: dict[str, Any] = {"evaluation_interval": "1m", "fuzzy_compare": True, "tests": list(tests)}
    if rules is not None:
        (folder / "rules.yaml").write_text(yaml.safe_dump(dict(rules)), encoding="utf-8")
        document["rule_files"] = ["rules.yaml"]
    file = folder / "test.yaml"
    file.write_text(yaml.safe_dump(document, width=1000), encoding="utf-8")
    _run("test", "rules", str(file))


def _run(*arguments: str) -> None:
    answer = subprocess.run([promtool(), *arguments], check=False, capture_output=True, text=True)
    assert not answer.returncode, f"promtool {' '.join(arguments[:2])}:\n{answer.stdout}{answer.stderr}"


def _text(name: str, labels: Labels) -> str:
    return f"{name}{{{', '.join(f'{label}={_quoted(value)}' for label, value in labels.items())}}}"


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
