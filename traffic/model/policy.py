"""How callers treat the pods of a service or of a version. Field names and meaning are those of Istio's TrafficPolicy
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
    """Envoy takes nothing else (Envoy: MaglevLbConfig)."""
    is_prime = value > 1 and all(value % factor for factor in range(2, int(value**0.5) + 1))
    if is_prime and value < MOST_MAGLEV:
        return value
    raise wrong(
        f"{value} is no prime number" if not is_prime else f"{value} is too large",
        f"a prime number below {MOST_MAGLEV}",
        "write 65537, for example",
    )


class Balancer(StrEnum):
    """Istio's simple load balancers."""

    LEAST_REQUEST = "LEAST_REQUEST"
    ROUND_ROBIN = "ROUND_ROBIN"
    RANDOM = "RANDOM"
    PASSTHROUGH = "PASSTHROUGH"


class HttpCookie(Model):
    """A cookie whose value decides; Envoy sets it where it is missing and has a lifetime."""

    name: CookieName = Field(examples=["user"], description="Name of the cookie.")
    path: Text | None = Field(default=None, description="Path for which the cookie is set.")
    ttl: Annotated[str, AfterValidator(_lifetime)] | None = Field(
        default=None, description="How long a cookie that Envoy sets lives; 0s: until the browser is closed."
    )


class RingHash(Model):
    """Ketama's ring."""

    minimum_ring_size: Annotated[int, Field(ge=1, le=MOST_RING)] | None = Field(
        default=None, description="Least number of places on the ring; left out, 1024."
    )


class Maglev(Model):
    """Maglev's table."""

    table_size: Annotated[Number, AfterValidator(_table_size)] = Field(
        examples=[65537], description="Entries of the table; a prime number."
    )


class ConsistentHash(Model):
    """Requests that are alike go to the same pod: alike in exactly one of these."""

    http_header_name: HeaderName | None = Field(default=None, description="The value of this header.")
    http_cookie: HttpCookie | None = Field(default=None, description="The value of this cookie.")
    use_source_ip: bool | None = Field(default=None, description="The caller's address.")
    http_query_parameter_name: Text | None = Field(default=None, description="The value of this query parameter.")
    ring_hash: RingHash | None = Field(default=None, description="Hash by a ring.")
    maglev: Maglev | None = Field(default=None, description="Hash by Maglev's table.")

    @model_validator(mode="after")
    def _one_key(self) -> ConsistentHash:
        keys = ("http_header_name", "http_cookie", "use_source_ip", "http_query_parameter_name")
        given = [key for key in keys if getattr(self, key)]
        if len(given) == 1 and not (self.ring_hash and self.maglev):
            return self
        names = "httpHeaderName, httpCookie, useSourceIp and httpQueryParameterName"
        if len(given) == 1:
            raise wrong("ringHash and maglev are given together", "one of ringHash and maglev", "take one out")
        raise wrong(
            "more than one thing to hash is given" if given else "nothing to hash is given",
            f"exactly one of {names}",
            "write httpHeaderName: x-user, for example",
        )


class Warmup(Model):
    """Give new pods few requests at first."""

    duration: Duration = Field(examples=["30s"], description="Time until a new pod has its full share.")
    minimum_percent: Annotated[float, Field(ge=0, le=100)] | None = Field(
        default=None, description="Share that a new pod begins with; left out, 10."
    )
    aggression: Annotated[float, Field(ge=1, le=100)] | None = Field(
        default=None, description="How fast the share grows at first; 1 is evenly."
    )


class LoadBalancer(Model):
    """Which pod gets the next request: at most one of `simple` and `consistentHash`."""

    simple: Annotated[Balancer, Strict(False)] | None = Field(default=None, description="A simple way to choose.")
    consistent_hash: ConsistentHash | None = Field(
        default=None, description="The same pod for requests that are alike."
    )
    locality_lb_setting: LocalityLbSetting | None = Field(default=None, description="Localities that are preferred.")
    warmup: Warmup | None = Field(default=None, description="Few requests at first for new pods.")

    @model_validator(mode="after")
    def _fit_together(self) -> LoadBalancer:
        if self.simple and self.consistent_hash:
            raise wrong("simple and consistentHash are given together", "one of the two", "take one of them out")
        if self.warmup and (self.consistent_hash or self.simple in (Balancer.RANDOM, Balancer.PASSTHROUGH)):
            raise wrong(
                "only ROUND_ROBIN and LEAST_REQUEST warm up new pods",
                "warmup beside simple: ROUND_ROBIN or LEAST_REQUEST",
                "take warmup out, or choose one of these",
            )
        if self == LoadBalancer.model_construct():
            raise wrong(
                "the load balancer says nothing",
                "simple, consistentHash, localityLbSetting or warmup",
                "write simple: ROUND_ROBIN, for example",
            )
        return self


