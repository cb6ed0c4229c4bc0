"""docs/rights.md: its roles, bound to a ServiceAccount, are enough for what the page says, and not for more."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.tools import Cluster, Project

PAGE = Path(__file__).parents[2] / "docs/rights.md"
BLOCKS = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
ROLES = [role for block in BLOCKS for role in yaml.safe_load_all(block)]
STACK, NAMESPACE, PEOPLE = "rights", "rights", "rights-people"
GATEWAY = "istio-ingress"
PREVIEW = {"istio-canary-namespaces-read": None, "istio-canary-read": NAMESPACE}
DEPLOY = {"istio-canary-namespaces": None, "istio-canary-deploy": NAMESPACE}
MEASURE: dict[str, str | None] = {"istio-canary-measure": None}
ROLLOUT: dict[str, str | None] = {"istio-canary-rollout": NAMESPACE, "istio-canary-ask": GATEWAY}
ABORT: dict[str, str | None] = {"istio-canary-abort": NAMESPACE}
FENCE: dict[str, str | None] = {"istio-canary-fence": None}
RUNNER: dict[str, str | None] = {"istio-canary-runner": NAMESPACE}
RUNNERS = "rights-runner"
FENCED = "istio-canary-fence.istio-canary.rights"
Bindings = dict[str, str | None]
"""The role by name: the namespace in which it is bound, None for the whole cluster."""


@pytest.fixture(scope="module")
def project(mesh: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A stack whose kubeconfig is that of a ServiceAccount, in namespaces that exist."""
    cluster = mesh.cluster
    project = Project.create(tmp_path_factory.mktemp("rights"), cluster)
    apply(
        cluster,
        [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": n}} for n in (NAMESPACE, PEOPLE, RUNNERS)],
    )
    apply(cluster, ROLES)
    write(project, 0)
    yield project
    bind(cluster, "destroyer", {**DEPLOY, **MEASURE, **FENCE})
    for place in (NAMESPACE, RUNNERS, GATEWAY):
        bind(cluster, "destroyer", {"istio-canary-runner": place})
    use(project, "destroyer")
    done = project.canary("destroy", "--stack", STACK, "--yes")
    cluster.kubectl("delete", "namespace", NAMESPACE, PEOPLE, RUNNERS, "--wait=false")
    cluster.kubectl("delete", "clusterrole", *[role["metadata"]["name"] for role in ROLES])
    assert done.returncode == 0, done.stdout + done.stderr


def apply(cluster: Cluster, objects: Sequence[Mapping[str, Any]]) -> None:
    """Apply objects as the cluster's administrator."""
    cluster.kubectl("apply", "--filename=-", stdin=yaml.safe_dump_all(objects))


def services(share: int, **more: Any) -> dict[str, Any]:
    """A service in two versions, of which the second one gets a share."""
    version = {"image": "istio-canary/echo:1.0.0", "port": 8080, "preStopSeconds": 0}
    return {
        "shop": {
            "namespace": NAMESPACE,
            "hosts": ["rights.example.com"],
            "versions": {
                "version-1": {**version, "configFiles": {"/etc/shop": {"share": str(share)}}},
                "version-2": {**version, "replicas": 1 if share else 0},
            },
            "podDisruptionBudget": {"maxUnavailable": 1},
            "route": [{"to": {"version-1": 100 - share, "version-2": share}}],
            **more,
        }
    }


def limited(project: Project) -> Path:
    """The file of the ServiceAccount's kubeconfig."""
    return project.folder / "limited-kubeconfig"


def use(project: Project, person: str) -> None:
    """Let the stack be run by a ServiceAccount."""
    cluster = project.cluster
    config = yaml.safe_load(cluster.layout.kubeconfig.read_text(encoding="utf-8"))
    token = cluster.kubectl("create", "token", person, f"--namespace={PEOPLE}").stdout.strip()
    config["users"] = [{"name": config["users"][0]["name"], "user": {"token": token}}]
    limited(project).write_text(yaml.safe_dump(config), encoding="utf-8")
    limited(project).chmod(0o600)


def bind(cluster: Cluster, person: str, bindings: Bindings) -> None:
    """Create a ServiceAccount that has these roles and no others."""
    account = {"name": person, "namespace": PEOPLE}
    objects: list[dict[str, Any]] = [{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account}]
    for role, namespace in bindings.items():
        kind = "RoleBinding" if namespace else "ClusterRoleBinding"
        objects.append(
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": kind,
                "metadata": {"name": f"{person}-{role}", **({"namespace": namespace} if namespace else {})},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
                "subjects": [{"kind": "ServiceAccount", **account}],
            }
        )
    apply(cluster, objects)


