"""Waits until every Envoy has a rollout's routes, by asking the Envoys: as `proxy_sync`, but for weights of a rule.

Connections stay open from one step to the next. Which Envoys are asked is in the rollout's plan, else it is found from
the Gateways that the VirtualServices name.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kube.objects import find_object
from rollout.envoy_routes import WantedRoute, config_name, follows, wanted_routes
from rollout.observed_routes import ISTIO_API
from rollout.planned import PlannedEnvoys
from rollout.proxy_sync import AT_ONCE, DUMPS, SIDECAR, Envoy, ProxyUnreachableError, ask_envoy, has_envoy
from rollout.routes import RouteInCluster
from traffic.model import MESH

if TYPE_CHECKING:
    from lightkube import Client

PATIENCE = 5.0
"""Seconds after which it is said which Envoys do not follow; they are asked again then."""
PAUSE = 0.02
NAMED = 5
"""How many Envoys that do not follow are named."""
ANY_NAMESPACE = "*"


@dataclass(frozen=True)
class Following:
    """Whether every Envoy follows, and if not, which do not, with the reason."""

    all_follow: bool
    text: str = ""


class Barrier:
    """Asks the Envoys of a rollout's VirtualServices.

    `connect` makes a client for each thread: with a shared connection, threads get each other's answers (measured).
    """

    def __init__(self, connect: Callable[[], Client], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._connect = connect
        self._clock = clock
        self._thread = threading.local()
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="envoys")
        self._clients: list[Client] = []

    def close(self) -> None:
        """Let the threads end, which may take until the last answer, and then their connections."""
        self._pool.shutdown(cancel_futures=True)
        for client in self._clients:
            client.close()

    def wait(
        self,
        routes: Mapping[str, RouteInCluster],
        planned: PlannedEnvoys | None,
        goes_on: Callable[[], bool] = lambda: True,
    ) -> Following:
        """Return once every Envoy has these routes, or after PATIENCE seconds, or when `goes_on` says no.

        An Envoy that has had them counts: with many of them, some query fails in every round. Raises no error of the
        API server: it is why it is not known whether they follow.
        """
        import httpx2

        deadline = self._clock() + PATIENCE
        wanted = {
            config_name(route.found["metadata"]["namespace"], route.name): wanted_routes(
                route.http, route.found["metadata"]["namespace"]
            )
            for route in routes.values()
        }
        done: set[Envoy] = set()
        while True:
            try:
                late = self._round(routes, planned, wanted, done)
            except httpx2.HTTPStatusError as error:
                if error.response.status_code == 403:
                    return Following(False, _forbidden(error))
                late = {"the API server": f"answers with HTTP {error.response.status_code}"}
            except (httpx2.HTTPError, OSError, TimeoutError) as error:
                late = {"the API server": f"does not answer ({type(error).__name__})"}
            if not late:
                time.sleep(planned.wait_seconds if planned else 0.0)
                return Following(True)
            if self._clock() > deadline or not goes_on():
                return Following(False, _words(late))
            time.sleep(PAUSE)

    def _round(
        self,
        routes: Mapping[str, RouteInCluster],
        planned: PlannedEnvoys | None,
        wanted: Mapping[str, tuple[WantedRoute, ...]],
        done: set[Envoy],
    ) -> dict[str, str]:
        """Ask all Envoys that are not `done` yet, and return why those that do not follow do not."""
        # In the pool, whose threads keep their connections.
        envoys = sorted(self._pool.submit(self._envoys, routes, planned).result() - done)
        answers = self._pool.map(lambda envoy: self._status(envoy, wanted), envoys)
        found = dict(zip(envoys, answers, strict=True))
        done |= {envoy for envoy, status in found.items() if status is None}
        return {str(envoy): status for envoy, status in found.items() if status is not None}

    def _status(self, envoy: Envoy, wanted: Mapping[str, tuple[WantedRoute, ...]]) -> str | None:
        try:
            dump = json.loads(ask_envoy(self._client(), envoy, f"config_dump?resource={DUMPS[0]}"))
        except ProxyUnreachableError as error:
            return f"cannot be asked: {error}"
        except ValueError:
            return "answers with half a config dump"
        behind = [config for config, http in wanted.items() if not follows(dump, config, http)]
        return f"has other routes of {', '.join(one.rpartition('/')[2] for one in behind)}" if behind else None

    def _client(self) -> Client:
        if not hasattr(self._thread, "client"):
            self._thread.client = self._connect()
            self._clients.append(self._thread.client)
        client: Client = self._thread.client
        return client

    def _envoys(self, routes: Mapping[str, RouteInCluster], planned: PlannedEnvoys | None) -> set[Envoy]:
        from lightkube.resources.core_v1 import Pod

        client = self._client()
        selected: list[tuple[str, Mapping[str, str]]]
        if planned is not None:
            selected = [(one.namespace, one.selector) for one in planned.gateways]
            in_mesh = planned.in_mesh
        else:
            found = [route.found for route in routes.values()]
            selected = [(ANY_NAMESPACE, one) for one in _selectors(client, found)]
            in_mesh = any(MESH in (one["spec"].get("gateways") or [MESH]) for one in found)
        if in_mesh:
            selected.append((ANY_NAMESPACE, SIDECAR))
        pods = [
            pod
            for namespace, labels in selected
            for pod in client.list(Pod, namespace=namespace, labels=dict(labels))
        ]  # fmt: skip
        return {Envoy(pod.metadata.namespace, pod.metadata.name) for pod in pods if has_envoy(pod)}  # type: ignore[union-attr,arg-type]


def _selectors(client: Client, virtual_services: Iterable[Mapping[str, Any]]) -> list[Mapping[str, str]]:
    """The selectors of the Gateways that VirtualServices name (Istio: Gateway.selector), each once."""
    found: dict[str, Mapping[str, str]] = {}
    for one in virtual_services:
        for name in one["spec"].get("gateways") or ():
            namespace, _, own = name.rpartition("/")
            gateway = name != MESH and find_object(
                client, ISTIO_API, "Gateway", namespace or one["metadata"]["namespace"], own
            )
            if gateway:
                selector = gateway["spec"].get("selector") or {}
                found[json.dumps(selector, sort_keys=True)] = selector
    return list(found.values())


def _words(late: Mapping[str, str]) -> str:
    lines = [f"{who} {what}" for who, what in list(late.items())[:NAMED]]
    more = f" and {len(late) - NAMED} more" if len(late) > NAMED else ""
    return f"{len(late)} of the Envoys do not follow: {'; '.join(lines)}{more}"


def _forbidden(error: Any) -> str:
    return (
        f"the Envoys may not be asked: {' '.join(str(error).split('For more')[0].split())}; fix: grant list on pods, "
        "and get and create on pods/exec (docs/rights.md), or set istio-canary:proxySync"
    )
