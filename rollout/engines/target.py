"""What the gate service knows of a canary that another engine moves; an `up` keeps it in the cluster.

A ConfigMap beside the service, so that the gate service needs neither a stack file nor rights on the engine's objects.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationError

from rollout.planned import PlannedCounters
from traffic.fields import Model
from traffic.model.rollout import RolloutStrategy

SCHEMA: Literal[1] = 1
STABLE, CANARY = "stable", "canary"
"""Subsets of the DestinationRule between which Argo Rollouts divides the requests."""
ROUTE = "rollout"
"""Name of the http route that an engine writes weights into, if the rule has no name of its own."""
KEY = "target"
"""Key of the ConfigMap."""
LABEL = "istio-canary/gate"
"""Label of the ConfigMap: the service."""
OtherEngine = Literal["argo", "flagger"]


class TargetError(Exception):
    """The ConfigMap cannot be read: damaged, or written by a newer version of this project."""


class EngineTarget(Model):
    """A canary, and where its weights and counters are.

    `virtual_services` have the weights of `stable` and `canary`: subsets of the service's own host or, with `by_host`,
    names of Services in its namespace.
    """

    schema_version: Literal[1] = Field(default=SCHEMA, alias="schema")
    engine: OtherEngine
    service: str
    namespace: str
    virtual_services: Annotated[tuple[str, ...], Field(min_length=1)]
    stable: str
    canary: str
    by_host: bool = False
    strategy: RolloutStrategy
    counters: PlannedCounters

    def to_json(self) -> str:
        """Return the text for the ConfigMap."""
        return self.model_dump_json(exclude_none=True)

    @classmethod
    def from_json(cls, text: str) -> EngineTarget:
        """Return what `to_json` wrote; raises TargetError."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(map(str, first["loc"]))
            raise TargetError(f"it cannot be read: {place or 'JSON'}: {first['msg']}") from None


def target_name(service: str) -> str:
    """Return the name of the ConfigMap of a service."""
    return f"istio-canary-gate-{service}"
