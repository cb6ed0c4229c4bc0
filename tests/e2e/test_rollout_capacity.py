"""Rollouts and the pods of both versions: no weight without pods that are ready for it, and a way back that holds."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from lightkube import Client

from kube import kubeconfig
from rollout.record import EventType, Phase, Record, Stage
from tests.e2e.envoys import process_of
from tests.e2e.load import Load, load
from tests.e2e.rollouts import laws
from tests.e2e.rollouts.checkouts import ABORTED, COMPLETED, Checkout, Runner
from tests.e2e.rollouts.journal import Journal, PodsWrite, RecordWrite, RouteWrite, Write, journal
from tests.e2e.rollouts.pods_metrics import pods_metrics
from tests.e2e.rollouts.stack import PROBE_PORT, Ramp, RampStack, hosts
from tests.e2e.tools import Access, Cluster, Project, wait_until

pytestmark = pytest.mark.under_load

STACK, NAMESPACE, NAME = "capacity", "proofs-capacity", "shop"
RATE, PODS = 100, 4
FAST = {"scaleDown": {"stabilizationWindowSeconds": 0}}
AUTOSCALED = {
    "autoscaling": {"minReplicas": 1, "maxReplicas": PODS, "cpu": 50, "behavior": FAST},
    "resources": {"requests": {"cpu": "10m"}},
}

Steps = list[dict[str, Any]]


@dataclass(frozen=True)
class Shop:
    """The service, before the rollout of v2 is started."""

    project: Project
    checkout: Checkout
    journal: Journal
    folder: Path

    @property
    def cluster(self) -> Cluster:
        return self.project.cluster

    @property
    def writes(self) -> list[Write]:
        return self.journal.of(NAME)

    @contextmanager
    def under_load(self) -> Iterator[Load]:
        url, hosted = self.cluster.layout.gateway_url, hosts(NAMESPACE, [NAME])
        with load(url, self.folder, rate=RATE, hosts=hosted) as done:
            yield done

    @contextmanager
    def at_step(self, step: int) -> Iterator[Runner]:
        """A runner that has brought the rollout to a step, which every Envoy follows."""
        with self.checkout.started(NAME) as runner:
            arrived = self.journal.wait_for(
                NAME, lambda record: record.step == step and record.stage is Stage.OBSERVING, 90
            )
            assert arrived, f"{self.journal.last(NAME)}\n{runner.said}"
            yield runner

    def wait_for(self, phase: Phase, seconds: float = 60) -> Record:
        record = self.journal.wait_for(NAME, lambda record: record.phase is phase, seconds)
        assert record, f"not {phase.value} within {seconds:.0f} s: {self.journal.last(NAME)}"
        return record

    def replicas(self, version: str) -> int:
        """The number of pods that its Deployment wants."""
        return int(self._get("deployment", version)["spec"]["replicas"])

    def least(self, version: str) -> int:
        """The least number of pods that its autoscaler keeps."""
        return int(self._get("horizontalpodautoscaler", version)["spec"].get("minReplicas", 1))

    def pods(self, version: str) -> list[str]:
        """The names of its pods that do not end."""
        return [pod["metadata"]["name"] for pod in self._pods(version)]

    def ready(self, version: str) -> list[str]:
        """The names of those of its pods that are ready."""
        ready = {"type": "Ready", "status": "True"}
        return [
            pod["metadata"]["name"]
            for pod in self._pods(version)
            if any(ready.items() <= one.items() for one in pod["status"].get("conditions", ()))
        ]

    def _pods(self, version: str) -> list[Any]:
        found = self.cluster.get("pods", f"--namespace={NAMESPACE}")["items"]
        running = [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]
        return [pod for pod in running if pod["metadata"]["name"].startswith(f"{NAME}-{version}-")]

    def _get(self, kind: str, version: str) -> Any:
        return self.cluster.get(kind, f"{NAME}-{version}", f"--namespace={NAMESPACE}")


@pytest.fixture
def project(mesh: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    made = Project.create(tmp_path_factory.mktemp("capacity"), mesh.cluster)
    yield made
    made.leave(STACK, NAMESPACE)


def client_of(cluster: Cluster) -> Client:
    return kubeconfig.client(kubeconfig.choose(Access(str(cluster.layout.kubeconfig))))


@contextmanager
def shop(project: Project, folder: Path, steps: Steps, ramp: Ramp, **keys: Any) -> Iterator[Shop]:
    """The service at v1, with v2 waiting; `keys` are those of the strategy."""
    strategy = {"steps": steps, "keepPrevious": "1s", **keys}
    stack = RampStack(project=project, stack=STACK, namespace=NAMESPACE, strategy=strategy)
    stack.write([ramp])
    project.up(STACK)
    with journal(lambda: client_of(project.cluster), NAMESPACE) as written:
        stack.write([ramp.next("v2", stable="v1")])
        made = Shop(project, Checkout(project, STACK), written, folder)
        yield made


def reject_probes(pod: str) -> None:
    """Refuse connections to the port that only the readiness probe uses: what the pod serves goes on."""
    network = ["nsenter", f"--target={process_of(pod, 'echo')}", "--net"]
    rule = f"--insert INPUT --protocol tcp --dport {PROBE_PORT} --jump REJECT --reject-with tcp-reset"
    subprocess.run([*network, "iptables", *rule.split()], check=True, capture_output=True)


@pytest.mark.long
def test_a_canary_without_a_ready_pod_gives_all_requests_back_unasked(project: Project, tmp_path: Path) -> None:
    steps: Steps = [{"weight": 50, "for": "10m"}, {"weight": 100}]
    with shop(project, tmp_path, steps, Ramp(name=NAME, replicas=2)) as made:
        project.up(STACK)
        with made.under_load() as done, made.at_step(0) as runner:
            for pod in made.pods("v2"):
                reject_probes(pod)
            ended = made.wait_for(Phase.ABORTED)
            assert runner.ended(30) == ABORTED, runner.said
        types = [entry.type for entry in ended.history]
        assert types.index(EventType.NO_CAPACITY) < types.index(EventType.ABORTING), types
        observed = first(made.writes, is_at(Stage.OBSERVING))
        later = [write for write in made.writes if write.revision > observed.revision]
        last_ready = first(later, lambda one: isinstance(one, PodsWrite) and not one.of("v2"))
        decided = first(later, is_at(None))
        back = first(later, lambda one: isinstance(one, RouteWrite) and one.weights == {"v1": 100.0})
        canary = [answer.answered for answer in done.answers if "v2" in (answer.version, answer.said_by)]
        print(
            f"from the last ready pod: {seconds(last_ready, decided):.2f} s to the decision, "
            f"{seconds(last_ready, back):.2f} s to the routes, "
            f"{(max(canary) - last_ready.at).total_seconds():.2f} s to the canary's last answer; "
            f"{len(done.failures)} of {done.requests} failed meanwhile"
        )
        assert last_ready.revision < decided.revision < back.revision
        lost = [answer for answer in done.answers if not answer.ok and answer.version != "v2"]
        assert not lost, lost[:5]
        assert not laws.served_after_the_end(made.writes, done.answers)
        assert not laws.without_pods(made.writes)


def first(writes: list[Write], condition: Callable[[Write], bool]) -> Write:
    """The first of the writes that is as asked."""
    found = next(filter(condition, writes), None)
    assert found is not None, "nobody wrote it"
    return found


def is_at(stage: Stage | None) -> Callable[[Write], bool]:
    """Whether a write is a record of a step at that stage; None: of a rollout that goes back."""

    def check(write: Write) -> bool:
        if not isinstance(write, RecordWrite):
            return False
        return write.record.phase.goes_back if stage is None else write.record.stage is stage

    return check


def seconds(first: Write, second: Write) -> float:
    return (second.at - first.at).total_seconds()


def test_the_canary_gets_its_pods_before_its_weight(project: Project, tmp_path: Path) -> None:
    """From one pod, as the file has it, to as many as the old version had."""
    steps = [{"weight": weight, "for": "1s"} for weight in (10, 50, 75)] + [{"weight": 100}]
    ramp = Ramp(name=NAME, replicas=PODS)
    with shop(project, tmp_path, steps, ramp, capacity={"scale": True}) as made:
        one_pod(project)
        project.up(STACK)
        assert made.replicas("v2") == 1
        with made.under_load() as done, made.checkout.started(NAME) as runner:
            assert runner.ended(120) == COMPLETED, runner.said
        assert not laws.without_pods(made.writes)
        assert made.replicas("v2") == made.replicas("v1") == PODS
        assert not done.failures, done.what_failed


def one_pod(project: Project) -> None:
    """Give v2 one pod in the stack's file."""
    import yaml

    path = project.folder / f"Pulumi.{STACK}.yaml"
    content = yaml.safe_load(path.read_text())
    content["config"]["istio-canary:services"][NAME]["versions"]["v2"]["replicas"] = 1
    path.write_text(yaml.safe_dump(content, sort_keys=False))


