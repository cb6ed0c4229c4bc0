"""All rules, by subject. A rule of your own goes into a module like these, and its RULES into this tuple."""

from __future__ import annotations

from policies import clusters, images_and_pods, istio_objects, plain_secrets, routing, security, telemetry
from policies.rule import Rule

RULES: tuple[Rule, ...] = (
    *istio_objects.RULES,
    *routing.RULES,
    *images_and_pods.RULES,
    *security.RULES,
    *plain_secrets.RULES,
    *telemetry.RULES,
    *clusters.RULES,
)
