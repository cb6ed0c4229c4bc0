"""Removing what a mesh leaves behind, and keeping what does not belong to the stack."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from lightkube import Client, KubeConfig
from lightkube.config.models import Cluster as Server
from lightkube.config.models import User

from components import istio_leftovers as leftovers
from components.istio_leftovers import Leftovers, remove_leftovers
from components.names import BASE_RELEASE
from stacks.settings.cluster import ClusterSettings

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
CONFIG_MAPS, SECRETS = "/api/v1/namespaces/{}/configmaps", "/api/v1/namespaces/{}/secrets"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/{}/leases"
LABELS = {"app.kubernetes.io/instance": BASE_RELEASE}
ROOT_CERTIFICATE = {"istio.io/config": "true"}


class Cluster(httpx2.BaseTransport):
    """An in-memory API server: objects by path, lists by namespace or of all with label selectors, and deletion."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.starting: dict[str, int] = {}

    def add(self, collection: str, name: str, labels: dict[str, str] | None = None, **content: Any) -> str:
        path = f"{collection}/{name}"
        namespace = collection.split("/namespaces/")[1].split("/")[0] if "/namespaces/" in collection else None
        metadata = {"name": name, "labels": labels or {}} | ({"namespace": namespace} if namespace else {})
        self.objects[path] = {"metadata": metadata, **content}
        return path

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        url = urlsplit(str(request.url))
        if request.method == "DELETE":
            found = self.objects.pop(url.path, None)
            return httpx2.Response(200 if found else 404, json=found or {"kind": "Status", "code": 404})
        if self.starting.get(url.path):
            self.starting[url.path] -= 1
            return httpx2.Response(429, json={"kind": "Status", "code": 429, "message": "storage is initializing"})
        if url.path.startswith("/apis/gateway.networking.k8s.io"):
            return httpx2.Response(404, text="404 page not found")
        labels = dict(pair.split("=") for pair in parse_qs(url.query).get("labelSelector", [""])[0].split(",") if pair)
        items = [found for path, found in self.objects.items() if _is_in(path, url.path) and _has(found, labels)]
        return httpx2.Response(200, json={"metadata": {}, "items": items})


def _is_in(path: str, collection: str) -> bool:
    """Whether an object's path is in a collection, of one namespace or of all."""
    own = path.rpartition("/")[0]
    prefix, _, rest = own.partition("/namespaces/")
    return collection in (own, f"{prefix}/{rest.partition('/')[2]}" if rest else own)


def _has(found: dict[str, Any], labels: dict[str, str]) -> bool:
    return bool(labels.items() <= found["metadata"]["labels"].items())


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """A cluster after a destroy: the CRD of VirtualService, from this project's release, and istiod's objects."""
    there = Cluster()
    names = {"kind": "VirtualService", "plural": "virtualservices"}
    spec = {"group": "networking.istio.io", "names": names, "scope": "Namespaced"}
    versions = [{"name": "v1beta1", "storage": False}, {"name": "v1", "storage": True}]
    there.add(CRDS, "virtualservices.networking.istio.io", LABELS, spec={**spec, "versions": versions})
    there.add(CONFIG_MAPS.format("default"), "istio-ca-root-cert", ROOT_CERTIFICATE)
    there.add(SECRETS.format("istio-system"), "istio-ca-secret")
    there.add(CONFIG_MAPS.format("istio-system"), "istio-leader")

    def query(cluster: ClusterSettings, ask: Callable[[Client], Any], within: float) -> Any:
        config = KubeConfig.from_one(cluster=Server(server="http://cluster"), user=User())
        return ask(Client(config=config, transport=there))

    monkeypatch.setattr(leftovers, "query", query)
    monkeypatch.setattr(leftovers, "POLL", 0)
    return there


def test_everything_that_istio_left_behind_is_removed_and_named(cluster: Cluster) -> None:
    assert set(remove_leftovers(ClusterSettings(), "istio-system").removed) == {
        "CustomResourceDefinition virtualservices.networking.istio.io",
        "ConfigMap default/istio-ca-root-cert",
        "ConfigMap istio-system/istio-leader",
        "Secret istio-system/istio-ca-secret",
    }
    assert cluster.objects == {}


def test_the_locks_of_revisions_are_removed(cluster: Cluster) -> None:
    for name in ("istio-gateway-deployment-1-31", "istio-gateway-status-leader-default"):
        cluster.add(LEASES.format("istio-system"), name)
    cluster.add(LEASES.format("istio-system"), "istio-gateway-deployments")
    remove_leftovers(ClusterSettings(), "istio-system")

    assert list(cluster.objects) == [f"{LEASES.format('istio-system')}/istio-gateway-deployments"]


def test_a_second_cleanup_finds_nothing(cluster: Cluster) -> None:
    remove_leftovers(ClusterSettings(), "istio-system")

    assert remove_leftovers(ClusterSettings(), "istio-system") == Leftovers()


@pytest.mark.parametrize(
    ("collection", "name", "labels"),
    [
        (CONFIG_MAPS.format("default"), "istio-ca-root-cert-of-mine", ROOT_CERTIFICATE),
        (CONFIG_MAPS.format("default"), "istio-ca-crl", {}),
        (CONFIG_MAPS.format("shop"), "istio-leader", {}),
        (CONFIG_MAPS.format("istio-system"), "settings", {}),
        (SECRETS.format("istio-system"), "cacerts", {}),
        (CRDS, "gateways.networking.istio.io", {"app.kubernetes.io/instance": "istio-base"}),
    ],
)
def test_other_objects_are_kept(cluster: Cluster, collection: str, name: str, labels: dict[str, str]) -> None:
    path = cluster.add(collection, name, labels)
    remove_leftovers(ClusterSettings(), "istio-system")

    assert list(cluster.objects) == [path]


def test_the_crds_are_kept_while_they_are_in_use(cluster: Cluster) -> None:
    collection = "/apis/networking.istio.io/v1/namespaces/shop/virtualservices"
    cluster.add(collection, "shop")
    cluster.starting["/apis/networking.istio.io/v1/virtualservices"] = 2

    left = remove_leftovers(ClusterSettings(), "istio-system")
    assert left.in_use == ("VirtualService shop/shop",), "deleting a CRD deletes every object of its kind"
    assert f"{CRDS}/virtualservices.networking.istio.io" in cluster.objects


def test_nothing_is_removed_while_an_istiod_runs(cluster: Cluster) -> None:
    cluster.add(
        "/apis/apps/v1/namespaces/mesh/deployments", "istiod", {"app": "istiod"}, spec={"selector": {}, "template": {}}
    )
    before = dict(cluster.objects)

    assert remove_leftovers(ClusterSettings(), "istio-system") == Leftovers()
    assert cluster.objects == before, "another mesh needs its root certificates"


def test_no_crd_is_removed_if_its_objects_cannot_be_listed(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "DEADLINE", 0)
    cluster.starting["/apis/networking.istio.io/v1/virtualservices"] = 1_000_000
    with pytest.raises(TimeoutError):
        remove_leftovers(ClusterSettings(), "istio-system")

    assert f"{CRDS}/virtualservices.networking.istio.io" in cluster.objects
