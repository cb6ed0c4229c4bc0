"""A comparison of two sides, stack by stack, and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from canary.command_error import CommandError
from canary.diff.engines import EngineChange
from canary.diff.revisions import Revision
from canary.diff.rollouts import ByRule
from canary.diff.rows import curl_words, destination_words, request_words, rollout_of
from canary.diff.stack_diff import StackDiff, VersionDiff, stack_diff
from canary.exit_codes import ExitCode
from stacks.settings.problems import nearest, shown
from traffic.words import rule_words

if TYPE_CHECKING:
    from traffic.diff import Group, RuleChange, ServiceDiff, ValueChange


@dataclass(frozen=True)
class Comparison:
    """The names of both sides, and their stacks."""

    before: str
    after: str
    stacks: tuple[StackDiff, ...]

    @property
    def differs(self) -> bool:
        """Whether any stack differs."""
        return any(diff.differs for diff in self.stacks)

    @property
    def has_problems(self) -> bool:
        """Whether a side of a stack has settings that do not load."""
        return any(diff.problems for diff in self.stacks)

    def as_json(self) -> dict[str, Any]:
        """Return the document printed by `--json`."""
        return {
            "before": self.before,
            "after": self.after,
            "differs": self.differs,
            "stacks": {diff.stack: _stack(diff) for diff in self.stacks},
        }


def compare(before: Revision, after: Revision, chosen: Sequence[str], with_policies: bool = True) -> Comparison:
    """Return how the sides differ, in the `chosen` stacks or in all. Raises CommandError for a stack that none has."""
    known = sorted({*before.stacks, *after.stacks})
    for stack in chosen:
        if stack not in known:
            near = nearest(stack, known)
            raise CommandError(
                f"neither {before.name} nor {after.name} has a file Pulumi.{stack}.yaml",
                ExitCode.CONFIG,
                fix=f"{f'did you mean --stack {near}? ' if near else ''}choose one of: {', '.join(known) or 'none'}",
            )
    stacks = dict.fromkeys(chosen or known)
    return Comparison(
        before.name, after.name, tuple(stack_diff(stack, before, after, with_policies) for stack in stacks)
    )


def _stack(diff: StackDiff) -> dict[str, Any]:
    return {
        "differs": diff.differs,
        "new": diff.is_new,
        "removed": diff.is_gone,
        "problems": [
            {"revision": side.revision, **asdict(problem)} for side in diff.problems for problem in side.problems
        ],
        "complete": diff.traffic.is_complete,
        "services": {service.name: _service(service, diff.moved) for service in diff.traffic.services},
        "other_requests": [_group(group, diff.moved) for group in diff.traffic.others],
        "engines": [_engine(change) for change in diff.engines],
        "versions": [_version(version) for version in diff.versions],
        "mesh": [_value(change) for change in diff.mesh],
        "settings": [_value(change) for change in diff.others],
        "policies": asdict(diff.policies),
        "notSimulated": list(diff.unsimulated),
    }


def _service(service: ServiceDiff, rollouts: ByRule) -> dict[str, Any]:
    state = "added" if service.before is None else "removed" if service.after is None else "changed"
    return {
        "state": state,
        "requests": [_group(group, rollouts) for group in service.groups],
        "rules": [_rule(rule) for rule in service.rules],
        "settings": [_value(change) for change in service.settings],
    }


def _group(group: Group, rollouts: ByRule) -> dict[str, Any]:
    request = group.witness.request
    caller = request.caller
    return {
        "part": group.change.part.value,
        "before": {"service": group.before, "words": group.change.before},
        "after": {"service": group.after, "words": group.change.after},
        "rollout": rollout_of(group, rollouts),
        "request": {
            "words": request_words(request),
            "curl": curl_words(request),
            "method": request.method,
            "scheme": request.scheme,
            "port": request.asked_port,
            "host": request.authority,
            "path": request.path,
            "headers": [list(pair) for pair in request.pairs],
            "from": {"namespace": caller.namespace, "labels": dict(caller.labels)} if caller else None,
        },
    }


def _rule(rule: RuleChange) -> dict[str, Any]:
    return {
        "state": rule.kind.value,
        "before": None if rule.before is None else rule.before + 1,
        "after": None if rule.after is None else rule.after + 1,
        "match": rule_words(rule.rule),
        "to": destination_words(rule.rule),
        "changes": [_value(change) for change in rule.changes],
    }


def _engine(change: EngineChange) -> dict[str, Any]:
    return {
        "service": change.service,
        "rule": change.index + 1,
        "match": rule_words(change.rule),
        "before": change.before and asdict(change.before),
        "after": change.after and asdict(change.after),
        "newPods": change.new_pods,
        "changes": [_value(one) for one in change.changes],
    }


def _version(version: VersionDiff) -> dict[str, Any]:
    state = "added" if version.before is None else "removed" if version.after is None else "changed"
    sides = (("before", version.before), ("after", version.after))
    images = {side: getattr(one, "image", None) for side, one in sides}
    replicas = {side: getattr(one, "replicas", None) for side, one in sides}
    changes = [_value(change) for change in version.changes]
    return {"service": version.service, "version": version.name, "state": state, "image": images,
            "replicas": replicas, "changes": changes}  # fmt: skip


def _value(change: ValueChange) -> dict[str, Any]:
    """A text may have a password in a URL, which is not shown."""
    return {"path": change.path, "before": _shown(change.before), "after": _shown(change.after)}


def _shown(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float) else shown(value)
