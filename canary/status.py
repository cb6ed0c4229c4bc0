"""A stack's live state in the cluster, compared with its config and its Pulumi state."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from canary.command_error import CommandError, cluster_needed
from canary.consoles import CONSOLES
from canary.effective import EffectiveRoutes, effective_routes
from canary.engine.diff import VIRTUAL_SERVICE
from canary.engine.recovery import plain
from canary.proxies import NamespaceProxies, proxies_by_revision
from components.names import DEFAULT_REVISION, REVISION
from rollout.decision import PULUMI
from rollout.observed_routes import Known, known_destinations, weights_of
from rollout.record import FIELD_MANAGER

if TYPE_CHECKING:
    from lightkube import Client

    from canary.engine.session import Session
    from stacks.rollout_states import RolloutState
    from stacks.settings.model import ServiceSettings, Settings
    from traffic.model import Rule

SECONDS = 10.0
INGRESS_API = "networking.k8s.io/v1"
T = TypeVar("T")
Spec = Mapping[str, Any]


@dataclass(frozen=True)
class VersionState:
    """One version: ready and desired pods, and the image in the cluster, empty if the version is not deployed.

    `elsewhere` says what it is if the stack does not make it: `desired` are then its pods as they are, 0 for a host
    outside the mesh. `decided_by` is who decides about the number of pods, if it is not the stack's file:
    `autoscaling, 2 to 10`.
    """

    name: str
    deployment: str
    ready: int
    desired: int
    image: str
    elsewhere: str = ""
    decided_by: str = ""


@dataclass(frozen=True)
class RuleState:
    """One rule: percent by version, live in the cluster and as configured."""

    name: str
    live: Mapping[str, float]
    configured: Mapping[str, float]


@dataclass(frozen=True)
class ServiceState:
    """One service, with its strategy in words. `drift` is "edited" if the live routes differ from the stack's state,
    else "pending" if they differ from the config, else empty.

    `rollout` says how far its rollout is, empty if there is none. Then the configured weights are those that the
    rollout wants now, and routes are "edited" if somebody else has written others.
    """

    name: str
    namespace: str
    strategy: str
    deployed: bool
    versions: tuple[VersionState, ...]
    rules: tuple[RuleState, ...]
    drift: str
    rollout: str = ""


@dataclass(frozen=True)
class EnvironmentState:
    """All services, the gateway's address and the mesh's version, or why there is none, and the consoles by name.

    `gateway` is for the first port that the services use, `gateway_ports` for each; those of other gateway deployments
    are named with the Gateway: `80 (internal)`. `proxies` are those of each namespace, by revision of Istio.
    """

    services: tuple[ServiceState, ...]
    gateway: str
    gateway_ports: Mapping[int | str, str]
    mesh: str
    consoles: Mapping[str, str]
    proxies: tuple[NamespaceProxies, ...] = ()

    @property
    def deployed(self) -> bool:
        """Whether anything of the stack is in the cluster."""
        return any(service.deployed for service in self.services) or not self.mesh.startswith("not")


def look(session: Session) -> EnvironmentState:
    """Return the live state of the stack; raises CommandError if the cluster does not answer."""
    with ThreadPoolExecutor(1) as pool:
        recorded = pool.submit(_recorded, session)
        return _ask(session.settings, lambda client: _look(client, session.settings, recorded.result()))


def look_at_services(settings: Settings) -> tuple[ServiceState, ...]:
    """Return the live state of the services alone, compared with the config but not with the stack's state.

    Needs no engine run and so is quick enough to be repeated. Raises CommandError if the cluster does not answer.
    """

    def ask(client: Client) -> tuple[ServiceState, ...]:
        routes = effective_routes(client, settings)
        return tuple(_service(client, routes, name, {}) for name in settings.services)

    return _ask(settings, ask)


def as_json(state: EnvironmentState, stack: str) -> dict[str, Any]:
    """Return the document printed by `--json`."""
    return {"stack": stack, "deployed": state.deployed, **asdict(state)}


def _ask(settings: Settings, ask: Callable[[Client], T]) -> T:
    from kube.client import query

    with cluster_needed():
        return query(settings.cluster, ask, within=SECONDS)


def _look(client: Client, settings: Settings, recorded: Mapping[str, Spec]) -> EnvironmentState:
    routes = effective_routes(client, settings)
    services = tuple(_service(client, routes, name, recorded) for name in settings.services)
    gateways = {entry[0]: _gateway(client, settings, *entry[1:]) for entry in _ports(settings)}
    consoles = {name: console.summary(settings.telemetry) for name, console in CONSOLES.items()}
    return EnvironmentState(
        services,
        next(iter(gateways.values())),
        gateways,
        _mesh(client, settings),
        consoles,
        proxies_by_revision(client, settings),
    )


def _ports(settings: Settings) -> list[tuple[int | str, str, int, str]]:
    """The gateways' ports that lead to services: what they are called, scheme, port and deployment."""
    from traffic.simulate import entries

    used: list[tuple[int | str, str, int, str]] = []
    for name, service in settings.services.items():
        for entry in entries(name, service, settings.gateways):
            port = entry.server.port
            called = f"{port} ({entry.gateway})" if entry.deployment else port
            used.append((called, entry.scheme, port, entry.deployment))
    first = settings.mesh.gateway.ports[0]
    return list(dict.fromkeys(used)) or [(first, "http", first, "")]


