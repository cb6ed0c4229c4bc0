"""Warns of Gateway API CRDs that istiod ignores, which it reports only in its own log.

See Istio's analysis message IST0176 (GatewayAPICRDVersionBelowMinimum) and the Gateway API's "Versioning".
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from stacks.settings.problems import Problem

BUNDLE_VERSION = "gateway.networking.k8s.io/bundle-version"
CHANNEL = "gateway.networking.k8s.io/channel"

SINCE = (1, 31)
"""The first Istio release with these minimums (pkg/config/schema/gatewayapi/minimumversions.go)."""
MINIMUMS = {
    "grpcroutes.gateway.networking.k8s.io": (1, 1, 0),
    "backendtlspolicies.gateway.networking.k8s.io": (1, 4, 0),
    "tlsroutes.gateway.networking.k8s.io": (1, 5, 0),
    "tcproutes.gateway.networking.k8s.io": (1, 6, 0),
}
"""The oldest bundle version that istiod accepts, by CRD. Other CRDs are accepted from any bundle."""
Annotations = Mapping[str, str]


def has_minimums(istio: str) -> bool:
    """Whether the minimums apply to this Istio release."""
    return tuple(map(int, istio.split(".")[:2])) >= SINCE


def ignored_kinds(istio: str, crds: Mapping[str, Annotations], file: str) -> tuple[Problem, ...]:
    """Return a warning for each CRD that this Istio release ignores.

    `crds` are the annotations of the cluster's CRDs by name; `file` is the stack's file, for the message.
    """
    return tuple(
        _problem(istio, name, crds[name], file)
        for name, minimum in MINIMUMS.items()
        if name in crds and _bundle(crds[name]) < minimum
    )


def _bundle(annotations: Annotations) -> tuple[int, ...]:
    """The bundle version, empty if unknown. v1.5.0-rc.1 counts as v1.5.0, as in istiod."""
    found = re.match(r"v?(\d+)\.(\d+)\.(\d+)(?![\d.])", annotations.get(BUNDLE_VERSION, ""))
    return tuple(map(int, found.groups())) if found else ()


def _problem(istio: str, name: str, annotations: Annotations, file: str) -> Problem:
    minimum = "v" + ".".join(map(str, MINIMUMS[name]))
    channel = annotations.get(CHANNEL, "standard")
    install = f"https://github.com/kubernetes-sigs/gateway-api/releases/download/{minimum}/{channel}-install.yaml"
    return Problem(
        path="istio-canary:mesh.version",
        what=f"Istio {istio} ignores all objects of the CRD {name} in the cluster: the CRD is too old",
        given=f"Istio {istio}, and the Gateway API's bundle {annotations.get(BUNDLE_VERSION, 'with no version')}",
        allowed=f"bundle {minimum} or newer",
        fix=f"if you use them, upgrade the Gateway API: kubectl apply --server-side --filename {install}",
        file=file,
    )
