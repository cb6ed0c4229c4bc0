"""How callers connect to the pods of a service or version. Field names and meaning are those of Istio's TrafficPolicy
(https://istio.io/latest/docs/reference/config/networking/destination-rule/#TrafficPolicy).
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field, Strict, model_validator

from traffic.fields import CookieName, Duration, HeaderName, Model, Percent, SecretName, Text, duration, wrong
from traffic.model.locality import LocalityLbSetting

Number = Annotated[int, Field(ge=1, le=2**31 - 1)]
Whole = Annotated[int, Field(ge=0, le=2**31 - 1)]


MOST_MAGLEV = 5_000_011
MOST_RING = 8_388_608


def _lifetime(value: str) -> str:
    return value if re.fullmatch(r"0(ms|s|m|h)", value) else duration(value)


def _table_size(value: int) -> int:
    """Envoy accepts only prime numbers (Envoy: MaglevLbConfig)."""
    is_prime = value > 1 and all(value % factor for factor in range(2, int(value**0.5) + 1))
    if is_prime and value < MOST_MAGLEV:
        return value
    raise wrong(
        f"{value} is not a prime number" if not is_prime else f"{value} is too large",
        f"a prime number below {MOST_MAGLEV}",
        "write 65537, for example",
    )


class Balancer(StrEnum):
    """Istio's simple load balancing algorithms."""

    LEAST_REQUEST = "LEAST_REQUEST"
    ROUND_ROBIN = "ROUND_ROBIN"
    RANDOM = "RANDOM"
    PASSTHROUGH = "PASSTHROUGH"


class HttpCookie(Model):
    """A cookie whose value is hashed; Envoy sets it if it is missing and has a `ttl`."""

    name: CookieName = Field(examples=["user"], description="Name of the cookie.")
    path: Text | None = Field(default=None, description="Path for which the cookie is set.")
    ttl: Annotated[str, AfterValidator(_lifetime)] | None = Field(
        default=None, description="Lifetime of a cookie that Envoy sets; 0s: until the browser is closed."
    )


class RingHash(Model):
    """The ring hash algorithm (Ketama)."""

    minimum_ring_size: Annotated[int, Field(ge=1, le=MOST_RING)] | None = Field(
        default=None, description="Minimum number of virtual nodes on the ring; 1024 if unset."
    )


class Maglev(Model):
    """The Maglev algorithm."""

    table_size: Annotated[Number, AfterValidator(_table_size)] = Field(
        examples=[65537], description="Size of the hash table; a prime number."
    )


class ConsistentHash(Model):
    """Requests with the same key go to the same pod; the key is exactly one of these."""

    http_header_name: HeaderName | None = Field(default=None, description="The value of this header.")
    http_cookie: HttpCookie | None = Field(default=None, description="The value of this cookie.")
    use_source_ip: bool | None = Field(default=None, description="The caller's address.")
    http_query_parameter_name: Text | None = Field(default=None, description="The value of this query parameter.")
    ring_hash: RingHash | None = Field(default=None, description="Use the ring hash algorithm.")
    maglev: Maglev | None = Field(default=None, description="Use the Maglev algorithm.")

    @model_validator(mode="after")
    def _one_key(self) -> ConsistentHash:
        keys = ("http_header_name", "http_cookie", "use_source_ip", "http_query_parameter_name")
        given = [key for key in keys if getattr(self, key)]
        if len(given) == 1 and not (self.ring_hash and self.maglev):
            return self
        names = "httpHeaderName, httpCookie, useSourceIp and httpQueryParameterName"
        if len(given) == 1:
            raise wrong("ringHash and maglev are both set", "one of ringHash and maglev", "remove one of the two")
        raise wrong(
            "there is more than one key to hash" if given else "there is no key to hash",
            f"exactly one of {names}",
            "write httpHeaderName: x-user, for example",
        )


class Warmup(Model):
    """Send new pods few requests at first."""

    duration: Duration = Field(examples=["30s"], description="Time until a new pod gets its full share.")
    minimum_percent: Annotated[float, Field(ge=0, le=100)] | None = Field(
        default=None, description="Percentage of its share that a new pod begins with; 10 if unset."
    )
    aggression: Annotated[float, Field(ge=1, le=100)] | None = Field(
        default=None, description="How fast the share grows at first; 1 is linear."
    )


