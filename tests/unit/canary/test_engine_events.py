"""Reading the engine's event log; the recorded files are shortened logs of pulumi 3.200."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from canary import report
from canary.engine.diff import Difference, brief, differences
from canary.engine.driver import Operation, Outcome
from canary.engine.events import Diagnostic, Record, ResourceStep
from stacks.settings.loading import load
from traffic.render import virtual_services

RECORDED = Path(__file__).parent / "recorded"
VIRTUAL_SERVICE = "kubernetes:networking.istio.io/v1:VirtualService"


def record(name: str) -> Record:
    taken = Record()
    for line in (RECORDED / name).read_text(encoding="utf-8").splitlines():
        taken.take(line)
    return taken


def outcome(taken: Record, operation: Operation = Operation.PREVIEW) -> Outcome:
    return Outcome(operation, taken, 0, "", 1.25)


def test_a_change_of_weights_is_one_resource_with_old_and_new_weights() -> None:
    document = report.as_json(outcome(record("weight-change.jsonl")), "dev")
    assert document["changes"] == {"same": 2, "update": 1}, "the stack itself is not counted as a resource"
    (resource,) = document["resources"]
    assert (resource["type"], resource["op"]) == (VIRTUAL_SERVICE, "update")
    assert resource["diff"] == [
        {"path": "rule 2 (default), weight of version-1", "old": 50, "new": 90},
        {"path": "rule 2 (default), weight of version-2", "old": 50, "new": 10},
    ], "by rule and version, not by index"


def test_the_json_document_has_everything_that_scripts_need() -> None:
    document = report.as_json(outcome(record("weight-change.jsonl")), "dev")
    assert {"stack", "changes", "resources", "outputs", "duration_seconds"} <= set(document)
    assert json.loads(json.dumps(document)) == document, "it is plain JSON"


def test_the_summary_counts_what_would_change_and_what_did() -> None:
    taken = record("weight-change.jsonl")
    assert report.summary(outcome(taken), "dev") == "stack dev: 1 to update, 2 unchanged (1.2 s)"
    assert report.summary(outcome(taken, Operation.UP), "dev") == "stack dev: 1 updated, 2 unchanged (1.2 s)"
    assert "no changes" in report.summary(outcome(Record()), "dev")


def test_a_failed_operation_is_recorded_with_its_error() -> None:
    taken = record("failed-create.jsonl")
    failed = [step for step in taken.steps.values() if step.state == "failed"]
    assert [step.name for step in failed] == ["bad"]
    assert [entry.message for entry in taken.errors] == ['object "web-v1" already exists', "update failed"]
    assert taken.errors[0].urn.endswith("::bad"), "the error says which resource it is about"


def diagnostic(message: str, severity: str = "warning") -> str:
    return json.dumps({"sequence": 1, "diagnosticEvent": {"message": message, "severity": severity}})


def test_pending_operations_of_an_earlier_run_are_detected() -> None:
    taken = Record()
    text = "Attempting to deploy or update resources with 1 pending operations from previous deployment.\n  * urn:…"
    assert taken.take(diagnostic(text)) is None, "the operations are recovered, so the warning is not shown"
    assert taken.pending


def test_a_warning_is_shown_once() -> None:
    taken = Record()
    assert isinstance(taken.take(diagnostic("beware")), Diagnostic)
    assert taken.take(diagnostic("beware")) is None


def step(op: str, state: str, old: object, new: object) -> str:
    key = {"started": "resourcePreEvent", "done": "resOutputsEvent"}[state]
    metadata = {"op": op, "urn": "urn:p::t::name", "type": "t", "old": {"inputs": old}, "new": {"inputs": new}}
    return json.dumps({"sequence": 1, key: {"metadata": metadata}})


def test_a_replacement_is_one_change_with_its_differences() -> None:
    taken = Record()
    for op in ("create-replacement", "replace", "delete-replaced"):
        for state in ("started", "done"):
            taken.take(step(op, state, {"name": "a"}, {"name": "b"}))
    (found,) = taken.changed
    assert found.op == "replace"
    assert [str(entry) for entry in found.diff] == ["name: a -> b"]


def test_differences_are_taken_from_the_first_event() -> None:
    taken = Record()
    taken.take(step("update", "started", {"image": "a"}, {"image": "b"}))
    taken.take(step("update", "done", {"image": "b"}, {"image": "b"}))
    assert [str(entry) for entry in taken.changed[0].diff] == ["image: a -> b"], (
        "in the last event, the old value is already the new one"
    )


def test_a_refresh_that_found_a_change_is_an_update() -> None:
    taken = Record()
    taken.take(step("refresh", "started", {"image": "a"}, {"image": "a"}))
    taken.take(step("update", "done", {"image": "a"}, {"image": "b"}))
    assert [(found.op, str(found.diff[0])) for found in taken.changed] == [("update", "image: a -> b")]


def http(*rules: dict[str, int], match: str = "canary-test") -> dict[str, Any]:
    def destination(name: str) -> dict[str, str]:
        service, _, version = name.rpartition("/")
        return {"host": f"{service or 'website'}.website-istio-ns.svc.cluster.local", "subset": version}

    def destinations(weights: dict[str, int]) -> list[dict[str, object]]:
        weighted = len(weights) > 1
        return [
            {"destination": destination(name), **({"weight": weight} if weighted else {})}
            for name, weight in weights.items()
        ]

    routes: list[dict[str, object]] = [{"route": destinations(rule)} for rule in rules]
    routes[0]["match"] = [{"headers": {"qa": {"exact": match}}}]
    return {"metadata": {"labels": {"app": "website"}}, "spec": {"hosts": ["*"], "http": routes}}


def sticky(weights: dict[str, int]) -> dict[str, Any]:
    """A header rule and a sticky rule, as rendered."""
    header = {"match": [{"headers": {"qa": {"exact": "canary-test"}}}], "to": "version-2"}
    rule = {"to": weights, "sticky": {"cookie": "shop.v", "ttl": "1h"}}
    versions = {version: {"image": "website:1", "port": 8080} for version in weights}
    service = {"hosts": ["*"], "versions": versions, "route": [header, rule]}
    settings = load({"services": {"website": service}})
    specs = virtual_services(settings.services, "website", gateway_namespace="istio-ingress")
    return {"metadata": {"labels": {"app": "website"}}, "spec": specs["website"]}


def with_header(properties: Any, value: str) -> Any:
    """The same with a response header at the first destination."""
    properties["spec"]["http"][0]["route"][0]["headers"] = {"response": {"set": {"x": value}}}
    return properties


HEADER = {"version-2": 100}
CASES = [
    (
        http(HEADER, {"version-1": 100}),
        http(HEADER, {"version-1": 90, "version-2": 10}),
        {
            "rule 2 (default), weight of version-1: 100 -> 90",
            "rule 2 (default), weight of version-2: 0 -> 10",
        },
    ),
    (
        http(HEADER, {"version-1": 90, "version-2": 10}),
        http({"version-1": 100}, {"version-1": 90, "version-2": 10}),
        {
            "rule 1, weight of version-2: 100 -> 0",
            "rule 1, weight of version-1: 0 -> 100",
        },
    ),
    (
        http(HEADER, {"version-1": 90, "shop/version-1": 10}),
        http(HEADER, {"version-1": 80, "shop/version-1": 20}),
        {
            "rule 2 (default), weight of version-1: 90 -> 80",
            "rule 2 (default), weight of shop/version-1: 10 -> 20",
        },
    ),
    (
        sticky({"version-1": 90, "version-2": 10}),
        sticky({"version-1": 50, "version-2": 30, "version-3": 20}),
        {
            "rule 2 (default), weight of version-1: 90 -> 50",
            "rule 2 (default), weight of version-2: 10 -> 30",
            "rule 2 (default), weight of version-3: 0 -> 20",
        },
    ),
    (
        with_header(http({"version-1": 90, "version-2": 10}), "a"),
        with_header(http({"version-1": 50, "version-2": 50}), "b"),
        {
            "spec.http[0].route[0].headers.response.set.x: a -> b",
            "spec.http[0].route[0].weight: 90 -> 50",
            "spec.http[0].route[1].weight: 10 -> 50",
        },
    ),
    (http(HEADER, match="a"), http(HEADER, match="b"), {"spec.http[0].match[0].headers.qa.exact: a -> b"}),
    (http(HEADER), http(HEADER), set()),
]


@pytest.mark.parametrize(("old", "new", "lines"), CASES)
def test_changes_of_a_virtual_service_are_listed_by_rule_and_version(
    old: dict[str, object], new: dict[str, object], lines: set[str]
) -> None:
    assert {str(entry) for entry in differences(VIRTUAL_SERVICE, old, new)} == lines


@pytest.mark.parametrize(
    ("difference", "text"),
    [
        (Difference("spec.replicas", 1, 4), "spec.replicas: 1 -> 4"),
        (Difference("spec.replicas", 1.0, 4.0), "spec.replicas: 1 -> 4"),
        (Difference("a.b", None, {"c": [1, "d"]}), "a.b: {c: [1, d]} added"),
        (Difference("a.b", "x", None), "a.b: x removed"),
        (Difference("a.b", None, None), "a.b"),
        (Difference("a.b", "", "x"), "a.b: (empty) -> x"),
    ],
)
def test_the_text_of_a_difference(difference: Difference, text: str) -> None:
    assert str(difference) == text


def test_long_values_are_shortened() -> None:
    assert len(brief("x" * 1000)) == 100, "a ConfigMap's content would fill the screen"


def test_the_providers_internal_properties_are_ignored() -> None:
    assert differences("t", {"__inputs": 1, "a": 1}, {"__inputs": 2, "a": 1}) == ()


def test_steps_of_the_stack_are_not_shown() -> None:
    assert not ResourceStep("urn", "pulumi:pulumi:Stack", "create", "done", {}, {}).is_shown
    assert ResourceStep("urn", "kubernetes:v1:Service", "create", "done", {}, {}).is_shown


@pytest.mark.parametrize(
    ("severity", "urn", "words"),
    [
        ("info", "urn:pulumi:dev::p::pulumi:pulumi:Stack::p-dev", "a rollout begins"),
        ("info", "", "a rollout begins"),
        ("warning", "", "warning: a rollout begins"),
        ("info", "urn:pulumi:dev::p::kubernetes:apps/v1:Deployment::web", None),
        ("debug", "urn:pulumi:dev::p::pulumi:pulumi:Stack::p-dev", None),
    ],
    ids=["of the stack", "of no resource", "a warning", "of a resource", "for debugging"],
)
def test_what_the_program_says_is_shown(severity: str, urn: str, words: str | None) -> None:
    event = {"diagnosticEvent": {"severity": severity, "message": "a rollout begins\n", "urn": urn}}
    taken = Record().take(json.dumps(event))
    assert (taken.words if isinstance(taken, Diagnostic) and taken.is_shown else None) == words


@pytest.mark.parametrize(
    ("message", "kind", "is_shown"),
    [
        ("Aborting: all requests go back to v1", "networking.istio.io/v1:VirtualService", False),
        ("HolderLost: ci/1/a has stopped", "networking.istio.io/v1:VirtualService", False),
        ("deprecated: use another field", "networking.istio.io/v1:VirtualService", True),
        ("Aborting: all requests go back to v1", "apps/v1:Deployment", True),
    ],
)
def test_kubernetes_events_of_a_rollout_which_may_be_old_are_not_shown(message: str, kind: str, is_shown: bool) -> None:
    urn = f"urn:pulumi:dev::p::istio-canary:index:CanaryRouting$kubernetes:{kind}::web"
    taken = Record().take(json.dumps({"diagnosticEvent": {"severity": "warning", "message": message, "urn": urn}}))
    assert isinstance(taken, Diagnostic)
    assert taken.is_shown is is_shown
