"""The policy pack in Pulumi's own engine: findings that fail a preview, that only warn, that are configured away."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest

from policies import configuration
from policies.engine import Finding, findings
from policies.resource import Resource, from_recorded, from_state
from stacks.recording import record
from stacks.settings.loading import load
from tests.e2e.tools import CHECKOUT, Completed, Project, service

STACK = "prod"
PACK = ("--policy-pack", str(CHECKOUT / "policies"))
SHOWN = re.compile(r"- \[(mandatory|advisory)\](?: \[severity: \w+\])?\s+([\w-]+)\s+\(\S+: ([^)]+)\)")
"""A finding as Pulumi shows it: enforcement level, rule, and the resource's name."""


def _config(project: Project) -> dict[str, Any]:
    """A service with the host *, a version without a tag of its own, and a share for a version no header reaches."""
    route = [{"to": {"version-1": 90, "version-2": 10}}]
    services = service("shop", host="*", namespace="shop", route=route)
    services["shop"]["versions"]["version-2"]["image"] = "hashicorp/http-echo:latest"
    return project.service_config(services)


@pytest.fixture(scope="module")
def project(mesh: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A stack for production that breaks rules, in the existing mesh; it is only previewed."""
    project = Project.create(tmp_path_factory.mktemp("policies"), mesh.cluster)
    (project.folder / ".venv").symlink_to(CHECKOUT / ".venv")
    project.write_stack(STACK, _config(project))
    project.pulumi("stack", "init", STACK)
    return project


def _preview(project: Project, *words: str, succeeds: bool, env: dict[str, str] | None = None) -> Completed:
    return project.pulumi("preview", "--stack", STACK, *PACK, *words, succeeds=succeeds, env=env)


def _shown(preview: Completed) -> set[tuple[str, str, str]]:
    return set(SHOWN.findall(preview.stdout + preview.stderr))


def _recorded(config: dict[str, Any]) -> list[Resource]:
    """What the stack registers, without engine and cluster."""
    settings = load({key.removeprefix("istio-canary:"): value for key, value in copy.deepcopy(config).items()})
    return from_recorded(record(settings, STACK))


def _summary(found: list[Finding]) -> set[tuple[str, str, str]]:
    return {(one.enforcement.value, one.rule, one.urn.rpartition("::")[2]) for one in found}


def test_mandatory_findings_fail_the_preview_and_advisory_ones_are_shown(project: Project) -> None:
    shown = _shown(_preview(project, succeeds=False))

    assert ("mandatory", "image-pinned", "shop-version-2") in shown
    assert ("mandatory", "hosts-not-open", "shop-routing-virtual-service") in shown
    assert ("advisory", "image-digest", "shop-version-1") in shown


def test_the_engine_finds_what_is_found_without_engine_and_cluster(project: Project) -> None:
    shown = _shown(_preview(project, succeeds=False))

    assert shown == _summary(findings(_recorded(_config(project)), configuration.read()))


def test_a_finding_is_configured_away(project: Project, tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"hosts-not-open": "disabled", "image-pinned": "advisory"}))
    shown = _shown(_preview(project, "--policy-pack-config", str(file), succeeds=False))

    assert "hosts-not-open" not in {rule for _, rule, _ in shown}
    assert ("advisory", "image-pinned", "shop-version-2") in shown

    file.write_text(json.dumps({"all": "advisory"}))
    shown = _shown(_preview(project, "--policy-pack-config", str(file), succeeds=True))
    assert {level for level, _, _ in shown} == {"advisory"}


def test_a_large_step_is_found_with_the_state_before(project: Project, tmp_path: Path) -> None:
    before = _recorded(_config(project))
    file = tmp_path / "before.json"
    resources = [{"urn": one.urn, "type": one.type, "inputs": dict(one.props)} for one in before]
    file.write_text(json.dumps({"version": 3, "deployment": {"resources": resources}}))
    config = _config(project)
    config["istio-canary:services"]["shop"]["route"] = [{"to": {"version-1": 20, "version-2": 80}}]
    project.write_stack(STACK, config)
    try:
        shown = _shown(_preview(project, succeeds=False, env={"ISTIO_CANARY_BEFORE": str(file)}))
    finally:
        project.write_stack(STACK, _config(project))

    assert ("mandatory", "weight-step", "shop-routing-virtual-service") in shown


def test_the_state_of_a_stack_that_runs_is_judged_by_the_same_rules(mesh: Project) -> None:
    state = json.loads(mesh.pulumi("stack", "export", "--stack", "mesh").stdout)
    config = configuration.parse({"all": "disabled", "egress-not-open": {
        "enforcementLevel": "mandatory", "stacks": ["mesh"]}}, "test")  # fmt: skip

    assert _summary(findings(from_state(state), config)) == {("mandatory", "egress-not-open", "mesh-istiod")}
