"""Stacks and clusters, for real: two stacks on one cluster, and a stack that reaches its cluster in other ways."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.cluster_stack import make_cluster_stack
from tests.e2e.runs import STACK, answers, the_shop
from tests.e2e.test_secrets import leaks, without_passphrase
from tests.e2e.tools import CHECKOUT, Completed, Project, service

OTHER = "other"


def _cluster(project: Project, stack: str, cluster: dict[str, Any], services: dict[str, Any] | None = None) -> None:
    config = project.service_config(services or the_shop())
    project.write_stack(stack, {**config, "istio-canary:cluster": cluster})


def _of_file(project: Project) -> dict[str, Any]:
    layout = project.cluster.layout
    return {"kubeconfig": str(layout.kubeconfig), "context": layout.context}


def _uids(project: Project, namespace: str) -> dict[str, str]:
    """The uids of what a stack has in its namespace: one that is replaced gets another."""
    kinds = "deployment,service,serviceaccount,virtualservice,destinationrule"
    found = project.cluster.get(kinds, "--namespace", namespace)["items"]
    return {f"{one['kind']}/{one['metadata']['name']}": one["metadata"]["uid"] for one in found}


def _preview(project: Project, stack: str) -> list[str]:
    """What a preview would do, as `<operation> <type>`, without what is only Pulumi's own."""
    shown = project.canary("preview", "--stack", stack, "--json")
    assert shown.returncode == 0, shown.stdout + shown.stderr
    return [
        f"{one['op']} {one['type']}"
        for one in json.loads(shown.stdout)["resources"]
        if one["type"].startswith("kubernetes:")
    ]


@pytest.mark.long
def test_two_stacks_on_one_cluster_do_not_disturb_each_other(shop: Project) -> None:
    route = [{"to": {"version-1": 90, "version-2": 10}}]
    other = service(OTHER, host="other.example", namespace=OTHER, route=route)
    shop.up(STACK)
    _cluster(shop, OTHER, _of_file(shop), other)
    shop.up(OTHER)
    try:
        before = _uids(shop, "shop"), _uids(shop, OTHER)
        other[OTHER]["route"] = [{"to": {"version-1": 50, "version-2": 50}}]
        _cluster(shop, OTHER, _of_file(shop), other)
        shop.up(OTHER)
        assert _preview(shop, STACK) == []
        assert (_uids(shop, "shop"), _uids(shop, OTHER)) == before
    finally:
        destroyed = shop.canary("destroy", "--stack", OTHER, "--yes")
    assert destroyed.returncode == 0, destroyed.stdout + destroyed.stderr
    assert _uids(shop, "shop") == before[0]
    assert not shop.cluster.exists("namespace", OTHER)


@pytest.fixture
def cluster_stack(shop: Project, tmp_path: Path) -> str:
    """A stack in the same backend that has the sandbox's kubeconfig as a secret output."""
    return make_cluster_stack(shop, tmp_path / "a-cluster")


@pytest.mark.long
def test_a_stack_that_reaches_its_cluster_in_another_way_replaces_nothing(
    shop: Project, cluster_stack: str, tmp_path: Path
) -> None:
    _cluster(shop, STACK, _of_file(shop))
    shop.up(STACK)
    before = _uids(shop, "shop")

    content = yaml.safe_load(shop.cluster.layout.kubeconfig.read_text())
    content["contexts"].append({"name": "renamed", "context": content["contexts"][0]["context"]})
    copied = tmp_path / "kubeconfig"
    copied.write_text(yaml.safe_dump(content))
    ways: list[dict[str, Any]] = [
        {"kubeconfig": str(copied), "context": "renamed"},
        {"stackReference": cluster_stack},
        {"kind": "sandbox", "name": shop.cluster.layout.name},
    ]
    for way in ways:
        _cluster(shop, STACK, way)
        assert _preview(shop, STACK) == []
        shop.up(STACK)
        assert _uids(shop, "shop") == before
        status = shop.canary("status", "--stack", STACK)
        assert status.returncode == 0, status.stdout + status.stderr