def write(project: Project, share: int, **settings: Any) -> None:
    """Change the share of version-2, and other settings."""
    config = project.service_config(services(share))
    config["istio-canary:cluster"] = {**config.get("istio-canary:cluster", {}), "kubeconfig": str(limited(project))}
    config |= {f"istio-canary:{key}": value for key, value in settings.items()}
    project.write_stack(STACK, config)


def run_as(project: Project, person: str, bindings: Bindings, *arguments: str) -> tuple[int, str]:
    """Run a command with these roles; returns its exit code and what it prints."""
    bind(project.cluster, person, bindings)
    use(project, person)
    done = project.canary(*arguments, "--stack", STACK)
    assert "Traceback" not in done.stdout + done.stderr
    return done.returncode, done.stdout + done.stderr


def test_a_preview_before_anything_is_there_can_only_read(project: Project) -> None:
    assert run_as(project, "reviewer", PREVIEW, "preview")[0] == 0
    code, said = run_as(project, "reviewer", PREVIEW, "up", "--yes")
    assert code != 0
    assert "cannot" in said
    assert "forbidden" in said


def test_the_right_that_is_missing_is_named(project: Project) -> None:
    code, said = run_as(project, "stranger", {"istio-canary-namespaces-read": None}, "preview")
    assert code == 5, said
    assert f"in the namespace {NAMESPACE} granted (docs/rights.md" in said


def test_a_run_that_may_deploy_and_ask_the_gateway_ships_a_version(project: Project) -> None:
    rights: Bindings = {**DEPLOY, **MEASURE, "istio-canary-ask": GATEWAY}
    write(project, 0)
    assert run_as(project, "deployer", rights, "up", "--yes")[0] == 0
    write(project, 10)
    code, said = run_as(project, "deployer", rights, "up", "--yes")
    assert code == 0, said
    assert "not proven" not in said
    code, said = run_as(project, "deployer", rights, "preview")
    assert "no changes" in said, said
    assert run_as(project, "deployer", rights, "verify")[0] == 0
    write(project, 20)
    code, said = run_as(project, "reviewer", PREVIEW, "preview")
    assert code == 0, said
    assert "10 -> 20" in said


@pytest.mark.long
def test_a_run_that_may_not_exec_waits_and_says_what_is_not_proven(project: Project) -> None:
    rights = {**DEPLOY, **MEASURE}
    write(project, 0)
    assert run_as(project, "deployer", {**rights, "istio-canary-ask": GATEWAY}, "up", "--yes")[0] == 0
    write(project, 10)
    code, said = run_as(project, "waiter", rights, "up", "--yes")
    assert code != 0
    assert "istio-canary:proxySync: {ask: none}" in said, "without the right and the setting, the run stops"
    write(project, 10, proxySync={"ask": "none", "waitSeconds": 3})
    code, said = run_as(project, "waiter", rights, "up", "--yes")
    assert code == 0, said
    assert "not proven after 3 s (proxySync.ask: none)" in said
    assert "shop/version-2" in said
    assert run_as(project, "waiter", rights, "verify")[0] == 0


