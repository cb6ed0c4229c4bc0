"""Destinations in a route: a version of the service, or of another one."""

from __future__ import annotations

import re
from typing import Annotated, NamedTuple

from pydantic import AfterValidator

from traffic.fields import DNS_LABEL, wrong


class Target(NamedTuple):
    """A version of a service."""

    service: str
    version: str


def target(service: str, destination: str) -> Target:
    """Return the target of a destination in the route of `service`: `version-1`, or `<other service>/<version>`."""
    other, slash, version = destination.rpartition("/")
    return Target(other, version) if slash else Target(service, destination)


def _destination(value: str) -> str:
    if re.fullmatch(rf"({DNS_LABEL}/)?{DNS_LABEL}", value):
        return value
    raise wrong(
        f"{value!r} is not a destination",
        "the name of a version, or <service>/<version> for another service",
        "write version-1, for example",
    )


DestinationName = Annotated[str, AfterValidator(_destination)]
