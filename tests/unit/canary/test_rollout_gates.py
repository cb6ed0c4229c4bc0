"""`canary rollout` with gates: times, refusals, evidence, reasons and the replay."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from canary.exit_codes import ExitCode
from rollout.gate_file import evidence_of
from rollout.gate_packing import Packing
from rollout.gate_reader import GateReader, GateReading
from rollout.record import StepPeriod
from tests.unit.canary.rollouts import STACK, World, run, run_json
from tests.unit.rollout.records import later
from tests.unit.rollout.test_gate_reader import COUNTERS, Store, fixed, go_on, store_with_a_past

GATES = STACK.replace("for: 20m, approve: true", "for: 20m").replace("{weight: 100}]}", "{weight: 100}], MORE}") + (
    "  istio-canary:telemetry: {metrics: envoy, prometheus: {url: 'http://prometheus.monitoring:9090'}}\n"
)


def stack_of(more: str) -> str:
    return GATES.replace("MORE", more)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    """The only Prometheus that there is; its last sample is of now."""
    found = store_with_a_past()

    @contextmanager
    def opened(session: Any, timeout: float = 5.0) -> Iterator[Any]:
        yield found.client

    monkeypatch.setattr("canary.telemetry.open_prometheus", opened)
    monkeypatch.setattr("canary.rollout.forecasting._now", lambda: later(0))
    return found


@pytest.fixture
def gated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: Store) -> World:
    world = World(tmp_path, monkeypatch)
    world.file.write_text(stack_of("gates: {}"), encoding="utf-8")
    world.up()
    plan = world.record.plan.model_copy(update={"counters": COUNTERS})
    world.set(plan=plan)
    return world


def rows(text: str) -> list[str]:
    return [re.sub(" +", " ", line).strip() for line in text.splitlines()]


@pytest.fixture
def judged(gated: World) -> GateReading:
    """A step that the gates do not let rise yet, with its evidence in the cluster."""
    gateway_store = store_with_a_past(canary=0.02)
    record = fixed(gateway_store)
    reading = go_on(gateway_store, GateReader(), record, 0, 60)[-1]
    assert reading.verdict is not None
    assert reading.decisions is not None
    gated.observing(0, periods=(StepPeriod(step=0, settled_at=gated.at()),))
    plan = gated.record.plan.with_gates(record.plan.gates, record.plan.deadline_seconds)
    gated.set(plan=plan)
    evidence = evidence_of(gated.record, reading, gated.at(45))
    gated.store.write_gates(evidence, Packing("website-1").packed(reading.decisions))
    return reading


@pytest.mark.usefixtures("store")
def test_the_plan_tells_how_long_each_step_takes(gated: World) -> None:
    text = run("plan", "website", "--stack", "dev").stdout
    steps = [row for row in rows(text) if row[:2] in ("1 ", "2 ", "3 ")]

    assert len(re.findall("min", steps[0])) == 5, steps[0]
    assert steps[2].endswith("never never never -")
    assert re.search(r"gates:    at 6[0-9.]+ requests/s; [0-9.]+ % of the old version's fail, tolerance 0\.[45]", text)
    document = run_json("plan", "website", "--stack", "dev")["gates"]
    assert document["requestsPerSecond"] == pytest.approx(60, rel=0.1)
    assert document["steps"][0]["found"].keys() == {"x2", "x5", "x10"}
    assert document["steps"][0]["proof"] <= document["steps"][0]["deadline"]
    assert document["refused"] == []


@pytest.mark.parametrize("command", ["plan", "start"])
def test_a_step_that_cannot_decide_before_its_deadline_is_refused_with_the_ways_out(
    gated: World, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("canary.rollout.starting.refuse_unready", lambda place, record: None)
    gated.file.write_text(stack_of("gates: {tolerance: 0.02%}, deadline: {step: 30m}"), encoding="utf-8")
    if command == "start":
        gated.server.objects = {key: value for key, value in gated.server.objects.items() if "rollout" not in key[2]}
        gated.up()
        gated.set(plan=gated.record.plan.model_copy(update={"counters": COUNTERS}))
    done = run(command, "website", "--stack", "dev", code=ExitCode.CONFIG)

    assert re.search("step 1: at 6[0-9.]+ requests/s and 10 %, that 50 % is safe takes about", done.stderr)
    assert "fix: one of these: a deadline of" in done.stderr
    assert "or promote: time" in done.stderr


def test_a_plan_without_numbers_says_why(gated: World, store: Store) -> None:
    store.down = "connection refused"
    text = run("plan", "website", "--stack", "dev").stdout
    assert "gates:    how long they take is not known: no answer from Prometheus" in text


def test_status_and_report_show_the_evidence_of_each_metric(gated: World, judged: GateReading) -> None:
    assert judged.verdict is not None
    text = run("status", "website", "--stack", "dev").stdout
    document = run_json("status", "website", "--stack", "dev")["services"][0]["gates"]

    assert re.search(r"^errors +\d+ of \d+ \(.+ %\) +\d+ of \d+ \(.+ %\) +e ", text, re.MULTILINE)
    assert f"gates:     Hold: {judged.verdict.reason}" in text
    assert "split:     " in text
    assert "latency:   left out while version-2 has its first requests (15 s)" in text
    assert [one["name"] for one in document["metrics"]] == ["errors", "attempts", "latency"]
    report = run("report", "website", "--stack", "dev", "--html", "page.html").stdout
    page = Path(report.strip()).read_text(encoding="utf-8")
    assert "upstream_rq_completed" in page
    assert "query:     " in run("report", "website", "--stack", "dev").stdout


@pytest.mark.usefixtures("judged")
@pytest.mark.parametrize(
    ("key", "value"),
    [("metrics", [{}]), ("metrics", 5), ("e", "much"), ("splits", None), ("step", None), ("queries", 1)],
)
def test_evidence_that_somebody_has_changed_is_said_to_be_damaged(gated: World, key: str, value: Any) -> None:
    found = gated.store.read_gates()
    assert found is not None
    gated.store.write_gates({**found[0], key: value}, found[1])
    for verb in ("status", "report"):
        text = run(verb, "website", "--stack", "dev").stdout
        assert "the evidence that the cluster keeps is damaged; the next verdict writes it anew" in text
    assert "is damaged" in run("promote", "website", "--stack", "dev", code=ExitCode.CONFIG).stderr or key == "step"


@pytest.mark.usefixtures("judged")
def test_a_promotion_that_is_not_proved_needs_a_reason(gated: World) -> None:
    error = run("promote", "website", "--stack", "dev", code=ExitCode.CONFIG).stderr
    assert "the gates do not let step 1 of 3 rise: " in error
    assert "`canary rollout promote website --stack dev` takes it after the service" in error

    run("promote", "website", "a", "hot", "fix", "--stack", "dev")
    assert gated.record.promotion is not None
    assert gated.record.promotion.reason == "a hot fix"


def test_what_the_gates_let_rise_is_promoted_without_a_reason(gated: World, judged: GateReading) -> None:
    found = gated.store.read_gates()
    assert found is not None
    gated.store.write_gates({**found[0], "answer": "Rise"}, found[1])
    run("promote", "website", "--stack", "dev")


@pytest.mark.usefixtures("judged")
def test_the_decisions_of_a_file_are_made_again_offline(gated: World, monkeypatch: pytest.MonkeyPatch) -> None:
    run("report", "website", "--stack", "dev", "--decisions", "website.json")
    monkeypatch.setattr("kube.kubeconfig.choose", lambda cluster: pytest.fail("a replay needs no cluster"))
    (gated.folder / "Pulumi.yaml").unlink()
    text = run("report", "website", "--replay", "website.json").stdout
    document = run_json("report", "website", "--replay", "website.json")

    assert "all are the same again" in text
    assert document["differing"] == 0
    assert [one["answer"] for one in document["runs"][0]] == [one["now"] for one in document["runs"][0]]

    changed = json.loads((gated.folder / "website.json").read_text())
    changed["runs"][0]["decisions"][-1]["answer"] = "Rise"
    (gated.folder / "changed.json").write_text(json.dumps(changed))
    assert "1 is another now" in run("report", "website", "--replay", "changed.json", code=ExitCode.FAILED).stdout


@pytest.mark.usefixtures("judged")
def test_a_reason_that_is_another_one_in_the_file_is_told(gated: World) -> None:
    run("report", "website", "--stack", "dev", "--decisions", "website.json")
    changed = json.loads((gated.folder / "website.json").read_text())
    changed["runs"][0]["decisions"][-1]["reason"] = "all is well"
    (gated.folder / "changed.json").write_text(json.dumps(changed))
    text = run("report", "website", "--replay", "changed.json").stdout
    assert "all answers are the same again, and 1 of the same answer for another reason than in the file" in text
    assert run_json("report", "website", "--replay", "changed.json")["otherReasons"] == 1


@pytest.mark.usefixtures("gated")
def test_a_file_without_decisions_is_refused(tmp_path: Path) -> None:
    texts = {
        "empty.json": ("", "it is not JSON"),
        "mapping.json": ("{}", "has no decisions"),
        "older.json": ('{"schema": 0, "rollout": "website-1", "runs": []}', "is of schema 0, and this version reads 1"),
        "none.json": ('{"schema": 1, "rollout": "website-1", "runs": []}', "there is no decision in it"),
        "deep.json": ("[" * 100_000, "it is not JSON"),
        "name.json": (
            r'{"schema": 1, "rollout": "website-\ud8001", "runs": []}',
            r"the rollout 'website-\ud8001' is none",
        ),
    }
    for file, (text, words) in texts.items():
        (tmp_path / file).write_text(text)
        error = run("report", "website", "--replay", file, code=ExitCode.CONFIG).stderr
        assert f"--replay: {file}" in error
        assert words in error
        assert "fix: write it with `canary rollout report SERVICE --decisions FILE`" in error
    (tmp_path / "folder").mkdir()
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    for file in ("missing.json", "folder", "binary.json"):
        error = run("report", "website", "--replay", file, code=ExitCode.CONFIG).stderr
        assert f"--replay: {file} cannot be read" in error
    error = run("report", "website", "--stack", "dev", "--decisions", "x.json", code=ExitCode.CONFIG).stderr
    assert "the gates of website have decided nothing that is kept" in error


def test_a_file_without_end_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("canary.rollout.replaying.MOST_BYTES", 2**20)
    error = run("report", "website", "--replay", "/dev/zero", code=ExitCode.CONFIG).stderr
    assert "--replay: /dev/zero cannot be read: it has more than 1 MiB" in error


@pytest.mark.usefixtures("judged", "gated")
def test_the_decisions_of_another_service_are_not_taken_for_these() -> None:
    run("report", "website", "--stack", "dev", "--decisions", "website.json")
    error = run("report", "shop", "--replay", "website.json", code=ExitCode.CONFIG).stderr
    assert "website.json has the decisions of website-1, which is no rollout of shop" in error
    assert "fix: write `canary rollout report website --replay website.json`" in error


@pytest.mark.usefixtures("judged")
def test_decisions_that_cannot_be_written_are_an_error_with_the_place(gated: World) -> None:
    (gated.folder / "folder").mkdir()
    for file in ("folder", "missing/website.json", "/proc/website.json", "/dev/full"):
        error = run("report", "website", "--stack", "dev", "--decisions", file, code=ExitCode.CONFIG).stderr
        assert re.search(f"--decisions: .*{file} cannot be written: .+", error)
        assert "fix: give another file" in error


def test_options_of_which_one_would_be_ignored_are_refused() -> None:
    error = run("report", "website", "--replay", "a.json", "--decisions", "b.json", code=ExitCode.CONFIG).stderr
    assert "--decisions and --replay exclude each other" in error
    assert "fix: run the command with --decisions, then with --replay" in error
