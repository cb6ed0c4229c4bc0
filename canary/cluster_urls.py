"""URLs whose host is a Service of the cluster, which has no address on this machine."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True)
class ServicePort:
    """A port of a Service."""

    namespace: str
    service: str
    port: int


def service_of(url: str) -> ServicePort | None:
    """Return the Service that a URL names, None if its host has an address here (Kubernetes: "DNS for Services")."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    labels = host.split(".")
    if labels[2:3] != ["svc"] and (len(labels) != 2 or _resolves(host)):
        return None
    return ServicePort(labels[1], labels[0], parts.port or (443 if parts.scheme == "https" else 80))


def at(url: str, host_and_port: str) -> str:
    """Return the URL with another host and port."""
    return urlsplit(url)._replace(netloc=host_and_port).geturl()


def _resolves(host: str) -> bool:
    try:
        return bool(socket.getaddrinfo(host, None))
    except (OSError, UnicodeError):
        return False
