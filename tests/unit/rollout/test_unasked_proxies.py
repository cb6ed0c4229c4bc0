"""Waiting for Envoys that may not be asked."""

from __future__ import annotations

from typing import Any

import pytest

from rollout.proxy_sync import ProxySync
from rollout.unasked_proxies import UnaskedProxies
from stacks.proxies import proxies_of
from stacks.settings.loading import load
from traffic.model import Target

V2 = Target("shop", "version-2")


class Asked:
    """Notes what is asked."""

    def __init__(self, said: list[str]) -> None:
        self.said = said

    def until_known(self, targets: Any, caller: str) -> None:
        self.said.append(f"asked for {sorted(targets)} of {caller}")

    def until_unused(self, targets: Any) -> None:
        self.said.append(f"asked for {sorted(targets)}")


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What happens, in order."""
    happened: list[str] = []
    monkeypatch.setattr("rollout.unasked_proxies.time.sleep", lambda seconds: happened.append(f"waited {seconds} s"))
    return happened


def waiting(said: list[str], asked: Asked | None) -> UnaskedProxies:
    """Waits 7 s for the sidecars."""
    return UnaskedProxies(
        asked=asked,  # type: ignore[arg-type]
        unasked="the sidecars",
        setting="proxySync.ask: gateway",
        seconds=7,
        note=said.append,
    )


def test_those_that_may_be_asked_are_asked_first_and_the_others_get_a_stated_time(said: list[str]) -> None:
    waiting(said, Asked(said)).until_known([V2], "web")
    assert said == [
        f"asked for {[V2]} of web",
        "waited 7 s",
        "not proven after 7 s (proxySync.ask: gateway): that the sidecars know a healthy pod of shop/version-2, to "
        "which requests are sent now",
    ]


def test_it_is_said_which_pods_go_without_proof(said: list[str]) -> None:
    waiting(said, None).until_unused([V2])
    assert said == [
        "waited 7 s",
        "not proven after 7 s (proxySync.ask: gateway): that the sidecars send no more requests to shop/version-2, "
        "which loses its pods or its subset now",
    ]


@pytest.mark.parametrize(
    ("setting", "in_mesh", "asks", "waits_for"),
    [
        ({}, True, "gateway and sidecars", None),
        ({}, False, "gateway", None),
        ({"ask": "gateway"}, False, "gateway", None),
        ({"ask": "gateway"}, True, "gateway", "the sidecars"),
        ({"ask": "none"}, False, None, "the mesh's Envoys"),
        ({"ask": "none"}, True, None, "the mesh's Envoys"),
    ],
)
def test_the_setting_decides_who_is_asked(
    setting: dict[str, str], in_mesh: bool, asks: str | None, waits_for: str | None
) -> None:
    proxies = proxies_of(load({"proxySync": setting}), in_mesh)
    asked = proxies if isinstance(proxies, ProxySync) else proxies.asked
    assert (None if asked is None else "gateway and sidecars" if asked.in_mesh else "gateway") == asks
    assert (proxies.unasked if isinstance(proxies, UnaskedProxies) else None) == waits_for
