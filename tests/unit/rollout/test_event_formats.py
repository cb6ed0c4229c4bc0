"""What an event looks like to CloudEvents' receivers, to Slack and in Kubernetes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from lightkube.resources.core_v1 import Event

from rollout.event_formats import (
    LONGEST_MESSAGE,
    WARNINGS,
    body_for,
    cloud_event,
    headers_for,
    kubernetes_event,
    kubernetes_name,
    slack_message,
)
from rollout.record import EventType
from tests.unit.rollout.sample_groups import in_group
from tests.unit.rollout.sample_records import NOW, event, record


def test_a_cloud_event_has_all_that_version_1_asks_for() -> None:
    written = event(12, "StepWritten", "step 1 of 3: version-2 10 %", data={"step": 0, "phase": "Progressing"})
    assert json.loads(cloud_event(record(), written)) == {
        "specversion": "1.0",
        "id": "website-7/12/0",
        "source": f"/namespaces/website-istio-ns/services/website/rollouts/{NOW}",
        "type": "istio-canary.rollout.StepWritten",
        "subject": "website",
        "time": "2026-01-05T10:00:00Z",
        "datacontenttype": "application/json",
        "data": {
            "step": 1,
            "phase": "Progressing",
            "text": "step 1 of 3: version-2 10 %",
            "namespace": "website-istio-ns",
            "service": "website",
            "rollout": "website-7",
            "from": "version-1",
            "to": "version-2",
        },
    }


def test_an_events_bytes_do_not_change_with_the_rollout_that_goes_on() -> None:
    given = event(12)
    later = record(generation=40, id="website-8", step=2)
    assert cloud_event(record(), given) == cloud_event(later, given)


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("StepWritten", "step 1 of 3", "*website* (website-istio-ns) StepWritten: step 1 of 3"),
        (
            "Aborted",
            "5xx > 2 % & <!channel>",
            ":warning: *website* (website-istio-ns) Aborted: 5xx &gt; 2 % &amp; &lt;!channel&gt;",
        ),
    ],
)
def test_a_message_of_slack_has_no_markup_from_the_events_text(kind: str, text: str, expected: str) -> None:
    assert json.loads(slack_message(record(), event(1, kind, text))) == {"text": expected}


def test_each_format_has_its_content_type_and_the_events_id_as_idempotency_key() -> None:
    given = event(3)
    assert headers_for("cloudevents", given) == {
        "Content-Type": "application/cloudevents+json",
        "Idempotency-Key": "website-7/3/0",
    }
    assert headers_for("slack", given)["Content-Type"] == "application/json"
    assert "specversion" in json.loads(body_for("cloudevents", record(), given))
    assert "text" in json.loads(body_for("slack", record(), given))


def test_a_kubernetes_event_is_about_the_virtual_service() -> None:
    made = kubernetes_event(record(), event(4, "Aborted", "no pod is ready"), "host/1/uuid")
    read: Any = Event.from_dict(made)
    assert (read.reason, read.type, read.message) == ("Aborted", "Warning", "no pod is ready")
    assert (read.involvedObject.kind, read.involvedObject.name) == ("VirtualService", "website")
    assert read.involvedObject.uid == "uid-of-website"
    assert (read.metadata.namespace, read.count) == ("website-istio-ns", 1)
    assert made["firstTimestamp"] == made["lastTimestamp"] == "2026-01-05T10:00:00Z"


def test_a_service_that_only_the_mesh_calls_has_its_own_virtual_service() -> None:
    made = kubernetes_event(record(vs_uids={"website-mesh": "u"}), event(4), "")
    assert (made["involvedObject"]["name"], made["involvedObject"]["uid"]) == ("website-mesh", "u")
    assert "uid" not in kubernetes_event(record(vs_uids={}), event(4), "")["involvedObject"]


def test_a_long_text_is_cut_to_whole_characters() -> None:
    message = kubernetes_event(record(), event(4, text="ü" * 2000), "h" * 300)["message"]
    assert LONGEST_MESSAGE - 4 < len(message.encode()) <= LONGEST_MESSAGE
    assert message.endswith("ü…")


def test_the_name_of_a_kubernetes_event_is_that_of_the_event_and_of_no_other() -> None:
    one = record()
    names = [
        kubernetes_name(one, event(4)),
        kubernetes_name(one, event(5)),
        kubernetes_name(record(namespace="other"), event(4)),
        kubernetes_name(record(created_at="2026-02-01T00:00:00Z"), event(4)),
    ]
    assert len(set(names)) == len(names)
    assert kubernetes_name(record(generation=30), event(4)) == names[0]


@pytest.mark.parametrize("kind", list(EventType))
def test_every_kind_of_event_has_a_body_in_every_format(kind: EventType) -> None:
    given = event(1, kind.value)
    assert kind.value in cloud_event(record(), given).decode()
    assert kind.value in slack_message(record(), given).decode()
    made = kubernetes_event(record(), given, "h")
    assert (made["reason"], made["type"]) == (kind.value, "Warning" if kind in WARNINGS else "Normal")


def test_the_events_of_a_groups_service_name_the_group() -> None:
    grouped, written = in_group(record()), event(12)

    assert "(website-istio-ns, group checkout)" in json.loads(slack_message(grouped, written))["text"]
    annotations = kubernetes_event(grouped, written, "host/1/a")["metadata"]["annotations"]
    assert annotations["istio-canary/rollout-group"] == "checkout"
