"""A service's route as a Kubernetes Ingress (networking.k8s.io/v1; Kubernetes: "Ingress")."""

from __future__ import annotations

from traffic.ingress import ends_like_an_ingress, paths_of
from traffic.model import RouteTable, target
from traffic.render.spec import Spec


def ingress(routes: RouteTable, service: str) -> Spec:
    """Return the spec of the Ingress that implements the route of `service` for callers outside the mesh.

    The route has only what an Ingress can express (`traffic.ingress`).
    """
    settings = routes[service]
    paths = [
        {
            "path": path.path,
            "pathType": path.path_type,
            "backend": {"service": _backend(routes, target(service, next(iter(rule.weights))).service)},
        }
        for rule in settings.route
        if not ends_like_an_ingress(rule)
        for path in paths_of(rule) or ()
    ]
    return {
        "ingressClassName": settings.ingress_class_name,
        "rules": [{**({} if host == "*" else {"host": host}), "http": {"paths": paths}} for host in settings.hosts],
    }


def _backend(routes: RouteTable, service: str) -> Spec:
    return {"name": service, "port": {"number": routes[service].port}}
