"""The runner in the cluster: its pod, its rights, and the same as a CronJob."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml

from components.rollout_runner import NAME, RolloutRunner, RolloutRunnerArgs, RunnerRights
from tests.unit.mocks import Deploy, Run, in_cluster

PAGE = Path(__file__).parents[3] / "docs/rights.md"
BLOCKS = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
ROLES = {role["metadata"]["name"]: role["rules"] for block in BLOCKS for role in yaml.safe_load_all(block)}
SECRETS = ["rollout-hooks", "slack"]
ARGS = RolloutRunnerArgs(
    namespace="istio-canary",
    image="registry.example.com/runner:1.0.0",
    rights={"shop": RunnerRights(namespace="shop", secrets=SECRETS), "api": RunnerRights(namespace="api")},
    gateway_namespaces={"istio-ingress": "istio-ingress"},
    prometheus_url="http://prometheus.istio-system:9090",
)
Rights = set[tuple[str, str, str]]


def made(deploy: Deploy, args: RolloutRunnerArgs = ARGS) -> Run:
    def program() -> pulumi.Output[str]:
        return RolloutRunner("rollout-runner", args, in_cluster()).runner

    return deploy(program)


def rights_of(rules: list[dict[str, Any]]) -> Rights:
    """Group, resource and verb."""
    return {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def rules_in(run: Run, namespace: str) -> list[dict[str, Any]]:
    (role,) = [one for one in run.of_type(":Role") if one.metadata["namespace"] == namespace]
    rules: list[dict[str, Any]] = role.inputs["rules"]
    return rules


def pod_of(run: Run) -> dict[str, Any]:
    (deployment,) = run.of_type(":Deployment")
    pod: dict[str, Any] = deployment.spec["template"]
    return pod


def test_it_has_the_rights_that_the_page_tells_and_no_more(deploy: Deploy) -> None:
    run = made(deploy)
    told = rights_of(ROLES["istio-canary-rollout"])

    assert rights_of(rules_in(run, "shop")) == told
    assert rights_of(rules_in(run, "api")) == told - {("", "secrets", "get")}
    assert rights_of(rules_in(run, "istio-ingress")) == rights_of(ROLES["istio-canary-ask"])
    assert not run.of_type(":ClusterRole")


def test_of_secrets_it_reads_only_those_that_notify_names(deploy: Deploy) -> None:
    (rule,) = [one for one in rules_in(made(deploy), "shop") if "secrets" in one["resources"]]
    assert rule["resourceNames"] == SECRETS


def test_without_scaling_it_changes_no_number_of_pods(deploy: Deploy) -> None:
    run = made(deploy, replace(ARGS, rights={"shop": RunnerRights(namespace="shop", scales=False)}))
    rights = rights_of(rules_in(run, "shop"))
    assert not {right for right in rights if right[1] == "deployments/scale"}
    assert ("autoscaling", "horizontalpodautoscalers", "patch") not in rights


def test_asking_the_sidecars_takes_a_right_in_the_whole_cluster(deploy: Deploy) -> None:
    run = made(deploy, replace(ARGS, asks_sidecars=True))
    (role,), (binding,) = run.of_type(":ClusterRole"), run.of_type(":ClusterRoleBinding")

    assert rights_of(role.inputs["rules"]) == rights_of(ROLES["istio-canary-ask"])
    assert role.metadata["name"] == binding.metadata["name"] == f"{NAME}-ask.istio-canary"
    assert {one.metadata["namespace"] for one in run.of_type(":Role")} == {"shop", "api"}


def test_each_role_is_bound_to_the_account_of_its_pod_alone(deploy: Deploy) -> None:
    run = made(deploy)
    account = {"kind": "ServiceAccount", "name": NAME, "namespace": "istio-canary"}
    bindings = run.of_type(":RoleBinding")

    assert [one.inputs["subjects"] for one in bindings] == [[account]] * 3
    assert {(one.metadata["namespace"], one.inputs["roleRef"]["name"]) for one in bindings} == {
        (one.metadata["namespace"], one.metadata["name"]) for one in run.of_type(":Role")
    }
    assert pod_of(run)["spec"]["serviceAccountName"] == NAME


def test_its_pod_is_restricted_has_no_sidecar_and_nothing_that_listens(deploy: Deploy) -> None:
    run = made(deploy)
    pod = pod_of(run)
    (container,) = pod["spec"]["containers"]

    assert pod["metadata"]["labels"]["sidecar.istio.io/inject"] == "false"
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert "ports" not in container
    assert {*container["readinessProbe"], *container["livenessProbe"]} & {"httpGet", "tcpSocket"} == set()
    (policy,) = run.of_type(":NetworkPolicy")
    assert policy.spec["policyTypes"] == ["Ingress"]
    assert not policy.spec.get("ingress"), "no other pod may connect to it"


def test_its_pod_runs_the_rollouts_of_its_namespaces(deploy: Deploy) -> None:
    (container,) = pod_of(made(deploy))["spec"]["containers"]
    assert container["args"][:6] == ["rollout", "run", "--namespace", "api", "--namespace", "shop"]
    assert container["env"] == [{"name": "ISTIO_CANARY_PROMETHEUS", "value": "http://prometheus.istio-system:9090"}]

    (container,) = pod_of(made(deploy, replace(ARGS, prometheus_url=None)))["spec"]["containers"]
    assert "env" not in container


def test_its_pod_starts_after_its_rights_are_there(deploy: Deploy) -> None:
    run = made(deploy)
    (deployment,) = run.of_type(":Deployment")
    rights = {one.urn for kind in (":Role", ":RoleBinding") for one in run.of_type(kind)}
    assert rights <= set(deployment.depends_on)


def test_as_a_cron_job_one_pod_each_minute_takes_one_look(deploy: Deploy) -> None:
    run = made(deploy, replace(ARGS, mode="cronJob"))
    (job,) = run.of_type(":CronJob")
    assert not run.of_type(":Deployment")
    assert (job.spec["schedule"], job.spec["concurrencyPolicy"]) == ("* * * * *", "Forbid")
    spec = job.spec["jobTemplate"]["spec"]
    assert spec["backoffLimit"] == 0
    pod = spec["template"]
    (container,) = pod["spec"]["containers"]
    assert pod["spec"]["restartPolicy"] == "Never"
    assert pod["metadata"]["labels"]["sidecar.istio.io/inject"] == "false", "a sidecar would keep the Job for ever"
    assert container["args"][-1] == "--once"
    assert not {"readinessProbe", "livenessProbe"} & container.keys()


@pytest.mark.parametrize("mode", ["deployment", "cronJob"])
def test_the_image_is_the_one_that_is_given(deploy: Deploy, mode: Any) -> None:
    run = made(deploy, replace(ARGS, mode=mode))
    assert "registry.example.com/runner:1.0.0" in str([one.inputs for one in run.custom()])
