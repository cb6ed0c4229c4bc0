"""The address of a caller outside the mesh that a gateway trusts, as Envoy computes it.

https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_conn_man/headers#x-forwarded-for, with
use_remote_address true as istiod sets it at gateways, and xff_num_trusted_hops from Istio's numTrustedProxies
(https://istio.io/latest/docs/ops/configuration/traffic-management/network-topologies/).
"""

from __future__ import annotations

import ipaddress


def trusted_client_address(connection: str, x_forwarded_for: str | None, num_trusted_proxies: int) -> str:
    """Return the trusted address: `num_trusted_proxies` from the end of `x_forwarded_for`, as the gateway gets it.

    That of the `connection` if no proxy is trusted, or if the header has no valid address there: then the proxies in
    front did not do their part.
    """
    if num_trusted_proxies == 0 or x_forwarded_for is None:
        return connection
    addresses = x_forwarded_for.split(",")
    if len(addresses) < num_trusted_proxies:
        return connection
    try:
        address = ipaddress.ip_address(addresses[-num_trusted_proxies].strip())
    except ValueError:  # with a port, for example: measured
        return connection
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return f"::ffff:{mapped}" if mapped else str(address)


def forwarded_for(connection: str, x_forwarded_for: str | None) -> str:
    """Return x-forwarded-for as routes and versions see it: the gateway appends the address of the connection."""
    return f"{x_forwarded_for},{connection}" if x_forwarded_for else connection
