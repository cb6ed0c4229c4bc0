"""Which group of services a command is about, by a stack's file or without one; and members that are named alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from canary.command_error import CommandError
from canary.exit_codes import ExitCode
from canary.rollout.place import Place, place_of

if TYPE_CHECKING:
    from lightkube import Client

    from canary.ui import Ui
    from rollout.group_members import PlannedGroup
    from rollout.record import Record

SECONDS = 10.0
FORBIDDEN = 403


@dataclass(frozen=True)
class GroupPlace:
    """A group in a cluster: `place` has its name as the service, so that its commands name the group."""

    place: Place
    group: PlannedGroup

    @property
    def name(self) -> str:
        return self.group.name

    def of(self, service: str) -> Place:
        """Return the place of one of its services."""
        namespace = next(one.namespace for one in self.group.members if one.service == service)
        return replace(self.place, service=service, namespace=namespace)


def group_place_of(
    ui: Ui, name: str, stack: str | None, namespace: str | None = None, context: str | None = None
) -> GroupPlace | None:
    """Return the group that is named, None if that is a service, or nothing that is known. Raises CommandError.

    What the services' records say of the group counts before the stack's file: it may have changed meanwhile.
    """
    if namespace is not None:
        if stack is not None:
            return None  # `place_of` says what is wrong
        place = place_of(ui, name, None, namespace, context)
        group = _asked(place, _in_namespace)
        return None if group is None else GroupPlace(place, group)
    if context is not None:
        return None  # as above
    found = _in_file(ui, name, stack)
    if found is None:
        return None
    recorded = _asked(found.place, lambda client, place: _recorded(client, found.group))
    return found if recorded is None else replace(found, group=recorded)


def place_of_group(place: Place, group: PlannedGroup) -> GroupPlace:
    """Return the group of a service whose place is known."""
    return GroupPlace(replace(place, service=group.name, namespace=group.namespace), group)


def refuse_alone(place: Place, record: Record, verb: str) -> None:
    """Raise CommandError if a service is rolled out with a group: none of them does this alone."""
    group = record.plan.group
    if group is None:
        return
    command = place_of_group(place, group).place.command(verb)
    services = ", ".join(member.service for member in group.members)
    raise CommandError(
        f"{place.service} is rolled out with the group {group.name}: {services}",
        ExitCode.CONFIG,
        f"`{command}`, which is about all of them",
    )


def _in_file(ui: Ui, name: str, stack: str | None) -> GroupPlace | None:
    """The group in the stack's file, also if that has mistakes that do not matter here."""
    from canary.engine.session import selected_stack
    from canary.project import choose_stack, find_project
    from rollout.group_members import GroupMember, PlannedGroup
    from stacks.settings.loading import OURS
    from stacks.settings.problems import SettingsError
    from stacks.settings.stack_file import read_stack_file

    project = find_project()
    chosen = choose_stack(project, stack, lambda: selected_stack(project))
    try:
        values = read_stack_file(project.stack_file(chosen)).values
    except SettingsError:
        return None  # `place_of` says what is wrong
    groups: Any = {key.removeprefix(OURS): one for key, one in values.items()}.get("rolloutGroups")
    group = groups.get(name) if isinstance(groups, Mapping) else None
    services: Any = group.get("services") if isinstance(group, Mapping) else None
    if not isinstance(services, list) or not services or not all(isinstance(one, str) for one in services):
        return None
    places = [place_of(ui, one, chosen) for one in services]
    members = tuple(GroupMember(service=one.service, namespace=one.namespace) for one in places)
    return GroupPlace(replace(places[0], service=name), PlannedGroup(name=name, members=members))


def _asked(place: Place, ask: Any) -> PlannedGroup | None:
    from canary.rollout.errors import explained
    from kube.client import query

    with explained(place):
        found: PlannedGroup | None = query(place.cluster, lambda client: ask(client, place), within=SECONDS)
        return found


def _in_namespace(client: Client, place: Place) -> PlannedGroup | None:
    """The group of this name in the namespace, unless a service of this name has a record.

    Its own record tells it, or before anybody has started it those of its services, for whoever may list them.
    """
    import httpx2

    from rollout.group_store import GroupStore, group_in, planned_group
    from rollout.store import RolloutStore

    if RolloutStore(client, place.namespace, place.service).read() is not None:
        return None
    stored = GroupStore(client, place.namespace, place.service).read()
    if stored is not None:
        return planned_group(stored.group)
    try:
        return group_in(client, place.namespace, place.service)
    except httpx2.HTTPStatusError as error:
        if error.response.status_code != FORBIDDEN:
            raise
        return None


def _recorded(client: Client, group: PlannedGroup) -> PlannedGroup | None:
    """The group as the records of its services have it."""
    from rollout.group_record import planned_of
    from rollout.group_store import records_of

    records = records_of(client, group.members)
    named = {service: one for service, one in records.items() if one.plan.group and one.plan.group.name == group.name}
    return planned_of(named) if named else None
