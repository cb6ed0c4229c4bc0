"""A test environment for the examples of docs/routing.md: one stack, whose routes and policies change while pods stay.

Requests to the gateway are sent from this machine. Those of callers inside the mesh are sent by their pods, which are
instructed through `kubectl port-forward`: it bypasses the pod's sidecar and all policies.
"""

from __future__ import annotations

import copy
import json
import re
import ssl
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import yaml

from tests.e2e.tools import Cluster, Project, wait_until
from tests.routing_doc import HOST, Request

STACK = "routing"
ECHO = {"image": "istio-canary/echo:1.0.0", "port": 8080, "preStopSeconds": 0, "terminationGracePeriodSeconds": 1}
SERVICES: dict[str, dict[str, Any]] = {
    "shop": {"hosts": [HOST], "versions": {"version-1": {}, "version-2": {"replicas": 3}}},
    "search": {"hosts": ["search.example.com"], "versions": {"version-1": {}}},
    "client": {"gateways": ["mesh"], "versions": {"version-1": {}}},
    "stranger": {"gateways": ["mesh"], "versions": {"version-1": {}}},
}
"""Deployed with every example: versions that it does not define, and callers inside the mesh."""
OUTSIDE = "outside"
"""This machine as a caller, which sends plain text to pods."""
THREADS = 8
MARK = "x-mark"


@dataclass(frozen=True)
class Seen:
    """The answer to a request: the version (`version-1` is the shop's), the status, or `no connection`."""

    outcome: str
    status: int
    headers: Mapping[str, str]
    body: str
    received: Mapping[str, Any]
    pod: str
    seconds: float


