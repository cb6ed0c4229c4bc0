"""The sample assets: three services behind the paths of one host, by a Gateway and by a Kubernetes Ingress."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from stacks.settings.model import Sample
from tests.e2e.samples import INGRESS_CLASS, SampleStack, sample_stack
from tests.e2e.tools import Project, wait_until

NAMESPACE, HOST = "greencompute", "assetmanagement.greencompute.ibmcase.com"
CONSUMER, DASHBOARD, MANAGER = "asset-consumer-svc", "asset-dashboard-bff-svc", "asset-mgr-ms-svc"
SEEDS = ["DAL01", "HOU01", "LA01", "LA02", "LA03", "ND01"]
OTHER_PATHS = ("/", "/assets", "/assetconsumers", "/assetmgrms2/assets")


@pytest.fixture(scope="module")
def assets(mesh: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SampleStack]:
    """The sample, deployed."""
    with sample_stack(mesh, tmp_path_factory.mktemp("assets"), Sample.ASSETS, HOST, path="/assetmgrms/assets") as stack:
        yield stack


def ids(assets: SampleStack, path: str) -> list[str]:
    answer = assets.one(path)
    assert answer.status == 200, f"{path}: {answer}"
    return [asset["id"] for asset in json.loads(answer.body)]


def check_paths(assets: SampleStack) -> None:
    """Each path reaches its service; another path or host gets 404."""
    assert ids(assets, "/assetmgrms/assets") == SEEDS
    assert ids(assets, "/assetmgrms/assets/type/fan") == ["LA03"]
    assert json.loads(assets.one("/assetmgrms/assets/DAL01").body)["id"] == "DAL01"
    assert assets.one("/assetmgrms/assets/NOWHERE").status == 404
    assert ids(assets, "/assetdashboard/assets") == SEEDS
    for path in ("/assetconsumer", "/assetconsumer/"):
        assert json.loads(assets.one(path).body)["service"] == "asset-consumer", path
    for path in ("/assetmgrms/health", "/assetdashboard/health", "/assetconsumer/health"):
        assert assets.one(path).body == '{"status":"UP"}', path
    assert {path: assets.one(path).status for path in OTHER_PATHS} == dict.fromkeys(OTHER_PATHS, 404)
    assert assets.one("/assetmgrms/assets", headers={"Host": "other.example.com"}).status == 404


def test_each_path_reaches_its_service_and_others_get_404(assets: SampleStack) -> None:
    check_paths(assets)


def test_every_pod_of_the_assets_has_a_sidecar(assets: SampleStack) -> None:
    pods = assets.project.cluster.get("pods", f"--namespace={NAMESPACE}")["items"]

    assert len(pods) == 3
    for pod in pods:
        containers = pod["spec"]["containers"] + pod["spec"].get("initContainers", [])
        assert "istio-proxy" in {container["name"] for container in containers}, pod["metadata"]["name"]


def test_an_event_that_the_consumer_gets_is_posted_to_the_manager(assets: SampleStack) -> None:
    event = {"id": "NY01", "type": "pump", "pressure": 7}
    assert assets.one("/assetconsumer/events", method="POST", json=event).status == 201
    assert json.loads(assets.one("/assetmgrms/assets/NY01").body)["pressure"] == 7
    assert assets.one("/assetmgrms/assets/NY01", method="DELETE").status == 204
    assert ids(assets, "/assetmgrms/assets") == SEEDS


def test_the_dashboard_calls_the_manager_by_its_dns_name(assets: SampleStack) -> None:
    """The name is the default of its image; when the manager fails, the dashboard has no assets."""
    assert ids(assets, "/assetdashboard/assets") == SEEDS
    assets.up({MANAGER: {"route": [{"to": "version-1", "fault": {"abort": {"httpStatus": 503}}}]}})
    wait_until(lambda: assets.one("/assetdashboard/assets").body == "[]", "the fault at the dashboard's Envoy", 20)
    assert ids(assets, "/assetmgrms/assets") == SEEDS, "the route inside the mesh is not that of the gateway"
    assets.up()
    wait_until(lambda: assets.one("/assetdashboard/assets").body != "[]", "the end of the fault", 20)


def test_an_ingress_leads_to_the_same_services(assets: SampleStack) -> None:
    """The mesh exists already, so the class of the Ingress is its owner's."""
    cluster = assets.project.cluster
    cluster.kubectl("apply", "--filename=-", stdin=json.dumps(INGRESS_CLASS))
    try:
        assets.up(sample=Sample.ASSETS_INGRESS)
        assert not cluster.exists("virtualservice", DASHBOARD, f"--namespace={NAMESPACE}")
        rules = cluster.get("ingress", DASHBOARD, f"--namespace={NAMESPACE}")["spec"]["rules"]
        assert [rule["host"] for rule in rules] == [HOST]
        wait_until(lambda: assets.one("/assetmgrms/assets").status == 200, "the Ingress at the gateway", 20)
        check_paths(assets)
        assert assets.project.up(assets.name)["changes"].keys() == {"same"}, "istiod writes the status of the Ingress"
        status = assets.canary("status").stdout
        assert "100 % (config" not in status, status
    finally:
        assets.up()
        cluster.kubectl("delete", "ingressclass", "istio")
    wait_until(lambda: assets.one("/assetmgrms/assets").status == 200, "the VirtualService at the gateway", 20)
