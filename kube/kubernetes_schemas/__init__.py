"""Kubernetes' own types without a cluster: what does not fit a schema, and values laid over one another.

The schemas are those that the API server of one version of Kubernetes publishes, so they have its enums and the keys by
which a strategic merge tells the items of a list apart. A newer API server knows more fields, and an older one fewer.
"""

from __future__ import annotations

from kube.kubernetes_schemas.merging import laid_over
from kube.kubernetes_schemas.misfits import Misfit, misfits
from kube.kubernetes_schemas.schemas import schemas, version

__all__ = ["Misfit", "laid_over", "misfits", "schemas", "version"]