class TcpKeepalive(Model):
    """Probes on idle connections."""

    probes: Number | None = Field(default=None, description="Unanswered probes that end a connection.")
    time: Duration | None = Field(default=None, description="Idle time before the first probe.")
    interval: Duration | None = Field(default=None, description="Time between probes.")


class TcpSettings(Model):
    """Limits of connections."""

    max_connections: Number | None = Field(default=None, description="Connections to all pods together.")
    connect_timeout: Duration | None = Field(default=None, description="How long connecting may take.")
    idle_timeout: Duration | None = Field(default=None, description="Idle time that ends a connection.")
    max_connection_duration: Duration | None = Field(default=None, description="Age that ends a connection.")
    tcp_keepalive: TcpKeepalive | None = Field(default=None, description="Probes on idle connections.")


class H2UpgradePolicy(StrEnum):
    """Whether callers use HTTP/2."""

    DEFAULT = "DEFAULT"
    DO_NOT_UPGRADE = "DO_NOT_UPGRADE"
    UPGRADE = "UPGRADE"


class HttpSettings(Model):
    """Limits of requests."""

    http1_max_pending_requests: Number | None = Field(default=None, description="Requests that wait for a connection.")
    http2_max_requests: Number | None = Field(default=None, description="Requests under way to all pods together.")
    max_requests_per_connection: Whole | None = Field(default=None, description="Requests after which it is closed.")
    max_retries: Number | None = Field(default=None, description="Retries under way to all pods together.")
    idle_timeout: Duration | None = Field(default=None, description="Idle time that ends a connection.")
    h2_upgrade_policy: Annotated[H2UpgradePolicy, Strict(False)] | None = Field(
        default=None, description="Whether HTTP/1.1 is carried over HTTP/2."
    )
    use_client_protocol: bool | None = Field(default=None, description="Keep the protocol that the caller speaks.")
    max_concurrent_streams: Number | None = Field(default=None, description="Requests at a time on one connection.")

    @model_validator(mode="after")
    def _one_protocol(self) -> HttpSettings:
        if not self.use_client_protocol or self.h2_upgrade_policy is not H2UpgradePolicy.UPGRADE:
            return self
        raise wrong(
            "useClientProtocol keeps the caller's protocol, and h2UpgradePolicy UPGRADE changes it",
            "one of the two",
            "take one of them out",
        )


class ConnectionPool(Model):
    """How many connections and requests at a time: what is more is answered with 503 at once."""

    tcp: TcpSettings | None = Field(default=None, description="Limits of connections.")
    http: HttpSettings | None = Field(default=None, description="Limits of requests.")

    @model_validator(mode="after")
    def _some_limit(self) -> ConnectionPool:
        empty = TcpSettings.model_construct(), HttpSettings.model_construct()
        if (self.tcp or self.http) and self.tcp != empty[0] and self.http != empty[1]:
            return self
        raise wrong(
            "the connection pool has no limit",
            "tcp, http, or both, each with a limit",
            "write for example http: {http2MaxRequests: 100}",
        )


class OutlierDetection(Model):
    """Pods that fail get no requests for a time (circuit breaking)."""

    consecutive_5xx_errors: Whole | None = Field(
        default=None, alias="consecutive5xxErrors", description="Answers of 5xx in a row; 0 switches it off."
    )
    consecutive_gateway_errors: Whole | None = Field(
        default=None, description="Answers of 502, 503 or 504 in a row; 0 switches it off."
    )
    split_external_local_origin_errors: bool | None = Field(
        default=None, description="Whether failures to connect are counted by themselves."
    )
    consecutive_local_origin_failures: Whole | None = Field(
        default=None, description="Failures to connect in a row, where they are counted by themselves."
    )
    interval: Duration | None = Field(default=None, description="Time between two looks at the pods.")
    base_ejection_time: Duration | None = Field(
        default=None, description="How long a pod gets nothing, times the number of its ejections."
    )
    max_ejection_percent: Percent | None = Field(default=None, description="Share of the pods that may be ejected.")
    min_health_percent: Percent | None = Field(
        default=None, description="With fewer healthy pods than this, all get requests again."
    )

    @model_validator(mode="after")
    def _counts_what_it_names(self) -> OutlierDetection:
        if self.consecutive_local_origin_failures and not self.split_external_local_origin_errors:
            raise wrong(
                "consecutiveLocalOriginFailures counts only where failures to connect are counted by themselves",
                "consecutiveLocalOriginFailures beside splitExternalLocalOriginErrors: true",
                "add splitExternalLocalOriginErrors: true, or take consecutiveLocalOriginFailures out",
            )
        return self