def _gateway(client: Client, settings: Settings, scheme: str, port: int, deployment: str) -> str:
    """The URL of a port of the gateway, or why there is none."""
    from canary.gateway import gateway_url

    try:
        return gateway_url(client, settings, port, scheme, deployment)
    except CommandError as failure:
        return f"{failure.message}; fix: {failure.fix}"


def _service(client: Client, routes: EffectiveRoutes, name: str, recorded: Mapping[str, Spec]) -> ServiceState:
    from kube.objects import find_object
    from traffic.render import places_of_weights

    settings, state = routes.settings, routes.states.get(name)
    service = settings.services[name]
    api_version = VIRTUAL_SERVICE.removeprefix("kubernetes:").rpartition(":")[0]
    configured = _configured(settings, name)
    found = {
        virtual_service: find_object(client, api_version, "VirtualService", service.namespace, virtual_service)
        for virtual_service in configured
    }
    live = {virtual_service: _routes(entry and entry.get("spec")) for virtual_service, entry in found.items()}
    versions = tuple(_version(client, name, service, version) for version in service.versions)
    by_ingress = service.has_ingress(name) and find_object(client, INGRESS_API, "Ingress", service.namespace, name)
    known = known_destinations(settings.services, name, settings.egress)
    rules = tuple(
        RuleState(
            f"{index + 1}. {_title(rule)}",
            dict(rule.weights) if by_ingress else _weights_at(live, place, name, known),
            dict(rule.weights),
        )
        for index, (rule, place) in enumerate(
            zip(service.route, places_of_weights(settings.services, name), strict=True)
        )
    )
    stored = {
        virtual_service: _routes(recorded.get(f"{service.namespace}/{virtual_service}"))
        for virtual_service in configured
    }
    is_routed = any(found.values())
    deployed = is_routed or any(version.image and not version.elsewhere for version in versions)
    drift = _drift(live, stored, configured, state) if is_routed else ""
    rollout = _rollout_words(state, routes.problems.get(name))
    engine = _engine(settings, name)
    if engine:
        drift, rollout = "", f"moved by {engine}"
    return ServiceState(name, service.namespace, str(service.strategy), deployed, versions, rules, drift, rollout)


def _engine(settings: Settings, name: str) -> str:
    """Who moves the rollout of a service in place of this project, empty if nobody does."""
    from rollout.engines.losses import NAMES
    from stacks.settings.engines import engines_of

    moved = engines_of(settings).get(name)
    return "" if moved is None else NAMES[moved.engine]


def _title(rule: Rule) -> str:
    """A few words for the head of a column: the rule's name, or what its match looks at."""
    if rule.name or not rule.match:
        return rule.name or "default"
    if any(match.headers or match.without_headers for match in rule.match):
        return "header rule"
    return "path rule" if any(match.uri for match in rule.match) else "match"


def _weights_at(live: Mapping[str, Any], place: tuple[str, int] | None, service: str, known: Known) -> dict[str, float]:
    """The live percent by version of one rule."""
    routes = live[place[0]] if place else None
    return weights_of(routes[place[1]], service, known) if place and routes and place[1] < len(routes) else {}


def _version(client: Client, name: str, service: ServiceSettings, version: str) -> VersionState:
    from lightkube import ApiError
    from lightkube.resources.apps_v1 import Deployment

    settings = service.deployed.get(version)
    if settings is None:
        return outside_version(client, name, service, version)
    deployment = settings.name or f"{name}-{version}"
    try:
        found: Any = client.get(Deployment, deployment, namespace=service.namespace)
    except ApiError as error:
        if error.status.code != 404:
            raise
        return VersionState(version, deployment, 0, settings.least_replicas or 0, "", decided_by=settings.scaled_by)
    ready = (found.status.readyReplicas or 0) if found.status else 0
    replicas = found.spec.replicas if found.spec.replicas is not None else 1
    image = found.spec.template.spec.containers[0].image or ""
    return VersionState(version, deployment, ready, replicas, image, decided_by=settings.scaled_by)


