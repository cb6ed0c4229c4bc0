"""A rollout's strategy: the steps in which a rule goes from one version to the next, and what holds or ends them.

Times are minimums: a step is kept for its `for`, and longer while it waits for an approval, a window, a hook or pods.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Strict, Tag

from traffic.fields import DnsLabel, Duration, Model, SecretName, Text, each_once, seconds
from traffic.model.rollout_fields import (
    AUTO,
    EndHour,
    Hour,
    StepDeadline,
    StepWeight,
    what_ends_a_step,
)
from traffic.model.rollout_gates import RolloutGates, as_gates
from traffic.model.rollout_limits import RolloutLimits

STRATEGY_NAME, STRATEGY = "<strategy's name>", "<strategy>"
"""Markers of the two forms of a rule's `rollout` in the locations of validation errors; no key can have these names."""

AUTO_FACTOR = 3
"""The deadline `auto` of a step, as a multiple of its `for`; with gates also twice the minutes to its proof."""

Engine = Literal["canary", "argo", "flagger"]
"""Who moves the weights of a rollout: this project, or the controller of another one."""

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


class RolloutStep(Model):
    """One step: the weight of the new version, and how long it is kept before the next one."""

    weight: StepWeight = Field(examples=[10], description="Percent of the rule's requests that the new version gets.")
    for_: Duration | None = Field(
        default=None, alias="for", examples=["10m"], description="How long the weight is kept at least."
    )
    approve: bool = Field(default=False, description="A person must approve before the rollout goes on.")

    @property
    def hold_seconds(self) -> float:
        """How long the weight is kept at least."""
        return seconds(self.for_) if self.for_ else 0.0


class RolloutDeadline(Model):
    """How long a step and the whole rollout may take, and what happens then."""

    total: Duration = Field(default="24h", description="Of the whole rollout.")
    step: StepDeadline = Field(
        default=AUTO,
        description=f"Of one step; auto is {AUTO_FACTOR} times its `for`, and with gates at least twice the proof's.",
    )
    then: Literal["pause", "abort"] = Field(default="pause", description="What happens at a deadline.")


class RolloutWindow(Model):
    """A time of the week in which weights may rise; they may fall at any time."""

    days: Annotated[tuple[Day, ...], Strict(False), AfterValidator(each_once)] = Field(
        default=(), examples=[["mon", "tue", "wed", "thu"]], description="Days of the week; all if unset."
    )
    from_: Hour = Field(alias="from", examples=["09:00"], description="Start, such as 09:00.")
    to: EndHour = Field(
        examples=["16:00"], description="End, such as 16:00 or 24:00; if not after `from`, on the next day."
    )
    zone: Text = Field(default="UTC", examples=["Europe/Berlin"], description="Time zone, such as Europe/Berlin.")


class RolloutHook(Model):
    """A URL that is asked at a point of the rollout."""

    at: Literal["beforeStep", "afterStep", "beforeEnd", "afterAbort"] = Field(description="When it is asked.")
    url: Text = Field(
        examples=["https://hooks.example.com/canary"], description="The URL; a status of 200 to 299 means yes."
    )
    timeout: Duration = Field(default="10s", description="Of one try.")
    retries: Annotated[int, Field(ge=0, le=10)] = Field(default=3, description="Further tries.")
    then: Literal["hold", "abort"] = Field(default="hold", description="What happens if it says no.")


class SecretKey(Model):
    """One key of a Secret."""

    name: SecretName = Field(examples=["rollout-hooks"], description="Name of the Secret, in the service's namespace.")
    key: Text = Field(examples=["token"], description="Key in the Secret.")


class RolloutNotify(Model):
    """Where a rollout's events are sent."""

    url: Text = Field(
        examples=["https://hooks.example.com/events"], description="The URL that gets each event by POST."
    )
    format: Literal["cloudevents", "slack"] = Field(default="cloudevents", description="Form of the events.")
    secret: SecretKey | None = Field(
        default=None,
        examples=[{"name": "rollout-hooks", "key": "token"}],
        description="A token that is sent as `Authorization: Bearer`, or in place of {secret} in the URL.",
    )


