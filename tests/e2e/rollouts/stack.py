"""The stack of the tests of rollouts: services in two versions, each of which goes from one to the next in steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tests.e2e.tools import Project

STRATEGY = "ramp"
VERSION_HEADER = "x-served-version"
WEIGHTS = (10, 30, 50, 95, 100)
PROBE_PORT = 8081
"""The echo answers there too: a test can make pods unready without touching what they serve."""


@dataclass(frozen=True, kw_only=True)
class Ramp:
    """A service: all requests go to `to` in the end, by the strategy; before it is rolled out, both are one version."""

    name: str
    to: str = "v1"
    before: str | None = None
    """The version that `to` takes the place of; None before the first rollout."""
    fails: int = 0
    """Percent of the requests that `to` itself answers with 503."""
    replicas: int = 1
    extra: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Further keys of a version, by version."""

    def next(self, version: str, *, stable: str, fails: int = 0) -> Ramp:
        """Return the service with one version after `stable`."""
        return replace(self, to=version, before=stable, fails=fails)


def hosts(namespace: str, names: Iterable[str]) -> dict[str, str]:
    """Return the host of each service."""
    return {name: f"{name}.{namespace}.example" for name in names}


@dataclass(frozen=True, kw_only=True)
class RampStack:
    """The stack's file: services in one namespace, and a bystander whose weights an `up` may change at any time."""

    project: Project
    stack: str
    namespace: str
    strategy: Mapping[str, Any]

    def write(self, ramps: Iterable[Ramp], *, bystander: int | None = None, projects: Sequence[Project] = ()) -> None:
        """Write the file of the stack, into the folders of `projects` too.

        `bystander` is the weight of one version of a service that is not rolled out; None: there is no such service.
        """
        services = {ramp.name: self._service(ramp) for ramp in ramps}
        if bystander is not None:
            route = [{"to": {"v1": bystander, "v2": 100 - bystander}}]
            versions = {version: self._version(version, 0, {}) for version in ("v1", "v2")}
            services["bystander"] = self._of("bystander", versions, route)
        config = self.project.service_config(services)
        config["istio-canary:rollouts"] = {STRATEGY: dict(self.strategy)}
        config["istio-canary:versionHeader"] = VERSION_HEADER
        for project in (self.project, *projects):
            project.write_stack(self.stack, config)

    def _service(self, ramp: Ramp) -> dict[str, Any]:
        names = {ramp.before or ramp.to: 0, ramp.to: ramp.fails}
        versions = {
            name: {**self._version(name, fails, ramp.extra.get(name, {})), "replicas": ramp.replicas}
            for name, fails in names.items()
        }
        for name in names:
            if "autoscaling" in versions[name]:
                del versions[name]["replicas"]
        rollout = {"rollout": STRATEGY} if ramp.before else {}
        return self._of(ramp.name, versions, [{"to": ramp.to, "timeout": "5s", **rollout}])

    def _of(self, name: str, versions: Mapping[str, Any], route: Sequence[Any]) -> dict[str, Any]:
        host = hosts(self.namespace, [name])[name]
        return {"namespace": self.namespace, "hosts": [host], "versions": dict(versions), "route": list(route)}

    def _version(self, version: str, fails: int, extra: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "image": "istio-canary/echo:1.0.0",
            "args": [f"-listen=:8080,:{PROBE_PORT}", f"-version={version}", f"-fail-percent={fails}"],
            "port": 8080,
            # A pod on a busy machine answers its probe late now and then: it is not to get fewer requests for that.
            "readinessProbe": {"tcpSocket": {"port": PROBE_PORT}, "periodSeconds": 1, "failureThreshold": 10},
            "terminationGracePeriodSeconds": 10,
            **extra,
        }


def ramp_strategy(hold: str, sink: str | None = None, **keys: Any) -> dict[str, Any]:
    """Return the strategy of the tests: 10, 30, 50, 95 and 100 percent, each kept for `hold`; events go to `sink`."""
    steps: list[dict[str, Any]] = [{"weight": weight, "for": hold} for weight in WEIGHTS[:-1]]
    notify = [{"url": sink}] if sink else []
    return {"steps": [*steps, {"weight": WEIGHTS[-1]}], "keepPrevious": "1s", "notify": notify, **keys}
