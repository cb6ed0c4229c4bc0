"""Names that are written into the cluster and read there again. Importing this module imports no Pulumi."""

from __future__ import annotations

OWNER_ANNOTATION = "istio-canary/stack"
"""Annotation of the namespaces that a stack created: `<project>/<stack>`. Those without it are not ours."""

INJECTION = {"istio-injection": "enabled"}
"""Label of the namespaces whose pods get Istio's sidecar (Istio: "Installing the Sidecar")."""

BASE_RELEASE = "istio-canary-base"
"""Name of the base chart's release. Helm notes it on Istio's CRDs, which tells ours from those of another mesh."""

ISTIOD_RELEASE = "istiod"
"""Name of the istiod chart's release."""
