"""Names that are written to the cluster and read back from it. This module does not import Pulumi."""

from __future__ import annotations

OWNER_ANNOTATION = "istio-canary/stack"
"""Annotation of a namespace created by a stack: `<project>/<stack>`."""

PORT_NAME = "http"
"""Port name of a Service and its containers, from which Istio takes the protocol (Istio: "Protocol Selection")."""

INJECTION = {"istio-injection": "enabled"}
"""Label of namespaces whose pods get Istio's sidecar (Istio: "Installing the Sidecar")."""

BASE_RELEASE = "istio-canary-base"
"""Release name of the base chart. Helm annotates Istio's CRDs with it, which identifies the mesh of this project."""

ISTIOD_RELEASE = "istiod"
"""Release name of the istiod chart."""
