"""Waits until every Envoy of the mesh has applied a change of routes, by querying the Envoys themselves.

An Envoy is queried through `pilot-agent` in its pod, as `istioctl proxy-config` does. This needs the right to exec into
the gateway's pods and, if routes apply inside the mesh, into all pods with a sidecar.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from kube import kubeconfig
from kube.kubeconfig import ClusterAccess, ClusterUnreachableError
from traffic.model import GatewayPods, RouteKind, RouteTable, Target, service_host
from traffic.model.backend import Backend, EgressTable, backend
from traffic.model.policy import Balancer

if TYPE_CHECKING:
    from lightkube import Client, SingleConfig

PROXY = "istio-proxy"
SIDECAR: dict[str, Any] = {"security.istio.io/tlsMode": "istio"}
"""Label that sidecar injection sets on every pod."""
AT_ONCE = 8
"""Number of Envoys that are queried at once."""
ANSWER_SECONDS = 5.0
DUMPS = ("dynamic_route_configs", "dynamic_listeners")
"""Where an Envoy has the routes of requests, and those of connections."""
PAUSE = 0.05


class ProxiesForbiddenError(Exception):
    """The right to query the Envoys is missing. Names the right and how to grant it."""


class ProxyUnreachableError(Exception):
    """An Envoy does not answer a query."""


class ProxySyncTimeoutError(Exception):
    """Some Envoys have not applied the change in time. Names them, the reason and the fix; the next run continues."""


@dataclass(frozen=True, order=True)
class Envoy:
    """The pod of an Envoy."""

    namespace: str
    pod: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.pod}"


@dataclass(frozen=True, kw_only=True)
class ProxySync:
    """Waits for all Envoys that have the routes: the gateway's, selected by `gateway_selector`, those of
    `other_gateways`, and with `in_mesh` all sidecars. They have `timeout_seconds` to apply a change. `former_ports` are
    those that Services lose, by service.
    """

    cluster: ClusterAccess
    routes: RouteTable
    gateway_namespace: str
    gateway_selector: Mapping[str, str]
    timeout_seconds: float
    in_mesh: bool
    egress: EgressTable = field(default_factory=dict)
    former_ports: Mapping[str, Set[int]] = field(default_factory=dict)
    other_gateways: tuple[GatewayPods, ...] = ()

    def until_known(self, targets: Iterable[Target], caller: str) -> None:
        """Return once every Envoy with the route of the service `caller` knows a healthy pod of each of `targets`.

        Raises ProxySyncTimeoutError, ProxiesForbiddenError and ClusterUnreachableError.
        """
        clusters, own = self._clusters(targets), next(self._cluster_names(Target(caller, "")))
        without = frozenset(name for name, target in clusters.items() if self._is_passed_through(target))
        self._wait(lambda client, envoy: _unknown(client, envoy, clusters, own, without))

    def until_unused(self, targets: Iterable[Target]) -> None:
        """Return once no Envoy has a route to any of `targets`; raises the same errors as `until_known`."""
        clusters = self._clusters(targets)
        clusters |= {
            self._cluster_at(target, port): target
            for target in targets
            for port in self.former_ports.get(target.service, ())
        }
        self._until_not_used(clusters)

    def until_left(self, clusters: Iterable[str]) -> None:
        """Return once no Envoy has a route to any of these clusters, which are no versions of the stack any more."""
        named = {cluster: Target(cluster.rpartition("|")[2], "") for cluster in clusters}
        # A sidecar has routes to every host of a ServiceEntry, for callers that name it: those stay as long as it does.
        own = frozenset(target.service for target in named.values())
        self._until_not_used(named, own)

    def until_ports_unused(self, targets: Iterable[Target], ports: Iterable[int]) -> None:
        """Return once no Envoy has a route to any of `targets` at one of these ports of its Service."""
        self._until_not_used({self._cluster_at(target, port): target for target in targets for port in ports})

    def _until_not_used(self, clusters: Mapping[str, Target], own: Set[str] = frozenset()) -> None:
        is_http = all(service.route_kind is RouteKind.HTTP for service in self.routes.values())
        dumps = DUMPS[:1] if is_http else DUMPS
        self._wait(lambda client, envoy: _still_used(client, envoy, clusters, dumps, own))

    def _clusters(self, targets: Iterable[Target]) -> dict[str, Target]:
        return {name: target for target in targets for name in self._cluster_names(target)}

    def _cluster_names(self, target: Target) -> Iterator[str]:
        """Envoy's cluster names for a version, or for the whole service if the version is empty: one for each port."""
        found = backend(target, self.routes, self.egress) if target.version else None
        service = self.routes.get(target.service)
        if service is None or (found is not None and found.host != service_host(target.service, service.namespace)):
            assert found is not None
            yield found.cluster
            return
        for port in dict.fromkeys((service.port, *service.http_ports)):
            yield self._cluster_at(target, port)

    def _is_passed_through(self, target: Target) -> bool:
        """Whether callers connect to the pod that they have addressed: such a cluster has no endpoints."""
        service = self.routes.get(target.service)
        policies = service.policies_of(target.version) if service else ()
        balancer = next((one.load_balancer for one in policies if one.load_balancer), None)
        return balancer is not None and balancer.simple is Balancer.PASSTHROUGH

    def _cluster_at(self, target: Target, port: int) -> str:
        host = service_host(target.service, self.routes[target.service].namespace)
        return Backend(host, port, target.version).cluster

    def _wait(self, status_of: Callable[[Client, Envoy], str | None]) -> None:
        """Query each Envoy until it has once been in sync: with many Envoys, some query fails in every round."""
        deadline = time.monotonic() + self.timeout_seconds
        config = kubeconfig.choose(self.cluster)
        in_sync: set[Envoy] = set()

        with ExitStack() as clients, ThreadPoolExecutor(AT_ONCE) as pool:
            client = clients.enter_context(kubeconfig.client(config))
            thread = threading.local()

            def status(envoy: Envoy) -> str | None:
                # One client per thread: with a shared connection, threads received each other's answers (measured).
                if not hasattr(thread, "client"):
                    thread.client = clients.enter_context(kubeconfig.client(config))
                try:
                    return status_of(thread.client, envoy)
                except ProxyUnreachableError as error:
                    return f"cannot be queried: {error}"

            while True:
                problem = self._check(client, config, in_sync, lambda envoys: pool.map(status, envoys))
                if problem is None:
                    return
                if time.monotonic() > deadline:
                    raise problem
                time.sleep(PAUSE)

    def _check(
        self,
        client: Client,
        config: SingleConfig,
        in_sync: set[Envoy],
        ask: Callable[[list[Envoy]], Iterable[str | None]],
    ) -> Exception | None:
        """Query all Envoys that are not `in_sync` yet, update `in_sync`, and return the error for the others, if any.

        Raises ProxiesForbiddenError, since retrying does not help.
        """
        import httpx2

        try:
            envoys = sorted(self._envoys(client) - in_sync)
            found = dict(zip(envoys, ask(envoys), strict=True))
        except httpx2.HTTPStatusError as error:
            if error.response.status_code == 403:
                raise self._forbidden(config) from None
            return _not_listed(config, error)
        except httpx2.HTTPError as error:
            return _not_listed(config, error)
        out_of_sync = {envoy: status for envoy, status in found.items() if status is not None}
        in_sync |= found.keys() - out_of_sync.keys()
        return _timed_out(out_of_sync, self.timeout_seconds) if out_of_sync else None

    def _envoys(self, client: Client) -> set[Envoy]:
        from lightkube.resources.core_v1 import Pod

        pods: list[Any] = []
        for gateway in (GatewayPods(self.gateway_namespace, self.gateway_selector), *self.other_gateways):
            selector: dict[str, Any] = dict(gateway.selector)
            pods += client.list(Pod, namespace=gateway.namespace, labels=selector)
        if self.in_mesh:
            pods += client.list(Pod, namespace="*", labels=SIDECAR)
        return {Envoy(pod.metadata.namespace, pod.metadata.name) for pod in pods if has_envoy(pod)}

    def _forbidden(self, config: SingleConfig) -> ProxiesForbiddenError:
        namespace = self.gateway_namespace
        where, kind, scope = f"the namespace {namespace}", "role", f" --namespace={namespace}"
        others = {gateway.namespace for gateway in self.other_gateways} - {namespace}
        if self.in_mesh or others:
            why = (
                "routes apply inside the mesh" if self.in_mesh else f"gateways are also in {', '.join(sorted(others))}"
            )
            where, kind, scope = f"all namespaces ({why})", "clusterrole", ""
        rights = f"kubectl create {kind} query-envoys{scope} --verb=list,get,create --resource=pods,pods/exec"
        return ProxiesForbiddenError(
            "no permission to query the mesh's Envoys, to check that they have applied the routes\n"
            f"    reason:  the rights to list `pods` and to get and create `pods/exec` in {where} are missing "
            f"({kubeconfig.describe(config)})\n"
            f"    fix:  have them granted: `{rights}`, bound to this user with `kubectl create {kind}binding`; or "
            "use another context; or, if nobody may have them, wait a stated time instead, which proves less: "
            f"istio-canary:proxySync: {{ask: {'gateway' if self.in_mesh else 'none'}}} (docs/rights.md). Then run the "
            "same command again, which continues from here"
        )


