"""Mistakes in shares of destinations and in redirects that keep the rest of the path."""

from __future__ import annotations

from pathlib import Path

import pytest

from stacks.settings.loading import load_stack
from tests.unit.problems import (
    HERE,
    HOSTS,
    ROUTE,
    TWO,
    Case,
    assert_is_reported,
    assert_is_reported_once,
    marked_line,
    routed,
    service,
    warnings_of,
)

MARK = "headers: {request: {set: {x-a: b}}}"
TO = f"{ROUTE}[0].to"
OLD_MESH = "  istio-canary:mesh: {version: 1.30.2}\n"
OTHERS_MESH = "  istio-canary:mesh: {install: false}\n"
REDIRECT = f"{ROUTE}[0].redirect.prefixRewrite"


def to(value: str) -> str:
    """A service whose only rule has this `to` on one line."""
    return routed(f"- to: {value} {HERE}\n")


def rule(keys: str) -> str:
    """A service whose first rule has these keys."""
    return routed(f"- {{{keys}}} {HERE}\n- to: {{v1: 50, v2: 50}}\n")


CASES = [
    Case("a share as text with a percent sign", to('{v1: 90, v2: "10%"}'), f"{TO}.v2",
         ("this is text, but must be a number or a mapping", 'given:   "10%"', "write 10, without the percent sign")),
    Case("a share in quotes", to('{v1: 99.5, v2: "0.5"}'), f"{TO}.v2", ("write 0.5, without quotes",)),
    Case("a share that is a word", to("{v1: 90, v2: few}"), f"{TO}.v2", ("this is text", "write 10 for 10 %")),
    Case("a share without a value", to("{v1: 100, v2: }"), f"{TO}.v2", ("the key has no value",)),
    Case("a share that is true", to("{v1: 99, v2: true}"), f"{TO}.v2", ("this is true, but must be a number",)),
    Case("a list as a share", to("{v1: 90, v2: [10]}"), f"{TO}.v2", ("this is a list, but must be a number",)),
    Case("a negative share", to("{v1: 100.5, v2: -0.5}"), f"{TO}.v2", ("-0.5 is less than 0", "write 0 for no")),
    Case("five decimals", to("{v1: 99.99995, v2: 0.00005}"), f"{TO}.v2",
         ("0.00005 has more than 4 decimals", "write 0.0001")),
    Case("nearly all", to("{v1: 99.99999, v2: 0.0001}"), f"{TO}.v1", ("99.99999 has more", "write 99.9999")),
    Case("not a number", to("{v1: .nan, v2: 10}"), f"{TO}.v1", ("nan is not a share",)),
    Case("infinitely many", to("{v1: .inf, v2: 10}"), f"{TO}.v1", ("inf is not a share",)),
    Case("a weight above a million", to("{v1: 9999999, v2: 1}"), f"{TO}.v1", ("more than 1000000",)),
    Case("weights of a ratio", to("{v1: 1, v2: 3}"), TO,
         ("sum to 4, not 100", "given:   {v1: 1, v2: 3}", "write {v1: 25, v2: 75}, which is the same proportion")),
    Case("weights of a ratio that has no end", to("{v1: 1, v2: 2}"), TO, ("write {v1: 33.3333, v2: 66.6667}",)),
    Case("weights that sum to nearly 1000", to("{v1: 995, v2: 6}"), TO,
         ("sum to 1001, not 100", "whole numbers that sum to 1000", "write {v1: 99.4006, v2: 0.5994}")),
    Case("parts of a thousand with decimals", to("{v1: 995.5, v2: 4.5}"), TO,
         ("sum to 1000, and have decimals", "write {v1: 99.55, v2: 0.45}")),
    Case("percentages that sum to nearly 100", to("{v1: 99.5, v2: 0.6}"), TO,
         ("sum to 100.1, not 100", "write {v1: 99.4, v2: 0.6}, or {v1: 99.4006, v2: 0.5994} for the")),
    Case("no weight at all", to("{v1: 0, v2: 0}"), TO, ("sum to 0, not 100", "give at least one version a weight")),
    Case("mappings that do not sum to 100", to("{v1: 90, v2: {weight: 20}}"), TO, ("sum to 110, not 100",)),
    Case("a mapping without a weight", to(f"{{v1: 100, v2: {{{MARK}}}}}"), f"{TO}.v2.weight",
         ("this key is missing", "add `weight: 10`")),
    Case("an unknown key of a destination", to("{v1: 90, v2: {weight: 10, header: {}}}"), f"{TO}.v2.header",
         ("no such key; the nearest is `headers`", "weight, headers")),
    Case("a weight in a mapping as text", to('{v1: 90, v2: {weight: "10%"}}'), f"{TO}.v2.weight",
         ("this is text", "write 10, without the percent sign")),
    Case("the host as a header of a share", to("{v1: 90, v2: {weight: 10, headers: {request: {set: {host: a}}}}}"),
         f"{TO}.v2.headers.request.set.host", ("'host' is not a header that can be set",)),
    Case("a header that the rule changes too",
         routed(f"- to: {{v1: 90, v2: {{weight: 10, {MARK}}}}} {HERE}\n"
                "  headers: {request: {remove: [x-a]}}\n"), f"{TO}.v2.headers.request",
         ("the rule's own headers change x-a too", "Envoy changes the rule's headers after those of a destination",
          f"remove x-a from {ROUTE}[0].headers.request")),
    Case("the version header in a share",
         to("{v1: 90, v2: {weight: 10, headers: {response: {set: {x-served: b}}}}}")
         + "  istio-canary:versionHeader: x-served\n",
         f"{TO}.v2.headers.response", ("x-served is the versionHeader", "remove x-served here")),
    Case("a cookie beside sticky",
         routed(f"- to: {{v1: 90, v2: {{weight: 10, headers: {{response: {{add: {{set-cookie: a=b}}}}}}}}}} {HERE}\n"
                "  sticky: {cookie: v, ttl: 1h}\n"), f"{TO}.v2.headers.response.add.set-cookie",
         ("sticky already adds this header", "remove it, or remove sticky")),
    Case("the version header in a rule",
         routed(f"- to: {{v1: 90, v2: 10}}\n  headers: {{response: {{set: {{x-served: b}}}}}} {HERE}\n")
         + "  istio-canary:versionHeader: x-served\n",
         f"{ROUTE}[0].headers.response", ("x-served is the versionHeader, and would no longer name",)),
    Case("a rule that removes the cookie of sticky",
         routed(f"- to: {{v1: 90, v2: 10}}\n  sticky: {{cookie: v, ttl: 1h}}\n"
                f"  headers: {{response: {{remove: [set-cookie]}}}} {HERE}\n"),
         f"{ROUTE}[0].headers.response", ("replaces or removes set-cookie, and with it the cookie of sticky",)),
    Case("headers of a destination at an Ingress",
         service(f"{HOSTS}ingressClassName: istio\nversions: {{v1: {{image: a, port: 80}}}}\n"
                 f"route:\n  - to: {{v1: {{weight: 100, {MARK}}}}} {HERE}\n"),
         f"{TO}.v1.headers", ("an Ingress cannot express headers of a destination",)),
    Case("a version without pods with a small share",
         service(f"{HOSTS}versions:\n  v1: {{image: a, port: 1}}\n  v2: {{image: a, port: 1, replicas: 0}}\n"
                 f"route:\n  - to: {{v1: 99.5, v2: {{weight: 0.5}}}} {HERE}\n"), f"{TO}.v2", ("has no pods",)),
    Case("weights beside blueGreen",
         service(f"{HOSTS}strategy: blueGreen\n{TWO}route:\n  - to: {{v1: 99.5, v2: 0.5}} {HERE}\n"), TO,
         ("with blueGreen the active version gets all", "has weights")),
    # Redirects
    Case("uri and prefixRewrite", rule("match: [{uri: {prefix: /a}}], redirect: {uri: /b, prefixRewrite: /c}"),
         f"{ROUTE}[0].redirect", ("uri and prefixRewrite are set together", "keeps what follows the prefix")),
    Case("prefixRewrite without a path", rule("match: [{headers: {a: {exact: b}}}], redirect: {prefixRewrite: /c}"),
         f"{ROUTE}[0].match[0]", ("replaces a prefix, and this match has none", "uri: {prefix: …}")),
    Case("prefixRewrite of an exact path",
         rule("match: [{uri: {prefix: /a}}, {uri: {exact: /b}}], redirect: {prefixRewrite: /c}"),
         f"{ROUTE}[0].match[1].uri", ("this is an exact path", 'given:   {"exact": "/b"}')),
    Case("prefixRewrite of a regular expression", rule("match: [{uri: {regex: /a.*}}], redirect: {prefixRewrite: /c}"),
         f"{ROUTE}[0].match[0].uri", ("this is a regular expression",)),
    Case("prefixRewrite without a match", routed("- {match: [{uri: {exact: /x}}], to: {v1: 50, v2: 50}}\n"
         f"- {{redirect: {{prefixRewrite: /c}}}} {HERE}\n"), f"{ROUTE}[1].redirect.prefixRewrite",
         ("the rule has no match",)),
    Case("prefixRewrite that is no path", rule("match: [{uri: {prefix: /a}}], redirect: {prefixRewrite: b}"), REDIRECT,
         ("'b' is not a path",)),
    Case("prefixRewrite in a loop", rule("match: [{uri: {prefix: /a}}], redirect: {prefixRewrite: /a/new}"),
         f"{ROUTE}[0].redirect", ("the redirect is a loop",)),
    Case("prefixRewrite with an older mesh",
         rule("match: [{uri: {prefix: /a}}], redirect: {prefixRewrite: /c}") + OLD_MESH, REDIRECT,
         ("Istio 1.30.2 (mesh.version) does not have prefixRewrite", "raise istio-canary:mesh.version to 1.31")),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_mistake_is_reported_with_its_line_path_and_fix(case: Case, tmp_path: Path) -> None:
    assert_is_reported(case, tmp_path)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_one_mistake_is_not_reported_many_times(case: Case, tmp_path: Path) -> None:
    assert_is_reported_once(case, tmp_path)


VALID = [
    "{v1: 99.5, v2: 0.5}", "{v1: 995, v2: 5}", "{v1: 999999, v2: 1}", "{v1: 99.9999, v2: 0.0001}",
    "{v1: {weight: 100}, v2: 0}", f"{{v1: 100, v2: {{weight: 0, {MARK}}}}}", "{v1: {weight: 99.5}, v2: {weight: 0.5}}",
    f"{{v1: 90, v2: {{weight: 10, {MARK}}}}}", "{v1: 90.0, v2: 10}",
]  # fmt: skip


@pytest.mark.parametrize("value", VALID)
def test_every_other_share_is_valid(value: str, tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.dev.yaml"
    file.write_text(to(value))
    weights = load_stack(file).settings.services["shop"].route[0].weights
    assert sum(weights.values()) == pytest.approx(100)


WARNINGS = [
    Case("headers of a share that gets nothing", to(f"{{v1: 100, v2: {{weight: 0, {MARK}}}}}"), f"{TO}.v2.headers",
         ("no effect: the weight of v2 is 0", "none needed if the weight is raised later")),
    Case("a mesh that somebody else installs",
         rule("match: [{uri: {prefix: /a}}], redirect: {prefixRewrite: /c}") + OTHERS_MESH, REDIRECT,
         ("a mesh older than Istio 1.31", "none needed if `istioctl version`")),
]  # fmt: skip


@pytest.mark.parametrize("case", WARNINGS, ids=lambda case: case.name)
def test_a_warning_has_its_line_path_and_fix(case: Case, tmp_path: Path) -> None:
    found = {problem.path: problem for problem in warnings_of(tmp_path, case.text)}

    assert case.path in found, found
    assert found[case.path].line == marked_line(case.text)
    for words in case.words:
        assert words in str(found[case.path])


def test_the_default_mesh_has_prefix_rewrite(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.dev.yaml"
    for mesh in ("{}", "{version: 1.31.0}", "{version: 1.32.1}"):
        keys = "match: [{uri: {prefix: /a}}], redirect: {prefixRewrite: /c}"
        file.write_text(rule(keys) + f"  istio-canary:mesh: {mesh}\n")
        assert load_stack(file).settings.services["shop"].route[0].redirect
