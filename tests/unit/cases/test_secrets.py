"""Services whose passwords are secrets: of the cluster, or encrypted in the stack's file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from stacks.recording import Recorded, record
from stacks.settings.loading import load_stack, warnings

CASES = Path(__file__).parents[2] / "cases"
NAMES = ("secret-of-the-cluster", "secret-in-the-stack-file")


def made(case: str) -> tuple[Recorded, ...]:
    return record(load_stack(CASES / case / "Pulumi.case.yaml").settings, "case")


def container(resources: tuple[Recorded, ...], version: str) -> dict[str, Any]:
    (deployment,) = [one for one in resources if one.type.endswith(":Deployment") and one.name == f"invoices-{version}"]
    (found,) = deployment.spec["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


def expected(case: str) -> Any:
    return yaml.safe_load((CASES / case / "expected.yaml").read_text())


@pytest.mark.parametrize("case", NAMES)
def test_the_file_is_accepted_without_a_warning_or_a_passphrase(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE", raising=False)
    loaded = load_stack(CASES / case / "Pulumi.case.yaml")

    assert warnings(loaded.settings, loaded.source) == ()
    (rule,) = loaded.settings.services["invoices"].route
    assert {name: int(weight) for name, weight in rule.weights.items()} == {"stable": 90, "canary": 10}


def test_variables_come_from_the_secret_and_both_versions_are_pulled_with_the_login() -> None:
    case = "secret-of-the-cluster"
    resources, right = made(case), expected(case)
    (account,) = [one for one in resources if one.type.endswith(":ServiceAccount")]

    assert container(resources, "stable")["envFrom"] == right["container"]["envFrom"]
    assert "envFrom" not in container(resources, "canary")
    assert [one["name"] for one in account.inputs["imagePullSecrets"]] == right["pullSecrets"]


def test_the_password_is_in_a_secret_to_which_the_pod_refers() -> None:
    case = "secret-in-the-stack-file"
    resources, right = made(case), expected(case)
    (secret,) = [one for one in resources if one.type.endswith(":Secret")]

    assert {key: secret.inputs[key] for key in right["secret"]} == right["secret"]
    variables = container(resources, "stable")["env"]
    assert [one["name"] for one in variables] == right["variables"]
    assert variables[0]["valueFrom"] == {"secretKeyRef": {"name": secret.metadata["name"], "key": "PGPASSWORD"}}
    assert "env" not in container(resources, "canary")
