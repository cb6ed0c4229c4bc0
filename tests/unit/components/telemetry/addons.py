"""Istio's addons (samples/addons) as sets of facts, against which the telemetry components are held.

A fact is one line such as `Deployment/prometheus container prometheus arg --config.file=/etc/config/prometheus.yml`.
Not facts are names inside a pod (of containers, volumes and ports), image tags, and labels that Helm writes.
"""

from __future__ import annotations

import configparser
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

import yaml

from tests.unit.istio_crds import module_folder
from tests.unit.mocks import Run

Object = Mapping[str, Any]

ADDONS = "samples/addons"
IGNORED = ("app", "version", "app.kubernetes.io/*", "helm.sh/*", "checksum/*", "pulumi.com/*")
"""Labels and annotations of the packaging."""

NAMES = ("name", "job_name")
"""Keys that tell the items of a list apart in configuration files."""


@cache
def addon(name: str) -> tuple[Object, ...]:
    """Return the objects of samples/addons/<name>.yaml, of the release that sandbox/modules/istio/go.mod pins."""
    text = (module_folder() / ADDONS / f"{name}.yaml").read_text(encoding="utf-8")
    return tuple(filter(None, yaml.load_all(text, yaml.CSafeLoader)))


def built(run: Run) -> tuple[Object, ...]:
    """Return the Kubernetes objects that a program registered."""
    return tuple(_whole(resource.inputs) for resource in run.custom())


