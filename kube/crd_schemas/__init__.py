"""Checks Istio objects against their CRDs without a cluster, as the API server does for an object that is created.

In the API server's order: unknown fields (`fieldValidation: Strict`, which `kubectl apply` asks for), nulls and
defaults, the schema's constraints, and the CEL rules (`x-kubernetes-validations`). The schemas are those of the package
pulumi_kubernetes_istio_crds. Not checked are `metadata`, `status` (dropped when an object is created), and what
istiod's webhook refuses.

See Kubernetes' page "Extend the Kubernetes API with CustomResourceDefinitions", "Validation" and "Field pruning".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kube.crd_schemas.schemas import SchemasMissingError, is_istio, schema_of

__all__ = ["SchemasMissingError", "is_istio", "problems_of"]


def problems_of(manifest: Mapping[str, Any]) -> list[str]:
    """Return why the API server would refuse this object; empty if it is valid, or of no API group of Istio.

    The API server stops earlier. Here all problems are returned: a CEL rule is left out only where a field that it can
    read is missing, too long, or of another type. Raises SchemasMissingError without pulumi_kubernetes_istio_crds.
    """
    api_version, kind = str(manifest.get("apiVersion", "")), str(manifest.get("kind", ""))
    if not is_istio(api_version):
        return []
    schema = schema_of(api_version, kind)
    if schema is None:
        return [f'no matches for kind "{kind}" in version "{api_version}"']

    from kube.crd_schemas import constraints, fields, rules  # jsonschema and CEL are slow to import

    admitted = fields.admit(manifest, schema)
    violated = constraints.violations(admitted.value, schema)
    broken = rules.violations(admitted.value, schema, {one.path for one in violated if one.hides_rules})
    return [*admitted.unknown, *map(str, violated), *map(str, broken)]
