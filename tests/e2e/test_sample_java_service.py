"""The sample java-service: a port of its own, a configuration file, strategies, and a release by a header."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stacks.settings.model import Sample
from tests.e2e.load import load
from tests.e2e.routing import laid_over
from tests.e2e.samples import SampleStack, sample_stack
from tests.e2e.tools import Project, wait_until

NAMESPACE, APP, PORT = "java", "java-service-lb", 9191
TWO, MOBILE, ONE = (f"cloudnative-java-service{suffix}" for suffix in ("", "-mobile", "-one"))
GO, FRONTEND = "cloudnative-go-service", "cloudnative-frontend"
UPDATE = "istio-canary/java-service:UPDATE2_0"
RATE = 100
SOON = {
    "readinessProbe": {"initialDelaySeconds": 1, "periodSeconds": 1},
    "livenessProbe": {"initialDelaySeconds": 1},
    "preStopSeconds": 5,  # pods are replaced under load
    "terminationGracePeriodSeconds": 15,
}
SMALL = {"resources": {"requests": {"cpu": "10m", "memory": "16Mi"}}}
QUICK: dict[str, Any] = {
    APP: {"strategy": {"ramped": {"minReadySeconds": 1}}, "versions": dict.fromkeys((ONE, TWO, MOBILE), SOON)},
    GO: {"strategy": {"ramped": {"minReadySeconds": 1}}, "versions": {"version-1": SMALL}},
    FRONTEND: {"strategy": {"ramped": {"minReadySeconds": 1}}, "versions": {"version-1": SMALL}},
}
"""Over the sample: probes and resources for a machine with 2 cores, and a stand-in that starts at once."""


@pytest.fixture(scope="module")
def java(mesh: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SampleStack]:
    """The sample, deployed."""
    folder = tmp_path_factory.mktemp("java")
    with sample_stack(mesh, folder, Sample.JAVA_SERVICE, None, PORT, QUICK, "/javaservice") as stack:
        yield stack


def changed(java: SampleStack, **services: Any) -> None:
    """Deploy the sample with these keys of its services."""
    java.up(laid_over(QUICK, services))


def two(**keys: Any) -> dict[str, Any]:
    """The service with these keys of the version that has a configuration file."""
    return {APP: {"versions": {TWO: keys}}}


def bodies(java: SampleStack, path: str = "/javaservice", count: int = 60, **options: Any) -> Counter[str]:
    return Counter(answer.body for answer in java.send(path, count, **options))


def test_one_and_two_alternate_at_port_9191(java: SampleStack) -> None:
    answers = bodies(java)

    assert set(answers) == {'{"whoami":"One Java Service"}', '{"whoami":"Two Java Service"}'}
    assert all(15 <= count <= 45 for count in answers.values()), f"half each: {answers}"
    assert set(bodies(java, "/javaserviceroute")) == {
        '{"whoami":"One Java Route Service"}',
        '{"whoami":"Two Java Route Service"}',
    }
    assert java.one("/health").body == '{"status":"UP"}'
    service = java.project.cluster.get("service", APP, f"--namespace={NAMESPACE}")["spec"]
    assert [(port["name"], port["port"]) for port in service["ports"]] == [("http", 9090)]


def test_the_go_service_and_the_page_that_links_both(java: SampleStack) -> None:
    go, page = {"Host": "go-service.localhost"}, {"Host": "frontend.localhost"}

    assert java.one("/goservice", headers=go).body == "Go Service"
    assert java.one("/goserviceroute", headers=go).body == "Go Service Route"
    html = java.one("/", headers=page).body
    for link in ("java-service.localhost:9191/javaservice", "go-service.localhost:9191/goservice"):
        assert f'href="http://{link}"' in html, html


def test_the_mobile_channel_gets_the_next_release_and_everybody_else_the_old_one(java: SampleStack) -> None:
    mobile = bodies(java, headers={"channel": "mobile"})
    assert mobile == {'{"release":"UPDATE2_0","instance":"One","service":"Java Service"}': 60}
    for value in ("web", "mobile-app", "Mobile"):
        assert not any("UPDATE2_0" in body for body in bodies(java, headers={"channel": value}))


@pytest.mark.long
def test_an_update_and_its_undo_lose_no_request(java: SampleStack, tmp_path: Path) -> None:
    """Two pods become three; their image becomes the next release, and with one command the old one again."""
    updated = {'{"release":"UPDATE2_0","instance":"Two","service":"Java Service"}', '{"whoami":"One Java Service"}'}
    with load(f"{java.url}/javaservice", tmp_path, rate=RATE) as done:
        changed(java, **two(replicas=3))
        assert len(java.pods(NAMESPACE, APP)) == 5, "three with a file, one without, one for the mobile channel"
        changed(java, **two(replicas=3, image=UPDATE))
        assert set(bodies(java)) == updated
        undone = java.canary("undo", APP, "--yes")
        assert f"image of {TWO}: {UPDATE} -> istio-canary/java-service:1.0.0" in undone.stderr
        assert set(bodies(java)) == {'{"whoami":"One Java Service"}', '{"whoami":"Two Java Service"}'}
    assert not done.failures, done.what_failed
    assert done.rate >= RATE * 0.8
    assert java.services()[APP]["versions"][TWO]["image"] == "istio-canary/java-service:1.0.0"


@pytest.mark.long
def test_recreate_deletes_all_pods_first(java: SampleStack, tmp_path: Path) -> None:
    """So there are requests that no pod can answer, and afterwards all pods are new."""
    before = set(java.pods(NAMESPACE, GO))
    headers = {"Host": "go-service.localhost"}
    with load(f"{java.url}/goservice", tmp_path, rate=20, headers=headers) as done:
        changed(java, **{GO: {"strategy": "recreate", "versions": {"version-1": {"env": {"ROUND": "2"}}}}})
        wait_until(lambda: java.statuses("/goservice", 20, headers=headers) == {200: 20}, "the new pods answer", 20)
    assert done.statuses[503] > 0, f"ramped would lose none: {done.statuses}"
    assert set(done.statuses) <= {200, 503}
    assert not before & set(java.pods(NAMESPACE, GO))
    deployment = java.project.cluster.get("deployment", GO, f"--namespace={NAMESPACE}")
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}
