"""A version's settings as the arguments of its component."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi_kubernetes as k8s

from components.versioned_service import DisruptionBudgetArgs, VersionArgs
from components.workload_args import args_of, deployment_strategy, security_context
from stacks.pod_counts import autoscaling_args, keeps_pods
from stacks.pod_sources import config_files_of, env_from_of, env_of, volume_mounts_of, volumes_of
from stacks.secret_texts import Decrypt, masked
from stacks.settings.model import VersionSettings
from stacks.settings.security import SecurityContext
from traffic.fields import Model
from traffic.model import Target, version_label


def version_args(
    service: str,
    version: str,
    settings: VersionSettings,
    observed: Mapping[Target, int],
    further_ports: Mapping[str, int],
    decrypt: Decrypt = masked,
) -> VersionArgs:
    """Return the component's arguments for one version.

    `observed` are the numbers of pods in the cluster; `further_ports` its container ports beside the main one;
    `decrypt` returns encrypted texts.
    """
    place = ("services", service, "versions", version)
    return VersionArgs(
        name=settings.name,
        label=version_label(service, version),
        image=settings.image,
        port=settings.port,
        replicas=settings.least_replicas,
        owns_replicas=settings.replicas is not None,
        keeps_replicas=keeps_pods(settings, observed.get(Target(service, version))),
        autoscaling=autoscaling_args(settings.autoscaling),
        pod_template=settings.pod_template,
        command=settings.command,
        args=settings.args,
        env=env_of(settings, place, decrypt),
        env_from=env_from_of(settings),
        resources=args_of(k8s.core.v1.ResourceRequirementsArgs, _explicit_fields(settings.resources)),
        readiness_probe=args_of(k8s.core.v1.ProbeArgs, _explicit_fields(settings.readiness_probe)),
        liveness_probe=args_of(k8s.core.v1.ProbeArgs, _explicit_fields(settings.liveness_probe)),
        startup_probe=args_of(k8s.core.v1.ProbeArgs, _explicit_fields(settings.startup_probe)),
        strategy=deployment_strategy(
            settings.strategy.type.value, settings.strategy.max_surge, settings.strategy.max_unavailable
        ),
        security_context=_security_context(settings.security_context),
        min_ready_seconds=settings.min_ready_seconds or None,
        termination_grace_period_seconds=settings.termination_grace_period_seconds,
        pre_stop_seconds=settings.pre_stop_seconds,
        config_files=config_files_of(settings, place, decrypt),
        further_ports=further_ports,
        volumes=volumes_of(settings),
        volume_mounts=volume_mounts_of(settings),
        image_pull_secrets=settings.image_pull_secrets,
        disruption_budget=args_of(DisruptionBudgetArgs, _explicit_fields(settings.pod_disruption_budget)),
        image_pull_policy=settings.image_pull_policy.value,
    )


def _explicit_fields(settings: Model | None) -> dict[str, Any]:
    return settings.model_dump(by_alias=False, exclude_defaults=True) if settings else {}


def _security_context(context: SecurityContext) -> k8s.core.v1.SecurityContextArgs:
    return security_context(
        add=context.capabilities.add,
        drop=context.capabilities.drop,
        seccomp_profile=context.seccomp_profile.type.value,
        **context.model_dump(by_alias=False, exclude={"capabilities", "seccomp_profile"}),
    )