@pytest.mark.long
def test_an_autoscaler_without_load_leaves_the_old_version_its_pods_until_the_rollout_is_over(
    project: Project, tmp_path: Path
) -> None:
    """It scales down as soon as it may: what keeps the pods is its minimum, which the rollout has raised."""
    steps: Steps = [{"weight": 95, "for": "10m"}, {"weight": 100}]
    ramp = Ramp(name=NAME, extra={"v1": AUTOSCALED})
    with shop(project, tmp_path, steps, ramp) as made, pods_metrics(made.cluster, NAMESPACE, tmp_path) as metrics:
        metrics.millicores = 100
        wait_until(lambda: made.replicas("v1") == PODS and len(made.ready("v1")) == PODS, "the load's pods", 120)
        project.up(STACK)
        with made.under_load() as done, made.at_step(0) as runner:
            wait_until(lambda: made.least("v1") == PODS, "the pin of the old version's pods", 20)
            metrics.millicores = 0
            before = metrics.asked
            wait_until(lambda: metrics.asked >= before + 3, "three looks of the autoscaler", 120)
            assert made.replicas("v1") == PODS
            asked = made.checkout.rollout("abort", NAME, "a test")
            assert asked.returncode == 0, asked.stdout + asked.stderr
            assert runner.ended(60) == ABORTED, runner.said
        assert not done.failures, done.what_failed
        wait_until(lambda: made.replicas("v1") == 1, "the autoscaler's own number, once the rollout is over", 120)
        wait_until(lambda: made.least("v1") == 1, "the autoscaler's own minimum", 20)
