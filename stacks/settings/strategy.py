"""How a new state of a service takes over from the old one: recreate, ramped, blueGreen or canary.

`recreate` and `ramped` say how the pods of a version are replaced when its image or configuration changes (Kubernetes:
"Deployments", Strategy). `blueGreen` and `canary` say how requests move from one version to another.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, GetJsonSchemaHandler, Strict, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from stacks.settings.fields import CountOrPercentage
from stacks.settings.problems import nearest
from traffic.fields import DnsLabel, Model, wrong

Seconds = Annotated[int, Field(ge=0, le=3600)]
NONE = (0, "0%")


class StrategyType(StrEnum):
    """Types of a Kubernetes DeploymentStrategy."""

    ROLLING_UPDATE = "RollingUpdate"
    RECREATE = "Recreate"


class Strategy(Model):
    """How new pods replace old ones (Kubernetes' DeploymentStrategy)."""

    type: Annotated[StrategyType, Strict(False)] = Field(
        default=StrategyType.ROLLING_UPDATE, description="RollingUpdate, or Recreate: all old pods are deleted first."
    )
    max_surge: CountOrPercentage = Field(default=1, description="Pods above `replicas` during an update.")
    max_unavailable: CountOrPercentage = Field(default=0, description="Pods below `replicas` during an update.")

    @model_validator(mode="after")
    def _has_effect(self) -> Strategy:
        if self.type is StrategyType.RECREATE and {"max_surge", "max_unavailable"} & self.model_fields_set:
            raise wrong(
                "type Recreate supports neither maxSurge nor maxUnavailable",
                "maxSurge and maxUnavailable with type RollingUpdate",
                "remove them, or write type: RollingUpdate",
            )
        return self


class StrategyName(StrEnum):
    """The strategies of a service."""

    RECREATE = "recreate"
    RAMPED = "ramped"
    BLUE_GREEN = "blueGreen"
    CANARY = "canary"


NAMES = tuple(name.value for name in StrategyName)


class NoDetails(Model):
    """A strategy without details."""


class Ramped(Model):
    """Pods are replaced a few at a time: defaults for the versions' own `strategy` and `minReadySeconds`."""

    max_surge: CountOrPercentage = Field(default=1, description="Pods above `replicas` during an update.")
    max_unavailable: CountOrPercentage = Field(default=0, description="Pods below `replicas` during an update.")
    min_ready_seconds: Seconds = Field(
        default=0, description="Seconds a new pod must stay ready to be available; below `readyWithin`."
    )


class BlueGreen(Model):
    """Two versions with all their pods, of which one gets the requests of every rule that has no `to`."""

    active: DnsLabel = Field(examples=["version-1"], description="The version that gets the requests.")


class ServiceStrategy(Model):
    """A strategy by its name, or a mapping with the name as its only key and the details as the value."""

    recreate: NoDetails | None = Field(
        default=None, description="All old pods of a version are deleted before new ones start."
    )
    ramped: Ramped | None = Field(default=None, description="Pods of a version are replaced a few at a time.")
    blue_green: BlueGreen | None = Field(
        default=None, description="Of two versions with all their pods, one gets all requests."
    )
    canary: NoDetails | None = Field(
        default=None, description="Requests are divided by the weights and rules of `route`."
    )

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        if isinstance(value, str):
            if value not in NAMES:
                near = nearest(value, NAMES)
                raise wrong(
                    f"{value!r} is not a strategy{f'; the nearest is {near}' if near else ''}",
                    ", ".join(NAMES),
                    f"write {near or 'canary'}",
                )
            return {value: {}}
        if isinstance(value, dict):
            _require_no_details(value)
        return value

    @model_validator(mode="after")
    def _one(self) -> ServiceStrategy:
        given = [name.value for name in StrategyName if getattr(self, _field(name)) is not None]
        if len(given) == 1:
            return self
        raise wrong(
            f"{' and '.join(given)} are set together" if given else "no strategy is named",
            f"one of {', '.join(NAMES)}",
            f"keep one of {', '.join(given)}" if given else "write canary, for example",
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The name alone is allowed too."""
        details = handler.resolve_ref_schema(handler(core_schema))
        return {"anyOf": [{"type": "string", "enum": list(NAMES)}, details]}

    @property
    def name(self) -> StrategyName:
        """The strategy's name."""
        return next(name for name in StrategyName if getattr(self, _field(name)) is not None)

    @property
    def active(self) -> str | None:
        """The active version of blueGreen; None with another strategy."""
        return self.blue_green.active if self.blue_green else None

    def __str__(self) -> str:
        """The strategy in words, such as `blueGreen, version-1 is active`."""
        if self.active:
            return f"{self.name.value}, {self.active} is active"
        if self.ramped:
            given = self.ramped
            ready = f", minReadySeconds {given.min_ready_seconds}" if given.min_ready_seconds else ""
            return f"ramped, maxSurge {given.max_surge}, maxUnavailable {given.max_unavailable}{ready}"
        return self.name.value


def _field(name: StrategyName) -> str:
    return "blue_green" if name is StrategyName.BLUE_GREEN else name.value


def _require_no_details(value: dict[Any, Any]) -> None:
    for name in (StrategyName.RECREATE.value, StrategyName.CANARY.value):
        details = value.get(name)
        if isinstance(details, dict) and details:
            ramped = set(details) <= {field.alias for field in Ramped.model_fields.values()}
            keys = ", ".join(map(str, details))
            raise wrong(
                f"{name} has no details, so {keys} {'has' if len(details) == 1 else 'have'} no effect",
                f"strategy: {name}, without details",
                f"write strategy: {name}" + (", or use ramped, which has these details" if ramped else ""),
            )


def pods_strategy(service: ServiceStrategy, version: Strategy) -> Strategy:
    """Return how the pods of a version are replaced: what the version itself sets, over the service's defaults.

    Its `model_fields_set` are those that the version sets.
    """
    defaults: dict[str, Any] = {}
    if service.recreate is not None:
        defaults = {"type": StrategyType.RECREATE}
    elif service.ramped is not None:
        defaults = {"max_surge": service.ramped.max_surge, "max_unavailable": service.ramped.max_unavailable}
    given = {name: getattr(version, name) for name in version.model_fields_set}
    return Strategy.model_construct(_fields_set=version.model_fields_set, **{**defaults, **given})
