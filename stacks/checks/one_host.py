"""How two services are published on one host: the route of one of them leads to versions of both."""

from __future__ import annotations

from typing import Any

from stacks.checks.view import Service, block, entries
from stacks.settings.editing import flow
from stacks.settings.problems import key_path
from traffic.model import MESH


def below_a_path(owner: Service, claimant: Service) -> str:
    """Return what to write so that both services are reached by the host that `owner` has and `claimant` claims.

    The example is a rule of the file: one with a match, of the claimant if it has any.
    """
    keeps, gives = (owner, claimant) if _rule(claimant) or not _rule(owner) else (claimant, owner)
    match, to = _rule(gives) or ([{"uri": {"prefix": f"/{gives.name}"}}], next(iter(gives.versions), "version-1"))
    rule = flow({"match": match, "to": _as_named_by(keeps.name, gives.name, to)})
    return (
        f"let the route of {keeps.name} lead to versions of {gives.name}, as <service>/<version>: write `- {rule}` "
        f"into {key_path((*keeps.location, 'route'))}, before its rules for other paths, and remove the host from "
        f"{key_path((*gives.location, 'hosts'))}, with gateways: [{MESH}] if none is left"
    )


def _rule(service: Service) -> tuple[Any, Any] | None:
    """The match and the destination, as given, of the first rule that has both."""
    for rule, given in zip(service.rules, entries(service.given.get("route")), strict=False):
        if rule is not None and rule.match and rule.to is not None:
            return given["match"], given["to"]
    return None


def _as_named_by(owner: str, service: str, to: Any) -> Any:
    """A destination in the route of `service` as the route of `owner` names it."""
    if isinstance(to, str):
        return to.removeprefix(f"{owner}/") if "/" in to else f"{service}/{to}"
    return {_as_named_by(owner, service, str(name)): share for name, share in block(to).items()}
