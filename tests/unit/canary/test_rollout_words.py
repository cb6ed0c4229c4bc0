"""What the commands that ask no cluster say of a rule with a rollout: diff, explain, render, preview."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from canary.app import app
from canary.diff.revisions import Revision
from canary.diff.rows import request_rows, setting_rows
from canary.diff.stack_diff import StackDiff, stack_diff
from canary.engine.events import ResourceStep
from canary.exit_codes import ExitCode
from canary.strategy_notes import DEPLOYMENT, strategy_notes
from stacks.settings.loading import load
from stacks.settings.stack_file import parse_stack_file

WORDS = "version-1 -> version-2 by rollout careful, about 45 min, not at once"
VERSIONS = """
        version-1: {image: "shop:1", port: 8080}
        version-2: {image: "shop:2", port: 8080}"""


def stack(route: str, versions: str = VERSIONS) -> str:
    """A stack's file with this route."""
    return f"""config:
  istio-canary:mesh: {{install: false}}
  istio-canary:rollouts:
    careful: {{steps: [{{weight: 10, for: 10m}}, {{weight: 50, for: 35m}}, {{weight: 100}}]}}
  istio-canary:services:
    shop:
      hosts: [shop.example.com]
      versions: {versions}
      route: [{route}]
"""


OLD = stack("{to: {version-1: 100, version-2: 0}, timeout: 5s}")
NEW = stack("{to: version-2, rollout: careful, timeout: 5s}")
BY_HAND = stack("{to: version-2, timeout: 5s}", "{version-2: {image: shop:2, port: 8080}}")
DONE = stack("{to: {version-1: 0, version-2: 100}, timeout: 5s}")
THREE = VERSIONS + '\n        version-3: {image: "shop:3", port: 8080}'


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose stack `dev` has a rollout."""
    (tmp_path / "Pulumi.yaml").write_text("name: istio-canary\nruntime: python\n", encoding="utf-8")
    (tmp_path / "Pulumi.dev.yaml").write_text(NEW, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> Any:
    """A successful run of `canary`."""
    found = CliRunner().invoke(app, [*arguments, "--stack", "dev"])
    assert found.exit_code == 0, found.output
    return found


def compared(before: str, after: str) -> StackDiff:
    """How the stack differs between two files."""
    return stack_diff("dev", _revision("a", before), _revision("b", after), with_policies=False)


def _revision(name: str, text: str) -> Revision:
    return Revision(name, ("dev",), lambda stack: parse_stack_file(Path(f"Pulumi.{stack}.yaml"), text))


def test_explain_sends_requests_to_the_old_version_and_says_what_will_move_them(project: Path) -> None:
    printed = run("explain", "shop").stdout
    assert "goes to version-1." in printed
    assert f"A rollout moves these requests: {WORDS}." in printed
    assert "Steps: 10 % for 10m, 50 % for 35m, 100 %." in printed
    assert "only its record in the cluster tells (`canary rollout status shop`)" in printed


def test_explain_does_not_guess_an_old_version_that_the_file_does_not_tell(project: Path) -> None:
    (project / "Pulumi.dev.yaml").write_text(stack("{to: version-2, rollout: careful}", THREE), encoding="utf-8")
    printed = run("explain", "shop").stdout
    assert "where they go now, not to version-2 (write `from` to see it here)" in printed


def test_the_json_of_explain_has_the_rollout(project: Path) -> None:
    words = json.loads(run("explain", "shop", "--json").stdout)["words"]
    assert any(WORDS in one for one in words)


def test_render_shows_the_route_before_the_first_step_and_notes_it(project: Path) -> None:
    found = run("render", "--json")
    (virtual_service,) = [one for one in json.loads(found.stdout)["items"] if one["kind"] == "VirtualService"]
    (rule,) = virtual_service["spec"]["http"]
    assert [one["destination"]["subset"] for one in rule["route"]] == ["version-1"]
    assert f"shop, rule default: {WORDS}; rendered before its first step" in found.stderr


def test_render_warns_of_a_route_that_would_move_all_requests_at_once(project: Path) -> None:
    (project / "Pulumi.dev.yaml").write_text(stack("{to: version-2, rollout: careful}", THREE), encoding="utf-8")
    assert "applying it moves them all at once" in run("render", "--json").stderr


def test_diff_says_that_requests_move_by_the_rollout_not_at_merge() -> None:
    found = compared(OLD, NEW)
    (requests,) = request_rows(found)
    assert (requests.before, requests.after, requests.also) == ("version-1", "version-2", (WORDS,))
    assert [row.after for row in setting_rows(found) if row.what == "rule 1 (default): by rollout"] == [WORDS]


def test_diff_takes_the_old_version_from_the_other_side() -> None:
    only_new = stack("{to: {version-3: 100, version-2: 0, version-1: 0}}", THREE)
    found = compared(only_new, stack("{to: version-2, rollout: careful}", THREE))
    assert list(found.rollouts.values()) == [WORDS.replace("version-1", "version-3")]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(DONE, NEW, id="all requests are there already"),
        pytest.param(NEW, NEW.replace("5s", "6s"), id="another change while it has the same end"),
        pytest.param(OLD, BY_HAND, id="no rollout"),
        pytest.param("config: {}\n", NEW, id="a new service"),
    ],
)
def test_diff_promises_no_rollout_where_none_moves_requests(before: str, after: str) -> None:
    assert compared(before, after).rollouts == {}


@pytest.mark.parametrize(
    ("name", "op", "expected"),
    [
        ("shop-version-2", "create", [f"shop: {WORDS}; `canary rollout start shop --stack dev` moves it"]),
        ("shop-version-1", "create", []),
        ("shop-version-2", "same", []),
        ("shop-version-2", "update", []),  # its rollout may be under way, or over
    ],
)
def test_a_preview_of_the_new_version_says_what_begins_the_rollout(name: str, op: str, expected: list[str]) -> None:
    settings = load({key.removeprefix("istio-canary:"): one for key, one in _values(NEW).items()})
    assert strategy_notes(settings, [_of_deployment(name, op)], "dev") == expected


def test_a_preview_names_the_group_whose_start_begins_the_rollout() -> None:
    values = {key.removeprefix("istio-canary:"): one for key, one in _values(NEW).items()}
    shop = {**values["services"]["shop"], "hosts": ["articles.example.com"]}
    settings = load(
        values
        | {
            "services": {"shop": values["services"]["shop"], "articles": shop},
            "rolloutGroups": {"checkout": {"services": ["articles", "shop"]}},
        }
    )
    assert strategy_notes(settings, [_of_deployment("shop-version-2", "create")], "dev") == [
        f"shop: {WORDS}, together with the group checkout; `canary rollout start checkout --stack dev` moves it"
    ]


def _of_deployment(name: str, op: str) -> ResourceStep:
    new = {"metadata": {"namespace": "shop", "name": name}, "spec": {}}
    return ResourceStep("urn:pulumi:dev::p::d::x", DEPLOYMENT, op, "done", {}, new)


def _values(text: str) -> dict[str, Any]:
    import yaml

    found: dict[str, Any] = yaml.safe_load(text)["config"]
    return found


def test_undo_leaves_a_route_to_its_rollout(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_BACKEND_URL", "file:///nonexistent")
    monkeypatch.setattr("canary.engine.session.report_of", lambda *_: pytest.fail("nothing may be deployed"))
    found = CliRunner().invoke(app, ["undo", "shop", "--stack", "dev", "--yes"])
    assert found.exit_code == ExitCode.CONFIG, found.output
    assert "the requests of shop move by a rollout" in found.stderr
    assert "canary rollout abort shop --stack dev" in found.stderr
    assert (project / "Pulumi.dev.yaml").read_text(encoding="utf-8") == NEW


@pytest.mark.parametrize(
    ("gates", "words"),
    [
        (
            "{}",
            "a step rises when it is proved that the next weight costs the service less than its tolerance; compared "
            "with the old version: errors, attempts, latency.",
        ),
        (
            "{tolerance: 0.2%, attempts: {enabled: false}, limits: {errors: 2%}}",
            "less than 0.2%; compared with the old version: errors, latency, and at most 2% of its requests may fail.",
        ),
        (
            "{promote: time, custom: [{name: carts, failures: a_total, requests: b_total}]}",
            "a step rises after its time, unless the new version is worse; compared with the old version: errors, "
            "attempts, latency, carts.",
        ),
        ("{promote: hand}", "a person ends each step; a new version that is worse goes back before; compared"),
    ],
)
def test_explain_says_what_the_gates_ask_for(project: Path, gates: str, words: str) -> None:
    text = NEW.replace("{weight: 100}]}", f"{{weight: 100}}], gates: {gates}}}")
    text += "  istio-canary:telemetry: {prometheus: {url: 'http://prometheus.monitoring:9090'}}\n"
    (project / "Pulumi.dev.yaml").write_text(text, encoding="utf-8")
    assert words in " ".join(run("explain", "shop").stdout.split())


def test_explain_says_nothing_of_gates_where_there_are_none(project: Path) -> None:
    assert "gates" not in run("explain", "shop").stdout
