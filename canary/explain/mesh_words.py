"""What explanations and measurements take for granted about the mesh, and what the gateway does to headers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from canary.explain.decision_words import Places
    from stacks.settings.model import Settings
    from traffic.simulate import Condition, Decision

OVERWRITTEN = ("x-forwarded-proto", "x-envoy-external-address", "x-request-id")
"""Headers that a gateway overwrites, unless it trusts the proxies in front of it."""


def overwritten(decision: Decision) -> Iterator[str]:
    """Yield what the gateway does to the caller's headers about the connection, one sentence each."""
    seen = decision.seen
    if seen is None or seen.inside:
        return
    given = {name.lower(): value.strip() for name, value in decision.request.pairs}
    trusted = decision.mesh.num_trusted_proxies
    for name in OVERWRITTEN:
        if name in given and seen.headers[name] != (given[name],):
            new = "an id of its own" if name == "x-request-id" else " and ".join(seen.headers[name])
            why = f", {_trust(trusted)}" if name != "x-request-id" else ""
            yield f"The gateway overwrites {name}: {given[name]} with {new}{why}."
    if trusted and "x-forwarded-for" in given:
        address = seen.headers["x-envoy-external-address"][0]
        yield f"The gateway takes {address} for the caller's address, {_trust(trusted)}."


def by_chance(decision: Decision) -> Iterator[str]:
    """Yield the sentence that rules compare the id which Envoy makes for each request, if any does."""
    from traffic.simulate import conditions
    from traffic.simulate.request import REQUEST_ID, REQUEST_ID_HEADER

    seen = decision.seen
    if seen is None or seen.headers.get(REQUEST_ID_HEADER) != (REQUEST_ID,):
        return
    compared = {passed.index: [miss.condition for miss in passed.misses] for passed in decision.passed}
    if decision.index is not None and decision.rule is not None:
        compared[decision.index] = [one for match in decision.rule.match for one in conditions(match)]
    found = [str(index + 1) for index, all_of in compared.items() if any(map(_compares_id, all_of))]
    if found:
        what = f"rule {found[0]} compares" if len(found) == 1 else f"rules {' and '.join(found)} compare"
        maker = "the sidecar" if seen.inside else "the gateway"
        yield (
            f"{REQUEST_ID_HEADER} is a random id, which {maker} makes for each request: {what} it, "
            "so the same request may be decided otherwise another time."
        )


def _compares_id(condition: Condition) -> bool:
    from traffic.model import StringMatch
    from traffic.simulate import Kind
    from traffic.simulate.request import REQUEST_ID_HEADER

    is_header = condition.kind in (Kind.HEADERS, Kind.WITHOUT_HEADERS) and condition.name == REQUEST_ID_HEADER
    return is_header and isinstance(condition.want, StringMatch) and not condition.want.present


def _trust(number: int) -> str:
    which = f"{number} {'proxy' if number == 1 else 'proxies'}" if number else "no proxy"
    return f"because it trusts {which} in front of it (mesh.gateway.numTrustedProxies)"


def mesh_notes(places: Places) -> Iterator[str]:
    """Yield what is assumed about the mesh, and what of its settings is not simulated, one note each."""
    from stacks.mesh_traffic import assumed, unsimulated

    taken = assumed(places.settings)
    if taken:
        yield f"mesh.install is false, so this is assumed about the mesh: {'; '.join(taken)}"
    for one in unsimulated(places.settings):
        location = ("mesh", "values", *one.location)
        yield f"{_place(places, location)}{_key(location)} is not simulated: {one.decides}"


def unsimulated_words(settings: Settings) -> list[str]:
    """Return the keys of the mesh that are not simulated and what they decide, one text each."""
    from stacks.mesh_traffic import unsimulated

    return [f"{_key(('mesh', 'values', *one.location))}: {one.decides}" for one in unsimulated(settings)]


def mesh_json(places: Places) -> dict[str, Any]:
    """Return what `--json` says about the mesh."""
    from stacks.mesh_traffic import assumed, unsimulated

    found = [(("mesh", "values", *one.location), one.decides) for one in unsimulated(places.settings)]
    return {
        "assumed": list(assumed(places.settings)),
        "notSimulated": [
            {"path": _key(location), "line": places.source.line(location), "words": decides}
            for location, decides in found
        ],
    }


def _place(places: Places, location: tuple[str | int, ...]) -> str:
    line = places.source.line(location)
    return f"{places.source.name}:{line}: " if line is not None else ""


def _key(location: tuple[str | int, ...]) -> str:
    from stacks.settings.problems import key_path

    return key_path(location)
