"""`canary report` and `canary status --watch` on the command line: options, files, output and exit codes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from canary import telemetry
from canary.app import app
from canary.exit_codes import ExitCode
from canary.traffic_report.data import grid
from tests.unit.canary.made_up_traffic import NOW, PROMETHEUS_IS_DOWN, QUERIES, AnsweringPrometheus

STACK = """config:
  istio-canary:cluster: {kubeconfig: /nonexistent/kubeconfig}
  istio-canary:services:
    shop:
      hosts: ["*"]
      versions: {one: {image: "shop:1", port: 8080}, two: {image: "shop:2", port: 8080}}
      route: [{to: {one: 90, two: 10}}]
"""
VALUES = {"requests": 4.0, "share": 1.0, "success_rate": 1.0, "p95": 8.0}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a stack, at a fixed time."""
    (tmp_path / "Pulumi.yaml").write_text("name: istio-canary\nruntime: python\n", encoding="utf-8")
    (tmp_path / "Pulumi.dev.yaml").write_text(STACK, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("time.time", lambda: NOW)
    return tmp_path


@pytest.fixture
def prometheus(monkeypatch: pytest.MonkeyPatch) -> AnsweringPrometheus:
    """Takes the place of the stack's Prometheus; knows the last hour of version one."""
    times = grid(NOW - 3600, NOW, 15.0).times
    answering = AnsweringPrometheus(
        {word: {"one": value} for word, value in VALUES.items()},
        {word: {"one": [(time, value) for time in times]} for word, value in VALUES.items()},
    )

    @contextmanager
    def connect(session: Any, timeout: float = 5.0) -> Iterator[AnsweringPrometheus]:
        with answering:
            yield answering

    monkeypatch.setattr(telemetry, "open_prometheus", connect)
    monkeypatch.setattr(telemetry, "queries_of", lambda settings: QUERIES)
    return answering


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, [*arguments, "--stack", "dev"])


def test_the_page_is_written_and_its_path_printed(folder: Path, prometheus: AnsweringPrometheus) -> None:
    result = run("report")

    page = folder / "report-dev.html"
    assert (result.exit_code, result.stdout) == (0, f"{page}\n"), result.stderr
    assert "Traffic of stack dev" in page.read_text(encoding="utf-8")
    assert "missing: shop two: Prometheus has no requests to it in the range" in result.stderr
    assert prometheus.is_closed

    page.write_text("old", encoding="utf-8")
    assert run("report").exit_code == 0
    assert "Traffic of stack dev" in page.read_text(encoding="utf-8"), "the page of an earlier run is replaced"


def test_the_summary_is_json_with_the_option(folder: Path, prometheus: AnsweringPrometheus) -> None:
    result = run("report", "--json", "--output", "traffic.html", "--last", "1h")

    document = json.loads(result.stdout)
    assert document["output"] == str(folder / "traffic.html")
    assert (folder / "traffic.html").is_file()
    (service,) = document["services"]
    assert [version["requests"] for version in service["versions"]] == [14_400, None]


@pytest.mark.parametrize(
    ("arguments", "query"),
    [
        ((), "requests shop.shop 3600s"),
        (("--last", "30m"), "requests shop.shop 1800s"),
        (("--from", "2025-06-15T14:36:40Z"), "requests shop.shop 1800s"),
        (("--from", "2025-06-15T14:36:40Z", "--to", "2025-06-15T14:46:40Z"), "requests shop.shop 600s"),
    ],
)
def test_the_range_is_as_given(
    arguments: tuple[str, ...], query: str, folder: Path, prometheus: AnsweringPrometheus
) -> None:
    result = run("report", *arguments)
    assert result.exit_code == 0, result.stderr
    assert query in prometheus.asked


