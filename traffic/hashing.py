"""Which destinations choose a pod by hashing a part of the request (Istio: ConsistentHashLB).

The hash chooses among the pods of one version; the version is drawn by the weights before that.
"""

from __future__ import annotations

from traffic.model import RouteTable, Rule, TrafficPolicy, target
from traffic.model.policy import ConsistentHash


def hash_of(routes: RouteTable, service: str, destination: str) -> ConsistentHash | None:
    """Return what is hashed for a destination in the route of `service`, None if nothing is.

    A version's own hash comes before that of its service (istiod: HashForHTTPDestination).
    """
    name, version = target(service, destination)
    called = routes.get(name)
    if called is None:
        return None
    return next(filter(None, map(_hash_in, called.policies_of(version))), None)


def retries_keep_hash(routes: RouteTable, service: str, rule: Rule) -> bool:
    """Whether retries go to the pod that the hash chooses, also if it was tried before.

    With a single destination that hashes, istiod leaves out the rule that retries avoid pods that were tried
    (istiod: retry.ConvertPolicy). Destinations at 0 percent are not part of the route.
    """
    destinations = [name for name, weight in rule.weights.items() if weight > 0]
    return len(destinations) == 1 and hash_of(routes, service, destinations[0]) is not None


def _hash_in(policy: TrafficPolicy) -> ConsistentHash | None:
    return policy.load_balancer.consistent_hash if policy.load_balancer else None
