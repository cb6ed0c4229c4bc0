"""What a rollout makes of one service: its file's route, its record and its routes in the cluster, put together.

| record | the file's rules with a rollout | the program renders |
|---|---|---|
| none, void, Closed, or of another release | lead to a new version | the weights of now; the rollout begins |
| Progressing, Completed | lead to the same version | what the record wants |
| Progressing, Completed | lead to `from` again | `from` alone; the rollout goes back first |
| Progressing | lead to a third version | refused, or `from` alone, and then the new rollout begins |
| Aborting, Aborted, Undone | lead to the barred release | `from` alone, with a warning |

While a rollout is active its route is frozen: nothing but weights may differ from the routes that were stored for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from rollout.decision import phase_text
from rollout.going_back import kept_for
from rollout.record import Bar, EventType, Phase, Record, Release
from rollout.schedule import Schedule, ScheduleError, at_weights, route_at, rule_key, schedule
from rollout.store import routes_name
from stacks.release_settings import release_settings
from stacks.rollout_asks import AskKind, RolloutAsk
from stacks.rollout_groups import group_of
from stacks.rollout_plans import planned, rendered_routes
from stacks.rollout_refusals import Refusals
from stacks.rollout_states import RolloutState
from stacks.rollouts import strategy_of
from stacks.settings.model import ServiceSettings, Settings
from stacks.settings.problems import Problem
from stacks.template_hash import template_hash
from traffic.model import Route, Rule
from traffic.words import OTHERWISE

ByKey = Mapping[str, Mapping[str, float]]

SAME, BACK_AGAIN, THIRD, OTHER = "the same", "back", "a third version", "something else"
"""What a file asks for while a rollout is under way."""
STARTS = (EventType.PENDING, EventType.RETRIED)
"""The events that tell who began a rollout."""


@dataclass(frozen=True, kw_only=True)
class Ruling:
    """The route of a service with effective weights, and what comes with it.

    `record` is that of a rollout that is under way: it decides about numbers of pods. `leaves_routes` is set if a
    preview must not compare the http routes.
    """

    route: Route
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    asks: tuple[RolloutAsk, ...] = ()
    record: Record | None = None
    leaves_routes: bool = False


@dataclass(frozen=True)
class ServiceRollout:
    """A service of loaded settings, and the state of its rollout in the cluster."""

    settings: Settings
    name: str
    state: RolloutState
    file: str
    during: bool = False
    _hashes: dict[str, str | None] = field(default_factory=dict)

    def ruling(self) -> Ruling:
        """Return what the program renders, and what an `up` does."""
        record, stored = self.record, self.state.stored
        if self.state.unreadable is not None and (self.rolled or self.state.is_by_rollout):
            return self._refused(self.say.unreadable(self.state.unreadable), self.state.now)
        if record is None or stored is None or self.is_void:
            return self._anew()
        if self.service.adopt and record.phase.active:
            return self._refused(self.say.adopts(record), record.wanted)
        if record.phase is Phase.PENDING and record.started_at is None:
            return self._not_started(record)
        if not record.phase.active:
            return self._anew()
        if record.phase is Phase.COMPLETED and kept_for(record, stored.server_time) <= 0:
            ruling = self._anew()
            text = f"{self.name}: {record.from_.version} is no longer kept as the way back"
            return replace(ruling, asks=(self._ask(AskKind.CLOSE, text), *ruling.asks))
        return self._under_way(record)

    @property
    def service(self) -> ServiceSettings:
        return self.settings.services[self.name]

    @property
    def record(self) -> Record | None:
        return self.state.stored.record if self.state.stored else None

    @property
    def say(self) -> Refusals:
        return Refusals(self.name, self.service, self.file)

    @cached_property
    def rolled(self) -> tuple[Rule, ...]:
        return self.service.rolled

    @property
    def is_void(self) -> bool:
        """Whether the record is of other VirtualServices than those in the cluster."""
        record, routes = self.record, self.state.routes
        if record is None:
            return False
        gone = any(name not in routes or routes[name].uid != uid for name, uid in record.vs_uids.items())
        return gone or record.void_since is not None

    def hash_of(self, version: str) -> str | None:
        """Return the hash of a version's template, None if the stack does not deploy it."""
        if version not in self._hashes:
            known = version in self.service.deployed
            self._hashes[version] = template_hash(self.settings, self.name, version) if known else None
        return self._hashes[version]

    # Without a rollout under way

    def _anew(self) -> Ruling:
        """No rollout is under way: it begins if there is something to move."""
        if not self.rolled:
            problems = tuple(self._lifted())
            return Ruling(route=self.service.route, problems=problems)
        barred = self._barred()
        if barred is not None:
            return barred
        return self._begun(self._now())

    def _now(self) -> ByKey:
        """Where the requests go. If an active rollout's VirtualServices are gone, what is safe for the versions."""
        record = self.record
        if self.state.now or record is None or not record.phase.active:
            return self.state.now
        kept = record.wanted if record.phase is Phase.COMPLETED else record.plan.back
        named = {version for given in kept.values() for version, weight in given.items() if weight > 0}
        return kept if named <= self.service.deployed.keys() else {}

    def _begun(self, now: ByKey, record: Record | None = None) -> Ruling:
        """The rollout that the file asks for, from where the requests go `now`."""
        try:
            found = self._schedule(now)
        except ScheduleError as error:
            return self._refused(self.say.not_planned(error), now)
        problems = [self.say.changed_in_place(version) for version in self._changed_in_place(now)]
        if found.steps and found.origin not in self.service.deployed:
            problems.append(self.say.origin_gone(str(found.origin), found.target))
        problems += self._lifted()
        if problems:
            return Ruling(route=self._safe(found.start), problems=tuple(problems))
        ruling = Ruling(route=route_at(self.service, found.start))
        return replace(ruling, asks=(self._begin(found),)) if found.steps else ruling

    def _schedule(self, now: ByKey) -> Schedule:
        found = schedule(self.name, self.service, self.settings.rollouts, now)
        assert found is not None  # rules have a rollout
        return found

    def _begin(self, found: Schedule, kind: AskKind = AskKind.BEGIN, text: str = "") -> RolloutAsk:
        origin, group = str(found.origin), group_of(self.settings, self.name)
        starts = self.name if group is None else group.name
        said = text or (
            f"{self.name}: the rollout from {origin} to {found.target} waits for its start: "
            f"`canary rollout start {starts}`; until then the weights stay as they are"
        )
        return replace(
            self._ask(kind, said),
            planned=planned(self.settings, self.name, found),
            target=Release(version=found.target, hash=self.hash_of(found.target) or ""),
            from_=Release(
                version=origin,
                hash=self.hash_of(origin) or "",
                settings=release_settings(self.settings, self.name, origin),
            ),
        )

    def _changed_in_place(self, now: ByKey) -> Iterator[str]:
        """The versions that get requests of the rollout's rules, and whose pods would become others by this `up`."""
        keys = {rule_key(rule) for rule in self.rolled}
        used = {version for key in keys for version, weight in now.get(key, {}).items() if weight > 0}
        known = {} if self.record is None or self.is_void else _hashes(self.record)
        for version in sorted(used & self.service.deployed.keys()):
            live = self.state.images.get(version)
            # A record may be older than a change that was made without a rollout.
            if live is None:
                is_changed = known.get(version, self.hash_of(version)) != self.hash_of(version)
            else:
                is_changed = _is_other_image(live, self.service.deployed[version].image)
            if is_changed:
                yield version

    def _barred(self) -> Ruling | None:
        """The release that the file leads to was aborted: it gets no requests, until a retry lifts the bar."""
        record, target = self.record, str(self.rolled[0].to)
        bar = self._bar_of(target)
        if record is None or bar is None:
            return None
        now = self._now()
        back: dict[str, Mapping[str, float]] = {}
        for rule in self.rolled:
            key = rule_key(rule)
            given = now.get(key, now.get(OTHERWISE, {}))
            stays = given and not given.get(target) and all(one in self.service.versions for one in given)
            back[key] = given if stays else {record.from_.version: 100.0}
            if not back[key].keys() <= self.service.versions.keys():
                return self._refused(self.say.origin_gone(record.from_.version, target), now)
        problems = tuple(self._lifted())
        return Ruling(route=route_at(self.service, back), problems=problems, warnings=(self.say.barred(bar),))

    def _bar_of(self, version: str) -> Bar | None:
        """The bar on a version's release; none on the version that the requests went back to, whatever its template."""
        if self.record is None or version == self.record.from_.version:
            return None
        return self.record.bar_of(self.hash_of(version) or "")

    def _lifted(self) -> Iterator[Problem]:
        """Rules without a rollout that would give a barred release more requests than it gets now."""
        for index, rule in enumerate(self.service.route):
            if rule.rollout is not None:
                continue
            now = self.state.now.get(rule_key(rule), {})
            for version, weight in rule.weights.items():
                bar = self._bar_of(version)
                if bar is not None and weight > now.get(version, 0.0):
                    yield self.say.lifted(index, bar)

    # With a record

    def _not_started(self, record: Record) -> Ruling:
        """Nothing has moved yet: the file may still ask for something else."""
        ruling = self._anew()
        if ruling.problems:
            return ruling
        begin = next((ask for ask in ruling.asks if ask.kind is AskKind.BEGIN), None)
        if begin is None:
            if all(self.hash_of(one.version) == one.hash for one in (record.from_, record.target)):
                return replace(ruling, warnings=(*ruling.warnings, self.say.still_pending(record)))
            withdrawn = self.say.withdrawn(record)  # else a `start` would move requests to pods that it is not about
            ask = self._ask(AskKind.WITHDRAW, withdrawn.what)
            return replace(ruling, warnings=(*ruling.warnings, withdrawn), asks=(ask,))
        return replace(ruling, asks=()) if self._is_planned(record, begin) else ruling

    def _is_planned(self, record: Record, begin: RolloutAsk) -> bool:
        """Whether the record has what would begin now."""
        assert begin.planned is not None
        assert begin.target is not None
        assert begin.from_ is not None
        found = begin.planned.plan()
        kept = record.plan
        return (found.digest, found.routes, found.group) == (kept.digest, kept.routes, kept.group) and all(
            (one.version, one.hash) == (other.version, other.hash)
            for one, other in ((begin.target, record.target), (begin.from_, record.from_))
        )

    def _under_way(self, record: Record) -> Ruling:
        """The route is frozen, but for going back."""
        wish = self._wish(record)
        if self.hash_of(record.from_.version) != record.from_.hash:
            return self._refused(self.say.way_back(record, record.from_), record.wanted)
        if wish == BACK_AGAIN:
            return self._back(record)
        if wish == THIRD:
            return self._third(record)
        if self.hash_of(record.target.version) != record.target.hash:
            return self._refused(self.say.way_back(record, record.target), record.wanted)
        if wish != SAME:
            return self._refused(self.say.other_weights(record), record.wanted)
        if not self.during and self._differs(record):
            return self._refused(self.say.frozen(record), record.wanted)
        return self._same(record)

    def _wish(self, record: Record) -> str:
        """What the file asks for, by the rules that the record rolls out."""
        versions = (record.from_.version, record.target.version)
        if any(rule.to not in versions for rule in self.rolled):
            return THIRD if all(rule.to not in versions for rule in self.rolled) else OTHER
        by_key = {rule_key(rule): rule for rule in self.service.route}
        wishes = {self._wish_of(by_key[key], key, record) for key in record.plan.back if key in by_key}
        added = {BACK_AGAIN if rule.to == versions[0] else SAME for rule in self.rolled}
        return next(iter(wishes)) if len(wishes | added) == 1 and wishes else OTHER

    def _wish_of(self, rule: Rule, key: str, record: Record) -> str:
        if rule.rollout is not None:
            return BACK_AGAIN if rule.to == record.from_.version else SAME
        given = {version: weight for version, weight in rule.weights.items() if weight > 0}
        if given == {record.from_.version: 100}:
            return BACK_AGAIN
        return SAME if record.stands({**record.wanted, key: given}) else OTHER

    def _differs(self, record: Record) -> bool:
        """Whether the settings change more of the route than weights."""
        return routes_name(self.name, rendered_routes(self.settings, self.name, record.plan)) != record.plan.routes

    def _same(self, record: Record) -> Ruling:
        route = route_at(self.service, record.wanted)
        if record.phase.goes_back:
            text = f"{self.name}: the rollout {record.id} goes back: {record.ended.reason if record.ended else ''}"
            bar = record.bar_of(record.target.hash)
            warnings = (self.say.barred(bar),) if bar is not None else ()
            finish = self._ask(AskKind.GO_BACK, text)
            return Ruling(route=route, warnings=warnings, asks=(finish,), record=record, leaves_routes=True)
        strategies = {one.key: one.strategy for one in record.plan.rules}
        other = [
            rule
            for rule in self.rolled
            if strategies.get(rule_key(rule)) != strategy_of(self.settings, rule) and rule_key(rule) in strategies
        ]
        warnings = (self.say.other_steps(record),) if other else ()
        asks = (self._new_routes(record),) if self.during and self._differs(record) else ()
        return Ruling(route=route, warnings=warnings, asks=asks, record=record)

    def _new_routes(self, record: Record) -> RolloutAsk:
        plan = record.plan
        found = Schedule(
            record.target.version, record.from_.version, plan.rules, plan.steps, dict(plan.start), dict(plan.back)
        )
        text = f"{self.name}: the rollout {record.id} goes on with the routes of this `up`"
        return self._begin(found, AskKind.NEW_ROUTES, text)

    def _back(self, record: Record) -> Ruling:
        """The file leads to `from` again: going back needs no permission, and nothing else of the file stands in the
        way: it is done first.
        """
        whose = next((one.by for one in reversed(record.history) if one.type in STARTS and one.id == record.id), "")
        gets = f"{record.target_weight():g} % of the requests are" if record.target_weight() else "no requests are"
        text = (
            f"{self.name}: all requests go back to {record.from_.version}, where the file leads again: {gets} at "
            f"{record.target.version} by the rollout {record.id} ({phase_text(record)}), begun "
            f"{f'by {whose} ' if whose else ''}at {record.created_at}"
        )
        return Ruling(
            route=self._safe(record.plan.back),
            warnings=(self.say.goes_back(text),),
            asks=(self._ask(AskKind.GO_BACK, text),),
            record=record,
            leaves_routes=True,
        )

    def _third(self, record: Record) -> Ruling:
        version = str(self.rolled[0].to)
        if record.phase is Phase.COMPLETED:  # all has moved: the next rollout may follow
            if not self.during and self._differs(record):
                return self._refused(self.say.frozen(record), record.wanted)
            return replace(self._begun(self._now()), record=record)
        if record.phase.goes_back:
            return self._refused(self.say.goes_back_first(record, version), record.wanted)
        if record.strategy.on_supersede == "refuse":
            return self._refused(self.say.third(record, version), record.wanted)
        text = f"{self.name}: the rollout {record.id} to {record.target.version} is superseded by {version}"
        third = Release(version=version, hash=self.hash_of(version) or "")
        after = self._begun(record.plan.back)
        if after.problems:
            return after
        return replace(
            after,
            warnings=(self.say.goes_back(text),),
            asks=(replace(self._ask(AskKind.SUPERSEDE, text), target=third), *after.asks),
            record=record,
            leaves_routes=True,
        )

    # Helpers

    def _ask(self, kind: AskKind, text: str) -> RolloutAsk:
        return RolloutAsk(kind=kind, service=self.name, namespace=self.service.namespace, text=text, record=self.record)

    def _refused(self, problem: Problem, weights: ByKey) -> Ruling:
        return Ruling(route=self._safe(weights), problems=(problem,), record=self.record)

    def _safe(self, weights: ByKey) -> Route:
        """The route at these weights, where they name versions of the file; rules that they do not have stay at theirs.

        For a route that is not rendered, or whose rules lead there anyway.
        """
        usable: dict[str, Mapping[str, float]] = {}
        for key, given in weights.items():
            used = {version: weight for version, weight in given.items() if weight > 0}
            fitting = (one for one in (given, used) if one and one.keys() <= self.service.versions.keys())
            found = next(fitting, None)
            if found is not None:
                usable[key] = found
        route = route_at(self.service, usable)
        return tuple(at_weights(rule, rule.weights) if rule.rollout is not None else rule for rule in route)


def _hashes(record: Record) -> dict[str, str]:
    return {release.version: release.hash for release in (record.from_, record.target)}


def _is_other_image(live: str, given: str) -> bool:
    """Whether an image is another one; not if something in the cluster has put a digest in place of a tag."""
    return live != given and ("@" not in live or "@" in given)
