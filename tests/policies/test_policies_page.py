"""docs/policies.md has every rule as the code has it, and its example of an own rule works."""

from __future__ import annotations

import json
import re
from typing import Any

from policies import configuration, table
from policies.engine import findings
from policies.rule import Rule
from tests.policies.registered import ROOT, committed

PAGE = ROOT / "docs" / "policies.md"


def _block(language: str) -> str:
    (text,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert isinstance(text, str)
    return text


def test_the_table_is_that_of_the_rules() -> None:
    text = PAGE.read_text(encoding="utf-8")
    shown = text.partition("<!-- rules: python -m policies.table -->\n")[2].partition("\n<!-- /rules -->")[0]

    assert shown.splitlines() == list(table.rows()), "run: python -m policies.table"


def test_the_example_of_a_configuration_is_valid() -> None:
    configuration.parse(json.loads(_block("json")), "docs/policies.md")


def test_the_example_of_an_own_rule_finds_what_it_says() -> None:
    names: dict[str, Any] = {}
    exec(compile(_block("python"), str(PAGE), "exec"), names)  # noqa: S102 - the page's own example
    rules: tuple[Rule, ...] = names["RULES"]
    resources = committed("dev")

    found = findings(resources, configuration.default(rules))
    assert {finding.message for finding in found} == {"it has no label owner"}
    assert len(found) == len([one for one in resources if one.kind == "Deployment"])

    config = configuration.parse({"has-an-owner": {"label": "app"}}, "test", rules)
    assert findings(resources, config) == []


def test_the_files_that_the_page_names_exist() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", PAGE.read_text(encoding="utf-8"))
    missing = [link for link in links if link != "review.md" and not (PAGE.parent / link).exists()]

    assert missing == []