def _encrypt_kubeconfig(project: Project) -> tuple[str, ...]:
    """Give the stack the sandbox's kubeconfig as an encrypted text, and return its client's key in base64 and as it is.

    The current context of the text leads nowhere: the stack's file has to choose the other one.
    """
    layout = project.cluster.layout
    content = yaml.safe_load(layout.kubeconfig.read_text())
    user = content["users"][0]
    content["clusters"].append({"name": "nowhere", "cluster": {"server": "https://127.0.0.1:1"}})
    content["contexts"].append({"name": "nowhere", "context": {"cluster": "nowhere", "user": user["name"]}})
    content["current-context"] = "nowhere"
    _cluster(project, STACK, {"context": layout.context})
    words = ("config", "set", "--secret", "--stack", STACK, "--path", "istio-canary:cluster.kubeconfig")
    project.pulumi(*words, stdin=yaml.safe_dump(content))
    key = str(user["user"]["client-key-data"])
    return key, base64.b64decode(key).decode()


def test_a_stack_whose_kubeconfig_is_an_encrypted_text_is_deployed_and_shows_it_nowhere(shop: Project) -> None:
    (shop.folder / ".venv").symlink_to(CHECKOUT / ".venv")  # for plain pulumi
    shop.pulumi("stack", "init", STACK)
    keys = _encrypt_kubeconfig(shop)
    done: list[Completed] = [
        without_passphrase(shop, *words, "--stack", STACK) for words in (("check",), ("render",), ("explain", "shop"))
    ]
    done += [
        shop.canary(*words, "--stack", STACK)
        for words in (("preview",), ("up", "--yes", "--json"), ("status",), ("preview", "--json"))
    ]
    done.append(shop.pulumi("preview", "--diff", "--stack", STACK))
    assert [one.returncode for one in done] == [0] * len(done), [one.stdout + one.stderr for one in done]
    assert set(json.loads(done[-2].stdout)["changes"]) == {"same"}
    assert answers(shop) == {"version-1", "version-2"}

    refused = without_passphrase(shop, "status", "--stack", STACK)
    assert refused.returncode == 2
    assert "need a passphrase, but none is set" in refused.stderr
    state = shop.pulumi("stack", "export", "--stack", STACK)
    history = shop.pulumi("stack", "history", "--stack", STACK, "--json")
    printed = [text for one in (*done, refused, state, history) for text in (one.stdout, one.stderr)]
    assert leaks(shop.folder, printed, keys) == []


@pytest.mark.long
def test_a_stack_that_moves_from_a_file_to_the_encrypted_text_replaces_nothing(shop: Project) -> None:
    _cluster(shop, STACK, _of_file(shop))
    shop.up(STACK)
    before = _uids(shop, "shop")
    for move in (lambda: _encrypt_kubeconfig(shop), lambda: _cluster(shop, STACK, _of_file(shop))):
        move()
        assert _preview(shop, STACK) == []
        shop.up(STACK)
        assert _uids(shop, "shop") == before


@pytest.mark.long
def test_a_cluster_of_a_stack_that_is_not_there_is_refused_before_anything_is_touched(shop: Project) -> None:
    _cluster(shop, STACK, {"stackReference": "organization/a-cluster/nope"})
    for command in (("up", "--yes"), ("preview",), ("status",)):
        done: subprocess.CompletedProcess[str] = shop.canary(*command, "--stack", STACK)
        assert done.returncode == 2
        said = done.stdout + done.stderr
        assert "istio-canary:cluster.stackReference: there is no stack organization/a-cluster/nope" in said
        assert "fix:" in said
    assert not shop.cluster.exists("namespace", "shop")
    _cluster(shop, STACK, _of_file(shop))
