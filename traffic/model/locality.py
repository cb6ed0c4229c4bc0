"""Which localities of pods are preferred (Istio: Locality Load Balancing)."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field, Strict, model_validator

from traffic.fields import Model, Text, wrong

TOPOLOGY = ("topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/subzone")


def _locality(value: str) -> str:
    if re.fullmatch(r"\*|[^/*\s]+(/[^/*\s]+){0,2}(/\*)?", value) and value.count("/") <= 2:
        return value
    raise wrong(
        f"{value!r} is not a locality",
        "<region>, <region>/<zone> or <region>/<zone>/<subzone>, with * for the last part, or just *",
        "write eu/zone-1/*, for example",
    )


def _region(value: str) -> str:
    if re.fullmatch(r"[^/*\s]+", value):
        return value
    raise wrong(f"{value!r} is not a region", "a region, without a zone or *", "write eu, for example")


Locality = Annotated[str, AfterValidator(_locality)]
Region = Annotated[str, AfterValidator(_region)]
Share = Annotated[int, Field(ge=1, le=100)]


class Distribute(Model):
    """Where requests from callers in one locality go."""

    from_: Locality = Field(alias="from", examples=["eu/zone-1/*"], description="Locality of the callers.")
    to: Annotated[dict[Locality, Share], Field(min_length=1)] = Field(
        examples=[{"eu/zone-1/*": 80, "eu/zone-2/*": 20}], description="Percentage by locality; they sum to 100."
    )

    @model_validator(mode="after")
    def _all_of_them(self) -> Distribute:
        total = sum(self.to.values())
        if total == 100:
            return self
        raise wrong(
            f"the percentages sum to {total}, not 100", "whole percentages that sum to 100", "correct the percentages"
        )


class Failover(Model):
    """Where requests go when a region has no healthy pod."""

    from_: Region = Field(alias="from", examples=["eu"], description="The region that fails.")
    to: Region = Field(examples=["us"], description="The region that takes over.")

    @model_validator(mode="after")
    def _somewhere_else(self) -> Failover:
        if self.from_ != self.to:
            return self
        raise wrong(f"{self.to} cannot take over from itself", "two regions", "name another region")


class LocalityLbSetting(Model):
    """Which localities of pods are preferred: at most one of `distribute`, `failover` and `failoverPriority`."""

    enabled: bool | None = Field(default=None, description="Whether locality load balancing is enabled.")
    distribute: Annotated[tuple[Distribute, ...], Strict(False)] = Field(
        default=(), description="Percentages by locality."
    )
    failover: Annotated[tuple[Failover, ...], Strict(False)] = Field(
        default=(), description="Which region takes over from which."
    )
    failover_priority: Annotated[tuple[Text, ...], Strict(False)] = Field(
        default=(), description="Labels in order of priority: pods that share them with the caller are preferred."
    )

    @model_validator(mode="after")
    def _one_way(self) -> LocalityLbSetting:
        if self.distribute and (self.failover or self.failover_priority):
            raise wrong(
                "distribute and failover are both set", "one of distribute and failover", "remove one of the two"
            )
        topology = [label for label in self.failover_priority if label in TOPOLOGY]
        if self.failover and topology:
            raise wrong(
                f"failover and failoverPriority, with {topology[0]}, are both about the topology",
                "failover with labels that are not about the topology",
                "remove one of the two",
            )
        return self

    @model_validator(mode="after")
    def _each_locality_once(self) -> LocalityLbSetting:
        callers = [one.from_ for one in self.distribute]
        for localities in (callers, *(list(one.to) for one in self.distribute)):
            for index, later in enumerate(localities):
                earlier = next((one for one in localities[:index] if _overlap(one, later)), None)
                if earlier is not None:
                    raise wrong(
                        f"{later} overlaps with {earlier}",
                        "localities that do not overlap",
                        "remove one of the two, or make it narrower",
                    )
        return self


def _overlap(one: str, other: str) -> bool:
    """Whether two localities overlap: one without a zone, or with *, includes everything in it."""
    parts = [locality.removesuffix("*").rstrip("/").split("/") for locality in (one, other)]
    shorter, longer = sorted((part if part != [""] else [] for part in parts), key=len)
    return longer[: len(shorter)] == shorter
