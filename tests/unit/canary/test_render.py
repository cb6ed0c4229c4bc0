"""`canary render`: the manifests of a stack, in an order in which they can be applied, and without secrets."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from canary.app import app
from canary.exit_codes import ExitCode
from canary.render.manifests import RELEASE, Part, parts_of, secret_with_keys, without_pulumi
from canary.render.order import in_order
from canary.render.output import RENDERED, stream, write_folder
from stacks.recording import Recorded, record
from stacks.settings.loading import load
from tests.unit.stacks.test_recording import NAMES, settings_of
from traffic.model import version_label

ALL_CONSOLES = {name: {"enabled": True} for name in ("prometheus", "grafana", "jaeger", "kiali")}
SHOP = """config:
  istio-canary:mesh: {install: false}
  istio-canary:services:
    shop:
      namespace: shop
      hosts: ["*"]
      versions:
        one: {image: "shop:1", port: 8080}
        two: {image: "shop:2", port: 8080}
      route: [{to: {one: 90, two: 10}}]
"""


@cache
def recorded(name: str) -> tuple[Recorded, ...]:
    """What a committed stack or a sample registers."""
    return record(settings_of(name), name, secret=secret_with_keys)


def manifests(name: str) -> list[dict[str, Any]]:
    """The manifests of a stack without those of charts."""
    return [manifest for part in parts_of(recorded(name), None) for manifest in part.manifests]


@pytest.mark.parametrize("name", NAMES)
def test_a_stack_is_rendered_the_same_each_time(name: str) -> None:
    again = record(settings_of(name), name, secret=secret_with_keys)
    first, second = (stream(parts_of(resources, None), name) for resources in (recorded(name), again))
    assert first == second
    assert [one for one in yaml.safe_load_all(first) if one] == manifests(name), "YAML keeps every value"


@pytest.mark.parametrize("name", NAMES)
def test_an_object_comes_after_its_namespace_and_all_that_it_depends_on(name: str) -> None:
    ordered = in_order(recorded(name))
    place = {resource.urn: index for index, resource in enumerate(ordered)}
    namespaces = {one.metadata["name"]: place[one.urn] for one in ordered if one.type.endswith(":Namespace")}
    assert len(place) == len([one for one in recorded(name) if not (one.is_component or one.is_provider)])
    for resource in ordered:
        assert all(place[urn] < place[resource.urn] for urn in resource.depends_on if urn in place), resource.urn
        metadata = resource.inputs.get("metadata", resource.inputs)  # a release names its namespace itself
        if metadata.get("namespace") in namespaces:
            assert namespaces[metadata["namespace"]] < place[resource.urn], resource.urn


@pytest.mark.parametrize("name", NAMES)
def test_subsets_and_pods_come_before_the_routes_to_them_and_istio_before_its_kinds(name: str) -> None:
    has_subset: set[tuple[str, str]] = set()
    has_pods: set[str] = set()
    has_istio = False
    routed = 0
    for resource in in_order(recorded(name)):
        kind = resource.type.rpartition(":")[2]
        if ".istio.io/" in resource.type:
            assert has_istio, f"{resource.name} needs Istio's CRDs"
        if kind == "Release":
            has_istio |= resource.inputs["name"] == "istiod"
        elif kind == "Deployment":
            has_pods |= {resource.spec["template"]["metadata"]["labels"].get("version", "")}
        elif kind == "DestinationRule":
            has_subset |= {(resource.spec["host"], one["name"]) for one in resource.spec.get("subsets", ())}
        elif kind == "VirtualService":
            for destination, weight in _destinations(resource.spec):
                routed += 1
                assert (destination["host"], destination["subset"]) in has_subset
                pods = version_label(destination["host"].split(".")[0], destination["subset"])
                assert not weight or pods in has_pods, "requests would find no pods"
    assert routed or not settings_of(name).services


def _destinations(spec: Mapping[str, Any]) -> Iterable[tuple[dict[str, Any], int]]:
    for rule in spec["http"]:
        for share in rule.get("route", ()):
            yield share["destination"], share.get("weight", 100)


@pytest.mark.parametrize("name", NAMES)
def test_no_manifest_has_anything_of_pulumi(name: str) -> None:
    for manifest in manifests(name):
        assert list(manifest)[:3] == ["apiVersion", "kind", "metadata"]
        assert "pulumi.com/" not in json.dumps(manifest)
        assert manifest["metadata"]["name"], "Pulumi's generated names are not known here"


def test_the_number_of_pods_that_an_autoscaler_decides_about_is_not_rendered() -> None:
    scaled = {"image": "shop:1", "port": 8080, "autoscaling": {"minReplicas": 2, "maxReplicas": 5, "cpu": 70}}
    versions = {"one": scaled, "two": {"image": "shop:2", "port": 8080, "replicas": 3}}
    route = [{"to": {"one": 90, "two": 10}}]
    shop = {"hosts": ["*"], "versions": versions, "route": route}
    resources = record(load({"mesh": {"install": False}, "services": {"shop": shop}}), "dev")
    rendered = [manifest for part in parts_of(resources, None) for manifest in part.manifests]

    replicas = {one["metadata"]["name"]: one["spec"].get("replicas") for one in rendered if one["kind"] == "Deployment"}
    assert replicas == {"shop-one": None, "shop-two": 3}
    assert [one["spec"]["minReplicas"] for one in rendered if one["kind"] == "HorizontalPodAutoscaler"] == [2]


def test_secrets_are_named_with_their_keys_and_never_shown() -> None:
    password = "the-password-of-grafana"  # noqa: S105
    settings = load({"telemetry": ALL_CONSOLES, "grafanaAdminPassword": {"secure": password}})
    parts = parts_of(record(settings, "test", secret=secret_with_keys), None)
    text = stream(parts, "test")
    assert password not in text
    assert "kind: Secret" not in text, "applying a masked value would replace the right one"
    assert "kubectl create secret generic grafana --namespace istio-system --from-literal=admin-password=…" in text
    assert "secretName: grafana" in text, "the pod refers to it"


def test_a_secret_of_a_chart_is_named_with_its_keys_and_never_shown() -> None:
    metadata = {"name": "registry", "namespace": "istio-system"}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"token": "the-token"}}
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}
    parts = parts_of(recorded("dev"), lambda release: [secret, account])
    text = stream(parts, "dev")
    assert "the-token" not in text
    assert "kubectl create secret generic registry --namespace istio-system --from-literal=token=…" in text
    assert [one for part in parts for one in part.manifests].count(account) == 3, "the rest of each chart is there"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"pulumi.com/skipAwait": "true"}, None),
        ({"pulumi.com/skipAwait": "true", "a": "b"}, {"a": "b"}),
        ({"a": "b"}, {"a": "b"}),
        ({}, {}),
    ],
)
def test_annotations_of_pulumi_are_dropped(given: dict[str, str], expected: dict[str, str] | None) -> None:
    metadata = {"name": "shop", "annotations": given}
    manifest = {"spec": {"template": {"metadata": metadata}}, "metadata": metadata, "kind": "Deployment"}
    rendered = without_pulumi(manifest)
    assert list(rendered) == ["kind", "metadata", "spec"]
    for cleaned in (rendered["metadata"], rendered["spec"]["template"]["metadata"]):
        assert cleaned == {"name": "shop"} | ({} if expected is None else {"annotations": expected})
    assert metadata["annotations"] == given, "what was recorded is not changed"


KINDS = ("Namespace", "ServiceAccount", "Deployment", "VirtualService", "Release")


@st.composite
def programs(draw: st.DrawFn) -> list[Recorded]:
    """Resources of any kinds, each depending on some before it."""
    made: list[Recorded] = []
    for number in range(draw(st.integers(1, 12))):
        needed = draw(st.sets(st.sampled_from([one.urn for one in made]))) if made else set()
        parents = [None, *(one.urn for one in made if one.is_component)]
        made.append(
            Recorded(
                urn=f"urn-{number}",
                type=f"kubernetes:any/v1:{draw(st.sampled_from(KINDS))}",
                name=f"{number}",
                inputs={},
                parent=draw(st.sampled_from(parents)),
                depends_on=tuple(sorted(needed)),
                is_component=draw(st.booleans()),
            )
        )
    return made


def _stage(resource: Recorded) -> int:
    return ("Namespace", "Release", "ServiceAccount", "Deployment", "VirtualService").index(
        resource.type.rpartition(":")[2]
    )


@given(programs())
def test_the_order_keeps_dependencies_and_else_follows_the_stages(resources: list[Recorded]) -> None:
    ordered = in_order(resources)
    assert sorted(one.urn for one in ordered) == sorted(one.urn for one in resources if not one.is_component)
    place = {one.urn: index for index, one in enumerate(ordered)}
    assert all(place[urn] < place[one.urn] for one in ordered for urn in one.depends_on if urn in place)
    free = [dataclasses.replace(one, depends_on=(), parent=None) for one in resources]
    stages = [_stage(one) for one in in_order(free)]
    assert stages == sorted(stages), "without dependencies, the stages decide"


def test_objects_that_wait_for_each_other_are_named() -> None:
    first = Recorded("urn-1", "kubernetes:core/v1:Service", "1", {}, None, ("urn-2",), False)
    second = dataclasses.replace(first, urn="urn-2", name="2", depends_on=("urn-1",))
    with pytest.raises(ValueError, match="wait for each other: urn-1, urn-2"):
        in_order([first, second])


@given(st.dictionaries(st.text(), st.text() | st.integers() | st.booleans() | st.lists(st.text())))
def test_yaml_keeps_every_text(data: Mapping[str, Any]) -> None:
    (document,) = (one for one in yaml.safe_load_all(stream([Part("a", ({"data": data},))], "s")) if one)
    assert document == {"data": data}


def part(name: str) -> Part:
    return Part(name, ({"kind": "ConfigMap", "metadata": {"name": name}},))


def test_a_folder_has_a_file_for_each_object_in_the_order_of_application(tmp_path: Path) -> None:
    write_folder(tmp_path, [part("b"), part("a"), part("c")], "dev")
    assert sorted(os.listdir(tmp_path)) == ["001-b.yaml", "002-a.yaml", "003-c.yaml"]
    write_folder(tmp_path, [part("c")], "dev")
    assert sorted(os.listdir(tmp_path)) == ["001-c.yaml"], "what is no longer in the stack would still be applied"


def test_a_folder_with_other_manifests_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("kind: ConfigMap\n")
    (tmp_path / "README.md").write_text("kept")
    with pytest.raises(Exception, match=r"files that canary render did not write: mine\.yaml"):
        write_folder(tmp_path, [part("a")], "dev")
    assert sorted(os.listdir(tmp_path)) == ["README.md", "mine.yaml"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose stack has one service in an existing mesh; there is neither helm nor pulumi."""
    (tmp_path / "Pulumi.yaml").write_text("name: istio-canary\nruntime: python\n", encoding="utf-8")
    (tmp_path / "Pulumi.dev.yaml").write_text(SHOP, encoding="utf-8")
    (tmp_path / "Pulumi.mesh.yaml").write_text("config:\n  istio-canary:mesh: {version: 1.31.0}\n", encoding="utf-8")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "pulumi-home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["render", *arguments])


