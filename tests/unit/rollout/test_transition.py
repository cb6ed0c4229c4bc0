"""Old and new side by side while routes move: renamed versions, and Services with another port."""

from __future__ import annotations

from typing import Any

import pytest

from rollout.observed_routes import ObservedRoutes, observed_routes
from rollout.plan import plans, removed_in_use
from rollout.transition import add_port, add_subsets, former_ports, renamed
from tests.unit.route_tables import table
from traffic.model import EGRESS, RouteTable, Target

HOST = "shop.shop.svc.cluster.local"


def routes_to(*versions: str, port: int = 80) -> RouteTable:
    """A service with these versions, of which each gets requests."""
    share = {name: 100 // len(versions) for name in versions}
    return table(shop={"versions": {name: {} for name in versions}, "route": [{"to": share}], "port": port})


def cluster(*used: str, subsets: tuple[str, ...] | None = None, host: str = HOST, port: int = 80) -> ObservedRoutes:
    """A cluster whose VirtualService leads to these versions."""
    routes = [{"destination": {"host": host, "subset": one, "port": {"number": port}}, "weight": 50} for one in used]
    metadata = {"namespace": "shop", "name": "shop"}
    virtual_service = {"metadata": metadata, "spec": {"http": [{"route": routes}]}}
    rule = {"host": host, "subsets": [{"name": one} for one in subsets or used]}
    return observed_routes(routes_to("new"), [virtual_service], [{"metadata": metadata, "spec": rule}])


@pytest.mark.parametrize(
    ("after", "before", "gone", "refused"),
    [
        pytest.param(["new"], cluster("old"), {"old"}, [], id="renamed"),
        pytest.param(["stable", "new"], cluster("stable", "old"), {"old"}, [], id="one of two renamed"),
        pytest.param(["a", "b"], cluster("old-a", "old-b"), {"old-a", "old-b"}, [], id="two renamed"),
        pytest.param(["stable"], cluster("stable", "old"), set(), ["old"], id="removed, which may be a mistake"),
        pytest.param(["new"], cluster("old-a", "old-b"), set(), ["old-a", "old-b"], id="two become one"),
        pytest.param(["new"], cluster("new", subsets=("new", "old")), set(), [], id="removed without requests"),
    ],
)
def test_a_version_is_renamed_if_a_new_one_takes_its_place(
    after: list[str], before: ObservedRoutes, gone: set[str], refused: list[str]
) -> None:
    routes = routes_to(*after)

    assert renamed(routes, before).get("shop", set()) == {Target("shop", name) for name in gone}
    assert removed_in_use(routes, before) == [Target("shop", name) for name in refused]


def test_every_version_must_be_known_at_a_new_port() -> None:
    routes, before = routes_to("v1", "v2", port=8080), cluster("v1", "v2")

    assert former_ports(routes, before) == {"shop": {80}}
    assert plans(routes, {}, before)["shop"].activated == {Target("shop", "v1"), Target("shop", "v2")}
    assert former_ports(routes_to("v1", "v2"), before) == {}


def test_short_hosts_of_hand_made_objects_are_those_of_their_namespace() -> None:
    before = cluster("v1", host="shop")

    assert before.subsets == {Target("shop", "v1")} == before.used
    assert before.routed == {"shop"}


def test_destinations_outside_are_observed_as_versions() -> None:
    versions = {"new": {}, "old": {"host": "old.example.net"}, "legacy": {"service": "legacy.bar", "port": 8080}}
    routes = table(shop={"versions": versions})
    hosts = ["old.example.net", "legacy.bar.svc.cluster.local", "gone.example.net"]
    http = [{"route": [{"destination": {"host": host}, "weight": 50} for host in hosts]}]
    found = observed_routes(routes, [{"metadata": {"namespace": "shop", "name": "shop"}, "spec": {"http": http}}], [])

    assert found.used == {Target("shop", "old"), Target("shop", "legacy")}
    assert "outbound|80||gone.example.net" in found.outside["shop"], "its ServiceEntry must stay until no Envoy uses it"
    assert not any(target.service == EGRESS for target in found.used)


class Patched:
    """A cluster with one object, which records what is applied to it."""

    def __init__(self, spec: dict[str, Any]) -> None:
        managers = [{"manager": "kubectl"}, {"manager": "pulumi-kubernetes-1a2b", "operation": "Apply"}]
        metadata = {"name": "shop", "namespace": "shop", "uid": "1", "managedFields": managers}
        self.live = {"metadata": metadata, "spec": spec}
        self.applied: list[tuple[dict[str, Any], str]] = []

    def get(self, *_: Any, **__: Any) -> Any:
        live = self.live

        class Found:
            def to_dict(self) -> dict[str, Any]:
                return live

        return Found()

    def patch(self, _: Any, name: str, body: Any, *, field_manager: str, **__: Any) -> None:
        self.applied.append((dict(body.to_dict()), field_manager))


def test_new_subsets_are_added_as_the_owner_of_the_object_beside_those_that_it_has() -> None:
    client: Any = Patched({"host": HOST, "subsets": [{"name": "old"}]})
    add_subsets(client, "shop", "shop", [{"name": "new"}])

    ((body, manager),) = client.applied
    assert [one["name"] for one in body["spec"]["subsets"]] == ["old", "new"]
    assert manager == "pulumi-kubernetes-1a2b", "another manager's fields would be a conflict for Pulumi"
    assert "uid" not in body["metadata"]


def test_a_port_that_the_service_has_already_is_not_added_again() -> None:
    client: Any = Patched({"ports": [{"name": "http", "port": 80}]})
    add_port(client, "shop", "shop", {"name": "http-80", "port": 80})

    assert client.applied == []
