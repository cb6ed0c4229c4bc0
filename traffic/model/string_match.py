"""How a text is compared (Istio: StringMatch)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from traffic.fields import Model, Regex, Text, wrong


class StringMatch(Model):
    """How a value is compared: exactly one of `exact`, `prefix`, `regex` and, for headers, `present`."""

    exact: Text | None = Field(default=None, description="The whole value, case-sensitive.")
    prefix: Text | None = Field(default=None, description="The beginning of the value, case-sensitive.")
    regex: Regex | None = Field(default=None, description="RE2 regular expression that the whole value must match.")
    present: Literal[True] | None = Field(
        default=None, description="true: the header is present, with any value; for absent headers use withoutHeaders."
    )

    @model_validator(mode="after")
    def _one_comparison(self) -> StringMatch:
        chosen = [name for name in ("exact", "prefix", "regex", "present") if getattr(self, name) is not None]
        if len(chosen) == 1:
            return self
        what = f"{' and '.join(chosen)} are set together" if chosen else "there is no value to compare with"
        raise wrong(
            what,
            "exactly one of exact, prefix, regex and (for headers) present",
            f"keep one of {', '.join(chosen)}; one regex can combine them"
            if chosen
            else "write {exact: canary-test}, for example, or {present: true} for any value",
        )
