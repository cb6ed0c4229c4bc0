"""A stack with one sample in an existing mesh, and requests to it."""

from __future__ import annotations

import copy
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

from stacks.samples import SETTINGS
from stacks.settings.loading import load_stack
from stacks.settings.model import Sample
from tests.e2e.routing import laid_over
from tests.e2e.tools import Completed, Project, wait_until

VERSION_HEADER = "x-served-version"
AT_ONCE = {"preStopSeconds": 0, "terminationGracePeriodSeconds": 1}
"""Of versions whose pods need not finish requests: a test without load does not wait for them."""
INGRESS_CLASS: dict[str, Any] = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "IngressClass",
    "metadata": {"name": "istio"},
    "spec": {"controller": "istio.io/ingress-controller"},
}
"""The class of the Ingresses that Istio serves: that of an existing mesh is its owner's."""
Services = Mapping[str, Any]


@dataclass(frozen=True)
class Answer:
    """The answer to a request, and how long it took in seconds."""

    status: int
    body: str
    headers: Mapping[str, str]
    seconds: float

    @property
    def version(self) -> str:
        """The version that served the request, empty if none did."""
        return self.headers.get(VERSION_HEADER, "")


@dataclass
class SampleStack:
    """The stack of a sample. `host` and `port` are the gateway's, by which requests reach it."""

    project: Project
    sample: Sample
    host: str | None
    port: int = 80
    _node_ports: dict[int, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The stack's name."""
        return self.sample.value

    def up(self, services: Services | None = None, sample: Sample | None = None, **keys: Any) -> None:
        """Deploy the sample with `services` laid over it; `keys` are further keys of the stack's file."""
        self.write(services, sample, **keys)
        self.project.up(self.name)

    def write(self, services: Services | None = None, sample: Sample | None = None, **keys: Any) -> None:
        """Write the stack's file."""
        chosen = sample or self.sample
        config = self.project.service_config(laid_over(_at_once(chosen), services or {}))
        config["istio-canary:mesh"] = {"install": False, "gateway": {"ports": [80, 9191]}}
        config["istio-canary:samples"] = [chosen.value]
        config["istio-canary:versionHeader"] = VERSION_HEADER
        config |= {f"istio-canary:{key}": value for key, value in keys.items()}
        self.project.write_stack(self.name, config)

    def canary(self, *words: str) -> Completed:
        """Run a command on the stack, which must succeed."""
        done = self.project.canary(*words, "--stack", self.name)
        assert done.returncode == 0, f"canary {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    @property
    def namespaces(self) -> set[str]:
        """Those of all services of the stack."""
        settings = load_stack(self.project.folder / f"Pulumi.{self.name}.yaml").settings
        return {one.namespace for one in settings.services.values()}

    def services(self) -> Any:
        """The services in the stack's file."""
        file = self.project.folder / f"Pulumi.{self.name}.yaml"
        return yaml.safe_load(file.read_text())["config"]["istio-canary:services"]

    @property
    def url(self) -> str:
        """The gateway's URL, with the node port of `port`."""
        if not self._node_ports:
            service = self.project.cluster.get("service", "istio-ingressgateway", "--namespace=istio-ingress")
            self._node_ports.update({one["port"]: one["nodePort"] for one in service["spec"]["ports"]})
        return f"http://{self.project.cluster.layout.node_ip}:{self._node_ports[self.port]}"

    def headers(self, **more: str) -> dict[str, str]:
        """Headers of a request to the sample."""
        return {**({"Host": self.host} if self.host else {}), **more}

    def send(self, path: str = "/", count: int = 1, at_once: int = 8, **options: Any) -> list[Answer]:
        """Send a request `count` times, `at_once` in parallel; `options` are httpx's, with `headers` added to ours."""
        method = options.pop("method", "GET")
        headers = self.headers(**options.pop("headers", {}))
        limits = httpx.Limits(max_connections=at_once, max_keepalive_connections=at_once)

        def one(client: httpx.Client) -> Answer:
            began = time.monotonic()
            answer = client.request(method, f"{self.url}{path}", headers=headers, **options)
            return Answer(answer.status_code, answer.text, dict(answer.headers), time.monotonic() - began)

        with httpx.Client(timeout=20, trust_env=False, limits=limits) as client, ThreadPoolExecutor(at_once) as pool:
            return list(pool.map(lambda _: one(client), range(count)))

    def one(self, path: str = "/", **options: Any) -> Answer:
        """Send a request once."""
        return self.send(path, at_once=1, **options)[0]

    def statuses(self, path: str = "/", count: int = 1, at_once: int = 8, **options: Any) -> Counter[int]:
        """Count answers by status."""
        return Counter(answer.status for answer in self.send(path, count, at_once, **options))

    def versions(self, path: str = "/", count: int = 100, **options: Any) -> Counter[str]:
        """Count answers by the version that served them."""
        return Counter(answer.version for answer in self.send(path, count, **options))

    def pods(self, namespace: str, app: str) -> list[str]:
        """The names of a service's pods that are not terminating."""
        pods = self._pods(namespace, app)
        return [pod["metadata"]["name"] for pod in pods if "deletionTimestamp" not in pod["metadata"]]

    def until_only(self, namespace: str, app: str, count: int) -> list[str]:
        """Wait until the service has exactly `count` pods, terminating ones included; return their names."""
        wait_until(lambda: len(self._pods(namespace, app)) == count, f"{count} pods of {app}", 40)
        return self.pods(namespace, app)

    def _pods(self, namespace: str, app: str) -> list[Any]:
        found = self.project.cluster.get("pods", f"--namespace={namespace}", f"--selector=app={app}")
        return list(found["items"])


@contextmanager
def sample_stack(
    mesh: Project,
    folder: Path,
    sample: Sample,
    host: str | None,
    port: int = 80,
    services: Services | None = None,
    path: str = "/",
) -> Iterator[SampleStack]:
    """The deployed stack of a sample, destroyed at the end; the gateway has its routes, of which one takes `path`."""
    stack = SampleStack(Project.create(folder, mesh.cluster), sample, host, port)
    try:
        stack.up(services)
        wait_until(lambda: _is_routed(stack, path), "the gateway's first routes")
        yield stack
    finally:
        stack.project.leave(stack.name, *stack.namespaces)


def _is_routed(stack: SampleStack, path: str) -> bool:
    """Whether all of the gateway's threads have the route and its pods: an `up` does not wait for a service's first."""
    try:
        return not {404, 503} & stack.statuses(path, 16).keys()
    except httpx.TransportError:
        return False


def _at_once(sample: Sample) -> dict[str, Any]:
    return {
        name: {"versions": {version: copy.copy(AT_ONCE) for version in service["versions"]}}
        for name, service in SETTINGS[sample]["services"].items()
    }
