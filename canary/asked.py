"""A request as it is asked: its URL, and the Host header where the URL alone would send another one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from traffic.simulate import Request


def url_of(request: Request) -> str:
    """Return the URL of the request, with its port unless that is the scheme's."""
    from traffic.simulate import authority_of

    return f"{request.scheme}://{authority_of(request.authority, request.scheme, request.asked_port)}{request.path}"


def headers_of(request: Request) -> tuple[tuple[str, str], ...]:
    """Return the headers that a client has to be told to send for that URL.

    A client adds the port of the URL to the Host header, so a host without it has to be given as a header.
    """
    from traffic.simulate import authority_of

    usual = authority_of(request.authority, request.scheme, request.asked_port)
    is_named = bool(request.authority) and request.authority != usual
    return (*request.pairs, *((("host", request.authority),) if is_named else ()))
