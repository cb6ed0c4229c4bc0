"""The cluster side: creates what all tables share, applies tables, and waits until every proxy has them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import lightkube
from lightkube import ApiError, KubeConfig, codecs
from lightkube.generic_resource import create_namespaced_resource
from lightkube.resources.core_v1 import Namespace, Pod, Service

from tests.differential.client import Client
from tests.differential.manifests import GATEWAY, ISTIO, Manifest, sentinel, sentinel_host, shared
from tests.differential.place import CALLERS, GATEWAY_NAMESPACE, NAMESPACES, PORTS, UPSTREAMS
from tests.differential.wire import WireRequest
from traffic import render
from traffic.model import RouteTable, service_host

FIELD_MANAGER = "differential-test"
TABLE = "differential-test/table"
SECONDS = 180.0
SAMPLES = 4
"""How often in a row a proxy must answer by the new routes: each worker thread applies them on its own."""

VirtualService = create_namespaced_resource("networking.istio.io", "v1", "VirtualService", "virtualservices")
create_namespaced_resource("networking.istio.io", "v1", "DestinationRule", "destinationrules")
create_namespaced_resource("networking.istio.io", "v1", "Gateway", "gateways")


class Cluster:
    """The namespaces on a running cluster, with everything that the tables share."""

    def __init__(self, kubeconfig: Path) -> None:
        self._api = lightkube.Client(KubeConfig.from_file(kubeconfig).get(), field_manager=FIELD_MANAGER)
        self._applied: dict[tuple[str, str], Manifest] = {}
        self._pushes = 0
        self.client = Client("", {}, "")

    @classmethod
    @contextmanager
    def prepared(cls, kubeconfig: Path) -> Iterator[Cluster]:
        """Create the namespaces from scratch, and delete them afterwards."""
        cluster = cls(kubeconfig)
        cluster._delete()
        try:
            cluster._build()
            yield cluster
        finally:
            cluster._delete()

    def apply(self, tables: Mapping[int, RouteTable]) -> dict[int, str]:
        """Apply these tables, by number, delete all others, and wait until every proxy has them.

        Returns Istio's error messages for the tables that it refuses, by number. Raises TimeoutError after `SECONDS`.
        """
        required = virtual_services(tables)
        for place in self._applied.keys() - required.keys():
            self._api.delete(VirtualService, place[1], namespace=place[0])
            del self._applied[place]
        changed = {place: required[place] for place in required if self._applied.get(place) != required[place]}
        with ThreadPoolExecutor(8) as pool:
            refusals = dict(zip(changed, pool.map(self._try, changed.values()), strict=True))
        self._applied |= {place: manifest for place, manifest in changed.items() if not refusals[place]}
        self._wait_for_push()
        return {number_of(changed[place]): refusal for place, refusal in refusals.items() if refusal}

    def _build(self) -> None:
        for manifest in shared():
            self._apply(manifest)
        _until(self._pods_are_ready, "pods not ready")
        addresses = {
            pod.metadata.name or "": pod.status.podIP or "" for pod in self._pods() if pod.metadata and pod.status
        }
        shop = self._api.get(Service, "shop", namespace=UPSTREAMS["shop"].namespace)
        assert shop.spec is not None
        self.client = Client(addresses[GATEWAY], addresses, shop.spec.clusterIP or "")

    def _wait_for_push(self) -> None:
        """Wait until the gateway at all its ports and every caller's sidecar answer with the newest sentinel."""
        self._pushes += 1
        mark = f"push {self._pushes}"
        self._apply(sentinel(mark))
        ways = [WireRequest(authority=sentinel_host(), port=port) for port in PORTS]
        ways += [WireRequest(authority=sentinel_host(), caller=caller) for caller in CALLERS]

        def all_have_them() -> bool:
            return all(self.client.send(request, mark).body == mark for _ in range(SAMPLES) for request in ways)

        _until(all_have_them, f"not every proxy answers {mark!r}")

    def _try(self, manifest: Manifest) -> str:
        try:
            self._apply(manifest)
        except ApiError as error:
            return str(error)
        return ""

    def _apply(self, manifest: Manifest) -> None:
        self._api.apply(codecs.from_dict(manifest), force=True)

    def _pods(self) -> list[Pod]:
        return [pod for namespace in NAMESPACES for pod in self._api.list(Pod, namespace=namespace)]

    def _pods_are_ready(self) -> bool:
        conditions = [pod.status.conditions or () if pod.status else () for pod in self._pods()]
        return all(any(one.type == "Ready" and one.status == "True" for one in of_pod) for of_pod in conditions)

    def _delete(self) -> None:
        for namespace in NAMESPACES:
            try:
                self._api.delete(Namespace, namespace, grace_period=0)
            except ApiError as error:
                if error.status.code != 404:
                    raise
        _until(lambda: not self._namespaces_left(), "namespaces not deleted")

    def _namespaces_left(self) -> bool:
        return any(found.metadata and found.metadata.name in NAMESPACES for found in self._api.list(Namespace))


def virtual_services(tables: Mapping[int, RouteTable]) -> dict[tuple[str, str], Manifest]:
    """Return the VirtualServices of the tables by namespace and name.

    A service's DNS name is the same in all tables, and only one VirtualService can have it as a host: that of the first
    table that binds the service to the mesh (`owners`). It is left out of the others.
    """
    found = {}
    owner = owners(tables)
    for number, table in tables.items():
        for service, settings in table.items():
            inside = service_host(service, settings.namespace)
            for name, spec in render.virtual_services(table, service, gateway_namespace=GATEWAY_NAMESPACE).items():
                hosts = [host for host in spec["hosts"] if host != inside or owner.get(service) == number]
                if not hosts:
                    continue
                metadata = {
                    "name": f"t{number}-{name}",
                    "namespace": settings.namespace,
                    "labels": {TABLE: str(number)},
                }
                found[settings.namespace, f"t{number}-{name}"] = {
                    "apiVersion": ISTIO,
                    "kind": "VirtualService",
                    "metadata": metadata,
                    "spec": {**spec, "hosts": hosts},
                }
    return found


def owners(tables: Mapping[int, RouteTable]) -> dict[str, int]:
    """Return for each service the number of the table whose VirtualService has its DNS name as a host."""
    found: dict[str, int] = {}
    for number, table in tables.items():
        for service, settings in table.items():
            if settings.in_mesh:
                found.setdefault(service, number)
    return found


def number_of(manifest: Manifest) -> int:
    """Return the number of the table that a VirtualService belongs to."""
    return int(manifest["metadata"]["labels"][TABLE])


def _until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} after {SECONDS:.0f} s")
        time.sleep(0.02)
