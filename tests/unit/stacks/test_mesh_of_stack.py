"""What a run does with the mesh of another stack: it compares what is deployed, and takes over its revisions."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pulumi
import pytest

from stacks.mesh_of_stack import described, require_cluster_of_mesh, with_deployed_mesh
from stacks.settings.loading import load
from stacks.settings.model import Settings
from stacks.settings.problems import Problem, SettingsError

NAMED = "organization/istio-canary/prod-mesh"
FILE = "Pulumi.prod.yaml"
SHOP = {"hosts": ["shop.example.com"], "versions": {"v1": {"image": "shop:1", "port": 8080}}}


def _deployed(**mesh: Any) -> dict[str, Any]:
    """The output of a stack with this mesh, as the engine gives it: numbers are floats."""
    known = described(load({"mesh": mesh}))
    known["gateway"]["ports"] = [float(port) for port in known["gateway"]["ports"]]
    return known


def _services(namespaces: dict[str, Any] | None = None, **mesh: Any) -> Settings:
    return load({"mesh": {"stackReference": NAMED, **mesh}, "services": {"shop": SHOP}, "namespaces": namespaces or {}})


@pytest.fixture
def outputs(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets the outputs of the other stack, or what the engine reports."""

    def answer(outputs: dict[str, Any] | str) -> None:
        def invoke(token: str, arguments: dict[str, Any]) -> Any:
            assert arguments == {"name": NAMED}
            if isinstance(outputs, str):
                raise Exception(outputs)
            return SimpleNamespace(value={"outputs": outputs})

        monkeypatch.setattr(pulumi.runtime, "invoke", invoke)

    return answer


def _problems(settings: Settings, has_file: bool = False) -> list[Problem]:
    with pytest.raises(SettingsError) as error:
        with_deployed_mesh(settings, FILE, has_file, {})
    assert all(one.file == FILE and one.allowed and one.fix for one in error.value.problems)
    return list(error.value.problems)


def test_a_stack_with_its_own_mesh_asks_for_no_other() -> None:
    settings = load({})
    assert with_deployed_mesh(settings, FILE, False, {}) is settings


def test_the_revisions_and_tags_are_those_that_are_deployed(outputs: Callable[..., None]) -> None:
    mesh = {"revisions": {"1-31": {"version": "1.31.4"}, "1-32": {"version": "1.32.0"}}, "revision": "1-31"}
    outputs({"mesh": _deployed(**mesh, tags={"stable": "1-32"})})
    found = with_deployed_mesh(_services(), FILE, False, {}).mesh
    assert (found.usual_revision, found.behind("stable"), list(found.all_revisions)) == (
        "1-31",
        "1-32",
        ["1-31", "1-32"],
    )


@pytest.mark.parametrize(
    ("has_file", "own", "expected"),
    [(True, {}, "1-31"), (True, {"revision": "1-32"}, "1-32"), (False, {}, "1-32")],
    ids=["of the other stack's file", "of its own file", "of its own, without the other's file"],
)
def test_the_usual_revision_is_the_deployed_one_unless_the_stack_names_one(
    outputs: Callable[..., None], has_file: bool, own: dict[str, Any], expected: str
) -> None:
    mesh = {"revisions": {"1-31": {}, "1-32": {}}, "revision": "1-31"}
    outputs({"mesh": _deployed(**mesh)})
    assert with_deployed_mesh(_services(revision="1-32"), FILE, has_file, own).mesh.usual_revision == expected


@pytest.mark.parametrize(
    ("deployed", "path", "given", "fix"),
    [
        ({"gateway": {"name": "edge"}}, "mesh.gateway.name", "istio-ingressgateway", 'write {path}: "edge"'),
        ({"gateway": {"namespace": "edge"}}, "mesh.gateway.namespace", "istio-ingress", 'write {path}: "edge"'),
        ({"gateway": {"ports": [80, 443]}}, "mesh.gateway.ports", "[80]", "write {path}: [80, 443]"),
        ({"mtls": "PERMISSIVE"}, "mesh.mtls", "STRICT", 'write {path}: "PERMISSIVE"'),
        ({"outboundTrafficPolicy": "REGISTRY_ONLY"}, "mesh.outboundTrafficPolicy", "ALLOW_ANY", "REGISTRY_ONLY"),
        ({"denyByDefault": True}, "mesh.denyByDefault", "false", "write {path}: true"),
        ({"retries": {"attempts": 0}}, "mesh.retries", "", "write {path}: "),
    ],
)
def test_a_mesh_other_than_the_settings_say_is_refused(
    outputs: Callable[..., None], deployed: dict[str, Any], path: str, given: str, fix: str
) -> None:
    outputs({"mesh": _deployed(**deployed)})
    (problem,) = _problems(_services())
    assert problem.path == f"istio-canary:{path}"
    assert given in problem.given
    assert fix.format(path=problem.path) in problem.fix

    (beside,) = _problems(_services(), has_file=True)
    assert "`canary up --stack prod-mesh`" in beside.fix


@pytest.mark.parametrize(
    ("answer", "what", "fix"),
    [
        ('unknown stack "x"', f"there is no stack {NAMED}", "create its mesh first: `canary up --stack prod-mesh`"),
        ("incorrect passphrase", "cannot be read: incorrect passphrase", "pulumi stack output mesh --stack"),
        ({"kubeconfig": "x"}, f"the stack {NAMED} has no mesh", "name the stack that installs the mesh"),
    ],
    ids=["no such stack", "another passphrase", "no mesh"],
)
def test_a_stack_that_is_not_there_or_has_no_mesh_is_refused(
    outputs: Callable[..., None], answer: Any, what: str, fix: str
) -> None:
    outputs(answer)
    (problem,) = _problems(_services())
    assert problem.path == "istio-canary:mesh.stackReference"
    assert what in problem.what
    assert fix in problem.fix


def test_a_revision_that_the_mesh_has_not_is_refused(outputs: Callable[..., None]) -> None:
    outputs({"mesh": _deployed(revisions={"1-31": {}}, tags={"stable": "1-31"})})
    (problem,) = _problems(_services({"shop": {"revision": "1-32"}}))
    assert (problem.path, problem.given) == ("istio-canary:namespaces.shop.revision", "1-32")
    assert problem.allowed == "1-31, stable"


def test_a_mesh_in_another_cluster_is_refused(outputs: Callable[..., None]) -> None:
    outputs({"mesh": _deployed(), "cluster": "7b1f"})
    settings = with_deployed_mesh(_services(), FILE, False, {})
    require_cluster_of_mesh(settings, "7b1f", FILE)
    with pytest.raises(SettingsError, match="in another cluster"):
        require_cluster_of_mesh(settings, "9c2e", FILE)
    require_cluster_of_mesh(load({}), "9c2e", FILE)