@dataclass
class Lab:
    """The stack and its callers."""

    project: Project
    certificates: ssl.SSLContext | None = None
    with_certificate: ssl.SSLContext | None = None
    _forwards: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _ports: dict[str, int] = field(default_factory=dict)
    _node_ports: dict[int, int] = field(default_factory=dict)
    _callers: dict[str, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _marks: int = 0

    @property
    def cluster(self) -> Cluster:
        """The sandbox."""
        return self.project.cluster

    @classmethod
    @contextmanager
    def opened(cls, project: Project) -> Iterator[Lab]:
        """The lab of a project; at the end, port-forwards are terminated and the stack is destroyed."""
        lab = cls(project)
        try:
            yield lab
        finally:
            for process in lab._forwards.values():
                process.terminate()
                process.wait()
            done = project.canary("destroy", "--stack", STACK, "--yes")
        assert done.returncode == 0, done.stdout + done.stderr

    def apply(self, config: Mapping[str, Any]) -> None:
        """Deploy `config`, the config of an example, and wait until its routes are in effect."""
        self._marks += 1
        self._node_ports.clear()
        mark = f"mark {self._marks}"
        self.project.write_stack(STACK, self._completed(config, mark))
        self.project.up(STACK)
        in_mesh = "mesh" in config["istio-canary:services"]["shop"].get("gateways", ())
        callers = ["client", "stranger"] if in_mesh else []
        at_gateway = config["istio-canary:services"]["shop"].get("gateways") != ["mesh"]
        for caller in [*([None] if at_gateway else []), *callers]:
            self._until_applied(caller, config, mark)

    def _completed(self, config: Mapping[str, Any], mark: str) -> dict[str, Any]:
        """The example's config for this sandbox, with all services and a rule that shows when it is in effect."""
        own = copy.deepcopy(dict(config))
        services = laid_over(SERVICES, own["istio-canary:services"])
        for service in services.values():
            versions = {name: {**ECHO, **(given or {})} for name, given in service["versions"].items()}
            service["versions"] = versions
        shop = services["shop"]
        for version in SERVICES["shop"]["versions"].keys() - own["istio-canary:services"]["shop"]["versions"].keys():
            shop["route"][-1]["to"][version] = 0  # the example knows nothing of it, and it keeps its pods
        if shop.get("gateways") == ["mesh"]:
            shop.pop("hosts")
        rule = {"match": [{"headers": {MARK: {"exact": mark}}}], "directResponse": {"status": 200, "body": mark}}
        shop["route"] = [rule, *shop["route"]]
        base = self.project.mesh_config()
        mesh = own.get("istio-canary:mesh", {})
        own["istio-canary:mesh"] = mesh if mesh.get("install") is False else laid_over(base["istio-canary:mesh"], mesh)
        return {"istio-canary:cluster": base["istio-canary:cluster"], **own, "istio-canary:services": services}

    def _until_applied(self, caller: str | None, config: Mapping[str, Any], mark: str) -> None:
        shop = config["istio-canary:services"]["shop"]
        inside = f"http://shop.shop:{shop.get('port', 80)}/"
        port = f":{shop['gatewayPort']}" if "gatewayPort" in shop else ""
        url = inside if caller else f"{self.scheme_of(config)}://{shop['hosts'][0]}{port}/"

        def applied() -> bool:
            asked = Request("GET", url, ((MARK, mark),), caller, False)
            return all(seen.body == mark for seen in self.send_all(asked, 16))

        wait_until(applied, f"the routes at {caller or 'the gateway'}")

    @staticmethod
    def scheme_of(config: Mapping[str, Any]) -> str:
        """https if the shop's gateway redirects to it."""
        return "https" if "istio-canary:gateways" in config else "http"

    def send_all(self, request: Request, count: int, at_once: int = THREADS) -> list[Seen]:
        """Send a request `count` times, `at_once` in parallel."""
        with self._client(request) as client, ThreadPoolExecutor(at_once) as pool:
            return list(pool.map(lambda _: self._send(client, request), range(count)))

    def send(self, request: Request) -> Seen:
        """Send a request once, on a new connection."""
        return self.send_on_one_connection(request, 1)[0]

    def send_on_one_connection(self, request: Request, count: int) -> list[Seen]:
        """Send a request `count` times in sequence on one connection, which is handled by one thread of Envoy."""
        with self._client(request) as client:
            return [self._send(client, request) for _ in range(count)]

    @contextmanager
    def _client(self, request: Request) -> Iterator[httpx.Client]:
        context = self.with_certificate if request.has_certificate else self.certificates
        limits = httpx.Limits(max_connections=200, max_keepalive_connections=200)
        forgetful = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
        with httpx.Client(
            timeout=30, trust_env=False, verify=context or False, limits=limits, cookies=forgetful
        ) as client:
            yield client

    def _send(self, client: httpx.Client, request: Request) -> Seen:
        began = time.monotonic()
        try:
            status, headers, body = self._answer(client, request)
        except (httpx.ConnectError, httpx.ReadError, httpx.RemoteProtocolError):
            return Seen("no connection", 0, {}, "", {}, "", time.monotonic() - began)
        return _seen(status, headers, body, time.monotonic() - began)

    def _answer(self, client: httpx.Client, request: Request) -> tuple[int, Mapping[str, str], str]:
        if request.caller not in (None, OUTSIDE):
            return self._call(client, request)
        url = urlsplit(request.url)
        port = url.port or {"http": 80, "https": 443}[url.scheme]
        place = f"{self.address(self.pods(url.hostname or '')[0])}:8080" if request.caller else self._gateway(port)
        answer = client.request(
            request.method,
            f"{url.scheme}://{place}{url.path}{'?' + url.query if url.query else ''}",
            headers=[("host", url.netloc), *request.headers],
            extensions={"sni_hostname": url.hostname},
        )
        return answer.status_code, dict(answer.headers), answer.text

    def _call(self, client: httpx.Client, request: Request) -> tuple[int, Mapping[str, str], str]:
        """Let the caller's pod send it; names unknown to DNS resolve to this machine, and the sidecar routes them."""
        url = urlsplit(request.url)
        known = f"{url.hostname}:{url.port or 80}"
        call = {
            "method": request.method,
            "address": known if (url.hostname or "").count(".") == 1 else f"{self.cluster.layout.node_ip}:{url.port}",
            "uri": url.path + (f"?{url.query}" if url.query else ""),
            "host": url.netloc,
            "headers": request.headers,
        }
        answer = client.post(f"http://{self.caller(request.caller or '')}/_call", json=call)
        if answer.status_code == 502 and "EOF" in answer.text:
            raise httpx.ReadError(answer.text)
        assert answer.status_code == 200, f"{request.caller} could not call: {answer.text}"
        body = answer.json()
        return body["status"], dict(body["headers"]), body["body"]

    def _gateway(self, port: int) -> str:
        """Address and node port of `port` of the gateway's Service."""
        if port not in self._node_ports:
            service = self.cluster.get("service", "istio-ingressgateway", "--namespace=istio-ingress")
            self._node_ports = {one["port"]: one["nodePort"] for one in service["spec"]["ports"]}
        return f"{self.cluster.layout.node_ip}:{self._node_ports[port]}"

    def caller(self, service: str) -> str:
        """Local address that is forwarded to a pod of a caller inside the mesh."""
        with self._lock:
            if service not in self._callers:
                self._callers[service] = f"127.0.0.1:{self._port_of(self.pods(service)[0])}"
            return self._callers[service]

    def pods(self, deployment: str, namespace: str = "") -> list[str]:
        """Names of the running pods of a service or of a version, such as `shop-version-2`, as namespace/name."""
        service = deployment.split("-")[0]
        items = self.cluster.get("pods", f"--namespace={namespace or service}", f"--selector=app={service}")["items"]
        names = [item["metadata"]["name"] for item in items if "deletionTimestamp" not in item["metadata"]]
        return [f"{namespace or service}/{name}" for name in names if name.startswith(f"{deployment}-")]

    def address(self, pod: str) -> str:
        """IP address of a pod, given as namespace/name."""
        namespace, name = pod.split("/")
        return str(self.cluster.get("pod", name, f"--namespace={namespace}")["status"]["podIP"])

    def copies(self, deployment: str, prefix: str) -> list[Mapping[str, Any]]:
        """The requests that the version's pods received with keys that begin with `prefix`."""
        found: list[Mapping[str, Any]] = []
        for pod in self.pods(deployment):
            url = f"http://127.0.0.1:{self._port_of(pod)}/_seen?prefix={prefix}"
            found += [one for seen in httpx.get(url, trust_env=False).json().values() for one in seen]
        return found

    @staticmethod
    def settled(condition: Callable[[], bool]) -> bool:
        """Whether the condition becomes true within a few seconds."""
        deadline = time.monotonic() + 3
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        return True

    def _port_of(self, pod: str) -> int:
        """Local port that is forwarded to port 8080 of a pod."""
        if pod not in self._ports:
            namespace, name = pod.split("/")
            output = self.project.folder / f"{name}.log"
            with output.open("w") as log:  # one line per connection, which would fill a pipe
                command = self.cluster.command("port-forward", f"--namespace={namespace}", name, ":8080")
                self._forwards[pod] = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
            wait_until(lambda: "127.0.0.1:" in output.read_text(), f"a way to {pod}", 20)
            self._ports[pod] = int(re.findall(r"127\.0\.0\.1:(\d+)", output.read_text())[0])
        return self._ports[pod]

    def envoy(self, pod: str, question: str) -> Any:
        """The answer of a pod's Envoy (namespace/name) to a query of its admin interface, such as clusters."""
        namespace, name = pod.split("/")
        words = ("exec", name, f"--namespace={namespace}", "--container=istio-proxy", "--")
        return json.loads(self.cluster.kubectl(*words, "pilot-agent", "request", "GET", question).stdout)


def config_of(file: Path) -> dict[str, Any]:
    """The config of an example's file."""
    config: dict[str, Any] = yaml.safe_load(file.read_text())["config"]
    return config


def installs_mesh(file: Path) -> bool:
    """Whether the example configures the mesh, and so cannot use an existing one."""
    return config_of(file)["istio-canary:mesh"].get("install") is not False


def laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`below` with the values of `above`; mappings are merged key by key."""
    result = copy.deepcopy(dict(below))
    for key, value in above.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = laid_over(result[key], value) if both else copy.deepcopy(value)
    return result


def unique(request: Request) -> Request:
    """The request with unique keys, since pods remember keys."""
    mark = uuid.uuid4().hex
    headers = tuple((name, re.sub(r"\bkey=(\w+)", rf"key=\1-{mark}", value)) for name, value in request.headers)
    return Request(request.method, request.url, headers, request.caller, request.has_certificate)


def _seen(status: int, headers: Mapping[str, str], body: str, seconds: float) -> Seen:
    try:
        received = json.loads(body)
        pod = received["pod"]
    except (ValueError, TypeError, KeyError):
        return Seen(str(status), status, headers, body, {}, "", seconds)
    made = re.fullmatch(r"([a-z]+)-(version-[0-9]+)-[^-]+-[^-]+", pod)  # by a Deployment
    name = pod if made is None else made[2] if made[1] == "shop" else f"{made[1]}/{made[2]}"
    return Seen(name if status == 200 else str(status), status, headers, body, received, pod, seconds)