def kinds(text: str) -> list[str]:
    return [one["kind"] for one in yaml.safe_load_all(text) if one]


SHOP_KINDS = [
    *("Namespace", "ServiceAccount", "Service", "Deployment", "Deployment"),
    *("Gateway", "DestinationRule", "VirtualService"),
]


def test_the_stream_goes_to_stdout_and_needs_neither_engine_nor_cluster(folder: Path) -> None:
    result = run("--stack", "dev")
    assert result.exit_code == 0, result.output
    assert kinds(result.stdout) == SHOP_KINDS
    assert result.stdout.startswith(RENDERED)


@pytest.mark.parametrize("option", ["out.yaml", "new/folder"])
def test_the_output_is_a_file_or_a_folder(folder: Path, option: str) -> None:
    (folder / "new").mkdir()
    result = run("--stack", "dev", "--output", option)
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    target = folder / option
    files = sorted(target.iterdir()) if target.is_dir() else [target]
    assert [kind for file in files for kind in kinds(file.read_text())] == SHOP_KINDS


def test_json_is_a_list_of_kubernetes(folder: Path) -> None:
    document = json.loads(run("--stack", "dev", "--json").stdout)
    assert (document["apiVersion"], document["kind"]) == ("v1", "List")
    assert [item["kind"] for item in document["items"]] == SHOP_KINDS


