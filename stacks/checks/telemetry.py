"""Checks of the telemetry: what its servers need of each other, and chart values of the mesh that contradict it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from metrics.queries import Source
from stacks.checks.pods import check_resources
from stacks.checks.view import View, at, block
from stacks.settings.model import Settings
from stacks.settings.problems import Finding, Location, key_path, shown
from stacks.settings.telemetry import LogFormat, TelemetrySettings

TELEMETRY: Location = ("telemetry",)
NAMES = {"prometheus": "Prometheus", "jaeger": "Jaeger", "grafana": "Grafana", "kiali": "Kiali"}
DEV = "dev"
OPEN = {("grafana", "anonymous"): (True, "false"), ("kiali", "authentication"): ("anonymous", "token")}
"""The keys that decide about a login, each with the value that asks for none and the one that asks for one."""

KEYS_WITH_URL = {"enabled", "url", "note", "collector"}
"""The keys of a server that matter for one that exists."""

ISTIOD: Location = ("mesh", "values", "istiod")
MESH_CONFIG: Location = (*ISTIOD, "meshConfig")
MATCHER: Location = (*MESH_CONFIG, "defaultConfig", "proxyStatsMatcher")
WITHOUT_METRICS: dict[Location, str] = {
    (*ISTIOD, "telemetry", "enabled"): "turns Istio's metrics off",
    (*ISTIOD, "telemetry", "v2", "enabled"): "turns Istio's metrics off",
    (*ISTIOD, "telemetry", "v2", "prometheus", "enabled"): "turns Istio's metrics off",
    (*ISTIOD, "env", "PILOT_ENABLE_METADATA_EXCHANGE"): "keeps the versions out of Istio's metrics",
}
"""Chart values that must not be false with Istio's own metrics, and what they do if they are."""


def check(view: View) -> Iterator[Finding]:
    """Yield what contradicts itself in the telemetry, and what contradicts the mesh's chart values."""
    for server in NAMES:
        yield from _check_server(view, server)
    yield from _check_prometheus(view)
    yield from _check_open(view)
    yield from _check_tracing(view)
    yield from _check_metric_tags(view)
    if view.mesh.get("install") is not False:
        yield from _check_metrics(view)
        yield from _check_scraping(view)
        yield from _check_replaced(view)
        yield from _check_access_logs(view)


def _server(view: View, name: str) -> dict[str, Any]:
    return block(view.telemetry.get(name))


def _use(view: View, name: str) -> Location | None:
    """The key by which a server is in use, None if it is off or malformed."""
    given = _server(view, name)
    if given.get("enabled") is True:
        return (*TELEMETRY, name, "enabled")
    return (*TELEMETRY, name, "url") if isinstance(given.get("url"), str) else None


def _spans(view: View) -> Location | None:
    """The key by which spans go to a Jaeger, None if they do not."""
    use = _use(view, "jaeger")
    is_reached = use is not None and (use[-1] == "enabled" or _server(view, "jaeger").get("collector") is not None)
    return use if is_reached else None


def _is_off(view: View, name: str) -> bool:
    """Whether a server is off, which it is by default; False if it is malformed."""
    given = view.telemetry.get(name, {})
    return isinstance(given, dict) and given.get("enabled", False) is False and given.get("url") is None


def _turn_on(view: View, name: str) -> str:
    """What to write so that the stack creates a server that is off."""
    given = _server(view, name)
    if not given:
        return f"add {name}: {{enabled: true}} to {key_path(TELEMETRY)}"
    instead = " instead of note" if given.get("note") else ""
    return f"write enabled: true{instead} in {key_path((*TELEMETRY, name))}"


def _check_server(view: View, name: str) -> Iterator[Finding]:
    given, place = _server(view, name), (*TELEMETRY, name)
    use, url, note = _use(view, name), given.get("url"), given.get("note")
    if given.get("enabled") is True and isinstance(url, str):
        yield Finding(
            (*place, "url"),
            f"enabled: true creates {NAMES[name]}, but url names one that exists",
            "one of enabled: true and url",
            "remove url to create one, or enabled to use the one that exists",
            shown(url),
        )
    if use is not None and note and isinstance(note, str):
        yield Finding(
            (*place, "note"),
            f"the note says why there is no {NAMES[name]}, but {use[-1]} says that there is one",
            "note with enabled: false and no url",
            "remove note",
            shown(note),
        )
    if name == "jaeger" and given.get("collector") is not None and url is None:
        yield Finding(
            (*place, "collector"),
            "no effect: it belongs to a Jaeger that exists, whose url is not given",
            "collector with url",
            "remove collector, or add the url of that Jaeger",
            shown(given["collector"]),
        )
    yield from check_resources(block(given.get("resources")), (*place, "resources"))