class TlsMode(StrEnum):
    """How callers speak to the pods."""

    DISABLE = "DISABLE"
    SIMPLE = "SIMPLE"
    MUTUAL = "MUTUAL"
    ISTIO_MUTUAL = "ISTIO_MUTUAL"


class ClientTls(Model):
    """TLS that callers begin; left out, Istio's own mutual TLS where both sides have it."""

    mode: Annotated[TlsMode, Strict(False)] = Field(examples=["SIMPLE"], description="Kind of TLS.")
    credential_name: SecretName | None = Field(default=None, description="Secret with the certificates, for gateways.")
    client_certificate: Text | None = Field(default=None, description="Path of the client's certificate (MUTUAL).")
    private_key: Text | None = Field(default=None, description="Path of the client's key (MUTUAL).")
    ca_certificates: Text | None = Field(default=None, description="Path of the authorities that are trusted.")
    sni: Text | None = Field(default=None, description="Name that is asked for in the handshake.")
    subject_alt_names: Annotated[tuple[Text, ...], Strict(False)] = Field(
        default=(), description="Names, one of which the certificate must have."
    )
    insecure_skip_verify: bool | None = Field(default=None, description="Trust any certificate.")

    @model_validator(mode="after")
    def _mutual_has_certificates(self) -> ClientTls:
        pair = self.client_certificate and self.private_key
        if self.mode is TlsMode.MUTUAL and not (pair or self.credential_name):
            raise wrong(
                "MUTUAL needs a certificate of the caller",
                "clientCertificate and privateKey, or credentialName",
                "name them, or choose ISTIO_MUTUAL for Istio's own certificates",
            )
        if self.mode in (TlsMode.DISABLE, TlsMode.ISTIO_MUTUAL) and len(self.model_fields_set - {"mode", "sni"}):
            raise wrong(f"the other keys say nothing with {self.mode.value}", "mode alone", "take the other keys out")
        if self.mode is TlsMode.SIMPLE and (self.client_certificate or self.private_key):
            raise wrong(
                "with SIMPLE the caller shows no certificate",
                "clientCertificate and privateKey with MUTUAL",
                "write mode: MUTUAL, or take them out",
            )
        return self

    @model_validator(mode="after")
    def _trust_is_said_once(self) -> ClientTls:
        files = self.client_certificate or self.private_key or self.ca_certificates
        if self.credential_name and files:
            raise wrong(
                "credentialName and paths of certificates are given together",
                "credentialName, or clientCertificate, privateKey and caCertificates",
                "take one of the two out",
            )
        trusted = self.ca_certificates or self.subject_alt_names
        if self.insecure_skip_verify and (trusted or (self.mode is TlsMode.SIMPLE and self.credential_name)):
            raise wrong(
                "with insecureSkipVerify any certificate is trusted, and other keys say which are",
                "insecureSkipVerify without caCertificates, subjectAltNames and, with SIMPLE, credentialName",
                "take insecureSkipVerify out",
            )
        return self


class TrafficPolicy(Model):
    """How callers treat pods: choosing, limiting, ejecting, encrypting."""

    load_balancer: LoadBalancer | None = Field(default=None, description="Which pod gets the next request.")
    connection_pool: ConnectionPool | None = Field(default=None, description="Connections and requests at a time.")
    outlier_detection: OutlierDetection | None = Field(default=None, description="Pods that fail get nothing.")
    tls: ClientTls | None = Field(default=None, description="TLS that callers begin.")

    @model_validator(mode="after")
    def _some_policy(self) -> TrafficPolicy:
        if self == TrafficPolicy.model_construct():
            raise wrong(
                "the policy says nothing",
                "loadBalancer, connectionPool, outlierDetection or tls",
                "write loadBalancer: {simple: ROUND_ROBIN}, for example",
            )
        return self
