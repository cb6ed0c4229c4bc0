"""Reads the engine's event log.

Format: the engine events of Pulumi's Automation API (sdk/go/common/apitype/events.go), one JSON document a line.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from canary.engine.diff import VIRTUAL_SERVICE, Difference, differences

STACK_TYPE = "pulumi:pulumi:Stack"
CLUSTER_OUTPUT = "cluster"
"""The output of a stack with the uid of its cluster."""
PENDING = "pending operations from previous deployment"
UNCHANGED = frozenset({"same", "read", "read-discard", "discard", "refresh"})
STATES = {"resourcePreEvent": "started", "resOutputsEvent": "done", "resOpFailedEvent": "failed"}
REPLACING = {"create-replacement": "replace", "delete-replaced": "replace"}
DOING = {
    "create": ("creating", "created"),
    "update": ("updating", "updated"),
    "delete": ("deleting", "deleted"),
    "replace": ("replacing", "replaced"),
    "refresh": ("refreshing", "refreshed"),
}
QUIET = ("pulumi-resource-kubernetes from $PATH",)
"""Warnings of the engine that `canary` replaces by a note of its own."""
Props = Mapping[str, Any]


@dataclass(frozen=True)
class ResourceStep:
    """One operation on one resource. `state` is "started", "done" or "failed"."""

    urn: str
    type: str
    op: str
    state: str
    old: Props
    new: Props
    planned: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The operation and its progress, such as `created Deployment website-version-1`."""
        doing, done = DOING.get(self.op, (self.op, self.op))
        verb = {"started": doing, "done": done}.get(self.state, f"failed: {doing}")
        return f"{verb} {self.kind} {self.name}"

    @property
    def name(self) -> str:
        """The resource's name in the program."""
        return self.urn.rsplit("::", 1)[-1]

    @property
    def kind(self) -> str:
        """The type without its package and version: `Deployment` of `kubernetes:apps/v1:Deployment`."""
        return self.type.rsplit(":", 1)[-1]

    @property
    def changes(self) -> bool:
        """Whether the step changes something in the cluster or the state."""
        return self.op not in UNCHANGED

    @property
    def is_shown(self) -> bool:
        """Whether the step is shown during the run."""
        return self.type != STACK_TYPE and (self.changes or self.state == "failed")

    @property
    def diff(self) -> tuple[Difference, ...]:
        """The properties that an update or a replacement changes."""
        if self.op not in ("update", "replace"):
            return ()
        return differences(self.type, self.old, self.new) or tuple(
            Difference(path, None, None) for path in self.planned
        )


@dataclass(frozen=True)
class Diagnostic:
    """A message of the engine, the provider or the program. `severity` is "error", "warning" or, of what the program
    says, "info"."""

    severity: str
    message: str
    urn: str = ""

    @property
    def is_shown(self) -> bool:
        """Whether the message is shown during the run: errors are reported at its end."""
        return self.severity != "error" and not any(text in self.message for text in QUIET) and not self._is_of_rollout

    @property
    def _is_of_rollout(self) -> bool:
        """Whether it is a Kubernetes Event of a rollout: the provider shows those of a VirtualService, old ones too."""
        if self.severity != "warning" or VIRTUAL_SERVICE not in self.urn:
            return False
        from rollout.record import EventType

        return self.message.partition(": ")[0] in {one.value for one in EventType}

    @property
    def words(self) -> str:
        """The message as it is shown during the run."""
        return f"warning: {self.message}" if self.severity == "warning" else self.message


@dataclass
class Record:
    """The steps and diagnostics of a run, in order of arrival."""

    steps: dict[str, ResourceStep] = field(default_factory=dict)
    diagnostics: list[Diagnostic] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    deployed_to: str | None = None
    """The uid of the cluster that the stack was deployed to before."""
    pending: bool = False
    """Whether an earlier run left operations unfinished."""
    has_events: bool = False
    """Whether the engine has reported anything."""

    def take(self, line: str) -> ResourceStep | Diagnostic | None:
        """Record one line of the log; return the step or diagnostic in it, None if there is nothing new to show."""
        event = json.loads(line)
        self.has_events = True
        for key, state in STATES.items():
            if key in event:
                return self._step(event[key]["metadata"], state)
        if "diagnosticEvent" in event:
            return self._diagnostic(event["diagnosticEvent"])
        if "summaryEvent" in event:
            self.counts = {op: count for op, count in event["summaryEvent"]["resourceChanges"].items() if count}
        return None

    @property
    def is_of_another_cluster(self) -> bool:
        """Whether what is deployed is in another cluster than the one that this run is for."""
        is_deployed = any(step.type.startswith("kubernetes:") and step.old for step in self.steps.values())
        return is_deployed and self.deployed_to not in (None, self.outputs.get(CLUSTER_OUTPUT))

    @property
    def changed(self) -> tuple[ResourceStep, ...]:
        """The steps that change something, in order of arrival."""
        return tuple(step for step in self.steps.values() if step.changes)

    @property
    def errors(self) -> tuple[Diagnostic, ...]:
        """The errors, in order of arrival."""
        return tuple(entry for entry in self.diagnostics if entry.severity == "error")

    def _step(self, data: Mapping[str, Any], state: str) -> ResourceStep:
        old, new = data.get("old") or {}, data.get("new") or {}
        side = "outputs" if data["op"] == "refresh" else "inputs"
        step = ResourceStep(
            urn=data["urn"],
            type=data["type"],
            op=REPLACING.get(data["op"], data["op"]),
            state=state,
            old=old.get(side) or {},
            new=new.get(side) or {},
            planned=tuple(data.get("detailedDiff") or data.get("diffs") or ()),
        )
        if step.type == STACK_TYPE:
            self.outputs = dict(new.get("outputs") or {})
            self.deployed_to = (old.get("outputs") or {}).get(CLUSTER_OUTPUT)
            return step
        known = self.steps.get(step.urn)
        if known is not None and known.op == step.op:
            # The old properties are those of the first event: in the last one, the engine may have overwritten them.
            step = replace(known, state=state)
        if known is None or known.op != "replace" or step.op == "replace":
            self.steps[step.urn] = step
        return step

    def _diagnostic(self, data: Mapping[str, Any]) -> Diagnostic | None:
        message = data["message"].strip()
        urn = data.get("urn", "")
        is_of_program = data["severity"] == "info" and (not urn or f"::{STACK_TYPE}::" in urn)
        if not (is_of_program or data["severity"] in ("error", "warning")) or not message:
            return None
        if PENDING in message:
            self.pending = True
            return None
        entry = Diagnostic(data["severity"], message, data.get("urn", ""))
        if entry in self.diagnostics:
            return None
        self.diagnostics.append(entry)
        return entry
