"""Manifests for kubectl, Argo CD or Flux from what a stack's program registers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from canary.render.order import in_order

if TYPE_CHECKING:
    from stacks.recording import Recorded

Manifest = dict[str, Any]
RELEASE = "kubernetes:helm.sh/v3:Release"
SECRET = "Secret"  # noqa: S105 - a kind
REPLICAS = "spec.replicas"
OF_PULUMI = "pulumi.com/"
"""Prefix of the annotations that only Pulumi's Kubernetes provider reads."""


@dataclass(frozen=True)
class Part:
    """A step of applying the stack: one object, or the objects of a chart.

    `name` is `<kind>-<namespace>-<name>` in lower case. `comment` says what is missing, if there are no manifests.
    """

    name: str
    manifests: tuple[Manifest, ...] = ()
    comment: str = ""


def secret_with_keys(value: Any) -> Any:
    """Return what stands for a secret: the text `[secret]`, for a mapping one for each of its keys."""
    from stacks.recording import SECRET

    return dict.fromkeys(value, SECRET) if isinstance(value, dict) else SECRET


def parts_of(resources: Iterable[Recorded], chart: Callable[[Recorded], list[Manifest]] | None) -> list[Part]:
    """Return the parts of a stack in the order of application; what a cloud has is none.

    `chart` returns the manifests of a Helm release; None leaves them out. A Secret has a comment instead of a manifest:
    one with masked values would replace the right ones, or be a known password.
    """
    objects = [resource for resource in in_order(resources) if resource.type.startswith("kubernetes:")]
    return [part for resource in objects for part in _parts(resource, chart)]


def _parts(resource: Recorded, chart: Callable[[Recorded], list[Manifest]] | None) -> Iterator[Part]:
    if resource.type != RELEASE:
        yield _part(without_pulumi(_without_replicas(resource)))
        return
    name = _slug("chart", resource.inputs["namespace"], resource.inputs["name"])
    if chart is None:
        yield Part(name, comment=_left_out(resource.inputs))
        return
    manifests = [without_pulumi(manifest) for manifest in chart(resource)]
    yield from (_part(manifest) for manifest in manifests if manifest["kind"] == SECRET)
    yield Part(name, tuple(manifest for manifest in manifests if manifest["kind"] != SECRET))


def _part(manifest: Manifest) -> Part:
    metadata = manifest["metadata"]
    name = _slug(manifest["kind"], metadata.get("namespace"), metadata["name"])
    return Part(name, comment=_not_shown(manifest)) if manifest["kind"] == SECRET else Part(name, (manifest,))


def _without_replicas(resource: Recorded) -> Mapping[str, Any]:
    """The object without a number of pods that is only for its creation: applied again, it would undo an autoscaler."""
    if REPLICAS not in resource.ignores:
        return resource.inputs
    return {**resource.inputs, "spec": {key: value for key, value in resource.spec.items() if key != "replicas"}}


def without_pulumi(manifest: Mapping[str, Any]) -> Manifest:
    """Return a manifest without the annotations of Pulumi, those of pod templates too, in Kubernetes' usual order."""
    first = [key for key in ("apiVersion", "kind", "metadata") if key in manifest]
    return {key: _cleaned(manifest[key]) for key in (*first, *sorted(manifest.keys() - set(first)))}


def _cleaned(value: Any) -> Any:
    if isinstance(value, list):
        return [_cleaned(entry) for entry in value]
    if not isinstance(value, Mapping):
        return value
    cleaned = {key: _cleaned(entry) for key, entry in value.items()}
    annotations = cleaned.get("annotations")
    if isinstance(annotations, dict) and any(str(key).startswith(OF_PULUMI) for key in annotations):
        kept = {key: entry for key, entry in annotations.items() if not str(key).startswith(OF_PULUMI)}
        cleaned["annotations"] = kept
        if not kept:
            del cleaned["annotations"]
    return cleaned


def masked_places(parts: Iterable[Part]) -> Iterator[str]:
    """Yield the places of masked values, each as `Deployment shop/shop-stable: spec.….value`."""
    from stacks.recording import SECRET

    for part in parts:
        for manifest in part.manifests:
            metadata = manifest.get("metadata", {})
            owner = "/".join(filter(None, (metadata.get("namespace"), metadata.get("name"))))
            yield from (f"{manifest.get('kind')} {owner}: {place}" for place in _places(manifest, SECRET))


def _places(value: Any, wanted: str, place: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from _places(entry, wanted, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list):
        for index, entry in enumerate(value):
            yield from _places(entry, wanted, f"{place}[{index}]")
    elif isinstance(value, str) and wanted in value:
        yield place


def _left_out(inputs: Mapping[str, Any]) -> str:
    repository = inputs.get("repositoryOpts", {}).get("repo")
    source = f"{inputs['chart']} {inputs['version']}" + (f" of {repository}" if repository else "")
    return f"the Helm chart {source} as release {inputs['name']} in namespace {inputs['namespace']} (--skip-charts)"


def _not_shown(manifest: Manifest) -> str:
    metadata = manifest["metadata"]
    given = [manifest.get("data"), manifest.get("stringData")]
    keys = [key for values in given if isinstance(values, dict) for key in values]
    literals = " ".join(f"--from-literal={key}=…" for key in sorted(keys)) or "--from-literal=…"
    return (
        f"the Secret {metadata['namespace']}/{metadata['name']}, whose values are not shown; create it with\n"
        f"  kubectl create secret generic {metadata['name']} --namespace {metadata['namespace']} {literals}"
    )


def _slug(*parts: str | None) -> str:
    """A name that is safe in a file name."""
    return re.sub(r"[^a-z0-9.-]+", "-", "-".join(filter(None, parts)).lower())
