"""The CEL rules of a CRD's schema (`x-kubernetes-validations`), evaluated by Google's CEL library.

See "Validation rules" in Kubernetes' page "Extend the Kubernetes API with CustomResourceDefinitions", and "Kubernetes
CEL libraries" in "Common Expression Language in Kubernetes". The functions are those that Istio's rules call: CEL's
own, its string extensions, and Kubernetes' for URLs. This library reads two texts unlike the API server's, which is
written in Go: a duration in `µs` (`us` is the same) or above 292 years, and a number with spaces around it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Set
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from kube.crd_schemas import urls
from kube.crd_schemas.schemas import FieldPath, Schema, text
from kube.crd_schemas.values import printed

if TYPE_CHECKING:
    from cel_expr_python import cel

RULES = "x-kubernetes-validations"
STATUS_CODE = re.compile("^[A-Z_]+: ")
"""Before the text of the library's errors."""


@dataclass(frozen=True)
class BrokenRule:
    """A rule that does not hold for the value at `path`; prints as the API server's error."""

    path: FieldPath
    value: Any
    message: str

    def __str__(self) -> str:
        value = "" if isinstance(self.value, (dict, list)) else f" {printed(self.value)}:"
        return f"{text(self.path)}: Invalid value:{value} {self.message}"


def violations(value: Any, schema: Schema, wrong: Set[FieldPath]) -> list[BrokenRule]:
    """Return the rules that do not hold, but for those over a value that has wrong fields in it, or is one."""
    tainted = {path[:length] for path in wrong for length in range(len(path) + 1)}
    return list(_violations(value, schema, (), tainted))


def _violations(value: Any, schema: Schema, path: FieldPath, tainted: Set[FieldPath]) -> Iterator[BrokenRule]:
    if value is None:
        return  # rules are for values; the object around it may have one for its absence
    if path not in tainted:
        yield from _of_value(value, schema, path)
    if isinstance(value, dict):
        of_others = schema.get("additionalProperties")
        for name, field in value.items():
            known = schema.get("properties", {}).get(name, of_others)
            if isinstance(known, dict):
                yield from _violations(field, known, (*path, name), tainted)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _violations(item, schema.get("items", {}), (*path, index), tainted)


def _of_value(value: Any, schema: Schema, path: FieldPath) -> Iterator[BrokenRule]:
    for rule in (rule for part in (schema, *schema.get("allOf", ())) for rule in part.get(RULES, ())):
        if "oldSelf" in rule["rule"]:
            continue  # of a change: an object that is created has no former value
        message = rule.get("message") or f"failed rule: {rule['rule']}"
        result = _program(rule["rule"]).eval(data={"self": value})
        if result.type() == _bool():
            if not result.value():
                yield BrokenRule(path, value, message)
        else:
            reason = STATUS_CODE.sub("", str(result.value()))
            yield BrokenRule(path, value, f"{reason} evaluating rule: {message}")


@cache
def _program(rule: str) -> cel.Expression:
    return _environment().compile(rule)


@cache
def _bool() -> cel.Type:
    from cel_expr_python import cel

    return cel.Type.BOOL


@cache
def _environment() -> cel.Env:
    from cel_expr_python import cel
    from cel_expr_python.ext import ext_strings

    string, boolean = cel.Type.STRING, cel.Type.BOOL
    url = cel.Type.Map(string, string)  # of Kubernetes' type URL, Istio's rules use only the scheme

    def function(name: str, returns: cel.Type, takes: cel.Type, call: Any, *, is_member: bool = False) -> Any:
        overload = cel.Overload(name, return_type=returns, parameters=[takes], is_member=is_member, impl=call)
        return cel.FunctionDecl(name, [overload])

    return cel.NewEnv(
        variables={"self": cel.Type.DYN},
        extensions=[ext_strings.ExtStrings()],
        functions=[
            function("isURL", boolean, string, urls.is_url),
            function("url", url, string, lambda address: {"scheme": urls.scheme_of(address)}),
            function("getScheme", string, url, lambda parsed: parsed["scheme"], is_member=True),
        ],
    )
