"""The table of the rules in docs/policies.md: `python -m policies.table`."""

from __future__ import annotations

import json
from collections.abc import Iterator

from policies.rule import EVERYWHERE, PROD, Rule
from policies.rules import RULES

HEAD = ("| rule | what must be true | severity | by default | settings | remediation |", "|---|---|---|---|---|---|")


def rows() -> Iterator[str]:
    """Yield the table's lines."""
    yield from HEAD
    for rule in RULES:
        name = f"`{rule.name}`"
        where = {PROD: "in prod", EVERYWHERE: "everywhere"}.get(rule.stacks, ", ".join(rule.stacks))
        yield (
            f"| {name} | {rule.description} | {rule.severity} | {rule.enforcement}, {where} | {_settings(rule)} "
            f"| {rule.remediation_words} |"
        )


def _settings(rule: Rule) -> str:
    """The rule's own settings with their defaults."""
    return ", ".join(f"`{name}: {json.dumps(setting.default)}`" for name, setting in rule.parameters.items())


if __name__ == "__main__":
    print("\n".join(rows()))
