"""Waits until every Envoy of the mesh follows the routes: asks the Envoys themselves, and says which one lags.

An Envoy is asked through `pilot-agent` in its own pod, as `istioctl proxy-config` does, so the right to exec into the
gateway's pods is needed (with routes for callers inside the mesh, into all pods with a sidecar).
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from kube import kubeconfig
from kube.kubeconfig import ClusterAccess, ClusterUnreachableError
from traffic.model import RouteTable, Target, service_host

if TYPE_CHECKING:
    from lightkube import Client, SingleConfig

PROXY = "istio-proxy"
SIDECAR: dict[str, Any] = {"security.istio.io/tlsMode": "istio"}
"""Label that Istio's injection gives every pod with an Envoy."""
AT_ONCE = 8
"""Envoys that are asked at a time."""
ANSWER_SECONDS = 5.0
PAUSE = 0.05


class ProxiesForbiddenError(Exception):
    """The Envoys may not be asked: which right is missing, and how it is given."""


class ProxyUnreachableError(Exception):
    """One Envoy does not answer, and why: it lags until it does."""


class ProxiesLagError(Exception):
    """Some Envoys did not follow in time: which, how, and what to do. The next run goes on with what was done."""


@dataclass(frozen=True, order=True)
class Envoy:
    """The pod that an Envoy runs in."""

    namespace: str
    pod: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.pod}"


@dataclass(frozen=True, kw_only=True)
class ProxySync:
    """Waits for the Envoys that hold the routes: those of the gateway's pods, and with `in_mesh` all sidecars.

    The gateway's pods have the labels `gateway_selector`. An Envoy has `timeout_seconds` to follow.
    """

    cluster: ClusterAccess
    routes: RouteTable
    gateway_namespace: str
    gateway_selector: Mapping[str, str]
    timeout_seconds: float
    in_mesh: bool

    def until_known(self, targets: Iterable[Target], caller: str) -> None:
        """Return once every Envoy that holds the route of the service `caller` knows a pod of each of `targets`.

        Raises ProxiesLagError after `takenWithin` seconds, ProxiesForbiddenError and ClusterUnreachableError.
        """
        clusters = {self._cluster(target): target for target in targets}
        self._wait(lambda client, envoy: _unknown(client, envoy, clusters, self._cluster(Target(caller, ""))))

    def until_unused(self, targets: Iterable[Target]) -> None:
        """Return once no Envoy sends requests to any of `targets`; raises as `until_known` does."""
        clusters = {self._cluster(target): target for target in targets}
        self._wait(lambda client, envoy: _still_used(client, envoy, clusters))

    def _cluster(self, target: Target) -> str:
        """Envoy's name for a version, as istiod gives it; for the whole service where the version is empty."""
        service = self.routes[target.service]
        return f"outbound|{service.port}|{target.version}|{service_host(target.service, service.namespace)}"

    def _wait(self, lag_of: Callable[[Client, Envoy], str | None]) -> None:
        """An Envoy that has followed is not asked again: of many, some answer is lost in every round."""
        deadline = time.monotonic() + self.timeout_seconds
        config = kubeconfig.choose(self.cluster)
        followed: set[Envoy] = set()

        with ExitStack() as clients, ThreadPoolExecutor(AT_ONCE) as pool:
            client = clients.enter_context(kubeconfig.client(config))
            thread = threading.local()

            def lag(envoy: Envoy) -> str | None:
                # A client of its own for each thread: answers of one connection to two of them get mixed up (measured).
                if not hasattr(thread, "client"):
                    thread.client = clients.enter_context(kubeconfig.client(config))
                try:
                    return lag_of(thread.client, envoy)
                except ProxyUnreachableError as error:
                    return f"cannot be asked: {error}"

            while True:
                lagging = self._lagging(client, config, followed, lambda envoys: pool.map(lag, envoys))
                if lagging is None:
                    return
                if time.monotonic() > deadline:
                    raise lagging
                time.sleep(PAUSE)

    def _lagging(
        self,
        client: Client,
        config: SingleConfig,
        followed: set[Envoy],
        ask: Callable[[list[Envoy]], Iterable[str | None]],
    ) -> Exception | None:
        """Ask all that are not in `followed`, add those to it that have, and return what is to be said of the others.

        Raises ProxiesForbiddenError, which does not pass by itself.
        """
        import httpx2

        try:
            envoys = sorted(self._envoys(client) - followed)
            said = dict(zip(envoys, ask(envoys), strict=True))
        except httpx2.HTTPStatusError as error:
            if error.response.status_code == 403:
                raise self._forbidden(config) from None
            return _silent(config, error)
        except httpx2.HTTPError as error:
            return _silent(config, error)
        lags = {envoy: lag for envoy, lag in said.items() if lag is not None}
        followed |= said.keys() - lags.keys()
        return _lag(lags, self.timeout_seconds) if lags else None

    def _envoys(self, client: Client) -> set[Envoy]:
        from lightkube.resources.core_v1 import Pod

        selector: dict[str, Any] = dict(self.gateway_selector)
        pods: list[Any] = list(client.list(Pod, namespace=self.gateway_namespace, labels=selector))
        if self.in_mesh:
            pods += client.list(Pod, namespace="*", labels=SIDECAR)
        return {Envoy(pod.metadata.namespace, pod.metadata.name) for pod in pods if _runs(pod)}

    def _forbidden(self, config: SingleConfig) -> ProxiesForbiddenError:
        namespace = self.gateway_namespace
        where, kind, scope = f"the namespace {namespace}", "role", f" --namespace={namespace}"
        if self.in_mesh:
            where, kind, scope = "all namespaces (routes hold inside the mesh)", "clusterrole", ""
        rights = f"kubectl create {kind} ask-envoys{scope} --verb=list,get,create --resource=pods,pods/exec"
        return ProxiesForbiddenError(
            "the mesh's Envoys may not be asked whether they follow the routes\n"
            f"    reason:  the rights to list `pods` and to get and create `pods/exec` in {where} are missing "
            f"({kubeconfig.describe(config)})\n"
            f"    fix:  have them granted: `{rights}`, bound to this user with `kubectl create {kind}binding`; or "
            "use another context. The same command goes on where this one stopped"
        )


