"""Pulumi's parts in the places of Pulumi's own installer, without touching what somebody has installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.builder.artifacts import Built
from sandbox.cluster import pulumi_home


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Built:
    """Built programs in a cache, and an empty home of Pulumi."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "home"))
    programs = {}
    for name in (*pulumi_home.PROGRAMS, pulumi_home.PROVIDER):
        programs[name] = tmp_path / "cache" / "istio-canary" / "bin" / f"{name}-1" / name
        programs[name].parent.mkdir(parents=True)
        programs[name].touch()
    return Built(programs=programs, images=(), charts=tmp_path)


def places(home: Path) -> tuple[Path, Path]:
    (plugin,) = (home / "plugins").glob("resource-kubernetes-v*")
    return home / "bin" / "pulumi", plugin / pulumi_home.PROVIDER


def test_cli_and_provider_are_linked_and_removed_again(built: Built, tmp_path: Path) -> None:
    pulumi_home.install(built)
    cli, provider = places(tmp_path / "home")
    assert cli.resolve() == built.binary("pulumi")
    assert provider.resolve() == built.binary(pulumi_home.PROVIDER)
    helm = cli.with_name("helm")
    assert helm.resolve() == built.binary("helm")
    pulumi_home.uninstall()
    assert not cli.exists()
    assert not helm.exists()
    assert not provider.parent.exists()


def test_what_somebody_has_installed_stays(built: Built, tmp_path: Path) -> None:
    cli = tmp_path / "home" / "bin" / "pulumi"
    cli.parent.mkdir(parents=True)
    cli.write_text("official")
    pulumi_home.install(built)
    assert cli.read_text() == "official"
    pulumi_home.uninstall()
    assert cli.read_text() == "official"


def test_a_link_that_leads_nowhere_is_replaced(built: Built, tmp_path: Path) -> None:
    cli = tmp_path / "home" / "bin" / "pulumi"
    cli.parent.mkdir(parents=True)
    cli.symlink_to(tmp_path / "deleted" / "pulumi")
    pulumi_home.install(built)
    assert cli.resolve() == built.binary("pulumi")
