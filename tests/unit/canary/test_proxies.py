"""The proxies by revision of Istio in `canary status`."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from lightkube.resources.core_v1 import Pod
from rich.console import Console

from canary.proxies import has_revisions, proxies_by_revision, remarks_on, table_of
from kube.objects import ANY_NAMESPACE
from kube.proxies import proxies
from stacks.settings.loading import load
from stacks.settings.model import Settings

SHOP = {"hosts": ["shop.example.com"], "versions": {"v1": {"image": "shop:1", "port": 8080}}}
BOTH = {"revisions": {"1-31": {"version": "1.31.4"}, "1-32": {"version": "1.32.0"}}, "revision": "1-31"}


def _pod(namespace: str, revision: str | None, image: str = "istio/proxyv2:1.31.4", **changes: Any) -> Any:
    """A pod with a sidecar of a revision; None is a pod without one."""
    metadata = {"name": "p", "namespace": namespace, **changes.pop("metadata", {})}
    metadata["annotations"] = {"istio.io/rev": revision} if revision else {}
    containers = [{"name": "shop", "image": "shop:1"}, {"name": "istio-proxy", "image": image}]
    spec = {"containers": containers[:1], "initContainers": containers[1:]} if changes.get("native") else None
    return Pod.from_dict(
        {
            "metadata": metadata,
            "spec": spec or {"containers": containers},
            "status": {"phase": changes.get("phase", "Running")},
        }
    )


class FakeCluster:
    """A cluster with these pods; `forbidden` namespaces may not be read."""

    def __init__(self, *pods: Any, forbidden: tuple[str, ...] = ()) -> None:
        self.pods, self.forbidden = pods, forbidden

    def list(self, kind: Any, namespace: str) -> list[Any]:
        assert kind is Pod
        if namespace in self.forbidden:
            request = httpx2.Request("GET", "http://127.0.0.1")
            raise httpx2.HTTPStatusError("no", request=request, response=httpx2.Response(403, request=request))
        return [pod for pod in self.pods if namespace in (ANY_NAMESPACE, pod.metadata.namespace)]


def _settings(mesh: dict[str, Any], revision: str | None = None) -> Settings:
    return load(
        {"mesh": mesh, "services": {"shop": SHOP}, "namespaces": {"shop": {"revision": revision}} if revision else {}}
    )


def _found(settings: Settings, *pods: Any, forbidden: tuple[str, ...] = ()) -> dict[str, tuple[str, dict[str, int]]]:
    cluster: Any = FakeCluster(*pods, forbidden=forbidden)
    return {one.namespace: (one.wanted, dict(one.proxies)) for one in proxies_by_revision(cluster, settings)}


@pytest.mark.parametrize(
    "pod",
    [
        _pod("shop", None),
        _pod("shop", "1-31", phase="Succeeded"),
        _pod("shop", "1-31", metadata={"deletionTimestamp": "2026-11-26T08:04:31Z"}),
    ],
    ids=["without a proxy", "ended", "terminating"],
)
def test_only_proxies_that_stay_are_counted(pod: Any) -> None:
    cluster: Any = FakeCluster(pod)
    assert proxies(cluster) == []


@pytest.mark.parametrize("native", [False, True])
def test_a_proxys_release_is_the_tag_of_its_image(native: bool) -> None:
    cluster: Any = FakeCluster(_pod("shop", "1-31", "registry.example.com:5000/istio/proxyv2:1.31.4", native=native))
    (found,) = proxies(cluster)
    assert (found.namespace, found.revision, found.version) == ("shop", "1-31", "1.31.4")


def test_the_proxies_of_the_whole_cluster_are_those_of_the_stack_with_the_mesh() -> None:
    pods = [_pod("shop", "1-31"), _pod("shop", "1-32"), _pod("istio-ingress", "1-31"), _pod("others", "1-32")]
    assert _found(_settings(BOTH, "1-32"), *pods) == {
        "istio-ingress": ("1-31", {"1-31": 1}),
        "others": ("", {"1-32": 1}),
        "shop": ("1-32", {"1-31": 1, "1-32": 1}),
    }


def test_a_stack_of_services_looks_at_its_own_namespaces_and_the_gateways() -> None:
    pods = [_pod("shop", "1-31"), _pod("istio-ingress", "1-31"), _pod("others", "1-32")]
    mesh = {"install": False, "revision": "1-31"}
    assert _found(_settings(mesh), *pods, forbidden=(ANY_NAMESPACE,)).keys() == {"shop", "istio-ingress"}
    unreadable = _found(_settings(mesh), *pods, forbidden=("istio-ingress",))
    assert unreadable.keys() == {"shop"}, "of the gateway's it is not known that there are none"


def test_whoever_may_not_list_all_pods_sees_the_stacks_own_namespaces() -> None:
    assert _found(_settings(BOTH), _pod("shop", "1-31"), forbidden=(ANY_NAMESPACE,))["shop"] == ("1-31", {"1-31": 1})


def test_a_tag_is_told_as_the_revision_that_it_stands_for() -> None:
    settings = _settings({**BOTH, "tags": {"stable": "1-32"}}, "stable")
    assert _found(settings, _pod("shop", "1-32"))["shop"] == ("1-32", {"1-32": 1})


def test_the_table_says_which_namespaces_are_still_to_be_moved() -> None:
    cluster: Any = FakeCluster(_pod("shop", "1-31"), _pod("shop", "1-32", "proxyv2:1.32.0"), _pod("others", "1-31"))
    found = proxies_by_revision(cluster, _settings(BOTH, "1-32"))
    with (console := Console(width=100)).capture() as printed:
        console.print(table_of(found))
    lines = [line.replace("│", " ").split() for line in printed.get().splitlines() if "│" in line]
    assert lines == [["istio-ingress", "1-31", "0", "0"], ["others", "-", "1", "0"], ["shop", "1-32", "1", "1"]]
    assert "1-31 (1.31.4)" in printed.get()
    assert list(remarks_on(found, "prod")) == [
        "shop: 1 of 2 proxies do not belong to 1-32 yet; to move them: `canary up --stack prod`"
    ]


@pytest.mark.parametrize(
    ("mesh", "revision", "shown"), [({}, "default", False), ({}, "1-31", True), (BOTH, "1-31", True)]
)
def test_a_mesh_with_istios_default_alone_has_no_table(mesh: dict[str, Any], revision: str, shown: bool) -> None:
    cluster: Any = FakeCluster(_pod("shop", revision))
    assert has_revisions(proxies_by_revision(cluster, _settings(mesh))) is shown
