"""Mistakes in Istio's revisions, and in the mesh of another stack, in the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from stacks.mesh_traffic import assumed
from stacks.settings.loading import load, load_stack, warnings
from stacks.settings.problems import SettingsError
from tests.unit.problems import HERE, HOSTS, ONE, Case, assert_is_reported, assert_is_reported_once, config

TWO = "mesh:\n  revisions: {1-31: {version: 1.31.4}, 1-32: {version: 1.32.0}}\n"
MESH = "istio-canary:mesh"
REFERENCE = "organization/istio-canary/prod-mesh"
SHOP = f"services:\n  shop:\n    {HOSTS}    {ONE}"

CASES = (
    Case("several revisions, and none for namespaces", config(f"{TWO.replace('mesh:', f'mesh: {HERE}')}"),
         f"{MESH}.revision", ("it is not known which one", "one of 1-31, 1-32", "revision: 1-31")),
    Case("an unknown revision", config(f"{TWO}  revision: 1-33 {HERE}\n"), f"{MESH}.revision",
         ("no such revision or tag", 'given:   "1-33"', "allowed: 1-31, 1-32", "write 1-3")),
    Case("an unknown revision of the gateway", config(f"{TWO}  revision: 1-31\n  gateway: {{revision: x}} {HERE}\n"),
         f"{MESH}.gateway.revision", ("no such revision or tag", "add x to istio-canary:mesh.revisions")),
    Case("an unknown revision of a namespace",
         config(f"{TWO}  revision: 1-31\nnamespaces: {{shop: {{revision: 1-23}}}} {HERE}\n{SHOP}"),
         "istio-canary:namespaces.shop.revision", ("no such revision or tag", 'given:   "1-23"', "1-31, 1-32")),
    Case("a revision without revisions", config(f"namespaces: {{shop: {{revision: 1-32}}}} {HERE}\n{SHOP}"),
         "istio-canary:namespaces.shop.revision", ("allowed: default",)),
    Case("a tag of no revision", config(f"{TWO}  revision: 1-31\n  tags: {{stable: 1-30}} {HERE}\n"),
         f"{MESH}.tags.stable", ("no such revision", 'given:   "1-30"')),
    Case("a tag with the name of a revision", config(f"{TWO}  revision: 1-31\n  tags: {{1-32: 1-31}} {HERE}\n"),
         f'{MESH}.tags.1-32', ("also the name of a revision", "rename the tag")),
    Case("a tag default beside the revision default", config(f"mesh: {{tags: {{default: default}}}} {HERE}\n"),
         f"{MESH}.tags.default", ("also the name of a revision",)),
    Case("a revision with dots", config(f'mesh:\n  revisions: {{"1.31": {{}}}} {HERE}\n'),
         f'{MESH}.revisions["1.31"]', ("'1.31' is not a DNS label", "write '1-31'")),
    Case("a long revision", config(f"mesh:\n  revisions: {{{'a' * 47}: {{}}}} {HERE}\n"),
         f"{MESH}.revisions.{'a' * 47}", ("has 54 characters", "at most 46")),
    Case("a release that is none", config(f'mesh:\n  revisions: {{1-31: {{version: "1.31"}}}} {HERE}\n'),
         f"{MESH}.revisions.1-31.version", ("'1.31' is not a release of Istio",)),
    Case("an unknown key of a revision", config(f"mesh:\n  revisions: {{1-31: {{verson: 1.31.4}}}} {HERE}\n"),
         f"{MESH}.revisions.1-31.verson", ("rename it to `version`",)),
    Case("the tag of another release's images",
         config(f"mesh:\n  revisions:\n    1-31: {{version: 1.31.4, values: {{global: {{tag: 1.30.0}}}}}} {HERE}\n"),
         f"{MESH}.revisions.1-31.version", ("would not be of the charts' release",)),
    Case("a mesh of another stack, and one of its own",
         config(f"mesh:\n  stackReference: {REFERENCE}\n  install: true {HERE}\n"), f"{MESH}.install",
         (f"the stack {REFERENCE} installs the mesh", "remove install")),
    Case("the short name of a stack", config(f"mesh: {{stackReference: prod-mesh}} {HERE}\n"),
         f"{MESH}.stackReference", ("not the full name of a stack", "<organization>/<project>/<stack>")),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_mistake_is_reported_with_place_value_and_fix(case: Case, tmp_path: Path) -> None:
    assert_is_reported(case, tmp_path)
    assert_is_reported_once(case, tmp_path)


def test_every_revision_of_a_folder_of_charts_is_of_its_release(tmp_path: Path) -> None:
    for release in ("1.31.4", "1.32.0"):
        for chart in ("base", "istiod", "gateway"):
            (tmp_path / release / chart).mkdir(parents=True)
            (tmp_path / release / chart / "Chart.yaml").write_text(f"version: {release}\n")
    revisions = {one.replace(".", "-"): {"version": one, "charts": str(tmp_path / one)} for one in ("1.31.4", "1.32.0")}
    mesh = {"revisions": revisions, "revision": "1-31-4"}
    assert load({"mesh": mesh}).mesh.all_revisions["1-32-0"].version == "1.32.0"

    revisions["1-32-0"]["charts"] = str(tmp_path / "1.31.4")
    with pytest.raises(SettingsError) as error:
        load({"mesh": mesh})
    (problem,) = error.value.problems
    assert problem.path == "istio-canary:mesh.revisions.1-32-0.version"
    assert "base is 1.31.4" in problem.what
    assert "istio-canary:mesh.revisions.1-32-0.charts" in problem.fix


MESH_FILE = """\
config:
  istio-canary:mesh:
    revisions: {1-31: {version: 1.31.4, values: {pilot: {}}}}
    namespace: mesh
    mtls: PERMISSIVE
    charts: /charts
    gateway: {name: edge, ports: [80, 443]}
  istio-canary:telemetry: {metrics: envoy, prometheus: {enabled: true}}
