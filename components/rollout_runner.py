"""The runner in the cluster: the command `canary rollout run` in a pod, with the rights that moving rollouts takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import pulumi
import pulumi_kubernetes as k8s

from components.base import Component
from components.telemetry import workload

NAME = "istio-canary-rollout-runner"
ASKS = f"{NAME}-ask"
USER = 65532
PROBES = "/run/istio-canary"
"""Folder of the files `alive` and `ready`, which the runner touches: nothing listens in its pod."""
PROMETHEUS_VARIABLE = "ISTIO_CANARY_PROMETHEUS"
EACH_MINUTE = "* * * * *"
JOB_SECONDS = 600
"""After which a pod of the CronJob is ended; the next one goes on."""
RBAC = "rbac.authorization.k8s.io"

Rule = k8s.rbac.v1.PolicyRuleArgs


@dataclass(frozen=True, kw_only=True)
class RunnerRights:
    """What the runner needs in one namespace of services.

    `secrets` are the names of those that `notify` has; with `scales`, rollouts add pods before their steps.
    """

    namespace: pulumi.Input[str]
    secrets: Sequence[str] = ()
    scales: bool = True


@dataclass(frozen=True, kw_only=True)
class RolloutRunnerArgs:
    """A runner in `namespace` for the rollouts of other namespaces.

    `rights` are by the names of these namespaces. `gateway_namespaces`, by their names, are those whose Envoys it asks;
    with `asks_sidecars`, it asks those of the whole cluster. Without `prometheus_url`, steps with gates or limits are
    held. In the mode `cronJob` there is a pod each minute instead of one that stays. `ready_within` is in seconds.
    """

    namespace: pulumi.Input[str]
    image: pulumi.Input[str]
    rights: Mapping[str, RunnerRights]
    gateway_namespaces: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    asks_sidecars: bool = False
    prometheus_url: str | None = None
    mode: Literal["deployment", "cronJob"] = "deployment"
    resources: pulumi.Input[k8s.core.v1.ResourceRequirementsArgs] | None = None
    ready_within: int = 300


class RolloutRunner(Component):
    """A Deployment with one pod, or a CronJob; its ServiceAccount, NetworkPolicy, and Roles in other namespaces.

    The pod has no sidecar, since it talks to the API server before a sidecar could be ready; no other pod may connect
    to it. Draining its node is harmless: it hands its rollouts over, and the next pod goes on, so that it needs no
    PodDisruptionBudget. See "Using RBAC Authorization" in Kubernetes' documentation.
    """

    runner: pulumi.Output[str]
    """Name of the Deployment, or of the CronJob."""

    def __init__(self, name: str, args: RolloutRunnerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("istio-canary:index:RolloutRunner", name, opts)
        account = workload.service_account(f"{name}-account", NAME, args.namespace, self._child())
        workload.network_policy(f"{name}-policy", NAME, args.namespace, [], self._child())
        granted: list[pulumi.Resource] = []
        for place, rights in args.rights.items():
            granted += self._role(f"{name}-{place}", NAME, rights.namespace, permissions(rights), args.namespace)
        for place, namespace in {} if args.asks_sidecars else args.gateway_namespaces.items():
            granted += self._role(f"{name}-ask-{place}", ASKS, namespace, asking(), args.namespace)
        if args.asks_sidecars:
            granted += self._cluster_role(f"{name}-ask", args.namespace)
        server = _server(args, account.metadata.name)
        after = self._child(depends_on=granted)
        made: k8s.apps.v1.Deployment | k8s.batch.v1.CronJob
        if args.mode == "deployment":
            made = workload.deployment(f"{name}-server", server, after)
        else:
            made = _cron_job(f"{name}-job", server, after)

        self.runner = made.metadata.name
        self.register_outputs({"runner": self.runner})

    def _role(
        self,
        resource: str,
        name: str,
        namespace: pulumi.Input[str],
        rules: Sequence[Rule],
        account_namespace: pulumi.Input[str],
    ) -> list[pulumi.Resource]:
        role = k8s.rbac.v1.Role(
            f"{resource}-role", metadata=workload.metadata(name, NAME, namespace), rules=list(rules), opts=self._child()
        )
        binding = k8s.rbac.v1.RoleBinding(
            f"{resource}-binding",
            metadata=workload.metadata(name, NAME, namespace),
            role_ref=k8s.rbac.v1.RoleRefArgs(api_group=RBAC, kind="Role", name=role.metadata.name),
            subjects=[k8s.rbac.v1.SubjectArgs(kind="ServiceAccount", name=NAME, namespace=account_namespace)],
            opts=self._child(),
        )
        return [role, binding]

    def _cluster_role(self, resource: str, namespace: pulumi.Input[str]) -> list[pulumi.Resource]:
        """Named after the namespace, too: other stacks may have a runner in the same cluster."""
        name = pulumi.Output.concat(ASKS, ".", namespace)
        metadata = k8s.meta.v1.ObjectMetaArgs(name=name, labels=workload.labels(NAME))
        role = k8s.rbac.v1.ClusterRole(f"{resource}-role", metadata=metadata, rules=asking(), opts=self._child())
        binding = k8s.rbac.v1.ClusterRoleBinding(
            f"{resource}-binding",
            metadata=metadata,
            role_ref=k8s.rbac.v1.RoleRefArgs(api_group=RBAC, kind="ClusterRole", name=role.metadata.name),
            subjects=[k8s.rbac.v1.SubjectArgs(kind="ServiceAccount", name=NAME, namespace=namespace)],
            opts=self._child(),
        )
        return [role, binding]


def permissions(rights: RunnerRights) -> list[Rule]:
    """Return the rules of the Role in a namespace of services: those of `istio-canary-rollout` in docs/rights.md.

    Of Secrets only those that are named; without `scales` nothing that changes numbers of pods.
    """
    rules = [
        _rule("networking.istio.io", ["virtualservices"], ["get", "list", "patch"]),
        _rule("networking.istio.io", ["gateways"], ["get"]),
        _rule("", ["configmaps"], ["get", "list", "watch", "create", "patch", "delete"]),
        _rule("coordination.k8s.io", ["leases"], ["get", "create", "patch"]),
        _rule("", ["pods"], ["list"]),
        _rule("discovery.k8s.io", ["endpointslices"], ["list"]),
        _rule("apps", ["deployments"], ["list"]),
        _rule("", ["events"], ["list", "create"]),
    ]
    scaling = ["list", "patch"] if rights.scales else ["list"]
    rules.append(_rule("autoscaling", ["horizontalpodautoscalers"], scaling))
    if rights.scales:
        rules.append(_rule("apps", ["deployments/scale"], ["patch"]))
    if rights.secrets:
        rules.append(Rule(api_groups=[""], resources=["secrets"], resource_names=sorted(rights.secrets), verbs=["get"]))
    return rules


def asking() -> list[Rule]:
    """Return the rules that asking Envoys takes: those of `istio-canary-ask` in docs/rights.md."""
    return [_rule("", ["pods"], ["list"]), _rule("", ["pods/exec"], ["get", "create"])]


def _rule(group: str, resources: Sequence[str], verbs: Sequence[str]) -> Rule:
    return Rule(api_groups=[group], resources=list(resources), verbs=list(verbs))


def _server(args: RolloutRunnerArgs, account: pulumi.Input[str]) -> workload.ServerArgs:
    stays = args.mode == "deployment"
    namespaces = [word for name in sorted(args.rights) for word in ("--namespace", name)]
    how = ["--probe-folder", PROBES] if stays else ["--once"]
    variables = {} if args.prometheus_url is None else {PROMETHEUS_VARIABLE: args.prometheus_url}
    return workload.ServerArgs(
        name=NAME,
        namespace=args.namespace,
        image=args.image,
        user=USER,
        ports={},
        args=["rollout", "run", *namespaces, *how],
        env=[k8s.core.v1.EnvVarArgs(name=name, value=value) for name, value in variables.items()],
        mounts=[workload.empty_mount("probes", PROBES)] if stays else [],
        readiness_probe=_touched("ready", 30, period_seconds=5) if stays else None,
        liveness_probe=_touched("alive", 60, initial_delay_seconds=30, period_seconds=20) if stays else None,
        service_account=account,
        resources=args.resources,
        ready_within=args.ready_within,
    )


def _touched(file: str, seconds: int, **fields: int) -> k8s.core.v1.ProbeArgs:
    """A probe that fails once a file has not been touched for so long."""
    test = f"import os, time; raise SystemExit(time.time() - os.stat('{PROBES}/{file}').st_mtime > {seconds})"
    command = ["python3", "-I", "-S", "-c", test]
    return k8s.core.v1.ProbeArgs(exec_=k8s.core.v1.ExecActionArgs(command=command), timeout_seconds=5, **fields)


def _cron_job(resource: str, server: workload.ServerArgs, opts: pulumi.ResourceOptions) -> k8s.batch.v1.CronJob:
    """A Job each minute, one at a time; one that fails is not repeated: the next one is (Kubernetes: "CronJob")."""
    pod = workload.pod_spec(server, restart_policy="Never")
    return k8s.batch.v1.CronJob(
        resource,
        metadata=workload.metadata(server.name, server.name, server.namespace),
        spec=k8s.batch.v1.CronJobSpecArgs(
            schedule=EACH_MINUTE,
            concurrency_policy="Forbid",
            starting_deadline_seconds=30,
            successful_jobs_history_limit=1,
            failed_jobs_history_limit=1,
            job_template=k8s.batch.v1.JobTemplateSpecArgs(
                spec=k8s.batch.v1.JobSpecArgs(
                    backoff_limit=0,
                    active_deadline_seconds=JOB_SECONDS,
                    template=k8s.core.v1.PodTemplateSpecArgs(
                        metadata=k8s.meta.v1.ObjectMetaArgs(labels=workload.labels(NAME) | workload.NO_SIDECAR),
                        spec=pod,
                    ),
                )
            ),
        ),
        opts=opts,
    )