def _check_prometheus(view: View) -> Iterator[Finding]:
    """Grafana and Kiali read Prometheus' metrics, and the alerts are rules of it."""
    if not _is_off(view, "prometheus"):
        return
    alerts = (*TELEMETRY, "alerts", "enabled") if block(view.telemetry.get("alerts")).get("enabled") is True else None
    kiali = _use(view, "kiali")
    for reader, place, need in (
        ("Grafana", _use(view, "grafana"), "enabled: true or url"),
        ("Kiali", kiali if kiali and kiali[-1] == "enabled" else None, "enabled: true or url"),  # others have their own
        ("the alerts", alerts, "enabled: true"),
    ):
        if place is not None:
            yield Finding(
                place,
                f"{reader} would have no metrics: {key_path((*TELEMETRY, 'prometheus'))} is off",
                f"{place[-1]}, if {key_path((*TELEMETRY, 'prometheus'))} has {need}",
                f"{_turn_on(view, 'prometheus')}, or remove {place[-1]}",
                shown(at(view.values, place)),
            )


def _check_open(view: View) -> Iterator[Finding]:
    """In a stack for development, everyone who reaches a server may use it."""
    stack = view.stack or ""
    if stack == DEV or stack.startswith(f"{DEV}-"):
        return
    for (name, key), (no_login, login) in OPEN.items():
        server = _server(view, name)
        if server.get("enabled") is True and server.get(key) == no_login:
            yield Finding(
                (*TELEMETRY, name, key),
                f"everyone who reaches {NAMES[name]} could read what it shows, without a login",
                f"{key}: {login}, except in a stack named {DEV} or {DEV}-…{f'; this one is {stack}' if stack else ''}",
                f"write {key}: {login}",
                shown(no_login),
            )


def _check_tracing(view: View) -> Iterator[Finding]:
    tracing, jaeger = view.telemetry.get("tracing"), (*TELEMETRY, "jaeger")
    if not tracing or not isinstance(tracing, dict) or _spans(view) is not None:
        return
    if _is_off(view, "jaeger"):
        what, fix = f"{key_path(jaeger)} is off", _turn_on(view, "jaeger")
    elif _use(view, "jaeger") is not None:
        what = f"{key_path(jaeger)} has a url, but no collector"
        fix = f"add the host and port of its collector as {key_path((*jaeger, 'collector'))}"
    else:
        return
    yield Finding(
        (*TELEMETRY, "tracing"),
        f"spans would go nowhere: {what}",
        f"tracing with {key_path(jaeger)} that has enabled: true, or url and collector",
        f"{fix}, or remove tracing",
        shown(tracing),
    )


def _check_metric_tags(view: View) -> Iterator[Finding]:
    tags = view.telemetry.get("metricTags")
    if tags and view.telemetry.get("metrics") == Source.ENVOY:
        yield Finding(
            (*TELEMETRY, "metricTags"),
            f"no effect: {key_path((*TELEMETRY, 'metrics'))} is envoy, and the tags are those of Istio's metrics",
            "metricTags with metrics: istio",
            "remove metricTags, or write metrics: istio",
            shown(tags),
        )


def _check_metrics(view: View) -> Iterator[Finding]:
    """Istio's own metrics come from its filters in Envoy, which chart values can turn off."""
    source = view.telemetry.get("metrics", Source.ISTIO)
    if _use(view, "prometheus") is None or source != Source.ISTIO:
        return
    found = {
        value: effect for value, effect in WITHOUT_METRICS.items() if str(at(view.values, value)).lower() == "false"
    }
    if found:
        values = " and ".join(map(key_path, found))
        yield Finding(
            (*TELEMETRY, "metrics"),
            "; ".join(f"{key_path(value)} {effect}" for value, effect in found.items()),
            f"metrics: envoy, or metrics: istio without {values}",
            f"write metrics: envoy, or remove {values}",
            shown(source),
        )


def _check_scraping(view: View) -> Iterator[Finding]:
    value = (*MESH_CONFIG, "enablePrometheusMerge")
    if _server(view, "prometheus").get("enabled") is True and at(view.values, value) is False:
        yield _contradiction(view, (*TELEMETRY, "prometheus", "enabled"), value, "hides the pods' metrics from it")


def _check_replaced(view: View) -> Iterator[Finding]:
    """Chart values are merged over this project's, and a list in them replaces its list."""
    logs = (*TELEMETRY, "accessLogs", "enabled") if _logs(view) is True else None
    providers = (*MESH_CONFIG, "extensionProviders")
    for place, value, effect in (
        (_use(view, "prometheus"), MATCHER, "replaces the list of Envoy's metrics that it needs"),
        (_spans(view), providers, "replaces the provider that sends spans to it"),
        (logs, providers, "replaces the provider of the access logs"),
    ):
        if place is not None and at(view.values, value) is not None:
            yield _contradiction(view, place, value, effect)
    enabling = (*MESH_CONFIG, "enableTracing")
    place = _spans(view)
    if place is not None and at(view.values, enabling) is False:
        yield _contradiction(view, place, enabling, "turns tracing off")


def _check_access_logs(view: View) -> Iterator[Finding]:
    """Istio's Telemetry decides about access logs where it names them, and MeshConfig elsewhere."""
    logs = _logs(view)
    for key in ("accessLogFile", "accessLogFormat", "accessLogEncoding"):
        value = (*MESH_CONFIG, key)
        if at(view.values, value) and (logs is True or (logs is False and key == "accessLogFile")):
            effect = "sets the same" if logs else "enables them"
            yield _contradiction(view, (*TELEMETRY, "accessLogs", "enabled"), value, effect)


