"""Argo Rollouts: a Rollout whose weights its controller writes into the VirtualService, told by its kubectl plugin.

The controller is a process of this machine with the sandbox's kubeconfig, so nothing but the CRDs is installed. Its
settings are the defaults, but for leader election: there is one. See Argo Rollouts, "Istio" (Host-level and
Subset-level traffic splitting) and "Canary".
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks import echo_objects
from benchmarks.argo_rollouts.build import ArgoRolloutsBuild, ensure_built
from benchmarks.echo_objects import APP, ROUTE, Kubectl, Object
from benchmarks.rollout_peers import CANARY, STABLE, WEIGHT, PeerError
from sandbox.layout import Layout

_READY_SECONDS = 120.0
_WAITS_FOR_FIRST_WEIGHT = 1
"""The index of the step at which the canary's pods are there and no request is routed to them."""


@dataclass
class ArgoRollouts:
    """A Rollout in a namespace of its own.

    Its commands are those of the plugin: run by kubectl, as its documentation does, or else by themselves, which saves
    the time that kubectl takes to start and to find the plugin.
    """

    sandbox: Layout
    prefix: str = "benchmark"
    by_kubectl: bool = True
    _controller: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _installed: list[str] = field(default_factory=list, init=False)

    @property
    def name(self) -> str:
        return f"Argo Rollouts, {'kubectl argo rollouts' if self.by_kubectl else 'kubectl-argo-rollouts'}"

    @property
    def namespace(self) -> str:
        return f"{self.prefix}-argo-{'kubectl' if self.by_kubectl else 'plugin'}"

    @property
    def host(self) -> str:
        return f"{self.namespace}.example.com"

    def prepare(self) -> None:
        if self._controller is None:
            self._install()
        else:
            self._plugin("retry", "rollout", APP)
        self._wait(self._waits_for_first_weight, "the canary's pods are not ready")

    def step(self, weight: int) -> None:
        if weight != WEIGHT:
            raise PeerError(f"the Rollout has a step to {WEIGHT} %, none to {weight} %")
        self._plugin("promote", APP)

    def abort(self) -> None:
        self._plugin("abort", APP)

    def clean(self) -> None:
        self._kubectl("delete", "namespace", self.namespace, "--ignore-not-found")
        if self._controller is not None:
            self._controller.terminate()
            self._controller.wait()
            self._controller = None
        if self._installed:
            self._kubectl("delete", *self._installed)
            self._installed.clear()

    @cached_property
    def _built(self) -> ArgoRolloutsBuild:
        return ensure_built()

    @property
    def _log(self) -> Path:
        return self.sandbox.logs / f"{self.namespace}.log"

    @property
    def _kubectl(self) -> Kubectl:
        return Kubectl(self.sandbox, self.namespace)

    def _plugin(self, *words: str) -> None:
        kubectl, folder = self._kubectl, self._built.folder
        command = (
            (*kubectl.command, "argo", "rollouts") if self.by_kubectl else (str(folder / "kubectl-argo-rollouts"),)
        )
        replace(kubectl, command=command, path=folder)(*words)

    def _install(self) -> None:
        """Start from nothing: CRDs, controller, the stable version, and then the canary in the Rollout's template."""
        before = set(self._kubectl("get", "customresourcedefinitions", "--output=name").split())
        files = [f"--filename={file}" for file in self._built.crds]
        applied = self._kubectl("apply", "--server-side", "--output=name", *files).split()
        self._installed = [name for name in applied if name not in before]
        self._kubectl("wait", "--for=condition=Established", *applied, "--timeout=30s")
        self._kubectl.apply(
            [
                echo_objects.namespace(self.namespace),
                *echo_objects.routing(self.namespace, self.host, {STABLE: {"app": APP}, CANARY: {"app": APP}}),
                self.rollout(),
            ]
        )
        self._start_controller()
        self._wait(lambda: self._status().get("phase") == "Healthy", "the stable version is not ready")
        patch = [
            {"op": "replace", "path": "/spec/template/spec/containers/0/args", "value": echo_objects.arguments(CANARY)}
        ]
        self._kubectl("patch", "rollout", APP, "--type=json", f"--patch={json.dumps(patch)}")

    def _start_controller(self) -> None:
        with self._log.open("wb") as log:
            self._controller = subprocess.Popen(
                [
                    *("setpriv", "--pdeathsig=TERM"),  # it ends with this process, however that ends
                    str(self._built.controller),
                    f"--kubeconfig={self.sandbox.kubeconfig}",
                    f"--namespace={self.namespace}",
                    "--namespaced",
                    "--leader-elect=false",
                    "--metricsPort=0",  # any free ones
                    "--healthzPort=0",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def rollout(self) -> Object:
        """The Rollout, of the stable version."""
        istio = {
            "virtualService": {"name": APP, "routes": [ROUTE]},
            "destinationRule": {"name": APP, "stableSubsetName": STABLE, "canarySubsetName": CANARY},
        }
        canary = {
            "abortScaleDownDelaySeconds": 0,  # the canary's pods stay, for the next run
            "trafficRouting": {"istio": istio},
            "steps": [
                {"setCanaryScale": {"replicas": 1}},
                {"pause": {}},
                {"setWeight": WEIGHT},
                {"pause": {}},
            ],
        }
        return {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Rollout",
            "metadata": {"name": APP, "namespace": self.namespace},
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": {"app": APP}},
                "template": echo_objects.pod_template(STABLE, {}),
                "strategy": {"canary": canary},
            },
        }

    def _status(self) -> dict[str, Any]:
        status: dict[str, Any] = self._kubectl.read("rollout", APP).get("status", {})
        return status

    def _waits_for_first_weight(self) -> bool:
        status = self._status()
        return (
            status.get("phase") == "Paused"
            and status.get("currentStepIndex") == _WAITS_FOR_FIRST_WEIGHT
            and status.get("availableReplicas") == 2
        )

    def _wait(self, happened: Callable[[], bool], otherwise: str) -> None:
        limit = time.monotonic() + _READY_SECONDS
        while not happened():
            if self._controller is not None and self._controller.poll() is not None:
                raise PeerError(f"{self.name}: the controller ended; its log: {self._log}")
            if time.monotonic() > limit:
                raise PeerError(
                    f"{self.name}: {otherwise} after {_READY_SECONDS:.0f} s; the controller's log: {self._log}"
                )
            time.sleep(0.2)
