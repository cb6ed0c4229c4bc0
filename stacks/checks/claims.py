"""Checks of matches on the claims of tokens, which Istio has only at gateways, and only of validated tokens."""

from __future__ import annotations

from collections.abc import Iterator

from stacks.checks.view import Service, View
from stacks.settings.model import Settings
from stacks.settings.problems import Finding, Location, key_path
from traffic.model import MESH, Match, ServiceRouting
from traffic.simulate import at_mesh_gateway
from traffic.simulate.tokens import USUAL_HEADER, rules_at_gateway


def check(view: View) -> Iterator[Finding]:
    """Yield claims of tokens that nothing validates, and claims in routes for callers inside the mesh alone."""
    for service in view.services.values():
        for location, match in _with_claims(service):
            if not service.routing.jwt and "jwt" not in service.given:
                yield _unvalidated(service, location)
            if service.is_placed and all(gateway == MESH for gateway in service.routing.gateways):
                yield Finding(
                    location,
                    "no request meets this match: claims are known only at gateways, and the route only applies inside "
                    "the mesh",
                    "claims in routes of services with a gateway",
                    f"add a gateway to {key_path((*service.location, 'gateways'))}",
                )
            elsewhere = view.other_gateway(service, match.gateways)
            if service.is_placed and elsewhere is not None:
                yield _unvalidated_at(view, service, location, elsewhere)


def warnings(settings: Settings) -> Iterator[Finding]:
    """Yield a warning where validating tokens at the gateway refuses requests of other services."""
    services = at_mesh_gateway(settings.services, settings.gateways)
    if not rules_at_gateway(services):
        return
    users = [name for name, service in services.items() if _looks_at_claims(service)]
    others = [name for name, service in services.items() if not service.jwt and service.hosts]
    usual = any(
        not rule.from_headers or any(header.name == USUAL_HEADER for header in rule.from_headers)
        for name in users
        for rule in services[name].jwt
        if not rule.from_params or rule.from_headers
    )
    if others and users and usual:
        yield Finding(
            ("services", users[0], "jwt"),
            "for the claims in its route the gateway validates every bearer token, on all its hosts: requests for "
            f"{', '.join(others)} with a token of another issuer get 401",
            "services at the gateway whose callers send no other bearer tokens, or tokens in a header of their own",
            f"add `jwt` to {', '.join(others)} for the tokens that their callers send; or have the tokens of "
            f"{users[0]} sent in another header, and name it in fromHeaders",
        )


def _with_claims(service: Service) -> Iterator[tuple[Location, Match]]:
    for index, rule in enumerate(service.matching):
        for number, match in enumerate(rule.match if rule else ()):
            if match.claims:
                yield (*service.location, "route", index, "match", number, "claims"), match


def _looks_at_claims(service: ServiceRouting) -> bool:
    return any(match.claims for rule in service.route for match in rule.match)


def _unvalidated_at(view: View, service: Service, location: Location, elsewhere: str) -> Finding:
    others = {name for name, gateway in view.well_formed_gateways.items() if gateway.selector}
    rest = [name for name in service.routing.gateways if name not in others and name != MESH]
    # Not another condition in its place: callers can write headers and cookies as they like.
    remove = "remove this match, and the whole rule if it has no other"
    fix = f"add gateways: [{', '.join(rest)}] to the match" if rest else remove
    return Finding(
        location,
        f"tokens are validated at the pods of mesh.gateway alone, and the Gateway {elsewhere} selects those of another "
        "deployment: there no claims are known, and the match is never met",
        "claims in matches for Gateways without `selector`",
        fix,
    )


def _unvalidated(service: Service, location: Location) -> Finding:
    return Finding(
        location,
        "no request meets this match: the service validates no tokens, so the gateway knows no claims",
        "claims in routes of services with `jwt`, for the issuers of the tokens",
        f"add {key_path((*service.location, 'jwt'))}",
    )
