"""Two services that claim one host are told how the route of one of them leads to versions of both."""

from __future__ import annotations

from pathlib import Path

import pytest

from stacks.settings.loading import load_stack
from stacks.settings.problems import SettingsError
from tests.unit.problems import config

VERSIONS = "versions: {v1: {image: a, port: 80}, v2: {image: a, port: 80}}"
HOST = "hosts: [www.example.com]"
ALL = "route: [{to: {v1: 90, v2: 10}}]"
BELOW = "route: [{match: [{uri: {prefix: /api}}], to: {v1: 60, v2: 40}}, {to: v1}]"


def problem(tmp_path: Path, site: str, api: str) -> str:
    """What is said of the claim in a file with the services `site` and `api`, in this order."""
    file = tmp_path / "Pulumi.dev.yaml"
    blocks = (f"  {name}: {{{VERSIONS}, {keys}}}\n" for name, keys in (("site", site), ("api", api)))
    file.write_text(config(f"services:\n{''.join(blocks)}"))
    with pytest.raises(SettingsError) as caught:
        load_stack(file)
    (found,) = (one for one in caught.value.problems if "claimed" in one.what)
    return str(found)


def test_the_rule_for_a_path_goes_into_the_route_of_the_service_that_has_the_host(tmp_path: Path) -> None:
    text = problem(tmp_path, f"{HOST}, {ALL}", f"{HOST}, {BELOW}")
    assert "write `- {match: [{uri: {prefix: /api}}], to: {api/v1: 60, api/v2: 40}}`" in text
    assert "into istio-canary:services.site.route" in text
    assert "remove the host from istio-canary:services.api.hosts, with gateways: [mesh] if none is left" in text


def test_the_service_for_all_paths_keeps_the_host_if_it_comes_second(tmp_path: Path) -> None:
    text = problem(tmp_path, f"{HOST}, {BELOW}", f"{HOST}, {ALL}")
    assert "write `- {match: [{uri: {prefix: /api}}], to: {site/v1: 60, site/v2: 40}}`" in text
    assert "into istio-canary:services.api.route" in text


def test_services_without_paths_get_an_example(tmp_path: Path) -> None:
    text = problem(tmp_path, f"{HOST}, {ALL}", f"{HOST}, {ALL}")
    assert "{match: [{uri: {prefix: /api}}], to: api/v1}" in text


def test_a_version_of_the_service_that_has_the_host_is_named_as_its_own(tmp_path: Path) -> None:
    mixed = "route: [{match: [{uri: {prefix: /x}}], to: site/v1}, {to: v1}]"
    assert "to: v1}" in problem(tmp_path, f"{HOST}, {ALL}", f"{HOST}, {mixed}")


def test_a_host_inside_the_mesh_is_told_the_same(tmp_path: Path) -> None:
    text = problem(tmp_path, f"{HOST}, gateways: [mesh], {ALL}", f"{HOST}, gateways: [mesh], {BELOW}")
    assert "inside the mesh is already claimed by the service 'site'" in text
    assert "to: {api/v1: 60, api/v2: 40}" in text
