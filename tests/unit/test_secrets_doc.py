"""docs/secrets.md: its files are accepted, its commands name places that may be encrypted, its messages are ours."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import jsonschema
import pytest
import yaml

from kube.missing_sources import fix_of
from stacks.recording import record
from stacks.settings.loading import json_schema, load_stack, warnings
from stacks.settings.problems import Location, key_path
from stacks.settings.schema_words import may_be_encrypted
from stacks.settings.secret_places import WHY

PAGE = (Path(__file__).parents[2] / "docs" / "secrets.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def encrypted_places(file: Path) -> set[str]:
    services = load_stack(file).source
    assert services is not None
    found: set[Location] = set()
    for service, given in services.values["services"].items():
        for version, one in given["versions"].items():
            place = ("services", service, "versions", version)
            found |= {
                (*place, "env", key)
                for key, value in one.get("env", {}).items()
                if isinstance(value, dict) and "secure" in value
            }
            for folder, files in one.get("configFiles", {}).items():
                found |= {
                    (*place, "configFiles", folder, name) for name, text in files.items() if isinstance(text, dict)
                }
    assert all(map(may_be_encrypted, found))
    return {key_path(place) for place in found}


@pytest.fixture(params=blocks("yaml"), ids=lambda text: str(text).strip().splitlines()[-1].strip())
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "Pulumi.prod.yaml"
    path.write_text(f"config:\n{request.param}")
    return path


def test_every_example_is_accepted_without_a_warning(file: Path) -> None:
    loaded = load_stack(file)

    assert warnings(loaded.settings, loaded.source) == ()
    assert record(loaded.settings, "prod")
    jsonschema.Draft202012Validator(json_schema()).validate(yaml.safe_load(file.read_text()))


def test_the_commands_encrypt_what_the_first_example_has(tmp_path: Path) -> None:
    path = tmp_path / "Pulumi.prod.yaml"
    path.write_text(f"config:\n{blocks('yaml')[0]}")
    (commands,) = blocks("bash")
    words = [shlex.split(line.partition(" < ")[0]) for line in commands.splitlines()]

    assert [one[:6] for one in words] == [["pulumi", "config", "set", "--secret", "--stack", "prod"]] * len(words)
    assert {one[one.index("--path") + 1] for one in words} == encrypted_places(path)


def test_the_fixes_of_the_page_are_those_of_its_messages() -> None:
    (text,) = blocks("text")
    lines = [line.strip() for line in text.splitlines()]
    told = [line.removeprefix("fix: ") for line in lines if line.startswith("fix: ")]

    assert told == [fix for fix in (fix_of(line, "billing") for line in lines) if fix]


def test_the_table_of_places_names_all_that_have_a_reason() -> None:
    (table,) = re.findall(r"^\| where \| why \| instead \|\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    first = {name for row in table.splitlines() for name in re.findall(r"`([^`]+)`", row.split("|")[1])}

    for place in WHY:
        name = ".".join(place) if place[0] == "mesh" else place[-1] if place[0] == "services" else place[0]
        assert name in first | {"versions", "configFiles"}, f"{name} is not in the table"
