"""Texts that Pulumi has encrypted: where they are accepted, and that nothing that has settings can print them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pulumi.runtime import set_all_config

from stacks.program import runtime_secrets, settings_of_stack
from stacks.recording import record
from stacks.secret_texts import RuntimeSecrets
from stacks.settings.encrypted import Encrypted
from stacks.settings.loading import load_runtime, load_stack
from stacks.settings.plain_values import sealed
from stacks.settings.problems import SettingsError, key_path
from stacks.settings.schema_words import may_be_encrypted
from stacks.settings.stack_file import read_stack_file
from tests.unit.mocks import Deploy
from tests.unit.problems import HERE, V1, Case, assert_is_reported, only, problems_of, service, version

CIPHER = "v1:YWJjZGVmZ2hpams=:bm90IGEgcGFzc3dvcmQ="
SECURE = f"{{secure: '{CIPHER}'}}"
PLAIN = "correct-horse-battery"
FILE = service(
    "hosts: [shop.example.com]\nversions:\n"
    f"  v1: {{image: shop:1, port: 8080, env: {{USER: shop, PASSWORD: {SECURE}}},\n"
    f"       configFiles: {{/etc/shop: {{plain: x, api.key: {SECURE}}}}}}}\n"
)
PLACE = ("services", "shop", "versions", "v1")


def decrypted() -> dict[str, Any]:
    """The services as Pulumi hands them to the program."""
    values: dict[str, Any] = yaml.safe_load(FILE)["config"]["istio-canary:services"]
    values["shop"]["versions"]["v1"]["env"]["PASSWORD"] = PLAIN
    values["shop"]["versions"]["v1"]["configFiles"]["/etc/shop"]["api.key"] = PLAIN
    return values


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "Pulumi.dev.yaml"
    path.write_text(FILE)
    return path


@pytest.mark.parametrize(
    ("location", "accepted"),
    [
        ((*PLACE, "env", "PASSWORD"), True),
        ((*PLACE, "configFiles", "/etc/shop", "api.key"), True),
        ((*PLACE, "env"), False),
        ((*PLACE, "configFiles", "/etc/shop"), False),
        ((*PLACE, "image"), False),
        ((*PLACE, "args", 0), False),
        ((*PLACE, "env", "PASSWORD", "valueFrom"), False),
        (("services", "shop", "route", 0, "headers", "request", "set", "authorization"), False),
        (("mesh", "values", "istiod", "password"), False),
        (("versionHeader",), False),
    ],
    ids=lambda value: key_path(value) if isinstance(value, tuple) else "",
)
def test_only_texts_that_get_into_a_secret_may_be_encrypted(location: tuple[str, ...], accepted: bool) -> None:
    assert may_be_encrypted(location) is accepted


@pytest.mark.parametrize(
    "case",
    [
        Case("args", version(f"args: ['--password', {SECURE}]"), f"{V1}.args[1]",
             ("arguments are in the pod's spec", "encrypt a variable of env", "$(DB_PASSWORD)")),
        Case("command", version(f"command: [/shop, {SECURE}]"), f"{V1}.command[1]",
             ("the command is in the pod's spec", "encrypt a variable of env")),
        Case("image", only(f"versions: {{v1: {{port: 8080, image: {SECURE}}}}}"), f"{V1}.image",
             ("it is in the pod's spec", "encrypt a variable of env or a file of configFiles")),
        Case("the whole env", version(f"env: {SECURE}"), f"{V1}.env", ("encrypt the whole text of the variable",)),
        Case("a whole folder", version(f"configFiles: {{/config: {SECURE}}}"), f'{V1}.configFiles["/config"]',
             ("only the whole text of a file can be encrypted",)),
        Case("below valueFrom", version(f"env: {{A: {{valueFrom: {{secretKeyRef: {{name: a, key: {SECURE}}}}}}}}}"),
             f"{V1}.env.A.valueFrom.secretKeyRef.key", ("only says where its text is",)),
        Case("a whole version", only(f"versions: {{v1: {SECURE}}}"), V1, ("the value is encrypted",)),
        Case("a secret in plain text", version("env: {A: {secure: 'hunter2, and more'}}"), f"{V1}.env.A.secure",
             ("this is not what Pulumi writes", "choose another one, since the file has it in plain text")),
        Case("a number", version("env: {A: {secure: 12345678}}"), f"{V1}.env.A.secure",
             ("this is not what Pulumi writes",)),
        Case("a program named by a secret", version(f"env: {{A: {SECURE}}}, command: ['/bin/$(A)', x]"),
             f"{V1}.command[0]", ("has the secret A in its name", "the secret in a word after it")),
        Case("a program named by a Secret's key",
             version("env: {A: {valueFrom: {secretKeyRef: {name: a, key: b}}}}, args: ['$(A)']"), f"{V1}.args[0]",
             ("has the secret A in its name",)),
    ],
    ids=lambda case: case.name,
)  # fmt: skip
def test_a_mistake_with_a_secret_is_told_with_the_way_and_without_the_value(case: Case, tmp_path: Path) -> None:
    assert_is_reported(case, tmp_path)

    error = str(problems_of(tmp_path, case.text))
    for hidden in (CIPHER, "hunter2", "12345678", "--plaintext"):
        assert hidden not in error


@pytest.mark.parametrize("words", ["['/shop', '--password=$(A)']", "['/bin/$$(A)', x]", "['/bin/$(B)']"])
def test_a_secret_in_a_later_word_of_the_command_is_no_mistake(words: str, tmp_path: Path) -> None:
    path = tmp_path / "Pulumi.dev.yaml"
    path.write_text(version(f"env: {{A: {SECURE}, B: b}}, command: {words}").replace(HERE, ""))

    assert load_stack(path).settings.services["shop"].deployed["v1"].command


def test_settings_print_a_mask_and_a_hash_of_what_is_encrypted(file: Path) -> None:
    loaded = load_stack(file).settings

    for text in (repr(loaded), str(loaded), loaded.model_dump_json(), json.dumps(loaded.model_dump(mode="json"))):
        assert "[secret]" in text
        assert CIPHER not in text
    one, other = Encrypted(secure=CIPHER), Encrypted(secure=CIPHER.replace("bm90", "bm91"))
    assert one != other
    assert one.model_dump() != other.model_dump(), "`canary diff` must tell that the secret is another one"
    assert str(one.model_dump()) == f"[secret] ({one.fingerprint})"


def test_the_settings_of_a_run_are_those_of_the_file_and_have_no_secret(file: Path) -> None:
    runtime = {"istio-canary:services": json.dumps(decrypted())}
    loaded = load_runtime(runtime, read_stack_file(file), {"istio-canary:services"})

    assert loaded == load_stack(file).settings
    assert PLAIN not in repr(loaded.model_dump())


@pytest.mark.parametrize("has_file", [True, False], ids=["with a file that lacks it", "without a file"])
def test_a_secret_of_an_environment_is_refused_and_not_shown(has_file: bool, file: Path) -> None:
    services = decrypted()
    services["shop"]["versions"]["v1"]["env"]["OF_ESC"] = "hunter2"
    runtime = {"istio-canary:services": json.dumps(services)}
    with pytest.raises(SettingsError) as caught:
        load_runtime(runtime, read_stack_file(file) if has_file else None, {"istio-canary:services"})

    (problem,) = caught.value.problems
    path = "istio-canary:services.shop.versions.v1.env.OF_ESC" if has_file else "istio-canary:services"
    assert problem.path == path
    assert "Pulumi ESC" in problem.what
    assert "hunter2" not in str(caught.value)
    assert PLAIN not in str(caught.value)


def test_pulumi_hands_the_text_to_the_program_as_a_secret(deploy: Deploy, file: Path) -> None:
    file.rename(file.with_name("Pulumi.test.yaml"))  # the mocks' stack

    def program() -> Any:
        set_all_config({"istio-canary:services": json.dumps(decrypted())}, ["istio-canary:services"])
        settings_of_stack(file.parent)
        decrypt = runtime_secrets()
        texts = [decrypt((*PLACE, "env", "PASSWORD")), decrypt((*PLACE, "configFiles", "/etc/shop", "api.key"))]
        assert PLAIN not in repr(decrypt)
        return [{"value": pulumi.Output.unsecret(one), "secret": one.is_secret()} for one in texts]

    assert deploy(program).result == [{"value": PLAIN, "secret": True}] * 2


@pytest.mark.parametrize("config", [{}, {"istio-canary:services": "{}"}, {"istio-canary:services": "no JSON"}])
def test_a_text_that_pulumi_does_not_have_is_told_with_its_path(config: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=r"services\.shop\.versions\.v1\.env\.PASSWORD: .*no text there"):
        RuntimeSecrets(config)((*PLACE, "env", "PASSWORD"))


def test_the_same_objects_are_made_with_and_without_the_passphrase(file: Path) -> None:
    loaded = load_stack(file).settings
    offline = record(loaded, "dev")
    names = [(one.type, one.name, one.inputs.get("metadata", {}).get("name")) for one in offline]

    file.write_text(FILE.replace("bm90", "bm91"))
    again = record(load_stack(file).settings, "dev")
    changed = [
        name for name, one in zip(names, again, strict=True) if name[2] != one.inputs.get("metadata", {}).get("name")
    ]
    assert [kind.rpartition(":")[2] for kind, _, _ in changed] == ["Secret", "Secret"], (
        "new Secrets beside the old ones"
    )
    assert PLAIN not in repr(offline)


PLAIN_JSON = st.recursive(
    st.text("abz.", max_size=4) | st.integers(0, 9) | st.booleans(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abz", min_size=1, max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(deadline=None)
@given(PLAIN_JSON)
def test_what_is_equal_to_the_file_stays_and_nothing_else_does(value: Any) -> None:
    assert sealed(value, value) == value
    assert PLAIN not in repr(sealed({"a": value, "b": PLAIN, "c": [PLAIN]}, {"a": value, "c": []}))
