"""Checks of `podTemplate`: against Kubernetes' schema, and what would break the service's own pods."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml
from pydantic_core import PydanticCustomError

from stacks.checks import pod_containers
from stacks.checks.kubernetes import findings_of
from stacks.checks.pod_overlays import Overlay, overlays
from stacks.checks.view import View, block, entries
from stacks.settings.kubernetes_values import POD_TEMPLATE_SPEC
from stacks.settings.problems import Finding, Location, key_path, shown
from traffic.fields import label_key, label_value

INJECT = "sidecar.istio.io/inject"
OF_THE_SELECTOR = ("app", "version")
CANONICAL = ("service.istio.io/canonical-name", "service.istio.io/canonical-revision")
INCLUDED, EXCLUDED = "traffic.sidecar.istio.io/includeInboundPorts", "traffic.sidecar.istio.io/excludeInboundPorts"
REWRITES_PROBES = "sidecar.istio.io/rewriteAppHTTPProbers"
PROXY_CONFIG = "proxy.istio.io/config"
METADATA = ("labels", "annotations")
NEEDED = (("metadata",), ("metadata", "labels"), ("metadata", "annotations"), ("spec",), ("spec", "containers"),
          ("spec", "volumes"))  # fmt: skip
"""Parts that the pods have already, which null would remove as a whole."""


def check(view: View) -> Iterator[Finding]:
    """Yield what is wrong with the pod templates."""
    for service in view.services.values():
        found: set[Location] = set()
        for overlay in overlays(service):
            for finding in (*_misfits(overlay), *_breaking(overlay)):
                if finding.location not in found:  # the service's template is laid over each version
                    found.add(finding.location)
                    yield finding


def _misfits(overlay: Overlay) -> Iterator[Finding]:
    yield from findings_of(overlay.template, POD_TEMPLATE_SPEC, overlay.place)


def _breaking(overlay: Overlay) -> Iterator[Finding]:
    metadata, spec = block(overlay.template.get("metadata")), block(overlay.template.get("spec"))
    yield from _removed(overlay)
    for key in metadata.keys() - set(METADATA):
        yield Finding(
            (*overlay.place, "metadata", key),
            f"{key} has no effect on the pods of a Deployment",
            f"the fields {', '.join(METADATA)}",
            "remove it",
            shown(metadata[key]),
        )
    yield from _labels(block(metadata.get("labels")), (*overlay.place, "metadata", "labels"))
    yield from _annotations(overlay, block(metadata.get("annotations")), (*overlay.place, "metadata", "annotations"))
    yield from _spec(overlay, spec, (*overlay.place, "spec"))
    yield from pod_containers.check(overlay)


def _removed(overlay: Overlay) -> Iterator[Finding]:
    for path in NEEDED:
        around: Any = overlay.template
        for part in path[:-1]:
            around = block(around.get(part))
        if path[-1] in around and around[path[-1]] is None:
            yield Finding(
                (*overlay.place, *path),
                f"null would remove {path[-1]} that the pods need",
                "null for what the service's podTemplate adds, one by one",
                "remove it, or give it a value",
                "null",
            )


def _labels(labels: dict[str, Any], place: Location) -> Iterator[Finding]:
    for key, value in labels.items():
        where = (*place, key)
        if key in OF_THE_SELECTOR:
            yield Finding(
                where,
                f"the label {key} tells the pods of the service's versions apart: the Service, the Deployments and "
                "Istio's subsets select by it",
                "labels other than app and version",
                "use another key, such as app.kubernetes.io/part-of",
                shown(value),
            )
        elif key in CANONICAL:
            yield Finding(
                where,
                "Istio's metrics would show the pods under this name instead of their version's",
                "labels other than Istio's canonical ones, which the stack sets where they are needed",
                "remove it",
                shown(value),
            )
        elif key == INJECT and value in ("false", False):
            yield _no_sidecar(where, value)
        else:
            yield from _syntax(key, value, where)


def _syntax(key: str, value: Any, where: Location) -> Iterator[Finding]:
    try:
        label_key(key)
        if isinstance(value, str):
            label_value(value)
    except PydanticCustomError as error:
        context = error.context or {}
        yield Finding(where, context["what"], context["allowed"], context["fix"], shown(value))


def _annotations(overlay: Overlay, annotations: dict[str, Any], place: Location) -> Iterator[Finding]:
    port = overlay.port
    for key, value in annotations.items():
        where = (*place, key)
        ports = re.split(r"\s*,\s*", str(value).strip())
        if key == INJECT and value in ("false", False):
            yield _no_sidecar(where, value)
        elif port and (
            (key == EXCLUDED and str(port) in ports) or (key == INCLUDED and not {"*", str(port)} & {*ports})
        ):
            kept = [one for one in ports if one != str(port)] if key == EXCLUDED else [*filter(None, ports), str(port)]
            yield Finding(
                where,
                f"requests to port {port} would bypass the sidecar: mutual TLS and access policies would not apply",
                f"a list {'without' if key == EXCLUDED else 'with'} the version's port {port}",
                f'write "{",".join(kept)}"' if kept else "remove it",
                shown(value),
            )
        elif key == PROXY_CONFIG and isinstance(value, str) and not isinstance(_yaml(value), dict):
            yield Finding(
                where,
                "this is not the configuration of a proxy",
                "a mapping as text, in YAML or JSON (Istio: ProxyConfig)",
                'write "holdApplicationUntilProxyStarts: true", for example',
                shown(value),
            )
        elif key == REWRITES_PROBES and value in ("false", False):
            yield Finding(
                where,
                "the sidecar would refuse the kubelet's probes, which have no certificate of the mesh",
                '"true", which is Istio\'s default',
                "remove it",
                shown(value),
            )


def _yaml(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return None


def _no_sidecar(where: Location, value: Any) -> Finding:
    return Finding(
        where,
        "without Istio's sidecar, routes, mutual TLS and access policies do not apply to the pods",
        '"true", which is the default in the namespaces of the stack',
        "remove it",
        shown(value),
    )


def _spec(overlay: Overlay, spec: dict[str, Any], place: Location) -> Iterator[Finding]:
    for key in ("serviceAccountName", "serviceAccount"):
        if key in spec:
            yield Finding(
                (*place, key),
                "the ServiceAccount is the pods' identity in the mesh, by which authorizations know them",
                f"{key_path((*overlay.service.location, 'serviceAccount'))} for all pods of the service",
                f"remove it, and write serviceAccount: {{name: {spec[key]}}} there",
                shown(spec[key]),
            )
    if "terminationGracePeriodSeconds" in spec:
        seconds = spec["terminationGracePeriodSeconds"]
        yield Finding(
            (*place, "terminationGracePeriodSeconds"),
            "this is terminationGracePeriodSeconds of the version, which is compared with its preStopSeconds",
            key_path((*overlay.version_place, "terminationGracePeriodSeconds")),
            f"remove it, and write terminationGracePeriodSeconds: {shown(seconds)} there",
            shown(seconds),
        )
    if spec.get("hostNetwork") is True:
        yield Finding(
            (*place, "hostNetwork"),
            "Istio injects no sidecar into pods in the network of their node, so no route and no policy applies",
            "false, which is the default",
            "remove it",
            "true",
        )
    if spec.get("restartPolicy") not in (None, "Always"):
        given = spec["restartPolicy"]
        yield Finding(
            (*place, "restartPolicy"), "a Deployment restarts its containers", "Always, which is the default",
            "remove it", shown(given),
        )  # fmt: skip
    for key in ("activeDeadlineSeconds", "ephemeralContainers"):
        if spec.get(key) is not None:
            yield Finding(
                (*place, key), f"Kubernetes accepts no {key} in the pods of a Deployment", "the other fields",
                "remove it", shown(spec[key]),
            )  # fmt: skip
    yield from pod_containers.user_of_istio(block(spec.get("securityContext")), (*place, "securityContext"))
    yield from _volumes(overlay, entries(spec.get("volumes")), (*place, "volumes"))


def _volumes(overlay: Overlay, volumes: list[Any], place: Location) -> Iterator[Finding]:
    for index, volume in enumerate(volumes):
        name = block(volume).get("name")
        if name in overlay.own_volumes:
            yield Finding(
                (*place, index, "name"),
                f"the volume {name} is that of the version's own files or volumes",
                f"names other than {', '.join(overlay.own_volumes)}",
                "choose another name",
                shown(name),
            )
