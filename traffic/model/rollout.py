"""A rollout's strategy: the steps in which a rule goes from one version to the next, and what holds or ends them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Strict

from traffic.fields import Duration, Model, Percentage, SecretName, Text


class RolloutStep(Model):
    """One step: the weight of the new version, and how long it is kept before the next one."""

    weight: Percentage = Field(description="Percent of the rule's requests that the new version gets.")
    for_: Duration | None = Field(default=None, alias="for", description="How long the weight is kept at least.")
    approve: bool = Field(default=False, description="A person must approve before the rollout goes on.")


class RolloutLimits(Model):
    """Absolute limits: a new version that is worse is harmful, whatever the old one does."""

    errors: Text | None = Field(default=None, description="Percent of requests that may fail, such as 2%.")


class RolloutDeadline(Model):
    """How long a step and the whole rollout may take, and what happens then."""

    step: Literal["auto"] | Duration = Field(default="auto", description="Of one step; auto is three times its `for`.")
    total: Duration = Field(default="24h", description="Of the whole rollout.")
    then: Literal["pause", "abort"] = Field(default="pause", description="What happens at a deadline.")


class RolloutWindow(Model):
    """A time of the week in which weights may rise."""

    days: Annotated[tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...], Strict(False)] = Field(
        default=(), description="Days of the week; all if unset."
    )
    from_: Text = Field(alias="from", description="Start, such as 09:00.")
    to: Text = Field(description="End, such as 16:00.")
    zone: Text = Field(default="UTC", description="Time zone, such as Europe/Berlin.")


class RolloutHook(Model):
    """A URL that is asked at a point of the rollout."""

    at: Literal["beforeStep", "afterStep", "beforeEnd", "afterAbort"] = Field(description="When it is asked.")
    url: Text = Field(description="The URL; a status of 200 to 299 means yes.")
    timeout: Duration = Field(default="10s", description="Of one try.")
    retries: Annotated[int, Field(ge=0, le=10)] = Field(default=3, description="Further tries.")
    then: Literal["hold", "abort"] = Field(default="hold", description="What happens if it says no.")


class SecretKey(Model):
    """One key of a Secret."""

    name: SecretName
    key: Text


class RolloutNotify(Model):
    """Where a rollout's events are sent."""

    url: Text
    format: Literal["cloudevents", "slack"] = "cloudevents"
    secret: SecretKey | None = None


class RolloutCapacity(Model):
    """Pods of the new version before its weight rises."""

    scale: bool = Field(default=True, description="Add pods to the new version before its weight rises.")
    headroom: Annotated[float, Field(gt=0, le=10)] = Field(
        default=1.0, description="Ready pods needed, as a factor of the weight's part of the old version's pods."
    )


class RolloutStrategy(Model):
    """How a rule goes from one version to the next."""

    steps: Annotated[tuple[RolloutStep, ...], Field(min_length=1), Strict(False)] = Field(description="The steps.")
    promote: Literal["time", "hand"] = Field(default="time", description="What ends a step: its time, or a person.")
    limits: RolloutLimits | None = Field(default=None, description="Absolute limits.")
    deadline: RolloutDeadline = Field(default_factory=RolloutDeadline, description="Deadlines.")
    on_harm: Literal["abort", "pause"] = Field(default="abort", description="What happens at a broken limit.")
    on_no_data: Literal["hold", "abort"] = Field(default="hold", description="What happens without numbers.")
    on_supersede: Literal["refuse", "abort"] = Field(
        default="refuse", description="What a third version in the file does to a running rollout."
    )
    keep_previous: Duration = Field(default="1h", description="How long the old version stays after the end.")
    windows: Annotated[tuple[RolloutWindow, ...], Strict(False)] = Field(
        default=(), description="When weights may rise; at any time if unset."
    )
    hooks: Annotated[tuple[RolloutHook, ...], Strict(False)] = Field(default=(), description="URLs that are asked.")
    notify: Annotated[tuple[RolloutNotify, ...], Strict(False)] = Field(default=(), description="Where events go.")
    capacity: RolloutCapacity = Field(default_factory=RolloutCapacity, description="Pods before weights.")
    together: bool = Field(default=False, description="All rules of the service's rollout rise at once.")
