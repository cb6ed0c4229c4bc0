"""How a run knows that the mesh's Envoys have applied a change of routes."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field, Strict

from traffic.fields import Model


class Asked(StrEnum):
    """The Envoys that are asked whether they have applied a change of routes."""

    ALL = "all"
    GATEWAY = "gateway"
    NONE = "none"


class ProxySyncSettings(Model):
    """How a run knows that the Envoys have applied a change of routes, before it takes pods away or sends requests."""

    ask: Annotated[Asked, Strict(False)] = Field(
        default=Asked.ALL,
        description="Envoys that are asked: all, only those of the gateway, or none; asking needs the right to exec "
        "into their pods.",
    )
    wait_seconds: Annotated[int, Field(ge=1, le=600)] = Field(
        default=10,
        description="Seconds to wait for the Envoys that are not asked, of which nothing is proven then; no effect "
        "with `ask: all`.",
    )
