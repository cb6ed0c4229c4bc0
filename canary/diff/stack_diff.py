"""How one stack differs between two sides: traffic, versions, settings, policy findings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from canary.diff.engines import EngineChange, engines_between
from canary.diff.policy_findings import PolicyChanges, policy_changes
from canary.diff.revisions import Revision
from canary.diff.rollouts import ByRule, rollouts_between
from canary.explain.mesh_words import unsimulated_words
from stacks.settings.encrypted import MASK
from stacks.settings.problems import Problem, SettingsError
from traffic.diff import TrafficDiff, ValueChange, traffic_diff, value_changes

if TYPE_CHECKING:
    from stacks.settings.model import ServiceSettings, Settings, VersionSettings
    from traffic.model import OutsideVersion

TRAFFIC_SETTINGS = (
    "mesh.mtls", "mesh.denyByDefault", "mesh.outboundTrafficPolicy", "mesh.retries", "mesh.pathNormalization",
    "mesh.gateway", "gateways", "namespaces", "egress", "versionHeader",
)  # fmt: skip
"""Settings of a stack, apart from its services, that decide which requests are answered, and how."""
IN_PLAIN = "a text in plain"
"""Stands for a text that is encrypted on the other side, and may be the same."""


@dataclass(frozen=True)
class VersionDiff:
    """A version that was added, was removed or whose settings differ; None for the side that does not have it."""

    service: str
    name: str
    before: VersionSettings | OutsideVersion | None
    after: VersionSettings | OutsideVersion | None
    changes: tuple[ValueChange, ...]


@dataclass(frozen=True)
class SideProblems:
    """Why a side of a stack cannot be compared: its revision, and the problems of its settings."""

    revision: str
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class StackDiff:
    """How a stack differs. `is_new` and `is_gone` are whether only one side has it.

    With `problems`, nothing else is known. `mesh` are the settings that decide about traffic, and `others` all others.
    `unsimulated` are the settings of the mesh that the search for requests leaves out, in words. `rollouts` say which
    of the new destinations are reached step by step, and `engines` where another engine moves the weights.
    """

    stack: str
    is_new: bool = False
    is_gone: bool = False
    problems: tuple[SideProblems, ...] = ()
    traffic: TrafficDiff = field(default_factory=lambda: TrafficDiff(()))
    versions: tuple[VersionDiff, ...] = ()
    mesh: tuple[ValueChange, ...] = ()
    others: tuple[ValueChange, ...] = ()
    policies: PolicyChanges = field(default_factory=PolicyChanges)
    unsimulated: tuple[str, ...] = ()
    rollouts: ByRule = field(default_factory=dict)
    engines: tuple[EngineChange, ...] = ()

    @property
    def moved(self) -> ByRule:
        """What moves the requests of rules, in words: rollouts, and other engines."""
        by_engine = {(one.service, one.index): one.words for one in self.engines if one.after and one.words}
        return {**self.rollouts, **by_engine}

    @property
    def differs(self) -> bool:
        """Whether there is any difference, or a side that cannot be compared."""
        parts = (self.traffic.services, self.traffic.others, self.versions, self.mesh, self.others, self.engines)
        return bool(self.is_new or self.is_gone or self.problems or any(parts) or self.policies)


def stack_diff(stack: str, before: Revision, after: Revision, with_policies: bool = True) -> StackDiff:
    """Return how `stack` differs; one of the sides has it. Nothing is deployed, and no cluster is asked."""
    problems: list[SideProblems] = []
    old, new = (_settings(stack, side, problems) for side in (before, after))
    is_new, is_gone = stack not in before.stacks, stack not in after.stacks
    if problems or old is None or new is None:
        return StackDiff(stack, is_new, is_gone, tuple(problems))
    if old == new and not (is_new or is_gone):
        return StackDiff(stack)
    changes = value_changes(_plain(old), _plain(new))
    return StackDiff(
        stack,
        is_new,
        is_gone,
        traffic=_traffic(old, new),
        versions=tuple(_versions(old, new)),
        mesh=tuple(change for change in changes if _is_of_traffic(change.path)),
        others=tuple(change for change in (*changes, *_of_pods(old, new)) if not _is_of_traffic(change.path)),
        policies=policy_changes(None if is_new else old, None if is_gone else new, stack)
        if with_policies
        else PolicyChanges(),
        unsimulated=tuple(dict.fromkeys((*unsimulated_words(old), *unsimulated_words(new)))),
        rollouts=rollouts_between(old, new),
        engines=engines_between(old, new),
    )


def _settings(stack: str, side: Revision, problems: list[SideProblems]) -> Settings | None:
    """The settings of a side, those of an empty stack if the side does not have it; None if they have problems."""
    from stacks.settings.loading import load
    from stacks.settings.model import Settings

    if stack not in side.stacks:
        return Settings()
    try:
        source = side.read(stack)
        return load(source.values, source)
    except SettingsError as error:
        problems.append(SideProblems(side.name, error.problems))
        return None


def _traffic(before: Settings, after: Settings) -> TrafficDiff:
    from stacks.simulator import simulator_of

    return traffic_diff(simulator_of(before), simulator_of(after))


def _plain(settings: Settings) -> dict[str, Any]:
    return settings.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"services", "samples"})


def _is_of_traffic(path: str) -> bool:
    if path.endswith(".revision"):  # of Istio: it decides which istiod the proxies ask, not what they do
        return False
    return any(path == one or path.startswith((f"{one}.", f"{one}[")) for one in TRAFFIC_SETTINGS)


def _versions(before: Settings, after: Settings) -> Iterator[VersionDiff]:
    for service in dict.fromkeys((*after.services, *before.services)):
        old, new = _of_service(before, service), _of_service(after, service)
        for name in dict.fromkeys((*new, *old)):
            changes: Sequence[ValueChange] = ()
            if name in old and name in new:
                changes = [*map(_hidden, value_changes(_plain_version(old[name]), _plain_version(new[name])))]
            if changes or name not in old or name not in new:
                yield VersionDiff(service, name, old.get(name), new.get(name), tuple(changes))


def _of_service(settings: Settings, name: str) -> dict[str, VersionSettings | OutsideVersion]:
    """The versions of a service, without the subsets of another engine, which are pods of its one version."""
    from stacks.settings.engines import engines_of

    service: ServiceSettings | None = settings.services.get(name)
    if service is None:
        return {}
    moved = engines_of(settings).get(name)
    return {key: one for key, one in service.versions.items() if moved is None or key == moved.version}


def _plain_version(version: VersionSettings | OutsideVersion) -> dict[str, Any]:
    return version.model_dump(mode="json", by_alias=True, exclude_none=True)


def _hidden(change: ValueChange) -> ValueChange:
    """The change without a text that is a secret now, or was one; a value of another kind stays."""
    sides = (change.before, change.after)
    if not any(isinstance(one, str) and one.startswith(f"{MASK} (") for one in sides):
        return change
    before, after = (IN_PLAIN if isinstance(one, str) and not one.startswith(f"{MASK} (") else one for one in sides)
    return ValueChange(change.path, before, after)


def _of_pods(before: Settings, after: Settings) -> Iterator[ValueChange]:
    """Changes of what a service has beside its traffic and its versions."""
    for name, service in after.services.items():
        if name in before.services:
            for key, field in (("strategy", "strategy"), ("serviceAccount", "service_account")):
                old, new = (getattr(one, field).model_dump(mode="json", by_alias=True, exclude_none=True)
                            for one in (before.services[name], service))  # fmt: skip
                for change in value_changes(old, new):
                    yield change.below(f"services.{name}.{key}")
