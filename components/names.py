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
"""Release name of the istiod chart; that of another revision than Istio's `default` has its name behind it."""

DEFAULT_REVISION = "default"
"""Istio's name of the revision without a name, whose istiod is `istiod`."""

REVISION = "istio.io/rev"
"""Label of a namespace or a pod, and of istiod itself; annotation of every pod with a proxy (Istio: "Revisions")."""

POD_REVISION = "istio-canary/revision"
"""Annotation of pods, so that they are replaced when their namespace moves to another revision."""


def istiod_release(revision: str) -> str:
    """Return the release name of a revision's istiod, which is also that of its Deployment and Service."""
    return ISTIOD_RELEASE if revision == DEFAULT_REVISION else f"{ISTIOD_RELEASE}-{revision}"


def injected_by(revision: str) -> dict[str, str]:
    """Return the label of namespaces whose pods get the proxy of a revision, or of what a tag stands for."""
    return dict(INJECTION) if revision == DEFAULT_REVISION else {REVISION: revision}


def of_revision(revision: str) -> dict[str, str]:
    """Return the annotation of pods whose proxies belong to a revision; none for Istio's `default`."""
    return {} if revision == DEFAULT_REVISION else {POD_REVISION: revision}