def test_without_helm_the_error_says_how_to_go_on(folder: Path) -> None:
    result = run("--stack", "mesh")
    assert result.exit_code == ExitCode.CONFIG
    for words in ("helm", "is not installed", "https://helm.sh/docs/intro/install/", "--skip-charts"):
        assert words in result.stderr
    skipped = run("--stack", "mesh", "--skip-charts")
    assert skipped.exit_code == 0, skipped.output
    assert skipped.stdout.count("# left out: the Helm chart") == 3
    assert "release istiod in namespace istio-system" in skipped.stdout


CHART = """---
# Source: a comment
kind: ClusterRole
metadata: {name: reader}
---
---
kind: Service
metadata: {name: elsewhere, namespace: other}
---
kind: ServiceAccount
metadata: {name: account, annotations: {pulumi.com/skipAwait: "true"}}
"""


def helm(folder: Path, script: str) -> None:
    """Put a helm on PATH that notes its arguments and its values, then runs `script`."""
    program = folder / "bin" / "helm"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\necho "$@" >> {folder}/called\n/bin/cat >> {folder}/values\n{script}\n', encoding="utf-8"
    )
    program.chmod(0o755)


def test_charts_are_rendered_by_helm_with_the_releases_of_the_stack(folder: Path) -> None:
    helm(folder, f"/bin/cat <<'EOF'\n{CHART}EOF")
    result = run("--stack", "mesh", "--kube-version", "1.30.0")
    assert result.exit_code == 0, result.output
    called = (folder / "called").read_text().splitlines()
    releases = {one.inputs["name"]: one.inputs for one in record(load({"mesh": {"version": "1.31.0"}}), "mesh")
                if one.type == RELEASE}  # fmt: skip
    assert [line.split()[1] for line in called] == ["istio-canary-base", "istiod", "istio-ingressgateway"]
    for line in called:
        inputs = releases[line.split()[1]]
        repository = inputs["repositoryOpts"]["repo"]
        assert f" {inputs['chart']} --namespace {inputs['namespace']} --version 1.31.0 " in line
        assert line.endswith(f"--repo {repository} --kube-version 1.30.0")
    assert "holdApplicationUntilProxyStarts: true" in (folder / "values").read_text()
    objects = _named(yaml.safe_load_all(result.stdout))
    assert "namespace" not in objects["ClusterRole"]["metadata"]
    assert objects["Service"]["metadata"]["namespace"] == "other"
    assert objects["ServiceAccount"]["metadata"] == {"name": "account", "namespace": "istio-ingress"}


