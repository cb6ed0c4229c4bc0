"""Destinations in a route: a version of the service, or of another one, or a host of `egress`."""

from __future__ import annotations

import re
from typing import Annotated, NamedTuple

from pydantic import AfterValidator

from traffic.fields import DNS_LABEL, wrong

EGRESS = "egress"
"""In a destination, `egress/<name>` is the host of that entry of `egress`; no service can have the name."""


class Target(NamedTuple):
    """A version of a service, or an entry of `egress` as the version of the service EGRESS."""

    service: str
    version: str

    @property
    def is_egress(self) -> bool:
        """Whether it is an entry of `egress`."""
        return self.service == EGRESS


def target(service: str, destination: str) -> Target:
    """Return the target of a destination in the route of `service`: `version-1`, `<other service>/<version>`, or
    `egress/<name>`.
    """
    other, slash, version = destination.rpartition("/")
    return Target(other, version) if slash else Target(service, destination)


def is_destination(value: str) -> bool:
    """Return whether a value has the form of a destination."""
    return re.fullmatch(rf"({DNS_LABEL}/)?{DNS_LABEL}", value) is not None


def _destination(value: str) -> str:
    if is_destination(value):
        return value
    meant = re.sub(r"[^a-z0-9/-]+", "-", value.lower())
    raise wrong(
        f"{value!r} is not a destination",
        "the name of a version, <service>/<version> for another service, or egress/<name>",
        f"write {meant}" if is_destination(meant) else "write the name of a version",
    )


DestinationName = Annotated[str, AfterValidator(_destination)]