LATER, EARLIER, BEFORE = "2025-06-15T15:06:41Z", "2025-06-15T14:00:00Z", "2025-06-15T13:00:00Z"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--last", "soon"), "--last is not a duration"),
        (("--last", ""), "--last is not a duration"),
        (("--last", "30s"), "the range is too short to hold two scrapes"),
        (("--from", "soon"), "--from is not a moment"),
        (("--from", EARLIER, "--to", "soon"), "--to is not a moment"),
        (("--from", EARLIER, "--to", BEFORE), "--from is not before --to"),
        (("--from", EARLIER, "--to", EARLIER), "--from is not before --to"),
        (("--from", LATER), "--from is in the future"),
        (("--from", EARLIER, "--to", LATER), "--to is in the future"),
        (("--to", EARLIER), "--to is given without --from"),
        (("--last", "1h", "--from", EARLIER), "--last and --from or --to are both given"),
        (("--output", "none/report.html"), "--output: there is no folder"),
        (("--output", "."), "is a folder"),
        (("--output", "Pulumi.yaml/report.html"), "--output: there is no folder"),
        (("--output", f"{'a' * 300}.html"), "cannot be written: File name too long"),
        (("--output", "~nobody-of-this-name/report.html"), "cannot be written: Could not determine home directory"),
        (("--from", "2015-06-15T15:06:40Z"), "the range is longer than Prometheus can be asked for"),
        (("--from", "0001-01-01T00:00:00+14:00"), "the range is longer than Prometheus can be asked for"),
    ],
)
def test_bad_input_is_told_before_anything_is_asked(
    arguments: tuple[str, ...], message: str, folder: Path, prometheus: AnsweringPrometheus
) -> None:
    result = run("report", *arguments)

    assert result.exit_code == ExitCode.CONFIG
    assert message in result.stderr
    assert "fix:" in result.stderr
    assert prometheus.asked == []
    assert not (folder / "report-dev.html").exists()


def test_a_folder_without_permission_is_told_before_anything_is_asked(
    folder: Path, prometheus: AnsweringPrometheus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: path != folder)  # root may write everywhere
    result = run("report")

    assert result.exit_code == ExitCode.CONFIG
    assert f"--output: no permission to write {folder / 'report-dev.html'}" in result.stderr
    assert prometheus.asked == []


def test_a_range_without_data_is_an_error_and_writes_no_page(folder: Path, prometheus: AnsweringPrometheus) -> None:
    prometheus.now, prometheus.over_time = {}, {}
    result = run("report")

    assert result.exit_code == ExitCode.FAILED
    assert (
        "Prometheus has no data of the stack dev from 2025-06-15 14:06:40 UTC to 2025-06-15 15:06:40 UTC"
        in result.stderr
    )
    assert not (folder / "report-dev.html").exists()


def test_a_prometheus_that_does_not_answer_has_the_exit_code_of_unreachable(
    folder: Path, prometheus: AnsweringPrometheus
) -> None:
    prometheus.over_time = {"weight": PROMETHEUS_IS_DOWN}
    result = run("report")

    assert result.exit_code == ExitCode.UNREACHABLE
    assert "Prometheus cannot be queried: connection refused" in result.stderr
    assert "fix: check that its pod is running" in result.stderr
    assert not (folder / "report-dev.html").exists()


def test_a_page_that_cannot_be_written_is_told(
    folder: Path, prometheus: AnsweringPrometheus, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, text: str, encoding: str) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", refuse)
    result = run("report")
    assert result.exit_code == ExitCode.FAILED
    assert "No space left on device" in result.stderr


@pytest.mark.parametrize("arguments", [("--interval", "2"), ("--window", "30s")])
def test_options_of_watch_without_it_are_refused(arguments: tuple[str, ...], folder: Path) -> None:
    result = run("status", *arguments)
    assert result.exit_code == ExitCode.CONFIG
    assert "have no effect without --watch" in result.stderr


def test_a_window_that_is_not_a_duration_is_refused(folder: Path) -> None:
    result = run("status", "--watch", "--window", "short")
    assert result.exit_code == ExitCode.CONFIG
    assert "--window is not a duration" in result.stderr


def test_watch_needs_a_cluster_at_the_start(folder: Path) -> None:
    assert run("status", "--watch").exit_code == ExitCode.UNREACHABLE


def test_ctrl_c_ends_watch_with_success(
    folder: Path, prometheus: AnsweringPrometheus, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(settings: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("canary.watch.loop.look_at_services", interrupted)
    result = run("status", "--watch")
    assert (result.exit_code, result.stderr) == (0, "")
