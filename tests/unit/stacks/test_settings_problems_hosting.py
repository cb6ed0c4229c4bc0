"""Retired hosts, values that override settings and charts of another release are mistakes; mirrors are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from stacks.settings.loading import load, load_stack
from tests.unit.problems import HERE, Case, assert_is_reported, assert_is_reported_once, config, only, problems_of

CHARTS = "istio-canary:mesh.charts"
VALUES = "istio-canary:mesh.values"
NEW_CHARTS = (
    "allowed: https://blob.istio.io/istio-release/charts, oci://ghcr.io/istio/release/charts, or a mirror of them",
)
IN_HUB = "write docker.io/istio instead of gcr.io/istio-release"


def mesh(keys: str) -> str:
    """A file with these keys of the mesh."""
    return config(f"mesh: {{{keys}}} {HERE}")


CASES = [
    Case("charts", mesh("charts: 'https://istio-release.storage.googleapis.com/charts'"), CHARTS,
         ("nothing at istio-release.storage.googleapis.com since 1.31", "retires it in December 2026", *NEW_CHARTS,
          "fix:     write https://blob.istio.io/istio-release/charts")),
    Case("charts as OCI artifacts", mesh("charts: 'oci://gcr.io/istio-release/charts'"), CHARTS,
         ("nothing at gcr.io/istio-release/charts", *NEW_CHARTS, "fix:     write oci://ghcr.io/istio/release/charts")),
    Case("hub", mesh("hub: gcr.io/istio-release"), "istio-canary:mesh.hub",
         ('given:   "gcr.io/istio-release"', "allowed: docker.io/istio, or a mirror of it", IN_HUB)),
    Case("hub of 1.30's charts", mesh("hub: registry.istio.io/release"), "istio-canary:mesh.hub",
         ("write docker.io/istio instead of registry.istio.io/release",)),
    Case("hub in upper case", mesh("hub: GCR.io/istio-release"), "istio-canary:mesh.hub",
         ("write docker.io/istio instead of GCR.io/istio-release",)),
    Case("global.hub", mesh("values: {istiod: {global: {hub: gcr.io/istio-release}}}"),
         f"{VALUES}.istiod.global.hub", (IN_HUB,)),
    Case("global.hub of base", mesh("values: {base: {global: {hub: gcr.io/istio-release}}}"),
         f"{VALUES}.base.global.hub", (IN_HUB,)),
    Case("pilot.hub", mesh("values: {istiod: {pilot: {hub: registry.istio.io/testing}}}"), f"{VALUES}.istiod.pilot.hub",
         ("write docker.io/istio instead of registry.istio.io",)),
    Case("image", mesh("values: {gateway: {image: 'gcr.io/istio-release/proxyv2:1.31.4'}}"), f"{VALUES}.gateway.image",
         (IN_HUB,)),
    Case("in a list", mesh("values: {gateway: {initContainers: [{image: 'gcr.io/istio-release/base:1.30.0'}]}}"),
         f"{VALUES}.gateway.initContainers[0].image", (IN_HUB,)),
    Case("in a longer text",
         config(f"mesh:\n  values:\n    istiod:\n      template: | {HERE}\n        image: gcr.io/istio-release/x\n"),
         f"{VALUES}.istiod.template", (IN_HUB,)),
    Case("another file of a release",
         mesh("values: {istiod: {url: 'https://istio-release.storage.googleapis.com/releases/a.deb'}}"),
         f"{VALUES}.istiod.url",
         ("write blob.istio.io/istio-release instead of istio-release.storage.googleapis.com",)),
    Case("image of a service",
         only("versions: {v1: {image: 'registry.istio.io/release/examples-helloworld-v1:1.0', port: 5000}}"),
         "istio-canary:services.shop.versions.v1.image", ("write docker.io/istio instead of",)),
    Case("two hubs", mesh("hub: a.example.com, values: {istiod: {global: {hub: b.example.com}}}"),
         "istio-canary:mesh.hub",
         (f'{VALUES}.istiod.global.hub overrides it, with "b.example.com"',
          f"one of istio-canary:mesh.hub and {VALUES}.istiod.global.hub",
          'keep one of the two: remove istio-canary:mesh.hub ("a.example.com") or '
          f'{VALUES}.istiod.global.hub ("b.example.com")')),
    Case("two outbound policies",
         mesh("outboundTrafficPolicy: REGISTRY_ONLY, "
              "values: {istiod: {meshConfig: {outboundTrafficPolicy: {mode: ALLOW_ANY}}}}"),
         "istio-canary:mesh.outboundTrafficPolicy",
         (f'{VALUES}.istiod.meshConfig.outboundTrafficPolicy.mode overrides it, with "ALLOW_ANY"',
          'keep one of the two: remove istio-canary:mesh.outboundTrafficPolicy ("REGISTRY_ONLY")')),
    Case("two debounce times", mesh("pushDebounce: 10ms, values: {istiod: {env: {PILOT_DEBOUNCE_AFTER: 1s}}}"),
         "istio-canary:mesh.pushDebounce",
         (f'{VALUES}.istiod.env.PILOT_DEBOUNCE_AFTER overrides it, with "1s"', "keep one of the two", '"10ms"')),
    Case("two Service types", mesh("gateway: {serviceType: NodePort}, values: {gateway: {service: {type: ClusterIP}}}"),
         "istio-canary:mesh.gateway.serviceType",
         (f'{VALUES}.gateway.service.type overrides it, with "ClusterIP"', "keep one of the two", '"NodePort"')),
    Case("a tag of another release", mesh("version: 1.31.4, values: {istiod: {global: {tag: 1.31.0}}}"),
         "istio-canary:mesh.version",
         (f'{VALUES}.istiod.global.tag overrides it, with "1.31.0"', "keep one of the two", 'instead of "1.31.4"')),
    Case("a tag of another release than the default", mesh("values: {istiod: {global: {tag: 1.31.0}}}"),
         "istio-canary:mesh.version", (f"keep one of the two: remove {VALUES}.istiod.global.tag",)),
    Case("a hub with scheme", mesh("hub: 'https://registry.example.com/istio/'"), "istio-canary:mesh.hub",
         ("is not a hub", "write registry.example.com/istio")),
    Case("a hub with tag", mesh("hub: 'registry.example.com/istio:1.31.4'"), "istio-canary:mesh.hub",
         ("is not a hub", "registry[:port][/path]")),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_mistake_is_said_with_its_line_path_and_fix(case: Case, tmp_path: Path) -> None:
    assert_is_reported(case, tmp_path)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_one_mistake_is_not_told_many_times(case: Case, tmp_path: Path) -> None:
    assert_is_reported_once(case, tmp_path)


@pytest.mark.parametrize(
    "keys",
    [
        "charts: 'https://blob.istio.io/istio-release/charts'",
        "charts: 'oci://ghcr.io/istio/release/charts'",
        "charts: 'oci://mirror.example.com/gcr.io/istio-release/charts'",
        "hub: docker.io/istio",
        "hub: 'localhost:5000'",
        "hub: 'mirror.example.com:5000/registry.istio.io/release'",
        "hub: gcr.io/istio-release-mirror",
        "hub: my-registry.istio.io.example.com/istio",
        "hub: registry.example.com/istio, values: {istiod: {global: {tag: 1.31.4}}}",
        "values: {istiod: {global: {hub: registry.example.com/istio}}}",
        "version: 1.31.0, values: {istiod: {global: {tag: 1.31.0-distroless}}}",
        "pushDebounce: 10ms, values: {istiod: {env: {PILOT_DEBOUNCE_AFTER: 10ms}}}",
        "values: {gateway: {service: {type: NodePort}}}",
    ],
)
def test_what_overrides_no_setting_and_names_no_retired_host_is_valid(keys: str, tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.dev.yaml"
    file.write_text(mesh(keys))

    load_stack(file)


def test_by_default_istio_comes_from_its_own_hosts() -> None:
    mesh = load({}).mesh

    assert (mesh.version, mesh.charts, mesh.hub) == (
        "1.31.4",
        "https://blob.istio.io/istio-release/charts",
        "docker.io/istio",
    )


def _charts(folder: Path, **versions: str) -> Path:
    for chart, version in versions.items():
        (folder / chart).mkdir(parents=True)
        (folder / chart / "Chart.yaml").write_text(f"name: {chart}\n{version}\n")
    return folder


@pytest.mark.parametrize(
    ("keys", "versions", "words"),
    [
        pytest.param(
            "version: 1.31.4, ",
            ("1.31.0", "1.31.0", "1.31.0"),
            ("base is 1.31.0, istiod is 1.31.0, gateway is 1.31.0", 'given:   "1.31.4"', "write 1.31.0, or name"),
            id="all of one other release",
        ),
        pytest.param("", ("1.31.0", "1.31.0", "1.31.0"), ('given:   "1.31.4"', "write 1.31.0"), id="not the default's"),
        pytest.param(
            "version: 1.31.0, ",
            ("1.31.0", "1.31.0", "1.30.5"),
            ("gateway is 1.30.5", "put the charts of one release into"),
            id="of several releases",
        ),
    ],
)
def test_a_folder_with_charts_of_another_release_is_refused(
    keys: str, versions: tuple[str, str, str], words: tuple[str, ...], tmp_path: Path
) -> None:
    base, istiod, gateway = (f"version: {version}" for version in versions)
    folder = _charts(tmp_path / "charts", base=base, istiod=istiod, gateway=gateway)
    (problem,) = problems_of(tmp_path, mesh(f"{keys}charts: {folder}")).problems

    assert (problem.path, problem.line) == ("istio-canary:mesh.version", 2)
    for part in (str(folder), *words):
        assert part in str(problem), f"{part!r} is not said in:\n{problem}"


def test_a_malformed_version_beside_a_folder_of_charts_is_said_as_such(tmp_path: Path) -> None:
    folder = _charts(tmp_path / "charts", istiod="version: 1.31.0")
    error = problems_of(tmp_path, mesh(f"version: [1.31.0], charts: {folder}"))

    assert "this is a list" in str(error)


@pytest.mark.parametrize(
    ("keys", "chart"),
    [
        ("version: 1.31.0", "version: 1.31.0"),
        ("version: 1.31.4", "version: {"),
        ("version: 1.31.4", "- no chart"),
    ],
)
def test_charts_that_are_right_or_unreadable_are_left_to_helm(keys: str, chart: str, tmp_path: Path) -> None:
    folder = _charts(tmp_path / "charts", istiod=chart)
    file = tmp_path / "Pulumi.dev.yaml"
    file.write_text(mesh(f"{keys}, charts: {folder}"))

    assert load_stack(file).settings.mesh.charts_folder == folder