class LoadBalancer(Model):
    """Which pod gets the next request: at most one of `simple` and `consistentHash`."""

    simple: Annotated[Balancer, Strict(False)] | None = Field(
        default=None, description="Simple load balancing algorithm."
    )
    consistent_hash: ConsistentHash | None = Field(
        default=None, description="The same pod for requests with the same key."
    )
    locality_lb_setting: LocalityLbSetting | None = Field(default=None, description="Preferred localities.")
    warmup: Warmup | None = Field(default=None, description="New pods get few requests at first.")

    @model_validator(mode="after")
    def _fit_together(self) -> LoadBalancer:
        if self.simple and self.consistent_hash:
            raise wrong("simple and consistentHash are both set", "one of the two", "remove one of the two")
        if self.warmup and (self.consistent_hash or self.simple in (Balancer.RANDOM, Balancer.PASSTHROUGH)):
            raise wrong(
                "only ROUND_ROBIN and LEAST_REQUEST support warmup",
                "warmup with simple: ROUND_ROBIN or LEAST_REQUEST",
                "remove warmup, or use one of these",
            )
        if self == LoadBalancer.model_construct():
            raise wrong(
                "the load balancer is empty",
                "simple, consistentHash, localityLbSetting or warmup",
                "write simple: ROUND_ROBIN, for example",
            )
        return self


class TcpKeepalive(Model):
    """TCP keepalive probes."""

    probes: Number | None = Field(default=None, description="Unanswered probes after which a connection is closed.")
    time: Duration | None = Field(default=None, description="Idle time before the first probe.")
    interval: Duration | None = Field(default=None, description="Time between probes.")


class TcpSettings(Model):
    """Connection limits."""

    max_connections: Number | None = Field(default=None, description="Maximum number of connections to all pods.")
    connect_timeout: Duration | None = Field(default=None, description="Timeout for establishing a connection.")
    idle_timeout: Duration | None = Field(default=None, description="Idle time after which a connection is closed.")
    max_connection_duration: Duration | None = Field(default=None, description="Age at which a connection is closed.")
    tcp_keepalive: TcpKeepalive | None = Field(default=None, description="TCP keepalive probes.")


class H2UpgradePolicy(StrEnum):
    """Whether callers use HTTP/2."""

    DEFAULT = "DEFAULT"
    DO_NOT_UPGRADE = "DO_NOT_UPGRADE"
    UPGRADE = "UPGRADE"


class HttpSettings(Model):
    """Request limits."""

    http1_max_pending_requests: Number | None = Field(
        default=None, description="Maximum number of requests that wait for a connection."
    )
    http2_max_requests: Number | None = Field(
        default=None, description="Maximum number of active requests to all pods."
    )
    max_requests_per_connection: Whole | None = Field(
        default=None, description="Requests after which a connection is closed."
    )
    max_retries: Number | None = Field(default=None, description="Maximum number of outstanding retries to all pods.")
    idle_timeout: Duration | None = Field(default=None, description="Idle time after which a connection is closed.")
    h2_upgrade_policy: Annotated[H2UpgradePolicy, Strict(False)] | None = Field(
        default=None, description="Whether HTTP/1.1 connections are upgraded to HTTP/2."
    )
    use_client_protocol: bool | None = Field(default=None, description="Keep the caller's protocol.")
    max_concurrent_streams: Number | None = Field(
        default=None, description="Maximum number of concurrent requests on one connection."
    )

    @model_validator(mode="after")
    def _one_protocol(self) -> HttpSettings:
        if not self.use_client_protocol or self.h2_upgrade_policy is not H2UpgradePolicy.UPGRADE:
            return self
        raise wrong(
            "useClientProtocol keeps the caller's protocol, and h2UpgradePolicy UPGRADE changes it",
            "one of the two",
            "remove one of the two",
        )


class ConnectionPool(Model):
    """Limits on connections and requests; requests over the limit get 503 immediately."""

    tcp: TcpSettings | None = Field(default=None, description="Connection limits.")
    http: HttpSettings | None = Field(default=None, description="Request limits.")

    @model_validator(mode="after")
    def _some_limit(self) -> ConnectionPool:
        empty = TcpSettings.model_construct(), HttpSettings.model_construct()
        if (self.tcp or self.http) and self.tcp != empty[0] and self.http != empty[1]:
            return self
        raise wrong(
            "the connection pool has no limit",
            "tcp, http, or both, each with a limit",
            "write http: {http2MaxRequests: 100}, for example",
        )


