"""The receivers of a rollout's events: the namespace's Kubernetes Events, and the sinks that `notify` names.

Each has a name that the record keeps as delivered; it is the same for every holder, and tells nothing secret.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from kube.client import MORE_INFORMATION
from kube.objects import find
from rollout.event_formats import body_for, headers_for, kubernetes_event
from rollout.outgoing import SentRequest, UnsafeUrlError, post, shown
from rollout.record import FIELD_MANAGER, OutboxEvent, Record
from traffic.model.rollout import RolloutNotify, SecretKey

if TYPE_CHECKING:
    from lightkube import Client

KUBERNETES = "kubernetes"
"""Name of the receiver that writes Kubernetes Events."""

TIMEOUT = 5.0
"""Seconds for a sink's answer."""

SECRET_MARK = "{secret}"  # noqa: S105 - the mark in a URL, no secret
"""In a sink's URL: where the secret's text belongs. Without it, the text is sent as a bearer token (RFC 6750)."""

NEVER_TAKEN = (400, 413, 415, 422)
"""Answers to what an event contains: the same event would get the same answer for ever."""

Post = Callable[[str, bytes, Mapping[str, str], float], SentRequest]


class DeliveryError(Exception):
    """An event could not be delivered now; it stays in the outbox. `str()` says why, without anything secret."""


class RefusedEventError(Exception):
    """A receiver will never take this event, which must not keep those after it waiting."""


class Receiver(Protocol):
    """Takes events, each at least once, by its id."""

    name: str

    def deliver(self, record: Record, event: OutboxEvent) -> None:
        """Deliver an event. Raises DeliveryError or RefusedEventError."""


class KubernetesEvents:
    """Writes Kubernetes Events into the service's namespace."""

    name = KUBERNETES

    def __init__(self, client: Client, holder: str) -> None:
        self._client = client
        self._holder = holder

    def deliver(self, record: Record, event: OutboxEvent) -> None:
        """Create the Event; one that exists was delivered before."""
        import httpx2
        from lightkube.resources.core_v1 import Event

        made: Any = Event.from_dict(kubernetes_event(record, event, self._holder))
        try:
            self._client.create(made, field_manager=FIELD_MANAGER)
        except httpx2.HTTPStatusError as error:
            status = error.response.status_code
            if status == 409:
                return
            if status in NEVER_TAKEN:
                said = str(error).partition(MORE_INFORMATION)[0].strip()
                raise RefusedEventError(f"the API server refuses the Event {event.id}: {said}") from None
            fix = f"grant the right to create events in {record.namespace}" if status == 403 else "see the API server"
            raise DeliveryError(f"no Kubernetes Event: HTTP {status}; fix: {fix}") from None
        except httpx2.HTTPError as error:
            raise DeliveryError(f"no Kubernetes Event: {type(error).__name__}") from None


class Sink:
    """Sends events to one entry of `notify`. Its secret is read each time, so that a changed one counts at once."""

    def __init__(self, client: Client, notify: RolloutNotify, send: Post = post) -> None:
        self.name = sink_name(notify)
        self._client = client
        self._notify = notify
        self._send = send

    def deliver(self, record: Record, event: OutboxEvent) -> None:
        """Send the event as the sink's format has it."""
        notify = self._notify
        text = secret_text(self._client, record.namespace, notify.secret) if notify.secret else None
        url = notify.url if text is None else notify.url.replace(SECRET_MARK, text)
        headers = dict(headers_for(notify.format, event))
        if text is not None and SECRET_MARK not in notify.url:
            headers["Authorization"] = f"Bearer {text}"
        where = shown(notify.url)
        try:
            # By what is sent, not by what the file says: a secret must not lead elsewhere.
            if shown(url) != where:
                raise UnsafeUrlError("the secret changes the URL's host")
            sent = self._send(url, body_for(notify.format, record, event), headers, TIMEOUT)
        except UnsafeUrlError as error:
            raise DeliveryError(f"{where}: {error}; fix: correct notify.url, and the secret it has") from None
        if sent.ok:
            return
        said = sent.words if text is None else sent.words.replace(text, "[secret]")
        if sent.status in NEVER_TAKEN:
            raise RefusedEventError(f"{where} refuses the event {event.id}: {said}")
        raise DeliveryError(f"{where}: {said}")


def sink_name(notify: RolloutNotify) -> str:
    """Return the name of a sink in the record: its host, and a digest of what tells it from others."""
    host = shown(notify.url).partition("://")[2]
    secret = f"{notify.secret.name}/{notify.secret.key}" if notify.secret else ""
    digest = hashlib.sha256("\n".join((notify.url, notify.format, secret)).encode()).hexdigest()
    return f"{host}/{digest[:8]}"


def secret_text(client: Client, namespace: str, key: SecretKey) -> str:
    """Return the text of a key of a Secret in the service's namespace. Raises DeliveryError if there is none."""
    import httpx2
    from lightkube.resources.core_v1 import Secret

    what = f"the Secret {namespace}/{key.name}"
    try:
        found: Any = find(client, Secret, key.name, namespace)
    except httpx2.HTTPError as error:
        status = error.response.status_code if isinstance(error, httpx2.HTTPStatusError) else None
        fix = f"; fix: grant the right to get the Secret {key.name} in {namespace}" if status == 403 else ""
        raise DeliveryError(
            f"{what} cannot be read: {f'HTTP {status}' if status else type(error).__name__}{fix}"
        ) from None
    if found is None:
        raise DeliveryError(f"{what} does not exist; fix: create it with the key {key.key}")
    value = (found.data or {}).get(key.key)
    if value is None:
        raise DeliveryError(f"{what} has no key {key.key}; fix: add it, or correct notify.secret.key")
    try:
        text = base64.b64decode(value).decode().strip()
    except (binascii.Error, UnicodeDecodeError):
        text = ""
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise DeliveryError(f"{what}: its key {key.key} is no token; fix: write one line of ASCII without spaces")
    return text


def receivers_of(client: Client, record: Record, holder: str, send: Post = post) -> tuple[Receiver, ...]:
    """Return the receivers of a record's events: Kubernetes' Events, and each sink of any of its strategies once."""
    sinks = {sink_name(one): one for rule in record.plan.rules for one in rule.strategy.notify}
    return (KubernetesEvents(client, holder), *(Sink(client, one, send) for one in sinks.values()))
