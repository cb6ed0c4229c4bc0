"""Where Istio publishes its charts and images.

See Istio's "Upgrade Notes" of 1.31 ("Deprecation of GCP infrastructure and hosting") and its post "An update on our
move to AWS". All releases are at these hosts, the older ones too.
"""

from __future__ import annotations

OFFICIAL_CHARTS = "https://blob.istio.io/istio-release/charts"
OFFICIAL_OCI_CHARTS = "oci://ghcr.io/istio/release/charts"
OFFICIAL_HUB = "docker.io/istio"

RETIRED = {
    "istio-release.storage.googleapis.com": "blob.istio.io/istio-release",
    "gcr.io/istio-release/charts": "ghcr.io/istio/release/charts",
    "gcr.io/istio-release": OFFICIAL_HUB,
    "registry.istio.io/release": OFFICIAL_HUB,
    "registry.istio.io": OFFICIAL_HUB,
}
"""What stands in the place of a retired host, the longer of two names first. Nothing is published there from Istio 1.31
on, and they are switched off in December 2026."""
