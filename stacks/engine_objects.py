"""What the program makes of a rollout that another engine moves: its objects, and the gate service's ConfigMap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from components.engine_rollout import EngineObject, EngineRolloutArgs
from components.gate_service import GateServiceArgs
from components.names import PORT_NAME
from components.versioned_service import VersionArgs
from metrics.durations import prometheus_seconds
from rollout.engines import argo, flagger
from rollout.engines.losses import ARGO, FLAGGER, KINDS
from rollout.engines.target import CANARY, KEY, LABEL, STABLE, EngineTarget, target_name
from rollout.observed_routes import ObservedRoutes
from rollout.planned import PlannedCounters
from stacks.gateway_pods import gateway_namespaces
from stacks.settings.engines import EngineRollout, engines_of
from stacks.settings.model import Settings
from traffic import render
from traffic.hashing import hash_of
from traffic.model import Target, mesh_virtual_service

RULE_FIELDS = ("timeout", "retries", "headers", "rewrite", "corsPolicy")
"""Fields of a rule that Flagger's Canary has, too, with Istio's names."""


def engine_rollout_args(settings: Settings, name: str, namespace: Any) -> EngineRolloutArgs:
    """Return the arguments of the component for a service that another engine moves."""
    given = engines_of(settings)[name]
    objects = _of_argo(settings, name, given) if given.engine == "argo" else _of_flagger(settings, name, given)
    gated = given.strategy.gates is not None
    return EngineRolloutArgs(
        service=name,
        namespace=namespace,
        objects=objects,
        config_name=target_name(name),
        config_label=(LABEL, name),
        config={KEY: target_of(settings, name).to_json()} if gated else None,
    )


def gate_service_args(settings: Settings, namespace: Callable[[str], Any]) -> GateServiceArgs | None:
    """Return the arguments of the stack's gate service, None if it has none; `namespace` makes a name an input."""
    given, prometheus = settings.gate_service, settings.telemetry.prometheus_url
    if not given.enabled or prometheus is None:
        return None
    judged = {
        settings.services[name].namespace
        for name, one in engines_of(settings).items()
        if one.strategy.gates is not None
    }
    return GateServiceArgs(
        namespace=namespace(given.namespace),
        image=given.image,
        prometheus_url=prometheus,
        judged={name: namespace(name) for name in sorted(judged)},
        allowed_namespaces=given.allowed_namespaces,
        ready_within=settings.ready_within,
    )


def target_of(settings: Settings, name: str) -> EngineTarget:
    """Return what the gate service has to know of a service's canary."""
    given, service = engines_of(settings)[name], settings.services[name]
    is_argo = given.engine == "argo"
    stable, canary = (STABLE, CANARY) if is_argo else (flagger.primary_host(name), flagger.canary_host(name))
    both = is_argo and service.has_mesh_virtual_service
    return EngineTarget(
        engine=given.engine,
        service=name,
        namespace=service.namespace,
        virtual_services=(name, *((mesh_virtual_service(name),) if both else ())),
        stable=stable,
        canary=canary,
        by_host=not is_argo,
        strategy=given.strategy,
        counters=PlannedCounters(
            source="envoy",
            scrape_seconds=prometheus_seconds(settings.telemetry.scrape_interval),
            split_judged=hash_of(settings.services, name, given.version) is None
            and not service.route[given.index].mirrors,
            hosts=() if is_argo else (stable, canary),
        ),
    )


def divided(settings: Settings, name: str) -> tuple[str, str] | None:
    """Return the two versions between which Argo Rollouts divides the requests of a service; None if it does not."""
    given = engines_of(settings).get(name)
    return (STABLE, CANARY) if given is not None and given.engine == "argo" else None


def is_routed_elsewhere(settings: Settings, name: str) -> bool:
    """Return whether Flagger writes the routes of a service."""
    given = engines_of(settings).get(name)
    return given is not None and given.engine == "flagger"


def services_of_versions(settings: Settings) -> list[str]:
    """Return the Services that Flagger makes for the versions of services, as `<name>.<namespace>`."""
    return [
        f"{host}.{settings.services[name].namespace}"
        for name, given in engines_of(settings).items()
        if given.engine == "flagger"
        for host in (flagger.primary_host(name), flagger.canary_host(name))
    ]


def has_begun(settings: Settings, name: str, observed: ObservedRoutes) -> bool:
    """Return whether the routes in the cluster are those that Argo Rollouts writes weights into."""
    pair = divided(settings, name)
    return pair is not None and any(Target(name, version) in observed.used for version in pair)


def is_workload(settings: Settings, name: str, version: str) -> bool:
    """Return whether the pods of a version are an engine's."""
    given = engines_of(settings).get(name)
    return given is not None and given.version == version


def left_to_engine(settings: Settings, name: str, version: str, args: VersionArgs) -> VersionArgs:
    """Return the arguments of a version whose number of pods is the engine's, once its Deployment exists."""
    if not is_workload(settings, name, version):
        return args
    return replace(args, owns_replicas=False, keeps_replicas=True)


def _gate(settings: Settings, given: EngineRollout) -> str | None:
    return settings.gate_service.reached_at if given.strategy.gates is not None else None


def _of_argo(settings: Settings, name: str, given: EngineRollout) -> list[EngineObject]:
    service = settings.services[name]
    gate = _gate(settings, given)
    specs = render.divided_virtual_services(settings.services, name, (STABLE, CANARY), **_rendering(settings))
    rollout = argo.ArgoRollout(
        service=name,
        deployment=service.deployed[given.version].name,
        replicas=service.deployed[given.version].replicas,
        routes=render.divided_routes(specs, (STABLE, CANARY)),
        strategy=given.strategy,
        gate=None if gate is None else f"{gate}/{service.namespace}/{name}",
    )
    templates = [
        EngineObject(api_version=argo.API, kind="AnalysisTemplate", name=one, spec=spec)
        for one, spec in argo.template_specs(rollout).items()
    ]
    return [
        *templates,
        EngineObject(api_version=argo.API, kind=KINDS[ARGO], name=name, spec=argo.rollout_spec(rollout)),
    ]


def _of_flagger(settings: Settings, name: str, given: EngineRollout) -> list[EngineObject]:
    service = settings.services[name]
    (spec,) = render.virtual_services(settings.services, name, **_rendering(settings)).values()
    rule = spec["http"][given.index]
    canary = flagger.FlaggerCanary(
        service=name,
        namespace=service.namespace,
        deployment=service.deployed[given.version].name,
        port=service.port,
        target_port=PORT_NAME,
        port_name=service.protocol.port_name,
        hosts=tuple(spec["hosts"]),
        gateways=tuple(spec["gateways"]),
        strategy=given.strategy,
        ready_within=settings.ready_within,
        many_ports=bool(service.further_ports),
        rule={key: rule[key] for key in RULE_FIELDS if key in rule},
        gate=_gate(settings, given),
    )
    template = flagger.template_spec(canary)
    templates = [] if template is None else [(flagger.metric_name(name), template)]
    return [
        *(
            EngineObject(api_version=flagger.API, kind="MetricTemplate", name=one, spec=spec_)
            for one, spec_ in templates
        ),
        EngineObject(api_version=flagger.API, kind=KINDS[FLAGGER], name=name, spec=flagger.canary_spec(canary)),
    ]


def _rendering(settings: Settings) -> dict[str, Any]:
    return {
        "gateway_namespace": settings.mesh.gateway.namespace,
        "gateway_namespaces": gateway_namespaces(settings),
        "version_header": settings.version_header,
        "egress": settings.egress,
    }
