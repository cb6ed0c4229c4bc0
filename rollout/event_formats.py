"""What an event of a rollout looks like to its receivers: CloudEvents, Slack, and Kubernetes' own Events. Pure.

CloudEvents 1.0, "JSON Event Format", structured mode; Slack: "Incoming webhooks"; Kubernetes: Event v1.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rollout.observed_routes import ISTIO_API
from rollout.record import FIELD_MANAGER, EventType, OutboxEvent, Record

CLOUDEVENTS_TYPE = "application/cloudevents+json"
SLACK_TYPE = "application/json"

TYPE_PREFIX = "istio-canary.rollout."

LONGEST_MESSAGE = 1024
"""Characters of a Kubernetes Event's message (events.k8s.io/v1 allows so many bytes of a note)."""

WARNINGS = frozenset(
    {
        EventType.ABORTED,
        EventType.ABORTING,
        EventType.ABORT_INCOMPLETE,
        EventType.DEADLINE_EXCEEDED,
        EventType.DRIFT,
        EventType.HARM_FOUND,
        EventType.HOLDER_LOST,
        EventType.HOOK_FAILED,
        EventType.NO_CAPACITY,
        EventType.NO_DATA,
        EventType.RECORD_VOID,
        EventType.SPLIT_WRONG,
        EventType.SUSPECT,
    }
)
"""Kinds that somebody should look at; Kubernetes' Events are Normal or Warning."""


def cloud_event(record: Record, event: OutboxEvent) -> bytes:
    """Return an event as CloudEvents' JSON. `source` and `id` together are the event's identity.

    `source` has the record's time of creation: a record that was deleted and made again counts from 1 again.
    """
    content = {
        "specversion": "1.0",
        "id": event.id,
        "source": f"/namespaces/{record.namespace}/services/{record.service}/rollouts/{record.created_at}",
        "type": f"{TYPE_PREFIX}{event.type.value}",
        "subject": record.service,
        "time": _with_zone(event.at),
        "datacontenttype": "application/json",
        "data": {
            **event.data,
            **({"step": step + 1} if isinstance(step := event.data.get("step"), int) else {}),  # as people count
            "text": event.text,
            "namespace": record.namespace,
            "service": record.service,
            "rollout": _rollout_of(event),
            "from": record.from_.version,
            "to": record.target.version,
        },
    }
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def slack_message(record: Record, event: OutboxEvent) -> bytes:
    """Return an event as a message of Slack; the characters that Slack gives a meaning are escaped."""
    icon = ":warning: " if event.type in WARNINGS else ""
    group = f", group {_escaped(record.plan.group.name)}" if record.plan.group is not None else ""
    who = f"*{_escaped(record.service)}* ({_escaped(record.namespace)}{group})"
    text = f"{icon}{who} {event.type.value}: {_escaped(event.text)}"
    return json.dumps({"text": text}, ensure_ascii=False, separators=(",", ":")).encode()


def kubernetes_event(record: Record, event: OutboxEvent, holder: str) -> dict[str, Any]:
    """Return an event as a Kubernetes Event about the service's VirtualService, in its namespace.

    Its name is made of the event's id, so that a second copy is refused as existing.
    """
    name = record.service if record.service in record.vs_uids else next(iter(record.vs_uids), record.service)
    involved = {"apiVersion": ISTIO_API, "kind": "VirtualService", "namespace": record.namespace, "name": name}
    uid = record.vs_uids.get(name)
    time = _kubernetes_time(event.at)
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": kubernetes_name(record, event),
            "namespace": record.namespace,
            "annotations": {"istio-canary/event": event.id, **_group_of(record)},
        },
        "involvedObject": {**involved, **({"uid": uid} if uid else {})},
        "reason": event.type.value,
        "message": _shortened(event.text or event.type.value, LONGEST_MESSAGE),
        "type": "Warning" if event.type in WARNINGS else "Normal",
        "source": {"component": FIELD_MANAGER},
        "reportingComponent": FIELD_MANAGER,
        "reportingInstance": _shortened(holder, 128),
        "firstTimestamp": time,
        "lastTimestamp": time,
        "count": 1,
    }


def kubernetes_name(record: Record, event: OutboxEvent) -> str:
    """Return the name of the Event: the service's, and a digest of what identifies the event."""
    identity = "\n".join((record.namespace, record.service, record.created_at, event.id))
    return f"{record.service}.{hashlib.sha256(identity.encode()).hexdigest()[:20]}"


def content_type(sink_format: str) -> str:
    """Return the Content-Type of a sink's format."""
    return CLOUDEVENTS_TYPE if sink_format == "cloudevents" else SLACK_TYPE


def body_for(sink_format: str, record: Record, event: OutboxEvent) -> bytes:
    """Return what a sink with this format is sent."""
    return cloud_event(record, event) if sink_format == "cloudevents" else slack_message(record, event)


def headers_for(sink_format: str, event: OutboxEvent) -> Mapping[str, str]:
    """Return the headers of a request to a sink, without those that are secret."""
    return {"Content-Type": content_type(sink_format), "Idempotency-Key": event.id}


def _group_of(record: Record) -> dict[str, str]:
    """The annotation that names the group; none for a service that is rolled out alone."""
    return {} if record.plan.group is None else {"istio-canary/rollout-group": record.plan.group.name}


def _rollout_of(event: OutboxEvent) -> str:
    """The rollout's id: an event may be sent after a retry has begun the next one."""
    return event.id.partition("/")[0]


def _with_zone(at: str) -> str:
    """A time of the record as RFC 3339 asks for it."""
    return datetime.fromisoformat(at).isoformat().replace("+00:00", "Z")


def _kubernetes_time(at: str) -> str:
    """Kubernetes' Time: whole seconds."""
    return datetime.fromisoformat(at).isoformat(timespec="seconds").replace("+00:00", "Z")


def _escaped(text: str) -> str:
    """Slack: "Formatting text for app surfaces", the three characters to escape."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _shortened(text: str, longest: int) -> str:
    """The text in at most so many bytes."""
    raw = text.encode()
    return text if len(raw) <= longest else raw[: longest - 3].decode(errors="ignore") + "…"
