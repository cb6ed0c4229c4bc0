"""The names of the statistics of Envoy and Istio that tell of requests, and which of them proxies are told to keep.

See Envoy's "Cluster manager, Statistics" and "gRPC Statistics", Istio's "Istio Standard Metrics" and "Envoy
Statistics". Measured on Envoy 1.40: a call of gRPC that fails is an answer 200 with a status of gRPC; an answer of
Envoy's own to a call is counted both as 5xx and by its status (14, UNAVAILABLE).
"""

from __future__ import annotations

CONNECTED, CANCELLED, REFUSED = "upstream_rq_total", "upstream_rq_cancelled", "upstream_rq_pending_failure_eject"
LIMITS = ("upstream_rq_pending_overflow", "upstream_rq_active_overflow")  # the latter with HTTP/2
NO_HEALTHY_POD = "upstream_cx_none_healthy"
COMPLETED, RETRIED, ACTIVE = "upstream_rq_completed", "upstream_rq_retry", "upstream_rq_active"
RESET, CLOSED = "upstream_rq_tx_reset", "upstream_cx_destroy_local_with_active_rq"
RETRIED_ANSWERS, BY_CODE, TIME = "retry_upstream_rq_completed", "upstream_rq", "upstream_rq_time_bucket"

FAILED_CALLS = ("2", "4", "13", "14", "15")
"""Statuses of gRPC that are failures: UNKNOWN, DEADLINE_EXCEEDED, INTERNAL, UNAVAILABLE and DATA_LOSS (gRPC: "Status
Codes"). Others answer what the caller asked for, as 4xx does."""

CALLS = "grpc_"
"""How the names of Envoy's statistics of calls begin in Prometheus, before the status."""

EJECTED, HEALTHY = "outlier_detection_ejections_active", "membership_healthy"

CLUSTER_STATISTICS = (
    r"upstream_rq_(total|cancelled|pending_failure_eject|(pending|active)_overflow|completed|retry|active|tx_reset|time)"
    r"|upstream_rq_([0-9]{3}|[0-9]xx)|upstream_cx_(none_healthy|destroy_local_with_active_rq)"
    r"|retry\.upstream_rq_completed|outlier_detection\.ejections_active|membership_healthy|grpc\.[0-9]+"
)
"""A regular expression (RE2) for the statistics of a cluster that the queries read, as Envoy itself names them.

Istio's Envoys keep none of them unless ProxyConfig.proxyStatsMatcher names them.
"""

LISTENER_STATISTICS = r"http\.outbound_[^;]+;?\.no_cluster"
"""The same for the statistics of the listeners that callers' requests come in by, with the listener's name.

Its end is marked since Istio 1.23, unless ENABLE_DELIMITED_STATS_TAG_REGEX is false.
"""

NO_CLUSTER = "envoy_http_no_cluster"
"""Requests that a route sends to a cluster that the Envoy does not have (NC): they are in no cluster's statistics."""

ENVOY = "envoy_cluster_"
"""How the names of Envoy's statistics of clusters begin in Prometheus."""

ISTIO_REQUESTS, ISTIO_TIME = "istio_requests_total", "istio_request_duration_milliseconds_bucket"

REVISION, UNKNOWN_REVISION = "destination_canonical_revision", "latest"
"""Istio's label with the version of the pod that was chosen, and its value if none was.

Its other label, `destination_version`, comes with the pod's answer: it is "unknown" for all that have none.
"""
