"""For the tests of `canary rollout`: a project and a cluster, where website goes from version-1 to version-2."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from lightkube import KubeConfig
from lightkube.config.models import Cluster, User
from typer.testing import CliRunner, Result

from canary.app import app
from rollout.acting import begin_rollout
from rollout.beginning import begin
from rollout.record import Record, Release
from rollout.store import RolloutStore
from stacks.rollout_plans import rollout_plan
from stacks.settings.loading import load_stack
from stacks.template_hash import template_hash
from tests.unit.rollout.api_server import ApiServer

NAMESPACE = "website-istio-ns"
PULUMI = "pulumi-kubernetes-1234abcd"
STEPS = "[{weight: 10, for: 10m}, {weight: 50, for: 20m, approve: true}, {weight: 100}]"
STACK = f"""\
config:
  istio-canary:samples: [website]
  istio-canary:rollouts:
    careful: {{steps: {STEPS}}}
  istio-canary:services:
    website:
      route:
        - to: version-2
          rollout: careful
"""


class World:
    """A project with the stack dev, and a cluster in which the stack's `up` has been run, or not yet."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.server = ApiServer()
        self.server.objects["namespaces", "", NAMESPACE] = {"metadata": {"name": NAMESPACE}}
        self.folder = folder
        self.file = folder / "Pulumi.dev.yaml"
        self.file.write_text(STACK, encoding="utf-8")
        (folder / "Pulumi.yaml").write_text("name: istio-canary\nruntime: python\n", encoding="utf-8")
        monkeypatch.chdir(folder)
        monkeypatch.delenv("PULUMI_STACK", raising=False)
        monkeypatch.setattr("canary.rollout.place.who", lambda: "ann@laptop")
        monkeypatch.setattr("canary.rollout.verb.who", lambda: "ann@laptop")
        monkeypatch.setattr("stacks.rollout_events.who", lambda: "ann@laptop")
        self.config = KubeConfig.from_one(cluster=Cluster(server="http://api.invalid"), user=User()).get()
        self.sent: list[str] = []
        """By whom the events of a record were sent, if not by a runner."""
        monkeypatch.setattr("rollout.runner.send_events", self._send)
        self.contexts: list[str | None] = []
        monkeypatch.setattr("kube.kubeconfig.choose", self._choose)
        monkeypatch.setattr("kube.kubeconfig.client", lambda config: nullcontext(self.server.client))

    def _send(self, access: Any, namespace: str, service: str, by: str) -> int:
        self.sent.append(by)
        return 0

    def _choose(self, cluster: Any) -> Any:
        self.contexts.append(cluster.context)
        return self.config

    @property
    def store(self) -> RolloutStore:
        return RolloutStore(self.server.client, NAMESPACE, "website")

    @property
    def record(self) -> Record:
        """The record in the cluster."""
        found = self.store.read()
        assert found is not None
        return found.record

    def up(self) -> None:
        """What the stack's `up` leaves: the VirtualService with all requests at version-1, and a Pending record."""
        settings = load_stack(self.file).settings
        planned = rollout_plan(settings, "website", {"default": {"version-1": 100.0}})
        assert planned is not None
        for name, http in planned.routes["back"].items():
            metadata = {"name": name, "namespace": NAMESPACE}
            body = {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": metadata}
            self.server.apply("virtualservices", {**body, "spec": {"hosts": ["*"], "http": http}}, PULUMI)
        target = Release(version="version-2", hash=template_hash(settings, "website", "version-2"))
        before = Release(version="version-1", hash=template_hash(settings, "website", "version-1"), ready_pods=4)
        begin_rollout(
            self.server.client,
            NAMESPACE,
            "website",
            planned.routes,
            lambda look, routes, now: begin(
                look.stored.record if look.stored else None,
                service="website",
                namespace=NAMESPACE,
                vs_uids=look.vs_uids,
                target=target,
                from_=before,
                plan=planned.schedule.plan(routes, places=planned.places),
                by="up",
                at=now,
            ),
            by="up",
        )

    def change(self, change: Callable[[Record], Record]) -> None:
        """Write the record as somebody else does."""
        found = self.store.read()
        assert found is not None
        self.store.write(change(found.record), found.resource_version)

    def set(self, **changes: Any) -> None:
        """Write some fields of the record."""
        self.change(lambda record: record.model_copy(update=changes))

    def at(self, seconds: float = 0.0) -> str:
        """The API server's time, some seconds later."""
        return (self.server.now + timedelta(seconds=seconds)).isoformat()

    def observing(self, step: int = 0, **changes: Any) -> None:
        """A step that every Envoy has since the API server's time."""
        from rollout.record import Deadlines, Phase, Stage

        now = self.at()
        self.set(
            phase=Phase.PROGRESSING,
            stage=Stage.OBSERVING,
            step=step,
            wanted=self.record.plan.steps[step].weights,
            started_at=now,
            settled_at=now,
            deadlines=Deadlines(step_at=self.at(1800), total_at=self.at(86400)),
            **changes,
        )

    def write_routes(self, key: str) -> None:
        """Write the routes of a step as the rollout does."""
        from rollout.routes import write_http

        for name, http in self.store.read_routes(self.record.plan.routes)[key].items():
            write_http(self.server.client, NAMESPACE, name, http, self.record.annotation, None)

    def hold_lease(self, holder: str = "ci-7/42/abc") -> None:
        """Somebody else runs the rollout."""
        from rollout.lease import Lease

        assert Lease(self.server.client, NAMESPACE, "website", holder).acquire()

    def forbid(self, *verbs: str) -> None:
        self.server.forbidden |= set(verbs)


def run(*arguments: str, code: int = 0) -> Result:
    """Run `canary rollout` with arguments; it must exit with `code`, and without a traceback."""
    result = CliRunner().invoke(app, ["rollout", *arguments])
    assert result.exit_code == code, f"{result.exit_code}\n{result.stdout}\n{result.stderr}\n{result.exception!r}"
    assert "Traceback" not in result.output
    return result


def run_json(*arguments: str, code: int = 0) -> Mapping[str, Any]:
    """Run `canary rollout … --json`, and return the one document on stdout."""
    document: dict[str, Any] = json.loads(run(*arguments, "--json", code=code).stdout)
    return document