def _whole(value: Any) -> Any:
    """Return `value` with whole numbers as integers: the engine's protocol knows only floating-point numbers."""
    if isinstance(value, Mapping):
        return {key: _whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def one(objects: Iterable[Object], kind: str, name: str) -> Object:
    """Return the object of this kind and name."""
    (found,) = (item for item in objects if item["kind"] == kind and item["metadata"]["name"] == name)
    return found


def hold(ours: Sequence[Object], theirs: Sequence[Object], different: Mapping[str, str]) -> None:
    """Raise AssertionError unless every fact of `theirs` is in `ours` or matches a pattern of `different`.

    Each pattern (fnmatch, with its reason) must match facts that are missing, and none that is there.
    """
    facts = facts_of(ours)
    missing = facts_of(theirs) - facts
    unexplained = {fact for fact in missing if not any(_matches(fact, pattern) for pattern in different)}
    assert not unexplained, "neither built nor among the differences:\n" + "\n".join(sorted(unexplained))
    for pattern, reason in different.items():
        assert any(_matches(fact, pattern) for fact in missing), f"nothing is missing for {pattern!r} ({reason})"
        there = sorted(fact for fact in facts & facts_of(theirs) if _matches(fact, pattern))
        assert not there, f"{pattern!r} ({reason}) also matches what is there: {there}"


def _matches(fact: str, pattern: str) -> bool:
    return fnmatchcase(fact, pattern.replace("[", "[[]"))


def facts_of(objects: Iterable[Object]) -> set[str]:
    """Return the facts of all these objects."""
    return {fact for item in objects for fact in facts(item)}


def facts(item: Object) -> set[str]:
    """Return the facts of one object, each with the object's kind and name in front."""
    by_kind = {
        "ClusterRole": permissions,
        "ClusterRoleBinding": _binding,
        "ConfigMap": _config_map,
        "Deployment": _deployment,
        "Service": _service,
    }
    found = by_kind.get(item["kind"], lambda _: ())(item)
    place = f"{item['kind']}/{item['metadata']['name']}"
    return {place} | {f"{place} {fact}" for fact in found}


def permissions(role: Object) -> Iterator[str]:
    """Yield what a Role or ClusterRole allows, one verb on one resource or URL each: `get apps/deployments`."""
    for rule in role["rules"]:
        resources = [
            f"{group or 'core'}/{resource}" for group in rule.get("apiGroups", ()) for resource in rule["resources"]
        ]
        only = "".join(f" named {name}" for name in rule.get("resourceNames", ()))
        for place in [*resources, *rule.get("nonResourceURLs", ())]:
            yield from (f"{verb} {place}{only}" for verb in rule["verbs"])


def _binding(binding: Object) -> Iterator[str]:
    for subject in binding["subjects"]:
        yield f"gives {binding['roleRef']['name']} to {subject['kind']}/{subject['name']}"


def _service(service: Object) -> Iterator[str]:
    spec = service["spec"]
    yield f"type {spec.get('type', 'ClusterIP')}"
    for port in spec["ports"]:
        number = f"{port['port']}/{port.get('protocol', 'TCP')}"
        yield f"port {number} -> {port.get('targetPort', port['port'])}"
        yield f"port {number} named {port['name']}"
        if "appProtocol" in port:
            yield f"port {number} speaks {port['appProtocol']}"


def _config_map(config_map: Object) -> Iterator[str]:
    for name, text in config_map.get("data", {}).items():
        yield f"file {name}"
        yield from (f"file {name} {fact}" for fact in _file(name, text))


def _file(name: str, text: str) -> Iterator[str]:
    """Yield the settings of a YAML or ini file."""
    if name.endswith((".yaml", ".yml")):
        yield from flat(yaml.load(text, yaml.CSafeLoader))
    elif name.endswith(".ini"):
        parser = configparser.RawConfigParser()
        parser.read_string(text)
        yield from flat({section: dict(parser[section]) for section in parser.sections()})


def flat(value: Any, place: str = "") -> Iterator[str]:
    """Yield every value of a configuration as `a.b[name].c=value`, the items of unnamed lists by their position."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from flat(item, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from flat(item, f"{place}[{_name(item, index)}]")
    else:
        yield f"{place}={json.dumps(value, sort_keys=True)}"


def _name(item: Any, index: int) -> Any:
    if not isinstance(item, Mapping):
        return "" if isinstance(item, str) else index
    return next((item[key] for key in NAMES if key in item), index)


def _deployment(deployment: Object) -> Iterator[str]:
    spec, template = deployment["spec"], deployment["spec"]["template"]
    pod = template["spec"]
    yield f"replicas {spec.get('replicas', 1)}"
    yield f"strategy {spec.get('strategy', {}).get('type', 'RollingUpdate')}"
    yield f"service account {pod.get('serviceAccountName', 'default')}"
    yield f"terminates within {pod.get('terminationGracePeriodSeconds', 30)} s"
    for kind in ("labels", "annotations"):
        for key, value in template["metadata"].get(kind, {}).items():
            if not any(_matches(key, pattern) for pattern in IGNORED):
                yield f"pod {kind.removesuffix('s')} {key}={value}"
    for container in pod["containers"]:
        image, _, _ = container["image"].rpartition(":")
        security = {**pod.get("securityContext", {}), **container.get("securityContext", {})}
        yield f"container {image.rpartition('/')[2]} image {image}"
        settings = (f"security {setting}" for setting in flat(security) if security)
        for fact in (*_process(container), *_mounts(container, pod), *settings):
            yield f"container {image.rpartition('/')[2]} {fact}"


def _process(container: Object) -> Iterator[str]:
    yield from (f"arg {arg}" for key in ("command", "args") for arg in container.get(key, ()))
    numbers = {port.get("name"): port["containerPort"] for port in container.get("ports", ())}
    for port in container.get("ports", ()):
        yield f"port {port['containerPort']}/{port.get('protocol', 'TCP')}"
    for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
        if kind in container:
            get = container[kind]["httpGet"]
            yield f"{kind} GET {numbers.get(get['port'], get['port'])}{get['path']}"
    for variable in container.get("env", ()):
        yield f"env {variable['name']}={variable.get('value', '')}"
    for kind, amounts in container.get("resources", {}).items():
        yield from (f"{kind} {name} {amount}" for name, amount in amounts.items())


def _mounts(container: Object, pod: Object) -> Iterator[str]:
    """Yield the path of each mount, and the object it shows. Data may be an emptyDir or a claim."""
    sources = {volume["name"]: volume for volume in pod.get("volumes", ())}
    for mount in container.get("volumeMounts", ()):
        volume = sources[mount["name"]]
        if "configMap" in volume:
            shows = f"ConfigMap/{volume['configMap']['name']}"
        elif "secret" in volume:
            shows = f"Secret/{volume['secret']['secretName']}"
        else:
            shows = "data"
        yield f"mount {mount['mountPath']} shows {shows} {mount.get('subPath', '')}".rstrip()
