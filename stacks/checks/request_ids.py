"""Warnings about matches on x-request-id at a gateway, where it is a random id."""

from __future__ import annotations

from collections.abc import Iterator

from stacks.gateway_pods import gateways_of
from stacks.settings.model import Settings
from stacks.settings.problems import Finding
from traffic.model import MESH, Match
from traffic.simulate.request import REQUEST_ID_HEADER


def warnings(settings: Settings) -> Iterator[Finding]:
    """Yield matches at gateways that compare the value of x-request-id: the gateway replaces what callers send."""
    for name, service in settings.services.items():
        at = {gateway for gateways in gateways_of(settings, name).values() for gateway in gateways}
        for index, rule in enumerate(service.route):
            for number, match in enumerate(rule.match):
                where = at.intersection(match.gateways) if match.gateways else at
                if match.source_namespace is not None or (match.source_labels and not match.gateways) or not where:
                    continue
                inside = f"; or, if it is for callers inside, add gateways: [{MESH}] to it" if service.in_mesh else ""
                for key in _compares(match):
                    yield Finding(
                        ("services", name, "route", index, "match", number, key, REQUEST_ID_HEADER),
                        f"the gateway replaces {REQUEST_ID_HEADER} of callers with a random id, so chance decides "
                        "whether a request there meets this",
                        "headers that callers set and the gateway keeps",
                        f"match another header{inside}",
                    )


def _compares(match: Match) -> Iterator[str]:
    for key, headers in (("headers", match.headers), ("withoutHeaders", match.without_headers)):
        want = headers.get(REQUEST_ID_HEADER)
        if want is not None and not want.present:
            yield key