def _logs(view: View) -> Any:
    """`accessLogs.enabled` as given."""
    return block(view.telemetry.get("accessLogs")).get("enabled")


def _contradiction(view: View, place: Location, value: Location, effect: str) -> Finding:
    return Finding(
        place,
        f"{key_path(value)} {effect}",
        f"one of {key_path(place)} and {key_path(value)}",
        f"remove {key_path(value)}, or remove {key_path(place)}",
        shown(at(view.values, place)),
    )


def warnings(settings: Settings) -> Iterator[Finding]:
    """Yield what has an effect only if others configure something, and what has none."""
    telemetry = settings.telemetry
    alerts = (*TELEMETRY, "alerts")
    if telemetry.prometheus.url is not None and telemetry.alerts.enabled and "alerts" in telemetry.model_fields_set:
        yield Finding(
            alerts,
            f"no effect: alerts are rules of a Prometheus that the stack creates, not of {telemetry.prometheus.url}",
            f"alerts with {key_path((*TELEMETRY, 'prometheus', 'enabled'))}: true",
            "remove alerts, and add rules to the Prometheus that exists",
        )
    yield from _without_effect(telemetry)
    yield from _of_closed_servers(telemetry)
    if not settings.mesh.install:
        yield from _of_existing_mesh(telemetry)


def _without_effect(telemetry: TelemetrySettings) -> Iterator[Finding]:
    """Keys of a server that the stack would create, beside the url of one that exists; how to log, without logs."""
    for name, title in NAMES.items():
        server = getattr(telemetry, name)
        for key in sorted(server.model_fields_set - KEYS_WITH_URL) if server.url is not None else ():
            yield Finding(
                (*TELEMETRY, name, key),
                f"no effect: it belongs to a {title} that the stack creates, and url names one that exists",
                f"{key} with enabled: true and without url",
                f"remove {key}",
            )
    logs = telemetry.access_logs
    for key in sorted(logs.model_fields_set - {"enabled"}) if not logs.enabled else ():
        yield Finding(
            (*TELEMETRY, "accessLogs", key),
            f"no effect: {key_path((*TELEMETRY, 'accessLogs', 'enabled'))} is false",
            f"{key} with enabled: true",
            f"add enabled: true, or remove {key}",
        )


def _of_closed_servers(telemetry: TelemetrySettings) -> Iterator[Finding]:
    """The NetworkPolicies of the stack's servers keep out a Grafana or Kiali that exists in another namespace."""
    created = [NAMES[name] for name in ("prometheus", "jaeger") if getattr(telemetry, name).enabled]
    for name in ("grafana", "kiali"):
        url = getattr(telemetry, name).url
        if url is not None and created and not telemetry.allowed_namespaces:
            yield Finding(
                (*TELEMETRY, name, "url"),
                f"a {NAMES[name]} in another namespace of the cluster cannot reach the stack's {' and '.join(created)}",
                f"its namespace in {key_path((*TELEMETRY, 'allowedNamespaces'))}",
                f"write {key_path((*TELEMETRY, 'allowedNamespaces'))}: [monitoring], for example; not needed if it is "
                "outside the cluster",
                url,
            )


def _of_existing_mesh(telemetry: TelemetrySettings) -> Iterator[Finding]:
    """What the owner of a mesh that the stack does not install has to configure: MeshConfig is read by its istiod."""
    collector = telemetry.jaeger.collector or f"jaeger-collector.{telemetry.namespace}.svc.cluster.local:4317"
    host, _, port = collector.rpartition(":")
    log = (
        "{path: /dev/stdout, logFormat: {labels: {…}}}"
        if telemetry.access_logs.format is LogFormat.JSON
        else "{path: /dev/stdout}"
    )
    needed = {
        ("tracing",): (
            telemetry.traces_requests,
            f"meshConfig.extensionProviders: [{{name: jaeger, opentelemetry: {{service: {host}, port: {port}}}}}]",
        ),
        ("accessLogs",): (
            telemetry.access_logs.enabled,
            f"meshConfig.extensionProviders: [{{name: access-log, envoyFileAccessLog: {log}}}]",
        ),
        ("metrics",): (
            telemetry.metrics is Source.ENVOY and telemetry.prometheus.in_use,
            "meshConfig.defaultConfig.proxyStatsMatcher.inclusionRegexps: "
            "['cluster\\.outbound.*', 'http\\.outbound.*\\.no_cluster']",
        ),
    }
    for key, (is_needed, configuration) in needed.items():
        if is_needed:
            yield Finding(
                (*TELEMETRY, *key),
                f"no effect unless the owner of the mesh configures it: {key_path(('mesh', 'install'))} is false",
                "a setting that the mesh's MeshConfig supports",
                f"none needed if the mesh has {configuration}; otherwise add it there",
            )
