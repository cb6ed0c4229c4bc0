"""`canary rollout status` without a service: every rollout of a stack."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from canary.command_error import CommandError
from canary.exit_codes import ExitCode
from canary.rollout.documents import status_document
from canary.rollout.errors import explained
from canary.rollout.place import Place
from canary.rollout.reading import SECONDS, RolloutSeen, look
from canary.rollout.table import show_short

if TYPE_CHECKING:
    from lightkube import Client

    from canary.ui import Ui


def list_rollouts(ui: Ui, stack: str | None) -> None:
    """Print every rollout of the stack's services; one that cannot be read is told, and the exit code is 1 then."""
    from canary.engine.session import chosen_stack
    from kube.client import query

    _, name, loaded = chosen_stack(stack)
    settings = loaded.settings
    places = [
        Place(one, service.namespace, settings.cluster, name, loaded) for one, service in settings.services.items()
    ]
    if not places:
        raise CommandError(f"the stack {name} has no services", ExitCode.CONFIG)
    with explained(places[0]):
        found = query(settings.cluster, lambda client: _all(client, places), within=SECONDS)
    seen = [(place, one) for place, one in found if isinstance(one, RolloutSeen)]
    broken = [(place, one) for place, one in found if isinstance(one, CommandError)]

    def show(console: object) -> None:
        if not found:
            ui.stdout.print(f"stack {name} has no rollout in the cluster", markup=False)
        for place, one in seen:
            show_short(ui.stdout, place, one)

    ui.result(status_document(name, seen), show)
    for place, error in broken:
        ui.note(f"{place.service}: {error}")
    if broken:
        raise typer.Exit(ExitCode.FAILED)


def _all(client: Client, places: list[Place]) -> list[tuple[Place, RolloutSeen | CommandError]]:
    """The rollouts of those services that have a record."""
    with_record = _named(client, {place.namespace for place in places})
    found: list[tuple[Place, RolloutSeen | CommandError]] = []
    for place in places:
        if (place.namespace, place.service) not in with_record:
            continue
        try:
            with explained(place):
                one = look(client, place)
        except CommandError as error:
            found.append((place, error))
            continue
        if one is not None:
            found.append((place, one))
    return found


def _named(client: Client, namespaces: set[str]) -> set[tuple[str, str]]:
    """Namespace and service of each record."""
    from lightkube.resources.core_v1 import ConfigMap

    from rollout.store import LABEL

    return {
        (namespace, item.metadata.labels[LABEL])
        for namespace in sorted(namespaces)
        for item in client.list(ConfigMap, namespace=namespace, labels={LABEL: None})
        if item.metadata is not None and item.metadata.labels
    }
