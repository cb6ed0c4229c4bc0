"""Sends the events of what an `up` has written into the record of a rollout: nobody else may come who does."""

from __future__ import annotations

from kube.kubeconfig import ClusterUnreachableError
from rollout.person import who
from stacks.settings.model import Settings


def unsent_events(settings: Settings, service: str) -> str | None:
    """Send what the record of a service still has, and return a warning about what is left; None if all was sent.

    What is left stays in the record.
    """
    from rollout.look import NoRolloutError
    from rollout.record import RecordError
    from rollout.runner import send_events
    from rollout.store import NameTakenError

    try:
        left = send_events(settings.cluster, settings.services[service].namespace, service, who())
    except (ClusterUnreachableError, NoRolloutError, RecordError, NameTakenError) as error:
        return f"{service}: events of its rollout were not sent: {error}"
    if not left:
        return None
    events = "1 event" if left == 1 else f"{left} events"
    return f"{service}: {events} of its rollout not sent yet; whoever moves it next sends what is left"
