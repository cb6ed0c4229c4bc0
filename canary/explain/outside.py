"""Destinations that the stack does not make, in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stacks.settings.model import Settings
    from traffic.model import OutsideVersion
    from traffic.simulate import Forwarded, Share


def outside_words(settings: Settings, outcome: Forwarded) -> dict[str, str]:
    """Return, for the destinations without pods of a service of the stack, what they are."""
    from traffic.model import Source
    from traffic.model.backend import backend, needs_tls

    found: dict[str, str] = {}
    for share in outcome.shares:
        version = _version(settings, share)
        if share.target.is_egress:
            external = settings.egress[share.target.version]
            one = backend(share.target, settings.services, settings.egress)
            found[share.destination] = f"the host {one.host}, port {one.port}{', over TLS' * needs_tls(external)}"
        elif version is not None and version.source is not Source.PODS:
            found[share.destination] = version.words(share.target.version)
    return found


def outside_details(settings: Settings, method: str, outcome: Forwarded) -> Iterator[str]:
    """Yield a sentence for each destination that the stack does not make."""
    words = outside_words(settings, outcome)
    for share in outcome.shares:
        version = _version(settings, share)
        if share.destination not in words and version is None:
            continue
        what = words.get(share.destination) or (version.words(share.target.version) if version else "")
        sees = f"; it sees {method} {outcome.path} at {share.authority}" if share.authority else ""
        yield f"{share.destination} is {what}{sees}."


def _version(settings: Settings, share: Share) -> OutsideVersion | None:
    from stacks.settings.engines import engines_of

    if share.target.service in engines_of(settings):  # its subsets are pods of the stack; see `engine_words`
        return None
    service = settings.services.get(share.target.service)
    return service.outside.get(share.target.version) if service else None