def has_envoy(pod: Any) -> bool:
    """Return whether the pod's Envoy runs and does not terminate: one that starts later gets the new routes anyway."""
    if pod.metadata.deletionTimestamp is not None:
        return False
    states = [*(pod.status.containerStatuses or ()), *(pod.status.initContainerStatuses or ())]
    return any(state.name == PROXY and state.state and state.state.running for state in states)


def _unknown(
    client: Client, envoy: Envoy, clusters: Mapping[str, Target], caller: str, without: Set[str]
) -> str | None:
    """An Envoy that does not know the caller has no route of it, because an Istio Sidecar resource excludes it.

    The clusters `without` endpoints only have to be there.
    """
    names = "|".join(f"^{re.escape(name)}$" for name in (*clusters, caller))
    found = (
        json.loads(ask_envoy(client, envoy, f"clusters?format=json&filter={quote(names)}")).get("cluster_statuses")
        or ()
    )
    if all(entry["name"] != caller for entry in found):
        return None
    ready = {
        entry["name"]
        for entry in found
        if entry["name"] in without or any(map(_is_healthy, entry.get("host_statuses") or ()))
    }
    missing = [target for name, target in clusters.items() if name not in ready]
    return f"has no healthy endpoint of {names_of(missing)}" if missing else None


def _is_healthy(host: Mapping[str, Any]) -> bool:
    return bool(host.get("health_status", {}).get("eds_health_status", "HEALTHY") == "HEALTHY")


