"""What `canary explain` is told of a caller at the gateway: its address, and the claims of its token."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from canary.command_error import CommandError
from canary.exit_codes import ExitCode

if TYPE_CHECKING:
    from traffic.simulate import Request

FROM_INSIDE = "a caller inside the mesh has neither: name the caller with --from alone"


def address(text: str | None) -> str | None:
    """Return the address of `--client-ip`; raises CommandError if it is none."""
    if text is None:
        return None
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise CommandError(
            f"{text!r} is not an IP address", ExitCode.CONFIG, fix="write it as --client-ip 198.51.100.9, for example"
        ) from None


def claims(texts: Sequence[str]) -> Mapping[str, Any] | None:
    """Return the claims of `--claim`, None without any; raises CommandError for one that is none.

    A claim that is given several times is a list.
    """
    from pydantic import TypeAdapter, ValidationError

    from traffic.model.claims import ClaimName
    from traffic.simulate.tokens import with_claim

    values: dict[str, list[str]] = {}
    for text in texts:
        # A name in brackets may contain the sign.
        end = text.rfind("]") + 1 if text.startswith("[") else 0
        name, sign, value = text[:end] + text[end:].partition("=")[0], *text[end:].partition("=")[1:]
        try:
            TypeAdapter(ClaimName).validate_python(name)
        except ValidationError as error:
            ways = error.errors()[0].get("ctx", {})
            raise _no_claim(text, str(ways.get("allowed", ""))) from None
        if not sign:
            raise _no_claim(text, "the claim's name, = and its value")
        values.setdefault(name, []).append(value)
    found: dict[str, Any] = {}
    for name, given in values.items():
        found = with_claim(found, name, given)
    return found or None


def words(request: Request) -> str:
    """Return what is known of the caller, as the end of a sentence; empty if nothing is."""
    parts = [f"from {request.client}"] if request.client else []
    if request.claims:
        named = ", ".join(f"{name} = {_value(value)}" for name, value in request.claims.items())
        parts.append(f"with a valid token ({named})")
    return " ".join(parts)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name} = {_value(one)}" for name, one in value.items()) + "}"
    return f"[{', '.join(map(str, value))}]" if isinstance(value, list) else str(value)


def _no_claim(text: str, allowed: str) -> CommandError:
    return CommandError(
        f"{text!r} is not a claim: {allowed}",
        ExitCode.CONFIG,
        fix="write it as --claim groups=beta, for example, and several times for a list",
    )
