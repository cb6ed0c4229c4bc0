"""What a change of route tables does to requests: groups of requests that change alike, with one witness each."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

from traffic.diff.branches import branches, is_of_place, is_routed, placed
from traffic.diff.content import Known, can_be_sent, classes, request_with
from traffic.diff.effect import Change, Effect, Part, changes, effect
from traffic.diff.places import Authorities, places
from traffic.diff.rules import RuleChange, changed_rules
from traffic.diff.search import Search
from traffic.diff.values import ValueChange, value_changes
from traffic.model import ServiceRouting
from traffic.simulate import Request, Simulator, conditions


@dataclass(frozen=True)
class Witness:
    """A request, and what happens to it before and after."""

    request: Request
    before: Effect
    after: Effect


@dataclass(frozen=True)
class Group:
    """Requests that change alike: the services whose routes decide before and after, the change, and one of them."""

    before: str | None
    after: str | None
    change: Change
    witness: Witness

    @property
    def service(self) -> str | None:
        """The service under which the group is shown."""
        return self.after or self.before

    @property
    def key(self) -> tuple[str | None, str | None, Change]:
        """What makes it a group."""
        return self.before, self.after, self.change


@dataclass(frozen=True)
class ServiceDiff:
    """How one service differs; None for the side that does not have it. `settings` are those of its traffic."""

    name: str
    before: ServiceRouting | None
    after: ServiceRouting | None
    rules: tuple[RuleChange, ...]
    settings: tuple[ValueChange, ...]
    groups: tuple[Group, ...]

    @property
    def has_route_changes(self) -> bool:
        """Whether a rule, a setting of the traffic or a request differs."""
        return bool(self.rules or self.settings or self.groups or self.before is None or self.after is None)


@dataclass(frozen=True)
class TrafficDiff:
    """The services that differ, by name, and groups of requests that belong to none of them.

    `is_complete` is false if the search for requests was given up somewhere: then groups may be missing.
    """

    services: tuple[ServiceDiff, ...]
    others: tuple[Group, ...] = ()
    is_complete: bool = True

    @property
    def groups(self) -> tuple[Group, ...]:
        """All groups."""
        return (*(group for service in self.services for group in service.groups), *self.others)


NOT_TRAFFIC = {"route", "versions", "strategy"}
"""Fields of a service that are not compared key by key."""


def traffic_diff(before: Simulator, after: Simulator) -> TrafficDiff:
    """Return how traffic differs between two route tables. Nothing is sent: requests are decided by the simulators."""
    search = _Requests(before, after)
    groups = search.groups()
    names = dict.fromkeys((*before.routes, *after.routes))
    services = [
        _service(name, before.routes.get(name), after.routes.get(name), [one for one in groups if one.service == name])
        for name in names
    ]
    return TrafficDiff(
        tuple(service for service in services if service.has_route_changes),
        tuple(group for group in groups if group.service is None),
        search.is_complete,
    )


def _service(
    name: str, before: ServiceRouting | None, after: ServiceRouting | None, groups: Sequence[Group]
) -> ServiceDiff:
    rules: tuple[RuleChange, ...] = ()
    settings: tuple[ValueChange, ...] = ()
    if before is not None and after is not None and before != after:
        rules = changed_rules(before.route, after.route)
        settings = value_changes(_traffic_settings(before), _traffic_settings(after))
    return ServiceDiff(name, before, after, rules, settings, tuple(groups))


def _traffic_settings(service: ServiceRouting) -> dict[str, object]:
    fields = set(ServiceRouting.model_fields) - NOT_TRAFFIC
    return service.model_dump(mode="json", by_alias=True, exclude_none=True, include=fields)


@dataclass
class _Requests:
    """The search for requests that change."""

    before: Simulator
    after: Simulator
    is_complete: bool = True
    _known: Known = field(default_factory=dict)
    _best: dict[Hashable, tuple[tuple[object, ...], Group]] = field(default_factory=dict)

    def groups(self) -> list[Group]:
        """Return one group for each change that a request shows, those of destinations from outside first."""
        if self._is_same():
            return []
        known: set[Hashable] = set()
        authorities = Authorities((self.before, self.after))
        for at in places(self.before, self.after):
            if at.is_connection:
                self._note(at)  # there is nothing more in it that a rule could tell apart
                continue
            sides = effect(self.before, at), effect(self.after, at)
            key = self._signature(at, sides, authorities)
            if key not in known:
                known.add(key)
                self._at_place(at, sides)
        found = sorted(self._best.values(), key=lambda entry: (_rank(entry[1]), entry[0]))
        return [group for _, group in found]

    def _is_same(self) -> bool:
        one, other = self.before, self.after
        same_table = one.routes == other.routes and one.gateways == other.gateways
        return same_table and one.proxy == other.proxy and one.mesh == other.mesh

    def _at_place(self, at: Request, sides: tuple[Effect, Effect]) -> None:
        self._note(at)
        before = branches(self.before, sides[0].decision)
        after = branches(self.after, sides[1].decision)
        meshes = tuple(dict.fromkeys((self.before.mesh, self.after.mesh)))
        if before == after and len(meshes) == 1:
            return
        routed = [
            placed(simulator, side.decision)
            for simulator, side in zip((self.before, self.after), sides, strict=True)
            if is_routed(side.decision)
        ]
        # Conditions on content hold alike for both sides, whose Gateways may differ.
        search = Search(classes(at, routed[0], (*before, *after), self._known, meshes) if routed else {})
        held_before = tuple(search.holding(branch, 0) for branch in before)
        held_after = tuple(search.holding(branch, len(meshes) - 1) for branch in after)
        for old, branch in enumerate(before):
            for new, other in enumerate(after):
                if branch.outcome != other.outcome:
                    required = (*held_before[old], *held_after[new])
                    earlier = tuple(dict.fromkeys((*held_before[:old], *held_after[:new])))
                    for contents in search.contents(required, earlier):
                        self._note(request_with(at, contents))
        self.is_complete = self.is_complete and search.is_complete

    def _note(self, request: Request) -> None:
        """Keep the request as a witness of its changes, unless there are better ones."""
        before, after = effect(self.before, request), effect(self.after, request)
        for change in changes(before, after):
            group = Group(before.decision.service, after.decision.service, change, Witness(request, before, after))
            cost = _cost(request)
            if can_be_sent(request) and (group.key not in self._best or cost < self._best[group.key][0]):
                self._best[group.key] = cost, group

    def _signature(self, at: Request, sides: tuple[Effect, Effect], authorities: Authorities) -> Hashable:
        """What decides requests at a place apart from their content: one place of each is enough."""
        parts: list[Hashable] = [at.caller is None, at.authority in authorities.redirected]
        for simulator, side in zip((self.before, self.after), sides, strict=True):
            decision = side.decision
            if not is_routed(decision) or decision.service is None:
                parts.append((decision.service, side.destination.words))
                continue
            seen = placed(simulator, decision)
            route = simulator.routes[decision.service].route
            held = (
                c.holds(seen) for rule in route for match in rule.match for c in conditions(match) if is_of_place(c)
            )
            parts.append((decision.service, tuple(held)))
        return tuple(parts)


def _rank(group: Group) -> tuple[bool, bool]:
    return group.change.part is not Part.DESTINATION, group.witness.request.caller is not None


def _cost(request: Request) -> tuple[object, ...]:
    """How much there is to read and to send: a caller outside, plain HTTP, few headers, short texts."""
    values = [value for _, value in request.pairs]
    names = [name.lower() for name, _ in request.pairs]
    path, _, query = request.path.partition("?")
    parts = len(values) + query.count("=") + (path != "/") + (request.method != "GET")
    odd = values.count("") + len(names) - len(set(names)) + (not request.authority.islower())
    caller = request.caller
    return (
        caller is not None, odd, parts, len(caller.labels) if caller else 0, request.scheme, request.port or 0,
        sum(map(len, values)) + len(request.path) + len(request.authority), request.authority, request.path,
        request.method, str(request.pairs), str(caller),
    )  # fmt: skip
