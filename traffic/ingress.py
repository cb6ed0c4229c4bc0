"""What of a route a Kubernetes Ingress can express: hosts and paths, and one Service for each path.

Istio serves an Ingress at port 80 of its gateway: the longest path first, and of two equal ones the exact one. A path
of the type Prefix ends at a `/`: `/shop` is the path `/shop` and everything below `/shop/`, but not `/shops`
(Kubernetes: "Ingress"; istiod: pilot/pkg/config/kube/ingress).
"""

from __future__ import annotations

from typing import NamedTuple

from traffic.model import DirectResponse, Match, Rule

PORT = 80
"""The port at which Istio's gateway serves every Ingress without TLS."""
CONTROLLER = "istio.io/ingress-controller"
"""The controller of the IngressClasses that Istio serves."""
NOT_FOUND = DirectResponse(status=404)
EXPRESSED = frozenset({"match", "to"})
"""The keys of a rule that an Ingress has."""


class IngressPath(NamedTuple):
    """A path of an Ingress, and its type: `Exact` or `Prefix`."""

    path: str
    path_type: str


def ends_like_an_ingress(rule: Rule) -> bool:
    """Whether the rule answers all remaining requests with 404, as an Ingress does by itself."""
    return rule == Rule(direct_response=NOT_FOUND)


def paths_of(rule: Rule) -> tuple[IngressPath, ...] | None:
    """Return the paths of an Ingress that match the same requests as the rule; None if there are none that do.

    A prefix that ends with `/` needs the exact path without it in the same rule: together they are one path.
    """
    if not rule.match:
        return (IngressPath("/", "Prefix"),)
    exact: dict[str, None] = {}
    prefixes: dict[str, None] = {}
    for match in rule.match:
        if match.uri is None or match != Match.model_construct(uri=match.uri):
            return None
        if match.uri.exact is not None:
            exact[match.uri.exact] = None
        elif match.uri.prefix is not None and match.uri.prefix.endswith("/"):
            prefixes[match.uri.prefix.removesuffix("/")] = None
        else:
            return None
    if any(prefix and prefix not in exact for prefix in prefixes):
        return None
    alone = (IngressPath(path, "Exact") for path in exact if path not in prefixes)
    return (*(IngressPath(prefix or "/", "Prefix") for prefix in prefixes), *alone)