def _named(documents: Iterable[Any]) -> dict[str, Any]:
    return {one["kind"]: one for one in documents if one}


@pytest.mark.parametrize(
    ("script", "code", "words"),
    [
        ("echo 'Error: chart not found' >&2; exit 1", ExitCode.FAILED, ("chart not found", "mesh.charts")),
        ("exit 3", ExitCode.FAILED, ("cannot render the chart base 1.31.0", "--skip-charts")),
    ],
)
def test_an_error_of_helm_is_shown_with_the_chart_and_a_fix(
    folder: Path, script: str, code: ExitCode, words: tuple[str, ...]
) -> None:
    helm(folder, script)
    result = run("--stack", "mesh")
    assert result.exit_code == code
    for word in words:
        assert word in result.stderr
    assert "Traceback" not in result.output


def test_a_helm_that_cannot_be_executed_is_named(folder: Path) -> None:
    helm(folder, "")
    (folder / "bin" / "helm").write_text("#!/no/such/interpreter\n")
    result = run("--stack", "mesh")
    assert result.exit_code == ExitCode.CONFIG
    assert f"{folder}/bin/helm cannot be executed" in result.stderr


@pytest.mark.parametrize("output", ["no/such/folder/out.yaml", "Pulumi.yaml/sub"])
def test_an_output_that_cannot_be_written_is_an_error(folder: Path, output: str) -> None:
    result = run("--stack", "dev", "--output", output)
    assert result.exit_code == ExitCode.CONFIG
    assert "cannot be written" in result.stderr
