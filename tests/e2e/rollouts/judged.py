"""The stack of the tests of gates: services behind a gateway of the test's own, judged by proof."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tests.e2e.rollouts.front import Front
from tests.e2e.tools import Project

IMAGE = "istio-canary/echo:1.0.0"
PORT, PROBE_PORT = 8080, 8081
"""The probes ask the second one, so that a test can close the first, and the pod is ready all the same."""
FAILS = 0.5
"""Percent of the requests that fail anyhow, at random."""
GATEWAY_NAME = "front"
STEPS = ({"weight": 25, "for": "5s"}, {"weight": 50, "for": "5s"}, {"weight": 100})
STRATEGY: Mapping[str, Any] = {
    "steps": list(STEPS),
    # How long requests take on a busy machine is not what this is about.
    "gates": {"tolerance": "1%", "latency": {"enabled": False}},
    "keepPrevious": "1s",
    "deadline": {"total": "15m"},
}


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A service whose requests all go to `to` in the end; before it is rolled out, both versions are one.

    `flags` are those of `to`, in place of the usual failures, and `extra` are further keys of it; `always` are flags of
    every version, which later ones may set otherwise. `service`, `rule` and `strategy` are further keys of these.
    """

    name: str
    seed: int
    to: str = "v1"
    before: str | None = None
    flags: Sequence[str] | None = None
    always: Sequence[str] = ()
    replicas: int = 1
    extra: Mapping[str, Any] = field(default_factory=dict)
    service: Mapping[str, Any] = field(default_factory=dict)
    rule: Mapping[str, Any] = field(default_factory=dict)
    strategy: Mapping[str, Any] = field(default_factory=dict)

    def next(self, version: str, *flags: str, **extra: Any) -> Judged:
        """Return the service with one version more, which answers as the former one unless flags say otherwise."""
        return replace(self, to=version, before=self.to, flags=flags or None, extra=extra)

    def usual(self, version: str) -> tuple[str, ...]:
        """The flags of a version as all are: each fails at random, and none as another one."""
        return failing(FAILS, self.seed * 100 + int(version.removeprefix("v")))


def failing(percent: float, seed: int) -> tuple[str, ...]:
    """Return the flags of an echo that fails at random."""
    return (f"-fail-percent={percent:g}", f"-fail-seed={seed}")


def host_of(namespace: str, name: str) -> str:
    """Return the host at which callers reach a service."""
    return f"{name}.{namespace}.example"


@dataclass(frozen=True, kw_only=True)
class JudgedStack:
    """The stack's file, with all services in one namespace."""

    project: Project
    stack: str
    namespace: str
    front: Front

    def up(self, services: Iterable[Judged]) -> None:
        """Write the file, and run `canary up`."""
        self.project.write_stack(self.stack, self.config(services))
        self.project.up(self.stack)

    def config(self, services: Iterable[Judged]) -> dict[str, Any]:
        """Return the stack's config."""
        config = self.project.service_config({one.name: self._service(one) for one in services})
        config["istio-canary:gateways"] = {GATEWAY_NAME: self.front.shared_gateway}
        config["istio-canary:telemetry"] = self.front.telemetry
        return config

    def _service(self, one: Judged) -> dict[str, Any]:
        flags = {one.to: one.flags or one.usual(one.to)}
        if one.before is not None:
            flags = {one.before: one.usual(one.before), **flags}
        rolled = {"rollout": {**STRATEGY, **one.strategy}} if one.before is not None else {}
        return {
            "namespace": self.namespace,
            "hosts": [host_of(self.namespace, one.name)],
            "gateways": [GATEWAY_NAME],
            "versions": {
                version: {
                    **self._version(version, (*one.always, *words), one.replicas),
                    **(one.extra if version == one.to else {}),
                }
                for version, words in flags.items()
            },
            "route": [{"to": one.to, "timeout": "2s", **one.rule, **rolled}],
            **one.service,
        }

    def _version(self, version: str, flags: Sequence[str], replicas: int) -> dict[str, Any]:
        listen = () if any(one.startswith("-listen=") for one in flags) else (f"-listen=:{PORT},:{PROBE_PORT}",)
        return {
            "image": IMAGE,
            "args": [*listen, f"-version={version}", *flags],
            "port": PORT,
            "replicas": replicas,
            "readinessProbe": {"tcpSocket": {"port": PROBE_PORT}, "periodSeconds": 1, "failureThreshold": 10},
            "preStopSeconds": 0,
            "terminationGracePeriodSeconds": 1,
        }
