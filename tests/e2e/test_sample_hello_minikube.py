"""The sample hello-minikube: what a Deployment alone lacks, each shown by one key and one observed result."""

from __future__ import annotations

import os
import re
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from stacks.settings.model import Sample
from tests.e2e.envoys import process_of
from tests.e2e.load import load
from tests.e2e.samples import AT_ONCE, Answer, SampleStack, sample_stack
from tests.e2e.tools import Project, wait_until

NAMESPACE, APP, HOST = "hello", "hello-minikube", "hello.localhost"
SECOND = {"image": "istio-canary/hello-minikube:1.0.0", "port": 8080, **AT_ONCE}
NO_RETRIES = {"retries": {"attempts": 0}}


@pytest.fixture(scope="module")
def hello(mesh: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SampleStack]:
    """The sample, deployed."""
    with sample_stack(mesh, tmp_path_factory.mktemp("hello"), Sample.HELLO_MINIKUBE, HOST) as stack:
        yield stack


def changed(hello: SampleStack, **keys: Any) -> None:
    """Deploy the sample with these keys of its service."""
    hello.up({APP: keys})


def version_1(pods: int = 1, args: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"version-1": {"replicas": pods, **({"args": list(args)} if args else {})}}


def pod_of(answer: Answer) -> str:
    found = re.search(r"^pod=(.+)$", answer.body, re.MULTILINE)
    return found[1] if found else f"HTTP {answer.status}"


@contextmanager
def stopped(pod: str) -> Iterator[None]:
    """The pod's program stands still, as if it hung; its port still accepts connections, so the pod stays ready."""
    process = process_of(pod, "samples")
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


def test_the_answer_is_the_request_in_the_format_of_echoserver(hello: SampleStack) -> None:
    answer = hello.one("/about?a=1", method="POST", headers={"x-tester": "anna"}, content="hello")

    for line in (
        *("CLIENT VALUES:", "command=POST", "real path=/about?a=1", "query=a=1", "request_version=1.1"),
        *("SERVER VALUES:", "HEADERS RECEIVED:", f"host={HOST}", "x-tester=anna", "BODY:", "hello"),
    ):
        assert line in answer.body.splitlines(), answer.body
    assert re.search(r"^client_address=\S+$", answer.body, re.MULTILINE)
    assert re.search(r"^request_uri=http://hello\.localhost:8080/about\?a=1$", answer.body, re.MULTILINE)
    assert pod_of(answer).startswith("hello-minikube-")


@pytest.mark.long
def test_two_pods_share_the_requests_about_evenly(hello: SampleStack) -> None:
    changed(hello, versions=version_1(pods=2))
    wait_until(lambda: len({pod_of(one) for one in hello.send(count=20)}) == 2, "both pods answer", 20)
    shares = Counter(map(pod_of, hello.send(count=400)))

    assert len(shares) == 2
    assert all(140 <= count <= 260 for count in shares.values()), shares


@pytest.mark.long
def test_the_slower_of_two_pods_gets_fewer_requests(hello: SampleStack) -> None:
    """LEAST_REQUEST, Istio's default: Envoy draws a pod twice and takes the one with fewer open requests.

    Of two pods, one that does not answer is taken only if it is drawn both times: a quarter, not half.
    """
    changed(hello, versions=version_1(pods=2), route=[{"to": "version-1", "timeout": "500ms", **NO_RETRIES}])
    slow, quick = hello.until_only(NAMESPACE, APP, 2)
    wait_until(lambda: {pod_of(one) for one in hello.send(count=20)} == {slow, quick}, "both pods answer", 20)
    with stopped(slow):
        answers = Counter(map(pod_of, hello.send(count=400)))

    assert slow not in answers
    assert answers[quick] >= 250, f"with turns, every second request would be lost: {answers}"


@pytest.mark.long
def test_a_pod_that_fails_is_ejected(hello: SampleStack) -> None:
    """It times out, for Envoy a failure like any other, and after three in turn gets no requests for a time."""
    detection = {"consecutive5xxErrors": 3, "interval": "500ms", "baseEjectionTime": "30s", "maxEjectionPercent": 100}
    changed(
        hello,
        versions=version_1(pods=2),
        route=[{"to": "version-1", "timeout": "300ms", **NO_RETRIES}],
        trafficPolicy={"loadBalancer": {"simple": "ROUND_ROBIN"}, "outlierDetection": detection},
    )
    failing, other = hello.until_only(NAMESPACE, APP, 2)
    wait_until(lambda: {pod_of(one) for one in hello.send(count=20)} == {failing, other}, "both pods answer", 20)
    with stopped(failing):
        wait_until(
            lambda: Counter(map(pod_of, hello.send(count=20, at_once=1))) == {other: 20}, "the pod is ejected", 20
        )


def test_blue_green_switches_by_one_line_and_undo_switches_back(hello: SampleStack, tmp_path: Path) -> None:
    both = {**version_1(pods=2), "version-2": SECOND}
    changed(hello, versions=both, strategy={"blueGreen": {"active": "version-1"}})
    assert len(hello.pods(NAMESPACE, APP)) == 4, "the idle version has as many pods"
    wait_until(lambda: hello.versions(count=20) == {"version-1": 20}, "the active version answers", 20)
    with load(hello.url, tmp_path, rate=100, headers=hello.headers()) as done:
        changed(hello, versions=both, strategy={"blueGreen": {"active": "version-2"}})
        wait_until(lambda: hello.versions(count=20) == {"version-2": 20}, "the switch", 10)
        assert hello.versions(count=100) == {"version-2": 100}
        undone = hello.canary("undo", APP, "--yes")
        assert "hello-minikube (blueGreen): active version: version-2 -> version-1" in undone.stderr
        wait_until(lambda: hello.versions(count=20) == {"version-1": 20}, "the way back", 10)
        assert hello.versions(count=100) == {"version-1": 100}
    assert not done.failures, done.what_failed
    assert hello.services()[APP]["strategy"] == {"blueGreen": {"active": "version-1"}}