class OutlierDetection(Model):
    """Pods that fail are ejected for a time (circuit breaking)."""

    consecutive_5xx_errors: Whole | None = Field(
        default=None, alias="consecutive5xxErrors", description="Consecutive 5xx responses; 0 disables it."
    )
    consecutive_gateway_errors: Whole | None = Field(
        default=None, description="Consecutive 502, 503 or 504 responses; 0 disables it."
    )
    split_external_local_origin_errors: bool | None = Field(
        default=None, description="Whether failures to connect are counted separately."
    )
    consecutive_local_origin_failures: Whole | None = Field(
        default=None, description="Consecutive failures to connect, if they are counted separately."
    )
    interval: Duration | None = Field(default=None, description="Interval between ejection analyses.")
    base_ejection_time: Duration | None = Field(
        default=None, description="How long a pod is ejected, multiplied by the number of its ejections."
    )
    max_ejection_percent: Percent | None = Field(
        default=None, description="Maximum percentage of pods that are ejected."
    )
    min_health_percent: Percent | None = Field(
        default=None, description="Percentage of healthy pods below which ejection is disabled."
    )

    @model_validator(mode="after")
    def _counts_what_it_names(self) -> OutlierDetection:
        if self.consecutive_local_origin_failures and not self.split_external_local_origin_errors:
            raise wrong(
                "consecutiveLocalOriginFailures has no effect unless failures to connect are counted separately",
                "consecutiveLocalOriginFailures with splitExternalLocalOriginErrors: true",
                "add splitExternalLocalOriginErrors: true, or remove consecutiveLocalOriginFailures",
            )
        return self


class TlsMode(StrEnum):
    """TLS that callers use to the pods."""

    DISABLE = "DISABLE"
    SIMPLE = "SIMPLE"
    MUTUAL = "MUTUAL"
    ISTIO_MUTUAL = "ISTIO_MUTUAL"


class ClientTls(Model):
    """TLS that callers originate; if unset, Istio's own mutual TLS where both sides have it."""

    mode: Annotated[TlsMode, Strict(False)] = Field(examples=["SIMPLE"], description="TLS mode.")
    credential_name: SecretName | None = Field(default=None, description="Secret with the certificates, for gateways.")
    client_certificate: Text | None = Field(default=None, description="Path of the client certificate (MUTUAL).")
    private_key: Text | None = Field(default=None, description="Path of the client certificate's private key (MUTUAL).")
    ca_certificates: Text | None = Field(default=None, description="Path of the trusted CA certificates.")
    sni: Text | None = Field(default=None, description="SNI of the TLS handshake.")
    subject_alt_names: Annotated[tuple[Text, ...], Strict(False)] = Field(
        default=(), description="Subject alternative names, of which the certificate must have one."
    )
    insecure_skip_verify: bool | None = Field(default=None, description="Accept any certificate.")

    @model_validator(mode="after")
    def _mutual_has_certificates(self) -> ClientTls:
        pair = self.client_certificate and self.private_key
        if self.mode is TlsMode.MUTUAL and not (pair or self.credential_name):
            raise wrong(
                "MUTUAL needs a client certificate",
                "clientCertificate and privateKey, or credentialName",
                "set them, or use ISTIO_MUTUAL for Istio's own certificates",
            )
        if self.mode in (TlsMode.DISABLE, TlsMode.ISTIO_MUTUAL) and len(self.model_fields_set - {"mode", "sni"}):
            raise wrong(
                f"the other keys have no effect with {self.mode.value}",
                "only mode, and sni",
                "write mode: SIMPLE or MUTUAL for TLS with them, or keep only mode",
            )
        if self.mode is TlsMode.SIMPLE and (self.client_certificate or self.private_key):
            raise wrong(
                "with SIMPLE the caller presents no certificate",
                "clientCertificate and privateKey with MUTUAL",
                "write mode: MUTUAL",
            )
        return self

    @model_validator(mode="after")
    def _trust_is_unambiguous(self) -> ClientTls:
        files = self.client_certificate or self.private_key or self.ca_certificates
        if self.credential_name and files:
            raise wrong(
                "credentialName and paths of certificates are both set",
                "credentialName, or clientCertificate, privateKey and caCertificates",
                "remove one of the two",
            )
        trusted = self.ca_certificates or self.subject_alt_names
        if self.insecure_skip_verify and (trusted or (self.mode is TlsMode.SIMPLE and self.credential_name)):
            raise wrong(
                "insecureSkipVerify accepts any certificate, and other keys restrict which are accepted",
                "insecureSkipVerify without caCertificates, subjectAltNames and, with SIMPLE, credentialName",
                "remove insecureSkipVerify",
            )
        return self


class TrafficPolicy(Model):
    """How callers connect to pods: load balancing, limits, outlier detection, TLS."""

    load_balancer: LoadBalancer | None = Field(default=None, description="Which pod gets the next request.")
    connection_pool: ConnectionPool | None = Field(default=None, description="Limits on connections and requests.")
    outlier_detection: OutlierDetection | None = Field(default=None, description="Eject pods that fail.")
    tls: ClientTls | None = Field(default=None, description="TLS that callers originate.")

    @model_validator(mode="after")
    def _some_policy(self) -> TrafficPolicy:
        if self == TrafficPolicy.model_construct():
            raise wrong(
                "the policy is empty",
                "loadBalancer, connectionPool, outlierDetection or tls",
                "write loadBalancer: {simple: ROUND_ROBIN}, for example",
            )
        return self
