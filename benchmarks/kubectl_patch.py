"""The least that a tool can do: two Deployments, and kubectl that patches the VirtualService's weights."""

from __future__ import annotations

import json
from dataclasses import dataclass

from benchmarks import echo_objects
from benchmarks.echo_objects import APP, Kubectl, Object
from benchmarks.rollout_peers import CANARY, STABLE
from sandbox.layout import Layout


@dataclass(frozen=True)
class KubectlPatch:
    """A rollout by hand: it knows no steps and keeps nothing."""

    sandbox: Layout
    prefix: str = "benchmark"
    name: str = "kubectl patch"

    @property
    def namespace(self) -> str:
        return f"{self.prefix}-kubectl-patch"

    @property
    def host(self) -> str:
        return f"{self.namespace}.example.com"

    @property
    def _kubectl(self) -> Kubectl:
        return Kubectl(self.sandbox, self.namespace)

    def prepare(self) -> None:
        subsets = {version: {"version": version} for version in (STABLE, CANARY)}
        self._kubectl.apply(
            [
                echo_objects.namespace(self.namespace),
                *echo_objects.routing(self.namespace, self.host, subsets),
                *(self._deployment(version) for version in subsets),
            ]
        )
        self._kubectl("rollout", "status", "deployment", STABLE, "--timeout=120s")
        self._kubectl("rollout", "status", "deployment", CANARY, "--timeout=120s")

    def step(self, weight: int) -> None:
        route = "/spec/http/0/route"
        weights = (100 - weight, weight)
        patch = [{"op": "replace", "path": f"{route}/{n}/weight", "value": value} for n, value in enumerate(weights)]
        self._kubectl("patch", "virtualservice", APP, "--type=json", f"--patch={json.dumps(patch)}")

    def abort(self) -> None:
        self.step(0)

    def clean(self) -> None:
        self._kubectl("delete", "namespace", self.namespace, "--ignore-not-found")

    def _deployment(self, version: str) -> Object:
        labels = {"version": version}
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": version, "namespace": self.namespace},
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": {"app": APP, **labels}},
                "template": echo_objects.pod_template(version, labels),
            },
        }