def _runs(pod: Any) -> bool:
    """Whether the pod's Envoy has started and does not end: one that starts gets the new routes with its first ones."""
    if pod.metadata.deletionTimestamp is not None:
        return False
    states = [*(pod.status.containerStatuses or ()), *(pod.status.initContainerStatuses or ())]
    return any(state.name == PROXY and state.state and state.state.running for state in states)


def _unknown(client: Client, envoy: Envoy, clusters: Mapping[str, Target], caller: str) -> str | None:
    """An Envoy that does not know the caller itself has no route of it: a Sidecar of Istio's keeps it from there."""
    names = "|".join(f"^{re.escape(name)}$" for name in (*clusters, caller))
    found = json.loads(_ask(client, envoy, f"clusters?format=json&filter={quote(names)}")).get("cluster_statuses") or ()
    if all(entry["name"] != caller for entry in found):
        return None
    ready = {entry["name"] for entry in found if any(map(_is_healthy, entry.get("host_statuses") or ()))}
    missing = [target for name, target in clusters.items() if name not in ready]
    return f"knows no healthy pod of {_names(missing)}" if missing else None


def _is_healthy(host: Mapping[str, Any]) -> bool:
    return bool(host.get("health_status", {}).get("eds_health_status", "HEALTHY") == "HEALTHY")


def _still_used(client: Client, envoy: Envoy, clusters: Mapping[str, Target]) -> str | None:
    answer = _ask(client, envoy, "config_dump?resource=dynamic_route_configs")
    used = [target for name, target in clusters.items() if f'"{name}"' in answer]
    return f"still sends requests to {_names(used)}" if used else None


def _ask(client: Client, envoy: Envoy, path: str) -> str:
    """Ask Envoy's admin interface; raises ProxyUnreachableError, and HTTPStatusError where that is forbidden."""
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
    except HTTPXWSException as error:  # a pod that has just gone, or a container that is just ending
        raise ProxyUnreachableError(f"{type(error).__name__} {error}") from None
    except (httpx2.HTTPError, OSError, TimeoutError) as error:
        raise ProxyUnreachableError(str(error) or type(error).__name__) from None
    if answer.exit_code != 0 or not answer.stdout:
        raise ProxyUnreachableError(" ".join(str(answer.stderr).split()) or "no answer")
    return str(answer.stdout)


def _names(targets: Iterable[Target]) -> str:
    return ", ".join(f"{target.service}/{target.version}" for target in sorted(targets))


def _silent(config: SingleConfig, error: Exception) -> ClusterUnreachableError:
    return ClusterUnreachableError(
        kubeconfig.describe(config),
        f"it did not say which pods hold Envoys: {error or type(error).__name__}",
        "see that the API server answers (`kubectl get pods`); the same command goes on where this one stopped",
    )


def _lag(lags: Mapping[Envoy, str], seconds: float) -> ProxiesLagError:
    first = next(iter(lags))
    more = "\n".join(f"    {envoy} {lag}" for envoy, lag in lags.items())
    return ProxiesLagError(
        f"{len(lags)} of the mesh's Envoys did not follow the routes within {seconds:g} s (takenWithin):\n{more}\n"
        f"    fix:  see why: kubectl logs --namespace={first.namespace} {first.pod} --container={PROXY}; restart "
        f"it: kubectl delete pod --namespace={first.namespace} {first.pod}; or raise istio-canary:takenWithin. "
        "The same command goes on where this one stopped"
    )