def roll_out(project: Project, to: str) -> None:
    """Let everything go to a version by a rollout."""
    rule = {"to": to, "rollout": {"steps": [{"weight": 10, "for": "1m"}, {"weight": 100}]}}
    config = project.service_config(services(0, route=[rule]))
    for version in config["istio-canary:services"]["shop"]["versions"].values():
        version["replicas"] = 1
    config["istio-canary:cluster"] = {**config.get("istio-canary:cluster", {}), "kubeconfig": str(limited(project))}
    project.write_stack(STACK, config)


@pytest.mark.long
def test_a_rollout_an_abort_and_the_fence_have_roles_of_their_own(project: Project) -> None:
    deploy: Bindings = {**DEPLOY, "istio-canary-ask": GATEWAY}
    cluster = project.cluster
    roll_out(project, "version-1")
    code, said = run_as(project, "deployer", deploy, "up", "--yes")
    assert code == 0, said
    assert not cluster.exists("validatingadmissionpolicy", FENCED), "without the right there is none"
    code, said = run_as(project, "fencer", {**deploy, **FENCE}, "up", "--yes")
    assert code == 0, said
    assert cluster.exists("validatingadmissionpolicy", FENCED)

    roll_out(project, "version-2")
    code, said = run_as(project, "deployer", deploy, "up", "--yes")
    assert code == 0, said
    assert cluster.exists("validatingadmissionpolicy", FENCED), "who may only read it leaves it alone"
    code, said = run_as(project, "roller", ROLLOUT, "rollout", "start", "shop", "--timeout", "15s")
    assert code == 8, said
    assert (
        cluster.get("virtualservice", "shop", f"--namespace={NAMESPACE}")["spec"]["http"][0]["route"][1]["weight"] == 10
    )
    run_as(project, "oncall", ABORT, "rollout", "abort", "shop", "it fails")  # who may ask the Envoys ends it
    http = cluster.get("virtualservice", "shop", f"--namespace={NAMESPACE}")["spec"]["http"]
    assert [one["destination"]["subset"] for one in http[0]["route"]] == ["version-1"]

    patch = json.dumps([{"op": "replace", "path": "/spec/http/0/route/0/destination/subset", "value": "version-2"}])
    words = ("patch", "virtualservice", "shop", f"--namespace={NAMESPACE}", "--type=json", f"--patch={patch}")
    denied = cluster.kubectl(*words, check=False)
    assert "an aborted rollout has barred version-2" in denied.stderr
    code, said = run_as(project, "roller", ROLLOUT, "rollout", "start", "shop")
    assert code == 7, said


def test_a_runner_in_the_cluster_is_made_by_who_may_grant_its_roles(project: Project) -> None:
    rights: Bindings = {**DEPLOY, "istio-canary-ask": GATEWAY}
    cluster, runner = project.cluster, {"enabled": True, "namespace": RUNNERS, "namespaces": [NAMESPACE]}
    write(project, 0, rolloutRunner=runner)
    code, said = run_as(project, "deployer", rights, "up", "--yes")
    assert code != 0
    assert "forbidden" in said, "nobody without the right to roles can make one"

    for place in (NAMESPACE, RUNNERS, GATEWAY):
        bind(cluster, "granter", {"istio-canary-runner": place})
    code, said = run_as(project, "granter", {**rights, **RUNNER}, "up", "--yes")
    assert code == 0, said
    role = cluster.get("role", "istio-canary-rollout-runner", f"--namespace={NAMESPACE}")
    assert not [rule for rule in role["rules"] if "secrets" in rule["resources"]]
    assert not cluster.exists("clusterrole", f"istio-canary-rollout-runner-ask.{RUNNERS}")


def test_every_role_of_the_page_is_bound_by_a_test() -> None:
    bound = {*PREVIEW, *DEPLOY, *MEASURE, *ROLLOUT, *ABORT, *FENCE, *RUNNER}
    assert {role["metadata"]["name"] for role in ROLES} == bound
    assert json.dumps(ROLES).count('"resources": ["*"]') == 2, "only Istio's kinds are given as a whole"
