"""The DestinationRule of a service: its versions as subsets, and how callers connect to their pods
(https://istio.io/latest/docs/reference/config/networking/destination-rule/).
"""

from __future__ import annotations

from traffic.model import OutsideVersion, ServiceRouting, Source, TrafficPolicy, VersionRouting, service_host
from traffic.model.outside import labels_of
from traffic.render.spec import Spec, non_default_fields


def destination_rule(name: str, service: ServiceRouting) -> Spec:
    """Return the spec of the DestinationRule of the service `name`, with a subset per version, by its pods' labels.

    Versions that are another Service or a host have a DestinationRule of their own.

    A version's own policy replaces the service's key by key (loadBalancer, connectionPool, …), as Istio merges them.
    """
    spec: Spec = {"host": service_host(name, service.namespace)}
    if service.traffic_policy is not None:
        spec["trafficPolicy"] = traffic_policy(service.traffic_policy)
    spec["subsets"] = [
        _subset(name, version, settings)
        for version, settings in service.versions.items()
        if not isinstance(settings, OutsideVersion) or settings.source is Source.PODS
    ]
    if not spec["subsets"]:
        del spec["subsets"]  # every version is elsewhere
    return spec


def traffic_policy(policy: TrafficPolicy) -> Spec:
    """Return Istio's TrafficPolicy."""
    return non_default_fields(policy)


def _subset(service: str, version: str, settings: VersionRouting) -> Spec:
    subset: Spec = {"name": version, "labels": labels_of(service, version, settings)}
    if settings.traffic_policy is not None:
        subset["trafficPolicy"] = traffic_policy(settings.traffic_policy)
    return subset