def outside_version(client: Client, name: str, service: ServiceSettings, version: str) -> VersionState:
    """Return the state of a version that the stack does not make."""
    from kube.endpoints import pods_with, service_named
    from traffic.model import Source

    given = service.outside[version]
    words = given.words(version)
    if given.source is Source.PODS:
        labels = {**service.selector_of(name), **given.pod_labels(version)}
        found = pods_with(client, service.namespace, labels)
        return VersionState(version, "", found.ready, found.total, found.image, words)
    if given.source is Source.HOST:
        return VersionState(version, "", 0, 0, "", words)
    called, namespace = given.service_of(service.namespace)
    endpoints = service_named(client, namespace, called)
    ready, total = (endpoints.ready, endpoints.total) if endpoints else (0, 0)
    return VersionState(version, "", ready, total, "", words)


def _configured(settings: Settings, name: str) -> dict[str, Any]:
    """The HTTP routes of each VirtualService as configured."""
    from stacks.gateway_pods import gateway_namespaces
    from traffic.render import virtual_services

    specs = virtual_services(
        settings.services,
        name,
        egress=settings.egress,
        gateway_namespace=settings.mesh.gateway.namespace,
        gateway_namespaces=gateway_namespaces(settings),
        version_header=settings.version_header,
    )
    return {virtual_service: _routes(spec) for virtual_service, spec in specs.items()}


def _routes(spec: Spec | None) -> list[Any] | None:
    """The routes of a VirtualService's spec, None if there is no such object."""
    from traffic.render import routes_in

    return routes_in(spec) if spec is not None else None


def _rollout_words(state: RolloutState | None, problem: str | None) -> str:
    """How far a service's rollout is, and what keeps an `up` from going on; empty if it has none."""
    from rollout.decision import phase_text

    if state is None or (state.stored is None and state.unreadable is None):
        return ""
    if state.stored is None:
        return f"its record cannot be read: {state.unreadable}"
    record = state.stored.record
    paused = f", paused by {record.paused.by}: {record.paused.reason}" if record.paused else ""
    ended = f": {record.ended.reason}" if record.ended else ""
    words = f"{record.id}, {record.from_.version} -> {record.target.version}: {phase_text(record)}{paused}{ended}"
    return f"{words}\n{problem}" if problem else words


def _drift(
    live: Mapping[str, Any],
    recorded: Mapping[str, Any],
    configured: Mapping[str, Any],
    state: RolloutState | None,
) -> str:
    if state is not None and state.stored is not None:
        # The state has the weights of the last `up`, the cluster those of the rollout.
        known = state.http_owner is None or state.http_owner.startswith((FIELD_MANAGER, PULUMI))
        return "" if live == configured else "pending" if known else "edited"
    if any(recorded[name] is not None and live[name] != recorded[name] for name in configured):
        return "edited"
    return "" if live == configured else "pending"


def _recorded(session: Session) -> dict[str, Spec]:
    """The spec of each VirtualService in the stack's state; empty if there is no state to read."""
    exported = session.engine.call("stack", "export")
    if exported.returncode != 0:
        return {}
    resources = (json.loads(exported.stdout).get("deployment") or {}).get("resources") or []
    found = (plain(entry["inputs"]) for entry in resources if entry["type"] == VIRTUAL_SERVICE)
    return {f"{entry['metadata'].get('namespace')}/{entry['metadata']['name']}": entry["spec"] for entry in found}


def _mesh(client: Client, settings: Settings) -> str:
    from lightkube.resources.apps_v1 import Deployment

    found: list[Any] = list(client.list(Deployment, namespace=settings.mesh.namespace, labels={"app": "istiod"}))
    if not found:
        return f"not in the cluster (no istiod in namespace {settings.mesh.namespace})"
    istiods = {str((one.metadata.labels or {}).get(REVISION, DEFAULT_REVISION)): one for one in found}
    if list(istiods) == [DEFAULT_REVISION]:
        return f"Istio {_istiod(found[0])}"
    return "Istio " + "; ".join(f"{_istiod(one)} (revision {name})" for name, one in sorted(istiods.items()))


def _istiod(deployment: Any) -> str:
    """The release of an istiod, and whether it is not ready."""
    image = str(deployment.spec.template.spec.containers[0].image or "")
    ready = (deployment.status.readyReplicas or 0) if deployment.status else 0
    return image.rpartition(":")[2] + ("" if ready else ", istiod is not ready")
