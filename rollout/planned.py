"""What is decided when a rollout begins, and does not change while it runs: its rules, steps, Envoys and counters.

It is a part of the record (`rollout.record`).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rollout.gates.plan import GatePlan
from rollout.group_members import PlannedGroup
from traffic.fields import Model
from traffic.model.rollout import RolloutStrategy


class PlannedRule(Model):
    """A rule of the route that is rolled out; `key` names it in all weights, `text` in messages."""

    key: str
    text: str
    strategy: RolloutStrategy


class PlannedStep(Model):
    """One step: `rule` is the index of the rule that rises in it, `weights` are those of all rules of the rollout."""

    rule: int
    weight: float
    weights: dict[str, dict[str, float]]
    hold_seconds: float = 0.0
    approve: bool = False


class EnvoysOfGateway(Model):
    """The pods of a gateway."""

    namespace: str
    selector: dict[str, str]


class PlannedEnvoys(Model):
    """The Envoys that have to follow each step: those of the gateways, and with `in_mesh` all sidecars.

    After they have, or where none may be asked, `wait_seconds` pass for those that are not asked.
    """

    gateways: tuple[EnvoysOfGateway, ...] = ()
    in_mesh: bool = False
    wait_seconds: float = 0.0


class PlannedCounters(Model):
    """Which counters the gates of a rollout compare: whose, and how often Prometheus collects them.

    `split_judged` is False where the requests of the versions are not those of the weights alone: other rules lead to
    them, or users keep their version. `hosts` are Services of the two versions, where they are no subsets of one.
    """

    source: Literal["istio", "envoy"]
    scrape_seconds: Annotated[float, Field(gt=0)]
    split_judged: bool = True
    hosts: tuple[str, ...] = ()


class Plan(Model):
    """What was decided at the start: it does not change while the rollout runs.

    `routes` is the name of the ConfigMap with the rendered routes of each step. `start` are the weights before the
    first step, `back` those of an abort: all requests at `from`. `places` are those of the rules' weights in the
    VirtualServices (`rollout.places`), `envoys` those that have to follow. `counters` are those of the gates. What the
    gates compare with is fixed when the rollout starts: `gates`, and with it `deadline_seconds`, the automatic deadline
    of each step, which leaves time for its proof.
    """

    digest: str
    routes: str
    rules: tuple[PlannedRule, ...] = Field(min_length=1)
    steps: tuple[PlannedStep, ...] = Field(min_length=1)
    start: dict[str, dict[str, float]]
    back: dict[str, dict[str, float]]
    places: dict[str, dict[str, tuple[int, ...]]] = Field(default_factory=dict)
    envoys: PlannedEnvoys | None = None
    """None: those that the VirtualServices' Gateways select, and with gateway `mesh` all sidecars."""
    counters: PlannedCounters | None = None
    group: PlannedGroup | None = None
    """Services that go forward and back together with this one; None: it goes alone."""
    begins_with: tuple[str, ...] = ()
    """The services of the group that one `up` begins, this one among them: the group starts by itself once all are
    there. Empty: nothing is known of it, and all services of the group have to be there."""
    gates: GatePlan | None = None
    deadline_seconds: tuple[float, ...] = ()

    def with_gates(self, gates: GatePlan | None, deadline_seconds: tuple[float, ...] = ()) -> Plan:
        """Return the plan with what its gates compare with; None: it is fixed anew at the next start."""
        return self.model_copy(update={"gates": gates, "deadline_seconds": deadline_seconds})
