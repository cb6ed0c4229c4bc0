"""Keys as Kubernetes, Istio and other tools name them, and where a stack's file says the same."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from stacks.settings.kubernetes_values import POD_TEMPLATE_SPEC
from stacks.settings.model import VersionSettings
from stacks.settings.nearest_key import fits, is_same_name
from stacks.settings.problems import LONGEST_GIVEN, Location, key_path, shown
from stacks.settings.rollout_keys import said_of_rollout

USUAL: Mapping[str, tuple[str, ...]] = {
    "path": ("uri",),
    "host": ("authority",),
    "retry": ("retries",),
    "cors": ("corsPolicy",),
    "readiness": ("readinessProbe",),
    "liveness": ("livenessProbe",),
    "startup": ("startupProbe",),
    "environment": ("env",),
    "containerPort": ("port",),
    "hpa": ("autoscaling",),
    "pdb": ("podDisruptionBudget",),
    "ingressClass": ("ingressClassName",),
    "consecutiveErrors": ("consecutive5xxErrors", "consecutiveGatewayErrors"),
}
"""By a usual name, the keys that say the same, wherever one of them is known and takes the value."""
RENAMED: Mapping[tuple[str, str], str] = {
    ("secret", "name"): "secretName",
    ("secret", "secretName"): "name",
    ("persistentVolumeClaim", "name"): "claimName",
    ("configMap", "configMapName"): "name",
}
"""By a key and the one around it, the key of the same meaning there."""
ENTRIES: Mapping[str, tuple[type, str, str]] = {
    "envFrom": (str, "{{secretRef: {{name: {0}}}}}", ", or configMapRef for a ConfigMap"),
    "ports": (int, "{{name: http-metrics, port: {0}}}", ", with the protocol first in the name"),
}
"""By the key of a list of mappings: the type of a bare entry, the entry that it stands for, and further words."""
CORE = "io.k8s.api.core.v1."
OF_THE_SERVICE = ("serviceAccountName", "serviceAccount")
REFUSED = ("hostNetwork", "restartPolicy", "activeDeadlineSeconds", "ephemeralContainers")
"""Fields of a pod that a Deployment behind Istio's sidecar cannot have, so that a podTemplate cannot, either."""


def said_elsewhere(location: Location, value: Any, known: Iterable[str]) -> tuple[str, str] | None:
    """Return what is wrong with a key that is not one of `known`, and the fix; None if the file has no place for it."""
    of_rollout = said_of_rollout(location, value)
    if of_rollout is not None:
        return of_rollout
    key, names = str(location[-1]), tuple(known)
    renamed = RENAMED.get((str(location[-2]), key)) if len(location) > 1 else None
    if renamed in names:
        return f"there is no such key; its name here is `{renamed}`", f"rename it to `{renamed}`"
    usual = [name for name in USUAL.get(key, ()) if name in names and fits((*location[:-1], name), value)]
    if usual:
        fix = f"rename it to {_either(usual)}" if len(usual) == 1 else f"write {_either(usual)}"
        return f"there is no such key; its name is {_either(usual)}", fix
    if location[:2] == ("mesh", "gateway") and key == "selector":
        return (
            "the labels of a gateway's pods are said where its servers are",
            f"write selector: {_value(value)} in {key_path(('gateways',))}.<name>, and remove it here",
        )
    if location[-2:-1] == ("resources",) and key in ("cpu", "memory"):
        inner = f"{{{key}: {_value(value)}}}"
        return (
            "an amount is either what is reserved or the most that the container gets",
            f"write requests: {inner} for what is reserved; limits: {inner} for the most",
        )
    if location[:1] == ("services",) and len(location) == 3:
        return _at_a_service(location, value, names)
    if location[:1] == ("services",) and len(location) == 5 and location[2] == "versions" and "image" in names:
        return _in_the_pod(location, value, names, location[:4])
    return None


def entry_meant(location: Location, value: Any) -> tuple[str, str] | None:
    """Return what a bare value stands for in the list of mappings at a location, and further words; None if nothing."""
    kind, form, more = ENTRIES.get(str(location[-1]), (None, "", ""))
    if kind is None or location[0] != "services" or not isinstance(value, kind) or isinstance(value, bool):
        return None
    return form.format(value), more


def _either(keys: list[str]) -> str:
    return " or ".join(f"`{key}`" for key in keys)


def _at_a_service(location: Location, value: Any, known: Iterable[str]) -> tuple[str, str] | None:
    key = str(location[-1])
    if key == "tls":
        gateways = key_path(("gateways",))
        return (
            "TLS ends at the server of a gateway",
            f"name a gateway in `gateways`, and write tls in {gateways}.<name>.servers, such as {{port: 443, "
            "protocol: HTTPS, hosts: [shop.example.com], tls: {mode: SIMPLE, credentialName: shop-example-com}}",
        )
    if key in (field.alias or name for name, field in VersionSettings.model_fields.items()):
        versions = key_path((*location[:2], "versions"))
        return "this is a key of a version", f"write it in each of {versions}"
    return _in_the_pod(location, value, known, location[:2])


def _in_the_pod(location: Location, value: Any, known: Iterable[str], place: Location) -> tuple[str, str] | None:
    """A field of the pod, or of the service's container in it, which podTemplate takes."""
    from kube.kubernetes_schemas import misfits, schemas

    key = str(location[-1])
    if key in OF_THE_SERVICE:
        name = value.get("name") if isinstance(value, dict) else value
        return (
            "the ServiceAccount is that of all versions of the service",
            f"write serviceAccount: {{name: {_value(name)}}} in {key_path(location[:2])}",
        )
    if any(is_same_name(key, one) for one in known):
        return None
    pod, container = (
        next((one for one in schemas()[f"{CORE}{kind}"]["properties"] if is_same_name(key, one)), None)
        for kind in ("PodSpec", "Container")
    )
    template: dict[str, Any]
    if pod in REFUSED:
        return None
    if pod is not None:
        of, template = "the pod", {"spec": {pod: value}}
    elif container is not None:
        of, template = "the container", {"spec": {"containers": [{"name": str(location[1]), container: value}]}}
    elif key == "annotations":
        of, template = "the pod", {"metadata": {key: value}}
    else:
        return None
    wrong = next(misfits(template, POD_TEMPLATE_SPEC), None)
    fix = f"write it in {key_path((*place, 'podTemplate'))}: {_written(template)}"
    return f"this is a field of {of}, which podTemplate takes", fix + (", and correct its value" if wrong else "")


def _written(value: Any) -> str:
    """A value in YAML's flow style, with … for what is too long."""
    if isinstance(value, dict) and len(value) == 1:
        key, inner = next(iter(value.items()))
        return f"{{{key}: {_written(inner)}}}"
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict) and "name" in value[0]:
        return "[" + _pairs(value[0]) + "]"
    return _value(value)


def _pairs(value: dict[str, Any]) -> str:
    return "{" + ", ".join(f"{key}: {_value(one)}" for key, one in value.items()) + "}"


def _value(value: Any) -> str:
    text = shown(value)
    return text if len(json.dumps(value, default=str)) < LONGEST_GIVEN else "…"