def _still_used(
    client: Client, envoy: Envoy, clusters: Mapping[str, Target], dumps: Iterable[str], own: Set[str]
) -> str | None:
    answer = "".join(_without_hosts(ask_envoy(client, envoy, f"config_dump?resource={dump}"), own) for dump in dumps)
    used = [target for name, target in clusters.items() if f'"{name}"' in answer]
    return f"still routes requests to {names_of(used)}" if used else None


def _without_hosts(answer: str, hosts: Set[str]) -> str:
    """Envoy's routes without the virtual hosts of these hosts, which istiod calls `<host>:<port>`."""
    if not hosts:
        return answer
    dump = json.loads(answer)
    for entry in dump.get("configs") or ():
        routes = entry.get("route_config") or {}
        routes["virtual_hosts"] = [
            one for one in routes.get("virtual_hosts") or () if one.get("name", "").rpartition(":")[0] not in hosts
        ]
    return json.dumps(dump)


def ask_envoy(client: Client, envoy: Envoy, path: str) -> str:
    """Query Envoy's admin interface; raises ProxyUnreachableError, and HTTPStatusError if that is forbidden."""
    import httpx2
    from httpx2.websockets import HTTPXWSException, WebSocketUpgradeError

    try:
        answer = client.exec(
            envoy.pod,
            namespace=envoy.namespace,
            container=PROXY,
            command=["pilot-agent", "request", "GET", path],
            stdout=True,
            stderr=True,
            timeout=ANSWER_SECONDS,
        )
    except WebSocketUpgradeError as error:
        if error.response.status_code == 403:
            raise httpx2.HTTPStatusError(str(error), request=error.response.request, response=error.response) from None
        raise ProxyUnreachableError(f"HTTP {error.response.status_code}") from None
    except HTTPXWSException as error:  # the pod was just deleted, or its container is terminating
        raise ProxyUnreachableError(f"{type(error).__name__} {error}") from None
    except (httpx2.HTTPError, OSError, TimeoutError) as error:
        raise ProxyUnreachableError(str(error) or type(error).__name__) from None
    if answer.exit_code != 0 or not answer.stdout:
        raise ProxyUnreachableError(" ".join(str(answer.stderr).split()) or "no answer")
    return str(answer.stdout)


def names_of(targets: Iterable[Target]) -> str:
    """Return the targets as text: `website/version-1, website/version-2`."""
    return ", ".join(f"{target.service}/{target.version}".rstrip("/") for target in sorted(targets))


def _not_listed(config: SingleConfig, error: Exception) -> ClusterUnreachableError:
    return ClusterUnreachableError(
        kubeconfig.describe(config),
        f"cannot list the pods with Envoys: {error or type(error).__name__}",
        "check that the API server answers (`kubectl get pods`); then run the same command again, which continues",
    )


def _timed_out(out_of_sync: Mapping[Envoy, str], seconds: float) -> ProxySyncTimeoutError:
    first = next(iter(out_of_sync))
    lines = "\n".join(f"    {envoy} {status}" for envoy, status in out_of_sync.items())
    return ProxySyncTimeoutError(
        f"{len(out_of_sync)} of the mesh's Envoys did not apply the routes within {seconds:g} s (takenWithin):\n"
        f"{lines}\n"
        f"    fix:  check the log: kubectl logs --namespace={first.namespace} {first.pod} --container={PROXY}; restart "
        f"the pod: kubectl delete pod --namespace={first.namespace} {first.pod}; or raise istio-canary:takenWithin. "
        "Then run the same command again, which continues from here"
    )
