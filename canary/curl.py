"""A request as a curl command."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from traffic.simulate import Request


def curl_command(request: Request, url: str) -> str:
    """Return the curl command that sends the request to the gateway at `url`; TOKEN stands in for a token."""
    words = ["curl", *([] if request.method == "GET" else ["--request", request.method])]
    for name, value in request.pairs:
        words += ["--header", f"{name}: {value}" if value else f"{name};"]
    if request.claims:
        words += ["--header", "authorization: Bearer TOKEN"]
    if request.scheme == "https" and request.authority:
        # The host must be in the URL: curl takes the SNI name from there.
        address = url.partition("://")[2]
        words += ["--insecure", "--connect-to", f"::{address}"]
        return shlex.join([*words, f"https://{request.authority}{request.path}"])
    if request.authority:
        words += ["--header", f"host: {request.authority}"]
    return shlex.join([*words, url + request.path])


def connect_command(request: Request, host: str) -> str:
    """Return the command that opens the connection to the gateway at `host`, or in a calling pod to the service."""
    address = request.authority if request.caller else host
    if request.scheme == "tls":
        name = ["-servername", request.authority] if request.authority else []
        return shlex.join(["openssl", "s_client", "-connect", f"{address}:{request.asked_port}", *name])
    return shlex.join(["nc", address, str(request.asked_port)])
