"""Writes schemas.json from what an API server publishes (Kubernetes: "The Kubernetes API", "OpenAPI V3").

kubectl get --raw /openapi/v3/apis/apps/v1 > apps.json
kubectl get --raw /openapi/v3/apis/autoscaling/v2 > autoscaling.json
python -m kube.kubernetes_schemas.generate apps.json autoscaling.json
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from kube.kubernetes_schemas.schemas import FILE, ITEMS_BY, REFERENCE, Schema

ROOTS = (
    "io.k8s.api.core.v1.PodTemplateSpec",
    "io.k8s.api.autoscaling.v2.MetricSpec",
    "io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerBehavior",
)
"""The schemas that are wanted, with all that they refer to."""
KEPT = ("type", "enum", "format", "required", ITEMS_BY)
"""What is kept of a schema beside its fields: no texts, and no defaults, which the API server fills in by itself."""


def generated(documents: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return the content of schemas.json: the version of Kubernetes, and the schemas by name."""
    version = ""
    published: dict[str, Schema] = {}
    for document in documents:
        version = document["info"]["version"].removeprefix("v")
        published |= document["components"]["schemas"]
    found: dict[str, Schema] = {}
    wanted = list(ROOTS)
    while wanted:
        name = wanted.pop()
        if name not in found:
            found[name] = _reduced(published[name])
            wanted += _references(found[name])
    return {"version": version, "schemas": dict(sorted(found.items()))}


def text_of(content: dict[str, Any]) -> str:
    """Return the file's text: a line for each schema, so that those of a newer Kubernetes are a readable diff."""
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(one)}" for name, one in content["schemas"].items())
    return f'{{"version": {json.dumps(content["version"])}, "schemas": {{\n{lines}\n}}}}\n'


def _reduced(schema: Schema) -> Schema:
    for part in schema.get("allOf", ()):
        return _reduced(part)  # only ever one, to stand beside a description
    if "$ref" in schema:
        return {REFERENCE: schema["$ref"].rpartition("/")[2]}
    if "oneOf" in schema:
        return {"oneOf": [_reduced(part) for part in schema["oneOf"]]}
    reduced: Schema = {key: schema[key] for key in KEPT if key in schema}
    if "properties" in schema:
        reduced["properties"] = {name: _reduced(field) for name, field in schema["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            reduced[key] = _reduced(schema[key])
    return reduced


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get(REFERENCE), str):
            yield schema[REFERENCE]
        for part in schema.values():
            yield from _references(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from _references(part)


if __name__ == "__main__":
    FILE.write_text(text_of(generated(json.loads(Path(path).read_bytes()) for path in sys.argv[1:])))