"""
SERVICES_FILE = f"""\
config:
  istio-canary:mesh: {{stackReference: {REFERENCE}}}
  istio-canary:services:
    shop: {{hosts: [shop.example.com], versions: {{v1: {{image: "shop:1", port: 8080}}}}, gatewayPort: 443}}
"""


def _files(folder: Path, mesh: str = MESH_FILE, services: str = SERVICES_FILE) -> Path:
    (folder / "Pulumi.prod-mesh.yaml").write_text(mesh)
    (folder / "Pulumi.prod.yaml").write_text(services)
    return folder / "Pulumi.prod.yaml"


def test_a_stack_has_the_mesh_that_the_file_of_the_other_stack_says(tmp_path: Path) -> None:
    settings = load_stack(_files(tmp_path)).settings
    mesh = settings.mesh
    assert not mesh.install
    assert (mesh.namespace, mesh.mtls.value, mesh.gateway.name, mesh.gateway.ports) == (
        "mesh",
        "PERMISSIVE",
        "edge",
        (80, 443),
    )
    assert mesh.usual_revision == "1-31"
    assert "charts" not in mesh.model_fields_set, "they concern the other stack alone"
    assert settings.telemetry.prometheus_url == "http://prometheus.mesh:9090"
    assert settings.telemetry.metrics.value == "envoy"


def test_what_the_file_says_itself_goes_before(tmp_path: Path) -> None:
    mesh = f"{{stackReference: {REFERENCE}, gateway: {{name: other}}, revision: 1-31}}"
    own = SERVICES_FILE.replace(f"{{stackReference: {REFERENCE}}}", mesh)
    own += "  istio-canary:telemetry: {prometheus: {url: 'https://prometheus.example.com'}}\n"
    settings = load_stack(_files(tmp_path, services=own)).settings
    assert (settings.mesh.gateway.name, settings.mesh.gateway.ports) == ("other", (80, 443))
    assert settings.telemetry.prometheus_url == "https://prometheus.example.com"


@pytest.mark.parametrize("mesh", ["config: [", "config: {}", None], ids=["broken", "with defaults", "not here"])
def test_a_file_that_is_not_here_or_not_readable_is_left_to_the_run(tmp_path: Path, mesh: str | None) -> None:
    file = _files(tmp_path, mesh or "", SERVICES_FILE.replace(", gatewayPort: 443", ""))
    if mesh is None:
        (tmp_path / "Pulumi.prod-mesh.yaml").unlink()
    assert load_stack(file).settings.mesh.stack_reference == REFERENCE


def test_a_stack_whose_file_says_that_it_has_no_mesh_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as error:
        load_stack(
            _files(tmp_path, "config:\n  istio-canary:mesh: {install: false}\n", SERVICES_FILE.replace("443", "80"))
        )
    (problem,) = error.value.problems
    assert (problem.path, problem.file, problem.line) == (f"{MESH}.stackReference", "Pulumi.prod.yaml", 2)
    assert "installs no mesh" in problem.what
    assert "name the stack that installs the mesh" in problem.fix


REWRITING = """\
  istio-canary:services:
    shop:
      hosts: [shop.example.com]
      versions: {v1: {image: "shop:1", port: 8080}}
      route:
        - match: [{uri: {prefix: /old/}}]
          redirect: {prefixRewrite: /new/}
        - to: v1
"""


def test_nothing_is_assumed_about_the_mesh_of_another_stack(tmp_path: Path) -> None:
    services = f"config:\n  istio-canary:mesh: {{stackReference: {REFERENCE}}}\n{REWRITING}"
    loaded = load_stack(_files(tmp_path, services=services))
    assert assumed(loaded.settings) == ()
    paths = [one.path for one in warnings(loaded.settings, loaded.source)]
    assert not [path for path in paths if "redirect" in path], "the release is that of the other stack's file"


def test_a_redirect_that_the_oldest_revision_has_not_is_refused(tmp_path: Path) -> None:
    services = f"config:\n  istio-canary:mesh: {{stackReference: {REFERENCE}}}\n{REWRITING}"
    mesh = "config:\n  istio-canary:mesh: {revisions: {1-30: {version: 1.30.4}, 1-31: {}}, revision: 1-31}\n"
    with pytest.raises(SettingsError, match=r"Istio 1\.30\.4 \(mesh\.revisions\.1-30\.version\) does not have"):
        load_stack(_files(tmp_path, mesh, services))
