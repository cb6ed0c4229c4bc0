"""`canary rollout run`: what it prints, how it ends, and the files for the probes of its pod."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from canary.app import app
from canary.exit_codes import ExitCode
from canary.rollout.running import Lines
from rollout.acting import act
from rollout.decision import Decision
from rollout.found import Group, Service
from rollout.group_verbs import GroupDecision
from rollout.supervisor import Supervisor
from rollout.verbs import pause
from tests.unit.canary.rollouts import World, run
from tests.unit.rollout.group_world import GroupWorld

WEBSITE = Service("shop", "website")
KUBECONFIG = """apiVersion: v1
kind: Config
clusters: [{name: one, cluster: {server: 'http://127.0.0.1:1'}}]
users: [{name: one, user: {token: abc}}]
contexts: [{name: one, context: {cluster: one, user: one}}]
current-context: one
"""


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """The handlers of this process as they were."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kubeconfig of a cluster that does not answer."""
    (tmp_path / "kubeconfig").write_text(KUBECONFIG, encoding="utf-8")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))


def ran(*words: str) -> Result:
    return CliRunner().invoke(app, ["rollout", "run", *words])


@pytest.mark.parametrize(
    ("words", "what", "allowed"),
    [
        (("--namespace", "Shop"), "--namespace is not a name of Kubernetes", "allowed: at most 63 lowercase letters"),
        (
            ("--namespace", "shop", "--prometheus", "prometheus:9090"),
            "--prometheus (or $ISTIO_CANARY_PROMETHEUS) is not the URL of a Prometheus",
            "allowed: http:// or https://, a host",
        ),
    ],
    ids=["namespace", "prometheus"],
)
def test_a_mistake_is_said_with_what_is_allowed_and_the_fix(words: tuple[str, ...], what: str, allowed: str) -> None:
    done = ran(*words)
    assert done.exit_code == ExitCode.CONFIG
    assert what in done.stderr
    assert allowed in done.stderr
    assert "fix:" in done.stderr


def test_a_password_in_a_url_is_refused_and_not_shown() -> None:
    done = ran("--namespace", "shop", "--prometheus", "http://me:hunter2@prometheus:9090")
    assert done.exit_code == ExitCode.CONFIG
    assert "hunter2" not in done.output


def test_without_a_kubeconfig_it_ends_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "nowhere"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    done = ran("--namespace", "shop", "--once")
    assert done.exit_code == ExitCode.UNREACHABLE
    assert "no such file" in done.stderr


@pytest.mark.usefixtures("cluster")
def test_one_look_fails_if_a_namespace_cannot_be_read() -> None:
    done = ran("--namespace", "shop", "--once")
    assert done.exit_code == ExitCode.FAILED
    assert "Traceback" not in done.output


@pytest.mark.usefixtures("cluster")
def test_a_signal_ends_it_and_the_probes_tell_that_it_lives_but_reads_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turned = threading.Event()
    turn: Callable[[Supervisor], bool] = Supervisor.turn

    def noted(self: Supervisor) -> bool:
        succeeded = turn(self)
        turned.set()
        return succeeded

    def end() -> None:
        turned.wait(20)
        while not (tmp_path / "alive").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Supervisor, "turn", noted)
    ender = threading.Thread(target=end)
    ender.start()
    done = ran("--namespace", "shop", "--probe-folder", str(tmp_path))
    ender.join()

    assert done.exit_code == ExitCode.OK
    assert not (tmp_path / "ready").exists(), "a runner that reads no record is not ready"


@pytest.mark.parametrize("as_json", [False, True], ids=["lines", "json"])
def test_each_change_is_one_line(as_json: bool, deployed: World, capsys: pytest.CaptureFixture[str]) -> None:
    before = deployed.record
    lines = Lines(as_json=as_json)
    on_look = lines.of(WEBSITE)
    on_look(before, Decision(why="the first step is next"))
    deployed.observing(0)
    run("pause", "website", "too many errors", "--stack", "dev")
    on_look(deployed.record, Decision(why="paused"))
    on_look(deployed.record, Decision(why="paused"))
    lines.say(WEBSITE, "website-1: it goes on")
    printed = capsys.readouterr().out.splitlines()

    if as_json:
        documents: list[dict[str, Any]] = [json.loads(line) for line in printed]
        assert [one.get("event") for one in documents] == ["Paused", None]
        assert documents[0]["service"] == "website"
        assert documents[1] == {"namespace": "shop", "service": "website", "text": "website-1: it goes on"}
    else:
        assert len(printed) == 2
        assert printed[0].startswith("shop/website: 2026-")
        assert printed[0].endswith(" Paused: paused by ann@laptop: too many errors")
        assert printed[1] == "shop/website: website-1: it goes on"


@pytest.mark.parametrize("as_json", [False, True], ids=["lines", "json"])
def test_each_change_of_a_group_and_of_its_services_is_one_line(
    as_json: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    world = GroupWorld()
    world.up()
    lines, name = Lines(as_json=as_json), Group("shop", "checkout")
    on_look = lines.of_group(name)

    def look() -> None:
        on_look(world.group, {one: world.record(one) for one in world.services}, GroupDecision(why="it goes on"))

    world.start()
    look()
    world.abort("too many errors")
    act(world.client, "shop", "articles", lambda record, now: pause(record, "lunch", "ann", now), by="ann")
    look()
    look()
    lines.say(name, "checkout-1: it goes back")
    printed = capsys.readouterr().out.splitlines()

    assert len(printed) == 3
    if as_json:
        documents: list[dict[str, Any]] = [json.loads(line) for line in printed]
        assert [(one.get("group"), one.get("service")) for one in documents] == [
            ("checkout", None), (None, "articles"), ("checkout", None),
        ]  # fmt: skip
        assert [one.get("event") for one in documents] == ["Aborting", "Paused", None]
        assert documents[0]["id"] == "checkout-1"
    else:
        assert printed[0].startswith("shop/group checkout: 2026-")
        assert printed[0].endswith("go back, callers first: too many errors")
        assert printed[1].startswith("shop/articles: 2026-")
        assert printed[2] == "shop/group checkout: checkout-1: it goes back"


def test_a_start_without_a_stack_reads_the_prometheus_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from canary.rollout.place import KubectlAccess, Place
    from canary.rollout.prometheus_readings import NO_STACK, prometheus_of
    from canary.ui import Ui
    from rollout.prometheus_readings import NoPrometheusError

    place = Place("website", "shop", KubectlAccess(), prometheus="http://prometheus.istio-system:9090")
    with prometheus_of(Ui(), place)() as found:
        assert found.url == "http://prometheus.istio-system:9090"
    assert place.command("start").endswith("--namespace shop --prometheus http://prometheus.istio-system:9090")
    assert "--prometheus" not in place.command("abort")
    with pytest.raises(NoPrometheusError, match="add --prometheus URL"):
        prometheus_of(Ui(), Place("website", "shop", KubectlAccess()))()
    assert "start it with --stack" in NO_STACK