class RolloutCapacity(Model):
    """Pods of the new version before its weight rises."""

    scale: bool = Field(default=True, description="Add pods to the new version before its weight rises.")
    headroom: Annotated[float, Field(ge=0.01, le=10)] = Field(
        default=1.0, description="Ready pods needed, as a factor of the weight's part of the old version's pods."
    )


class RolloutStrategy(Model):
    """How a rule goes from one version to the next."""

    steps: Annotated[tuple[RolloutStep, ...], Field(min_length=1, max_length=50), Strict(False)] = Field(
        examples=[[{"weight": 10, "for": "10m"}, {"weight": 100}]],
        description="The steps, with rising weights; the last one is where the rule ends.",
    )
    engine: Engine = Field(
        default="canary",
        description="Who moves the weights: canary (this project), or argo (Argo Rollouts) or flagger, whose "
        "controller runs in the cluster.",
    )
    promote: Annotated[Literal["time", "hand"], BeforeValidator(what_ends_a_step)] = Field(
        default="time", description="What ends a step: time (its `for`), or hand (`canary rollout promote`)."
    )
    limits: RolloutLimits | None = Field(
        default=None, examples=[{"errors": "2%"}], description="Absolute limits for the new version."
    )
    gates: Annotated[RolloutGates | None, BeforeValidator(as_gates)] = Field(
        default=None,
        examples=[{"tolerance": "auto"}],
        description="Compare the new version with the old one, instead of `promote` and `limits`; none if unset.",
    )
    deadline: RolloutDeadline = Field(default_factory=RolloutDeadline, description="How long it may take.")
    on_harm: Literal["abort", "pause"] = Field(
        default="abort", description="What happens if the new version is worse, or at a limit."
    )
    on_no_data: Literal["hold", "abort"] = Field(default="hold", description="What happens without numbers.")
    on_supersede: Literal["refuse", "abort"] = Field(
        default="refuse", description="What a third version in the file does to a running rollout."
    )
    keep_previous: Duration = Field(default="1h", description="How long the old version stays after the end.")
    windows: Annotated[tuple[RolloutWindow, ...], Strict(False)] = Field(
        default=(),
        examples=[[{"days": ["mon", "tue"], "from": "09:00", "to": "16:00", "zone": "Europe/Berlin"}]],
        description="When weights may rise; at any time if unset.",
    )
    hooks: Annotated[tuple[RolloutHook, ...], Strict(False)] = Field(
        default=(),
        examples=[[{"at": "beforeStep", "url": "https://hooks.example.com/canary"}]],
        description="URLs that are asked.",
    )
    notify: Annotated[tuple[RolloutNotify, ...], Strict(False)] = Field(
        default=(),
        examples=[[{"url": "https://hooks.example.com/events"}]],
        description="Where events are sent.",
    )
    capacity: RolloutCapacity = Field(default_factory=RolloutCapacity, description="Pods before weights.")
    auto_start: bool = Field(
        default=False,
        description="The runner in the cluster (`istio-canary:rolloutRunner`) starts it, without a person's "
        "`canary rollout start`.",
    )
    together: bool = Field(
        default=False, description="All rules of the service's rollout rise at once, instead of one after the other."
    )

    @property
    def end(self) -> float:
        """The weight of the new version at the end; below 100 it is a lasting split."""
        return self.steps[-1].weight

    @property
    def hold_seconds(self) -> float:
        """How long all steps together are kept at least."""
        return sum(step.hold_seconds for step in self.steps)

    @property
    def promotes(self) -> Literal["proof", "time", "hand"]:
        """What ends a step: that of the gates, if there are any."""
        return self.promote if self.gates is None else self.gates.promote

    @property
    def has_limits(self) -> bool:
        """Whether the new version is judged by itself, too."""
        return (self.limits if self.gates is None else self.gates.limits) is not None


def _form(value: Any) -> str:
    return STRATEGY_NAME if isinstance(value, str) else STRATEGY


RuleRollout = Annotated[
    Annotated[DnsLabel, Tag(STRATEGY_NAME)] | Annotated[RolloutStrategy, Tag(STRATEGY)], Discriminator(_form)
]
"""A rule's rollout as in a file: a strategy by its name under `rollouts`, or a strategy."""
