"""The pod templates of a stack's file, each with the version that it is laid over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from stacks.checks.view import Service, block, entries, is_count
from stacks.settings.kubernetes_values import merged_template
from stacks.settings.problems import Location
from traffic.model import OUTSIDE
from traffic.model.outside import kind_of_version

KEY = "podTemplate"


@dataclass(frozen=True)
class Overlay:
    """A pod template as written, at `place`, laid over a version of a service. `whole` is that with the service's."""

    service: Service
    version: str
    template: Mapping[str, Any]
    place: Location
    whole: Mapping[str, Any]

    @property
    def given(self) -> dict[str, Any]:
        """The values of the version."""
        return block(self.service.versions[self.version])

    @property
    def version_place(self) -> Location:
        """The location of the version."""
        return (*self.service.location, "versions", self.version)

    @property
    def main(self) -> str:
        """The name of the version's own container."""
        return self.service.name

    @property
    def port(self) -> int | None:
        """The port of the version's own container, None if it is malformed."""
        port = self.given.get("port")
        return port if is_count(port) else None

    @cached_property
    def own_volumes(self) -> list[str]:
        """The names of the volumes that the version has without a template: those of its files, and its own."""
        volumes = self.given.get("volumes")
        named = list(volumes) if isinstance(volumes, dict) else [block(one).get("name") for one in entries(volumes)]
        files = block(self.given.get("configFiles"))
        return [*(f"config-{index}" for index in range(len(files))), *(name for name in named if isinstance(name, str))]

    def containers(self, kind: str = "containers") -> list[tuple[Location, dict[str, Any]]]:
        """Return the containers as written, or the init containers, each with its location."""
        given = entries(block(self.template.get("spec")).get(kind))
        return [((*self.place, "spec", kind, index), block(one)) for index, one in enumerate(given)]

    def whole_container(self, name: Any, kind: str = "containers") -> dict[str, Any]:
        """Return a container with what the service's template has of it; empty if there is none."""
        given = entries(block(self.whole.get("spec")).get(kind))
        return next((block(one) for one in given if block(one).get("name") == name), {})


def overlays(service: Service) -> Iterator[Overlay]:
    """Yield the well-formed pod templates of a service: for each version the service's, and its own."""
    common = block(service.given.get(KEY))
    for version in service.versions:
        if kind_of_version(service.versions[version]) == OUTSIDE:
            continue
        own = block(block(service.versions[version]).get(KEY))
        whole = merged_template(common, own) or {}
        if common:
            yield Overlay(service, version, common, (*service.location, KEY), whole)
        if own:
            yield Overlay(service, version, own, (*service.location, "versions", version, KEY), whole)
