"""What a stack registers is recorded without a cluster: the same each time, in order, with secrets masked."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pulumi
import pulumi_kubernetes as k8s
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stacks.recording import SECRET, UNKNOWN, Recorded, plain, record, record_program
from stacks.settings.loading import load, load_stack
from stacks.settings.model import Sample, Settings
from tests.unit.stacks.sample_stacks import chosen

ROOT = Path(__file__).parents[3]
STACK_FILES = sorted(ROOT.glob("Pulumi.*.yaml"))
NAMES = [*(file.name.split(".")[1] for file in STACK_FILES), *(sample.value for sample in Sample)]


@cache
def settings_of(name: str) -> Settings:
    """The settings of a committed stack or of a sample."""
    file = ROOT / f"Pulumi.{name}.yaml"
    return load_stack(file).settings if file.is_file() else chosen(Sample(name))


@pytest.mark.parametrize("name", NAMES)
def test_two_runs_record_the_same(name: str) -> None:
    first, second = (record(settings_of(name), name) for _ in range(2))
    assert first == second
    assert len({resource.urn for resource in first}) == len(first) > 0, "URNs are unique"


@pytest.mark.parametrize("name", ["samples", "prod"])
def test_a_preview_registers_what_an_update_does(name: str) -> None:
    def without_outputs(resources: tuple[Recorded, ...]) -> list[tuple[Any, ...]]:
        return [(one.urn, one.inputs, one.parent, one.depends_on, one.provider) for one in resources]

    update, preview = (record(settings_of(name), name, preview=preview) for preview in (False, True))
    assert without_outputs(update) == without_outputs(preview)


@pytest.mark.parametrize("name", NAMES)
def test_parents_and_dependencies_are_recorded_before_what_names_them(name: str) -> None:
    known: set[str] = set()
    for resource in record(settings_of(name), name):
        assert {*resource.depends_on, *filter(None, [resource.parent])} <= known
        known.add(resource.urn)


def test_the_urns_are_those_of_the_engine() -> None:
    recorded = record(settings_of("dev"), "blue", project="shop")
    urns = {resource.name: resource.urn for resource in recorded}
    start = "urn:pulumi:blue::shop::"
    assert urns["cluster"] == f"{start}pulumi:providers:kubernetes::cluster"
    assert urns["mesh"] == f"{start}istio-canary:index:IstioMesh::mesh"
    release = "istio-canary:index:IstioMesh$kubernetes:helm.sh/v3:Release"
    assert urns["mesh-istiod"] == f"{start}{release}::mesh-istiod"


@pytest.mark.parametrize("name", NAMES)
def test_inputs_are_json_with_kubernetes_own_names(name: str) -> None:
    resources = record(settings_of(name), name)
    assert json.loads(json.dumps([resource.inputs for resource in resources])) == [one.inputs for one in resources]
    for resource in resources:
        if resource.type == "kubernetes:apps/v1:Deployment":
            assert resource.inputs["apiVersion"] == "apps/v1"
            assert not [key for key in _keys(resource.spec["template"]["spec"]) if "_" in key]


def _keys(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [*value, *(key for entry in value.values() for key in _keys(entry))]
    return [key for entry in value for key in _keys(entry)] if isinstance(value, list) else []


def test_secrets_are_masked() -> None:
    secrets = [one for one in record(settings_of("prod"), "prod") if one.type == "kubernetes:core/v1:Secret"]
    assert [one.inputs["data"] for one in secrets] == [SECRET, SECRET]


def test_a_secret_that_goes_into_another_object_stays_masked() -> None:
    def program() -> None:
        secret = k8s.core.v1.Secret("s", metadata={"name": "s"}, string_data={"key": pulumi.Output.secret("hidden")})
        k8s.core.v1.ConfigMap("c", metadata={"name": "c"}, data={"copy": secret.string_data["key"]})

    assert "hidden" not in repr(record_program(program).resources)
    assert record_program(program).named("c").inputs["data"] == {"copy": SECRET}


def test_what_only_the_cluster_knows_is_named_so() -> None:
    def program() -> None:
        first = k8s.core.v1.ConfigMap("first", metadata={"name": "first"})
        k8s.core.v1.ConfigMap("second", metadata={"name": "second"}, data={"id": first.id})

    assert record_program(program, preview=True).named("second").inputs["data"] == {"id": UNKNOWN}
    assert record_program(program).named("second").inputs["data"] == {"id": "first"}


def test_a_recording_inside_a_program_leaves_that_program_as_it_is() -> None:
    settings = settings_of("dev")

    def program() -> str:
        k8s.core.v1.ConfigMap("before", metadata={"name": "before"})
        inner = record(settings, "inner")
        k8s.core.v1.ConfigMap("after", metadata={"name": "after"})
        return f"{pulumi.get_stack()} {len(inner)}"

    outer = record_program(program, "outer", preview=True)
    assert [resource.name for resource in outer.resources] == ["before", "after"]
    assert outer.result == f"outer {len(record(settings, 'inner'))}"


def test_a_recording_works_where_an_event_loop_runs() -> None:
    async def main() -> int:
        return len(record(settings_of("dev"), "dev"))

    assert asyncio.run(main()) == len(record(settings_of("dev"), "dev"))


def test_an_error_of_the_program_is_raised() -> None:
    def program() -> None:
        k8s.core.v1.ConfigMap("first", metadata={"name": "first"})
        raise ValueError("no such version")

    with pytest.raises(ValueError, match="no such version"):
        record_program(program)


def test_a_program_that_asks_the_cluster_is_refused() -> None:
    def program() -> Any:
        return pulumi.runtime.invoke("kubernetes:yaml:decode", {"text": "a: 1"}).value

    with pytest.raises(Exception, match="kubernetes:yaml:decode, which needs a cluster"):
        record_program(program)


def test_an_unknown_name_is_reported_with_the_known_ones() -> None:
    recording = record_program(lambda: k8s.core.v1.ConfigMap("first", metadata={"name": "first"}).urn)
    with pytest.raises(LookupError, match="0 resources are named frist; registered are: first"):
        recording.named("frist")


def test_another_process_records_the_same() -> None:
    code = (
        "from pathlib import Path; from stacks.recording import record; "
        "from stacks.settings.loading import load_stack; "
        "print(repr(record(load_stack(Path('Pulumi.samples.yaml')).settings, 'samples')))"
    )
    printed = [
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={"PYTHONHASHSEED": seed, "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert printed[0] == printed[1]
    assert printed[0] == f"{record(settings_of('samples'), 'samples')!r}\n"


def test_nothing_of_an_empty_stack_but_the_mesh_is_recorded() -> None:
    parents = {resource.name for resource in record(load({}), "empty") if resource.is_component}
    assert parents == {"existing", "istio-system", "istio-ingress", "mesh"}


JSON = st.recursive(
    st.none() | st.booleans() | st.text() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, width=32),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), JSON))
def test_plain_values_stay_as_they_are(values: dict[str, Any]) -> None:
    assert plain(values) == values
