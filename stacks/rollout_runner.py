"""The runner in the cluster as a stack needs it: which namespaces it moves rollouts in, and with which rights."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pulumi
import pulumi_kubernetes as k8s

from components.rollout_runner import RolloutRunner, RolloutRunnerArgs, RunnerRights
from components.workload_args import args_of
from stacks.gateway_pods import mesh_gateway_pods, other_gateway_pods
from stacks.rollouts import strategy_of
from stacks.settings.model import Settings
from stacks.settings.proxy_sync import Asked
from traffic.model import RolloutStrategy


def build_rollout_runner(
    settings: Settings, namespace: Callable[[str], pulumi.Input[str]], opts: pulumi.ResourceOptions
) -> None:
    """Build the runner if the stack has one; `namespace` returns a namespace that may have to be created first."""
    given = settings.rollout_runner
    if not given.enabled:
        return
    args = RolloutRunnerArgs(
        namespace=namespace(given.namespace),
        image=given.image,
        rights={name: _rights(settings, name, namespace(name)) for name in moved_namespaces(settings)},
        gateway_namespaces={name: namespace(name) for name in _gateway_namespaces(settings)},
        asks_sidecars=_asks_sidecars(settings),
        prometheus_url=settings.telemetry.prometheus_url,
        mode=given.mode.value,
        resources=args_of(
            k8s.core.v1.ResourceRequirementsArgs, given.resources.model_dump(by_alias=False, exclude_defaults=True)
        ),
        ready_within=settings.ready_within,
    )
    RolloutRunner("rollout-runner", args, opts)


def moved_namespaces(settings: Settings) -> list[str]:
    """Return the namespaces whose rollouts the runner moves."""
    own = {service.namespace for service in settings.services.values()}
    return sorted(settings.rollout_runner.namespaces or own)


def _rights(settings: Settings, name: str, namespace: pulumi.Input[str]) -> RunnerRights:
    strategies = list(_strategies(settings, name))
    secrets = {notify.secret.name for one in strategies for notify in one.notify if notify.secret is not None}
    # Rollouts of other stacks may add pods, and so may the next one of this stack.
    scales = not strategies or any(one.capacity.scale for one in strategies)
    return RunnerRights(namespace=namespace, secrets=sorted(secrets), scales=scales)


def _strategies(settings: Settings, namespace: str) -> Iterator[RolloutStrategy]:
    for service in settings.services.values():
        for rule in service.route if service.namespace == namespace else ():
            strategy = strategy_of(settings, rule)
            if strategy is not None:
                yield strategy


def _gateway_namespaces(settings: Settings) -> list[str]:
    """Those of the gateways whose Envoys have to follow each step, unless none may be asked."""
    if settings.proxy_sync.ask is Asked.NONE:
        return []
    pods = (mesh_gateway_pods(settings), *other_gateway_pods(settings).values())
    return sorted({one.namespace for one in pods})


def _asks_sidecars(settings: Settings) -> bool:
    in_mesh = any(service.in_mesh for service in settings.services.values())
    return in_mesh and settings.proxy_sync.ask is Asked.ALL
