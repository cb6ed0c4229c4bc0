"""Grafana's password is the one value of a stack's file that must be encrypted; it is no setting, and never shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pulumi
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pulumi.runtime import set_all_config

from stacks.program import grafana_admin_password, settings_of_stack
from stacks.settings.loading import json_schema, load, load_runtime, load_stack
from stacks.settings.problems import SettingsError
from stacks.settings.stack_file import read_stack_file
from tests.unit.mocks import Deploy
from tests.unit.problems import HERE, Case, assert_is_reported, config, problems_of

KEY = "istio-canary:grafanaAdminPassword"
ENCRYPTED = "{secure: 'v1:QDpy/+64LKlWV/2x:rNWdgxx0G4y8z2qYmVlqepvj'}"
PASSWORD = "hunter2hunter2"  # noqa: S105 - a test's


@pytest.mark.parametrize(
    "value",
    [PASSWORD, f"'{PASSWORD}'", "12345678", "012345678", "2026-01-31", "true", "[a]", f"{{a: {ENCRYPTED}}}", "1.50"],
)
def test_a_password_in_plain_text_is_a_mistake_and_not_shown(value: str, tmp_path: Path) -> None:
    text = config(f"versionHeader: x-version\ngrafanaAdminPassword: {value} {HERE}\n")
    words = (
        "the value is not encrypted, so everyone who reads the file knows it",
        "allowed: a value that Pulumi has encrypted",
        "fix:     choose another one, and run pulumi config set --secret istio-canary:grafanaAdminPassword",
    )
    assert_is_reported(Case(value, text, KEY, words), tmp_path)

    (problem,) = problems_of(tmp_path, text).problems
    assert problem.given == ""
    assert value.strip("'") not in str(problem)


@pytest.mark.parametrize("key", ["grafanaAdminPasword", "grafanaadminpassword", "grafanaAdminPassword.value"])
def test_a_password_under_a_misspelt_key_is_not_shown(key: str, tmp_path: Path) -> None:
    error = problems_of(tmp_path, config(f"{key}: {PASSWORD}\n"))

    assert "the nearest is `grafanaAdminPassword`" in str(error)
    assert PASSWORD not in str(error)


def test_another_encrypted_value_is_a_mistake_that_names_the_key_that_may_be_encrypted(tmp_path: Path) -> None:
    case = Case(
        "encrypted",
        config(f"telemetry: {{grafana: {{note: {ENCRYPTED}}}}} {HERE}\n"),
        "istio-canary:telemetry.grafana.note",
        (
            "the value is encrypted",
            "allowed: encrypted values in env and configFiles of a version, in istio-canary:cluster.kubeconfig, "
            f"and in {KEY}",
        ),
    )
    assert_is_reported(case, tmp_path)


@pytest.mark.parametrize("value", [ENCRYPTED, "''", ""])
def test_an_encrypted_password_and_none_are_valid_and_no_settings(value: str, tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.dev.yaml"
    file.write_text(config(f"grafanaAdminPassword: {value}\n"))

    assert load_stack(file).settings == load({})


def test_the_decrypted_password_of_pulumis_runtime_is_no_setting(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.dev.yaml"
    file.write_text(config(f"grafanaAdminPassword: {ENCRYPTED}\n"))

    for source in (read_stack_file(file), None):  # without the key in the file, it is from an environment of Pulumi ESC
        assert load_runtime({KEY: PASSWORD}, source, secrets={KEY}) == load({})
    with pytest.raises(SettingsError, match="the value is not encrypted"):
        load_runtime({KEY: PASSWORD})


@settings(deadline=None)
@given(st.text("QXZ0123456789", min_size=8, max_size=40))
@example("0123456789")
def test_no_password_is_ever_shown(password: str) -> None:
    for key in ("grafanaAdminPassword", "grafanaAdminPasswort"):
        for values in ({key: password}, {key: {"value": password}}, {key: [password]}):
            with pytest.raises(SettingsError) as caught:
                load(values)
            assert password not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "secret", "password"), [(PASSWORD, True, PASSWORD), ("0123", True, "0123"), ("", False, None)]
)
def test_the_program_gets_the_password_from_pulumi_as_a_secret(
    value: str, secret: bool, password: str | None, deploy: Deploy, tmp_path: Path
) -> None:
    def program() -> Any:
        set_all_config({KEY: value}, [KEY] if secret else [])
        settings_of_stack(tmp_path)
        output = grafana_admin_password()
        return None if output is None else {"value": pulumi.Output.unsecret(output), "secret": output.is_secret()}

    assert deploy(program).result == (None if password is None else {"value": password, "secret": True})


def test_the_program_gets_no_password_if_the_key_is_not_declared(deploy: Deploy) -> None:
    def program() -> bool:
        set_all_config({}, [])
        return grafana_admin_password() is None

    assert deploy(program).result is True


@pytest.mark.parametrize(("value", "valid"), [(ENCRYPTED, True), (PASSWORD, False), ("{secure: 1}", False)])
def test_the_schema_for_editors_accepts_only_an_encrypted_password(value: str, valid: bool) -> None:
    validator = jsonschema.Draft202012Validator(json_schema())

    assert validator.is_valid(yaml.safe_load(config(f"grafanaAdminPassword: {value}\n"))) is valid
