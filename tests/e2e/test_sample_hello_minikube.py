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


def test_two_pods_share_the_requests_about_evenly(hello: SampleStack) -> None:
    changed(hello, versions=version_1(pods=2))
    wait_until(lambda: len({pod_of(one) for one in hello.send(count=20)}) == 2, "both pods answer", 20)
    shares = Counter(map(pod_of, hello.send(count=400)))

    assert len(shares) == 2
    assert all(140 <= count <= 260 for count in shares.values()), shares


def test_the_slower_of_two_pods_gets_fewer_requests(hello: SampleStack) -> None:
    """Envoy counts open requests (LEAST_REQUEST, Istio's default): a pod that does not answer gets no more of them."""
    changed(hello, versions=version_1(pods=2), route=[{"to": "version-1", "timeout": "500ms", **NO_RETRIES}])
    slow, quick = hello.until_only(NAMESPACE, APP, 2)
    wait_until(lambda: {pod_of(one) for one in hello.send(count=20)} == {slow, quick}, "both pods answer", 20)
    with stopped(slow):
        answers = Counter(map(pod_of, hello.send(count=400)))

    assert slow not in answers
    assert answers[quick] >= 300, f"with turns, every second request would be lost: {answers}"


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


def failing_every_fifth(hello: SampleStack, **rule: Any) -> Counter[int]:
    """Statuses of 100 requests, one after the other, to a version that fails every fifth of them."""
    changed(hello, versions=version_1(args=("-fail-percent=20",)), route=[{"to": "version-1", **rule}])
    hello.until_only(NAMESPACE, APP, 1)
    return hello.statuses(count=100, at_once=1)


def test_retries_hide_a_version_that_fails_every_fifth_request(hello: SampleStack) -> None:
    assert failing_every_fifth(hello, **NO_RETRIES) == {200: 80, 503: 20}

    retries = {"attempts": 2, "retryOn": "5xx", "backoff": "25ms"}
    changed(hello, versions=version_1(args=("-fail-percent=20",)), route=[{"to": "version-1", "retries": retries}])
    wait_until(lambda: hello.statuses(count=20, at_once=1) == {200: 20}, "the retries at the gateway", 20)
    assert hello.statuses(count=100, at_once=1) == {200: 100}


def test_a_timeout_answers_for_a_version_that_takes_too_long(hello: SampleStack) -> None:
    changed(
        hello,
        versions=version_1(args=("-delay=2s",)),
        route=[{"to": "version-1", "timeout": "500ms", **NO_RETRIES}],
    )
    hello.until_only(NAMESPACE, APP, 1)
    answer = hello.one()

    assert answer.status == 504
    assert 0.5 <= answer.seconds < 1.5


def test_all_tries_together_keep_the_deadline(hello: SampleStack) -> None:
    retries = {"attempts": 2, "perTryTimeout": "300ms", "retryOn": "5xx"}
    changed(
        hello,
        versions=version_1(args=("-delay=2s",)),
        route=[{"to": "version-1", "timeout": "1s", "retries": retries}],
    )
    wait_until(lambda: hello.one().seconds > 0.8, "three tries instead of one", 20)
    answer = hello.one()

    assert answer.status == 504
    assert 0.9 <= answer.seconds < 1.4, "three tries of 0.3 s with a back-off between them, and 1 s at the most"


def test_requests_over_the_limit_are_refused_at_once(hello: SampleStack) -> None:
    pool = {"connectionPool": {"http": {"http2MaxRequests": 2}}}
    changed(hello, versions=version_1(args=("-delay=2s",)), trafficPolicy=pool)
    hello.until_only(NAMESPACE, APP, 1)

    def limited() -> bool:
        answers = hello.send(count=20, at_once=20)
        refused = [answer for answer in answers if answer.status == 503]
        at_once = all(answer.seconds < 1.5 for answer in refused)
        overloaded = all(answer.headers.get("x-envoy-overloaded") == "true" for answer in refused)
        return len(refused) == 18 and at_once and overloaded

    wait_until(limited, "2 of 20 are answered, and 18 refused at once", 30)


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


RAMP = ((90, 10), (70, 30), (50, 50), (0, 100))


def verified(hello: SampleStack) -> None:
    """`canary verify` passes; it is an exact test of 600 answers for each rule with weights."""

    def passes() -> bool:
        return hello.project.canary("verify", "--stack", hello.name, "--count", "600").returncode == 0

    wait_until(passes, "the weights at the gateway", 20)


def test_a_gradual_canary(hello: SampleStack) -> None:
    for stable, canary in RAMP:
        weights = {"version-1": stable, "version-2": canary}
        changed(hello, versions={**version_1(), "version-2": SECOND}, route=[{"to": weights}])
        verified(hello)
    assert hello.versions(count=100) == {"version-2": 100}
    undone = hello.canary("undo", APP, "--yes")
    assert "weights of rule 1: version-1: 0, version-2: 100 -> version-1: 50, version-2: 50" in undone.stderr
    assert hello.services()[APP]["route"] == [{"to": {"version-1": 50, "version-2": 50}}]
    verified(hello)


def test_a_gradual_canary_for_one_value_of_a_header(hello: SampleStack) -> None:
    beta = {"match": [{"headers": {"group": {"exact": "beta"}}}]}
    for stable, canary in RAMP[1:]:
        weights = {"version-1": stable, "version-2": canary}
        changed(
            hello, versions={**version_1(), "version-2": SECOND}, route=[{**beta, "to": weights}, {"to": "version-1"}]
        )
        verified(hello)
    assert hello.versions(count=100) == {"version-1": 100}
    assert hello.versions(count=100, headers={"group": "beta"}) == {"version-2": 100}
    assert hello.versions(count=100, headers={"group": "alpha"}) == {"version-1": 100}
