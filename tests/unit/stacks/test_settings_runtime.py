"""Settings from Pulumi's runtime instead of the file: secrets, and every value as text."""

from __future__ import annotations

from pathlib import Path

import pytest

from stacks.settings.loading import load, load_runtime, load_stack
from stacks.settings.problems import SettingsError
from stacks.settings.stack_file import read_stack_file

HIDDEN_IMAGE = "hunter2 as image"


def test_a_secret_in_pulumis_runtime_is_rejected_and_never_shown() -> None:
    services = {"shop": {"hosts": ["a.b"], "versions": {"v1": {"image": HIDDEN_IMAGE, "port": 0}}}}

    with pytest.raises(SettingsError) as caught:
        load({"istio-canary:services": services}, secrets={"istio-canary:services"})

    assert [problem.path for problem in caught.value.problems] == ["istio-canary:services"]
    assert "encrypted" in str(caught.value)
    assert "hunter2" not in str(caught.value), "a secret must not be shown"


def test_the_rest_of_a_key_with_a_secret_is_still_checked(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.dev.yaml"
    file.write_text(
        "config:\n  istio-canary:services:\n    shop:\n      hosts: [a.b]\n      port: 0\n"
        "      versions: {v1: {image: a, port: 1, env: {TOKEN: {secure: AAABAOhw}}}}\n"
    )
    decrypted = {
        "shop": {
            "hosts": ["a.b"],
            "port": 0,
            "versions": {"v1": {"image": "a", "port": 1, "env": {"TOKEN": HIDDEN_IMAGE}}},
        }
    }

    with pytest.raises(SettingsError) as caught:
        load({"services": decrypted}, read_stack_file(file), secrets={"services"})

    assert [(problem.line, problem.path) for problem in caught.value.problems] == [
        (5, "istio-canary:services.shop.port")
    ]
    assert "hunter2" not in str(caught.value), "a secret must not be shown"


def test_pulumis_runtime_gives_the_same_messages_as_the_file(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.dev.yaml"
    file.write_text(
        "config:\n  istio-canary:readyWithin: '300'\n  istio-canary:services:\n    shop: {hosts: [a.b], port: 80.0,\n"
        "      versions: {v1: {image: a, port: 1}}}\n"
    )
    as_text = {
        "istio-canary:readyWithin": "300",
        "istio-canary:services": '{"shop":{"hosts":["a.b"],"port":80,"versions":{"v1":{"image":"a","port":1}}}}',
        "kubernetes:context": "other",
    }
    with pytest.raises(SettingsError) as from_file:
        load_stack(file)
    with pytest.raises(SettingsError) as from_runtime:
        load_runtime(as_text, read_stack_file(file))

    assert str(from_runtime.value) == str(from_file.value), "Pulumi's text loses quotes and decimal points"
