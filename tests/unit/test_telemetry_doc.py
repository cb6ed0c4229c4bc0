"""docs/telemetry.md matches the settings, the components, the messages and the commands of the program."""

from __future__ import annotations

import json
import re
import runpy
import shlex
import struct
from pathlib import Path

import jsonschema
import pulumi_kubernetes as k8s
import pytest
import yaml
from typer.testing import CliRunner

from canary.app import app
from canary.consoles import CONSOLES
from components.telemetry import grafana, kiali, prometheus
from metrics import queries
from metrics.dashboard import canary_dashboard
from metrics.rules import AlertThresholds, rule_groups
from stacks.cluster_facts import ClusterFacts
from stacks.environment import Environment
from stacks.settings.loading import json_schema, load_stack
from stacks.settings.problems import SettingsError
from stacks.settings.telemetry import TelemetrySettings
from stacks.telemetry import EXISTING_PROMETHEUS_UID
from tests import pictures
from tests.unit.canary.made_up_traffic import settings_of
from tests.unit.mocks import run_program

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "telemetry.md").read_text(encoding="utf-8")
START = "config:\n  istio-canary:samples: [website]\n"
"""What stands before every example in the stack's file."""
LARGEST_PICTURE = 200_000
"""In bytes."""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def table(heading: str) -> list[list[str]]:
    """The rows of the table whose first column has this heading."""
    (found,) = re.findall(rf"^\| {heading} \|.*\n\|[-|]+\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in found.splitlines()]


MISTAKES = re.findall(
    r"^```yaml\n([^`]*?)^```\n\n```text\n(Pulumi\.prod\.yaml:.*?)\n```", PAGE, re.MULTILINE | re.DOTALL
)
EXAMPLES = [block for block in blocks("yaml") if block not in dict(MISTAKES)]


def stack_file(folder: Path, example: str) -> Path:
    file = folder / "Pulumi.prod.yaml"
    file.write_text(START + example, encoding="utf-8")
    return file


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_is_a_stack_without_problems_that_creates_its_servers(example: str, tmp_path: Path) -> None:
    file = stack_file(tmp_path, example)
    errors = jsonschema.Draft202012Validator(json_schema()).iter_errors(yaml.safe_load(file.read_text()))
    assert [error.message for error in errors] == []

    settings, facts = load_stack(file).settings, ClusterFacts(uid="7b1f")
    run = run_program(lambda: Environment(settings, facts, "istio-canary/docs").outputs, preview=False)
    types = {resource.type for resource in run.resources}
    created = {name for name in CONSOLES if f"istio-canary:index:{name.capitalize()}" in types}
    assert created == {name for name in CONSOLES if getattr(settings.telemetry, name).enabled}


def test_every_setting_of_the_telemetry_is_in_an_example_except_metrics_which_has_a_table() -> None:
    examples = [yaml.safe_load(example)["istio-canary:telemetry"] for example in EXAMPLES]
    keys = {field.alias for field in TelemetrySettings.model_fields.values()}
    assert keys - {key for example in examples for key in example} == {"metrics"}
    assert "| `metrics: istio`, the default | `metrics: envoy` |" in PAGE


def test_mistakes_are_reported_as_on_the_page(tmp_path: Path) -> None:
    ((example, message),) = MISTAKES
    with pytest.raises(SettingsError) as caught:
        load_stack(stack_file(tmp_path, example))
    assert str(caught.value).split("\n\n", 1)[1] == message


def test_the_script_of_the_page_prints_the_weights_and_the_alerts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (script,) = blocks("python")
    stack_file(tmp_path, EXAMPLES[0])
    (tmp_path / "script.py").write_text(script, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    runpy.run_path("script.py")
    rules = [rule for group in yaml.safe_load(capsys.readouterr().out)["groups"] for rule in group["rules"]]
    assert {rule["labels"]["version"] for rule in rules if rule.get("record") == queries.WEIGHT} == {
        "version-1",
        "version-2",
    }
    assert "CanaryWorseThanStable" in {rule.get("alert") for rule in rules}


def test_the_consoles_are_those_of_the_commands_and_the_settings() -> None:
    telemetry, rows = TelemetrySettings(), table("console")
    assert {row[0].lower() for row in rows} == CONSOLES.keys()
    for name, _, service, image, how in rows:
        console = CONSOLES[name.lower()]
        assert service == f"`{console.service}`, {console.port}"
        assert getattr(telemetry, console.name).image.endswith(f"/{image.strip('`')}")
        assert f"`canary open {console.name}`" in how


def test_the_alerts_are_those_of_the_rules_with_their_severities_and_thresholds() -> None:
    services = settings_of("version-1", "version-2", route=[{"to": {"version-1": 90, "version-2": 10}}]).services
    (group,) = rule_groups(services, AlertThresholds(), queries.Source.ISTIO)["groups"]
    alerts = {rule["alert"]: rule["labels"]["severity"] for rule in group["rules"] if "alert" in rule}
    assert {row[0].strip("`"): row[1] for row in table("alert")} == alerts
    thresholds = TelemetrySettings().alerts
    for name, value in (
        ("failureRate` percentage points", thresholds.failure_rate),
        ("share` percentage points", thresholds.share),
        ("minimumRequests`", thresholds.minimum_requests),
        ("for`", thresholds.for_),
    ):
        assert f"`{name} ({value if isinstance(value, str) else format(value, 'g')})" in PAGE


def test_the_rows_of_the_dashboard_are_on_the_page() -> None:
    panels = json.loads(canary_dashboard(queries.Source.ISTIO))["panels"]
    assert [row[0] for row in table("row")] == [panel["title"] for panel in panels if panel["type"] == "row"]


def test_the_labels_for_a_grafana_that_exists_are_on_the_page() -> None:
    labels = {f'{name}: "{value}"' for pair in grafana.SIDECAR_LABELS.values() for name, value in pair.items()}
    assert {row[1].strip("`") for row in table("ConfigMap")} == labels
    assert PAGE.count(EXISTING_PROMETHEUS_UID) == 2


@pytest.mark.parametrize(
    ("server", "rules"),
    [("Prometheus", prometheus.permissions()), ("Kiali", kiali.permissions("token", view_only_mode=True))],
)
def test_every_right_of_a_server_is_on_the_page(server: str, rules: list[k8s.rbac.v1.PolicyRuleArgs]) -> None:
    (told,) = [row[1] for row in table("server") if row[0] == server]
    named = {"apps": "`apps`", "batch": "`batch`", **dict.fromkeys(kiali.MESH_GROUPS, "Istio's and the Gateway API's")}
    for rule in rules:
        resources = [str(resource) for resource in (*(rule.resources or ()), *(rule.non_resource_urls or ()))]
        for group in rule.api_groups or [""]:
            for words in [named[str(group)]] if group in named else [f"`{resource}`" for resource in resources]:
                assert words in told, f"{server} may use {resources} of {group or 'the core group'}"
        assert all(str(verb) in told for verb in rule.verbs)


COMMANDS = sorted(
    set(re.findall(r"^(?:\$ )?(canary [^\n]*)", "\n".join(blocks("text")), re.MULTILINE))
    | set(re.findall(r"`(canary [a-z][^`]*)`", PAGE))
)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_and_options_of_the_page_exist(command: str) -> None:
    _, name, *words = shlex.split(command)
    shown = CliRunner().invoke(app, [name, "--help"], terminal_width=200)
    assert shown.exit_code == 0, f"there is no command {name}"
    for option in (word for word in words if word.startswith("-")):
        assert re.search(rf"(^|[\s,]){option}\b", shown.stdout), f"canary {name} has no option {option}"
    if name == "open" and words:
        assert words[0] in {*CONSOLES, "website"}


def test_the_commands_are_found() -> None:
    assert {command.split()[1] for command in COMMANDS} >= {"open", "report", "status", "up"}


def test_links_on_the_page_exist() -> None:
    for link in re.findall(r"\]\(([^)]+)\)", PAGE):
        name, _, heading = link.partition("#")
        file = DOCS / (name or "telemetry.md")
        assert file.is_file(), link
        if heading:
            titles = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            assert heading in {title.lower().replace(" ", "-") for title in titles}, link


@pytest.mark.parametrize("name", pictures.PAGES)
def test_a_picture_of_the_page_can_be_made_again_and_is_small(name: str) -> None:
    make, size = pictures.PAGES[name]
    assert "website" in make()
    assert f"(pictures/{name})" in PAGE
    png = (DOCS / "pictures" / name).read_bytes()
    assert struct.unpack(">II", png[16:24]) == pytest.approx([pictures.SCALE * side for side in size], abs=1)
    assert len(png) < LARGEST_PICTURE
