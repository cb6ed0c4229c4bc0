"""What a stack lays over samples: one mistake is reported once, at the line that the stack's file has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stacks.settings.loading import load
from stacks.settings.problems import SettingsError
from tests.unit.problems import HERE, Case, assert_is_reported, config, problems_of, told

PORTS = "mesh: {gateway: {ports: [80, 9191]}}\n"
JAVA = "istio-canary:services.java-service-lb"
PROBE = "{readinessProbe: {initialDelaySeconds: 1}}"
LAID_OVER_JAVA = (
    f"services:\n  java-service-lb: {HERE}\n    versions:\n      cloudnative-java-service: {PROBE}\n"
    f"      cloudnative-java-service-one: {PROBE}\n"
)


def over(samples: str, keys: str) -> str:
    """A file with these samples, and keys beside them."""
    return config(f"{PORTS}samples: {samples}\n{keys}")


def services(samples: str, keys: str) -> str:
    """A file with these samples, and keys of services in one line, which are wrong."""
    return over(samples, f"services: {{{keys}}} {HERE}\n")


CASES = [
    # Settings over a sample that is not listed.
    Case("an unlisted sample", over("[website]", LAID_OVER_JAVA), JAVA,
         ("the sample java-service, over which this is laid, is not in istio-canary:samples",
          "add java-service to istio-canary:samples, or remove the entries in lines 5-8")),
    Case("a sample in no list", over("website", LAID_OVER_JAVA), JAVA, ("add java-service to",)),
    Case("no samples", over("null", LAID_OVER_JAVA), JAVA, ("add java-service to",)),
    Case("an unknown sample", over("[other]", LAID_OVER_JAVA), JAVA, ("add java-service to",)),
    Case("the namespace of an unlisted sample",
         over("[website]", f"services:\n  web-api: {{strategy: canary}} {HERE}\nnamespaces: {{starter: {{}}}}\n"),
         "istio-canary:services.web-api", ("remove the entries in lines 5-6",)),
    Case("an egress of an unlisted sample", over("[website]", f"egress: {{blog: {{resolution: STATIC}}}} {HERE}\n"),
         "istio-canary:egress.blog", ("add cloud-native-starter to",)),
    Case("null for what an unlisted sample has", services("[website]", "asset-mgr-ms-svc: null"),
         "istio-canary:services.asset-mgr-ms-svc", ("add assets to istio-canary:samples",)),
    # What a null removes, and something refers to.
    Case("a service that is removed", services("[assets]", "asset-mgr-ms-svc: null"),
         "istio-canary:services.asset-mgr-ms-svc",
         told("null removes asset-mgr-ms-svc, but istio-canary:services.asset-dashboard-bff-svc.route[2].to of the "
              "sample refers to it", "null", "null for what nothing refers to",
              "remove it, or give asset-dashboard-bff-svc a `route` of your own")),
    Case("a version that is removed", services("[website]", "website: {versions: {version-2: null}}"),
         "istio-canary:services.website.versions.version-2",
         ("null removes version-2", "remove it, or give website a `route` of your own")),
    Case("a gateway that is removed", over("[java-service]", f"gateways: {{java-service-istio-lb: null}} {HERE}\n"),
         "istio-canary:gateways.java-service-istio-lb",
         ("null removes java-service-istio-lb", "remove it, or give java-service-lb `gateways` of your own")),
    Case("null for an entry with a similar name", services("[cloud-native-starter]", "web-ap: null"),
         "istio-canary:services.web-ap",
         ("none has 'web-ap'; the nearest is 'web-api'", "fix:     write web-api: null, or remove it")),
    Case("null for a version that no sample has", services("[website]", "website: {versions: {version-9: null}}"),
         "istio-canary:services.website.versions.version-9", ("null for version-1, version-2", "fix:     remove it")),
    Case("a version of a sample that a route leaves out", services("[website]", "website: {route: [{to: version-1}]}"),
         "istio-canary:services.website.route",
         ("no rule of the route sends requests to version-2",
          "name it here, or write istio-canary:services.website.versions.version-2: null")),
    Case("pods that a sample's route needs", services("[website]", "website: {versions: {version-2: {replicas: 0}}}"),
         "istio-canary:services.website.versions.version-2.replicas",
         ("would get 503 (istio-canary:services.website.route[0].to of the sample)", "raise it, or write a `route`")),
    Case("null for a route that is needed", services("[website]", "website: {route: null}"),
         "istio-canary:services.website.route", ("there is no route between the 2 versions",)),
    Case("a destination that is removed",
         services("[website]", "website: {versions: {version-2: null}, route: [{to: {version-1: 90, version-2: 10}}]}"),
         "istio-canary:services.website.route[0].to.version-2",
         ("version-2 is removed by istio-canary:services.website.versions.version-2: null", "remove that null")),
    Case("all services of a namespace",
         services("[cloud-native-starter]", "web-api: null, articles: null, authors: null"),
         "istio-canary:services.web-api",
         ("no service is left in the namespace starter", "add starter: null to istio-canary:namespaces")),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_mistake_is_reported_at_the_line_of_the_stacks_file(case: Case, tmp_path: Path) -> None:
    assert_is_reported(case, tmp_path)

    others = [problem for problem in problems_of(tmp_path, case.text).problems if problem.path != case.path]
    assert {problem.path.split("[")[0] for problem in others} <= {"istio-canary:samples"}, others


def test_a_misspelt_sample_is_all_that_is_reported_of_it(tmp_path: Path) -> None:
    error = problems_of(tmp_path, over("[java-servce]", LAID_OVER_JAVA))

    assert [problem.path for problem in error.problems] == ["istio-canary:samples[0]"]


def test_null_removes_any_key_that_a_sample_has() -> None:
    services = {"website": {"route": None, "versions": {"version-2": None, "version-1": {"args": None}}}}
    website = load({"samples": ["website"], "services": services}).services["website"]

    assert (list(website.versions), website.deployed["version-1"].args) == (["version-1"], ())
    assert [rule.to for rule in website.route] == ["version-1"]


@pytest.mark.parametrize("count", [{"replicas": None}, {"autoscaling": {"maxReplicas": 5, "cpu": 70}}])
def test_the_replicas_of_a_sample_give_way_to_who_else_decides_about_them(count: dict[str, Any]) -> None:
    services = {"website": {"versions": {"version-1": count}}}
    versions = load({"samples": ["website"], "services": services}).services["website"].deployed

    assert versions["version-1"].replicas is None
    assert versions["version-2"].replicas == 1


def test_a_service_of_ones_own_may_have_the_name_of_a_samples() -> None:
    versions = {"version-1": {"image": "shop:1", "port": 8080}}

    assert "website" in load({"services": {"website": {"hosts": ["*"], "versions": versions}}}).services


def test_entries_without_a_file_are_named_by_their_paths() -> None:
    with pytest.raises(SettingsError, match=r"or remove istio-canary:services\.website"):
        load({"services": {"website": {"strategy": "canary"}}})
