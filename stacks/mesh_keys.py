"""What each value of Istio's charts istiod and gateway does to requests: simulated, harmless, or not simulated.

The keys are those of Istio 1.31: the charts' values.yaml, MeshConfig and ProxyConfig
(https://istio.io/latest/docs/reference/config/istio.mesh.v1alpha1/) and istiod's environment variables
(https://istio.io/latest/docs/reference/commands/pilot-discovery/#envvars). A key that is in no table is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True)
class Harmless:
    """The key decides nothing about which version gets a request, and how."""


@dataclass(frozen=True)
class Honoured:
    """The simulator takes the key into account."""


@dataclass(frozen=True)
class Decides:
    """The key is not simulated, and decides `what`, unless it has Istio's `default`."""

    what: str
    default: Any = None


Table: TypeAlias = Mapping[str, "Harmless | Honoured | Decides | Table"]
HARMLESS, HONOURED = Harmless(), Honoured()
OTHERS = "*"
"""Stands in a table for all keys that it does not name."""
CONFIG_ANNOTATION = "proxy.istio.io/config"
"""The gateway's annotation with the ProxyConfig of its pods."""


def _harmless(names: str) -> dict[str, Harmless]:
    return dict.fromkeys(names.split(), HARMLESS)


def _all(names: str, decides: Decides) -> dict[str, Decides]:
    return dict.fromkeys(names.split(), decides)


_SIDECARS = Decides("which pods get a sidecar")
_CAPTURED = Decides("which connections pass through sidecars")
_VISIBLE = Decides("which proxies see the routes and versions", ["*"])
_INGRESSES = Decides("which Ingresses the gateway serves")
_OUTSIDE = Decides("what happens to calls of hosts outside the mesh")
_MORE = Decides("further settings of the mesh")
_SESSIONS = Decides("which pod gets the next request of a user")
_TLS = Decides("which TLS versions and ciphers proxies accept")

PROXY_METADATA: Table = {
    **_harmless(
        "EXIT_ON_ZERO_ACTIVE_CONNECTIONS MINIMUM_DRAIN_DURATION ISTIO_META_IDLE_TIMEOUT ISTIO_META_MESH_ID "
        "ISTIO_META_CLUSTER_ID ISTIO_META_UNPRIVILEGED_POD ISTIO_META_ROUTER_MODE PROXY_XDS_VIA_AGENT SECRET_TTL "
        "OUTPUT_CERTS BOOTSTRAP_XDS_AGENT ENVOY_PROMETHEUS_PORT ISTIO_DELTA_XDS"
    ),
    "ISTIO_META_HTTP10": Decides("whether requests by HTTP/1.0 are accepted"),
    **_all("ISTIO_META_DNS_CAPTURE ISTIO_META_DNS_AUTO_ALLOCATE", _OUTSIDE),
    **_all("ISTIO_META_NETWORK ISTIO_META_REQUESTED_NETWORK_VIEW", Decides("which pods a proxy reaches")),
    "ISTIO_META_INTERCEPTION_MODE": _CAPTURED,
}
PROXY_CONFIG: Table = {
    **_harmless(
        "configPath binaryPath serviceCluster tracingServiceName drainDuration discoveryAddress "
        "discoveryRefreshDelay zipkinAddress statsdUdpAddress envoyMetricsServiceAddress availabilityZone "
        "proxyAdminPort controlPlaneAuthPolicy concurrency statNameLength tracing sds envoyAccessLogService "
        "envoyMetricsService statusPort extraStatTags terminationDrainDuration meshId readinessProbe "
        "proxyStatsMatcher holdApplicationUntilProxyStarts caCertificatesPem image privateKeyProvider "
        "fileFlushInterval fileFlushMinSizeKb statsCompression"
    ),
    "gatewayTopology": {
        "numTrustedProxies": HONOURED,
        "forwardClientCertDetails": Decides("the header x-forwarded-client-cert", "SANITIZE_SET"),
        "proxyProtocol": Decides("the caller's address, and whether connections without the PROXY protocol are taken"),
    },
    "proxyMetadata": PROXY_METADATA,
    "proxyHeaders": Decides("headers that proxies add, such as x-request-id"),
    "connectionSettings": Decides("slashes in paths, headers with underscores, and timeouts of connections"),
    "interceptionMode": Decides("which connections pass through sidecars", "REDIRECT"),
    **_all("customConfigFile proxyBootstrapTemplatePath runtimeValues", Decides("how Envoy itself treats requests")),
}
MESH_CONFIG: Table = {
    **_harmless(
        "proxyListenPort proxyInboundListenPort connectTimeout hboneIdleTimeout protocolDetectionTimeout "
        "tcpKeepalive enableTracing accessLogFile accessLogFormat accessLogEncoding enableEnvoyAccessLogService "
        "disableEnvoyListenerLog trustDomain trustDomainAliases caCertificates dnsRefreshRate inboundClusterStatName "
        "outboundClusterStatName certificates enablePrometheusMerge verifyCertificateAtClient extensionProviders "
        "defaultProviders"
    ),
    "defaultConfig": PROXY_CONFIG,
    "defaultHttpRetryPolicy": HONOURED,
    "pathNormalization": {"normalization": HONOURED},
    "outboundTrafficPolicy": {"mode": HONOURED},
    "inboundTrafficPolicy": Decides("requests to ports that a version does not name", {"mode": "PASSTHROUGH"}),
    **_all("defaultServiceExportTo defaultVirtualServiceExportTo defaultDestinationRuleExportTo", _VISIBLE),
    "h2UpgradePolicy": Decides("whether sidecars speak HTTP/2 to each other", "DO_NOT_UPGRADE"),
    "enableAutoMtls": Decides("whether callers use mutual TLS", True),
    **_all("meshMTLS tlsDefaults", _TLS),
    "localityLbSetting": Decides("in which zones the pods are that get a request", {"enabled": True}),
    "zoneAwareLbSetting": Decides("in which zones the pods are that get a request"),
    "defaultTrafficPolicy": Decides("limits of connections, and which pods are taken out after errors"),
    "ingressControllerMode": Decides(_INGRESSES.what, "STRICT"),
    "ingressClass": Decides(_INGRESSES.what, "istio"),
    **_all("ingressService ingressSelector", _INGRESSES),
    "discoverySelectors": Decides("which namespaces istiod looks at"),
    "rootNamespace": Decides("which policies apply to the whole mesh"),
    "serviceEntryVisibility": _OUTSIDE,
    **_all("serviceSettings serviceScopeConfigs", Decides("which pods a proxy reaches in other clusters")),
    "configSources": Decides("where istiod reads routes"),
    "proxyHttpPort": Decides("an HTTP proxy in sidecars"),
}
ENVIRONMENT: Table = {
    **_harmless(
        "CA_TRUSTED_NODE_ACCOUNTS CERT_SIGNER_DOMAIN CLUSTER_ID ENABLE_100_CONTINUE_HEADERS ENABLE_CA_SERVER "
        "ENABLE_CLUSTER_TRUST_BUNDLE_API ENABLE_DEBUG_ENDPOINT_AUTH ENABLE_DEBUG_ON_HTTP "
        "ENABLE_LAZY_SIDECAR_EVALUATION ENABLE_LEADER_ELECTION ENABLE_NATIVE_SIDECARS ENABLE_VTPROTOBUF "
        "ENABLE_XDS_API_GENERATOR_AUTH DEBUG_ENDPOINT_AUTH_ALLOWED_NAMESPACES DISABLE_TRACK_REMAINING_CB_METRICS "
        "ISTIOD_CUSTOM_HOST ISTIO_DELTA_XDS ISTIO_ENABLE_CONTROLLER_QUEUE_METRICS ISTIO_GPRC_MAXRECVMSGSIZE "
        "ISTIO_GPRC_MAXSTREAMS ISTIO_KUBE_CLIENT_CONTENT_TYPE MAX_CONNECTIONS_PER_SOCKET_EVENT_LOOP "
        "MUTEX_PROFILE_FRACTION PILOT_AGENT_MERGE_ENVOY_STATS PILOT_ANALYSIS_INTERVAL PILOT_CA_CERT_CONFIGMAP "
        "PILOT_CERT_PROVIDER PILOT_CONVERT_SIDECAR_SCOPE_CONCURRENCY PILOT_CRL_CONFIGMAP PILOT_DEBOUNCE_AFTER "
        "PILOT_DEBOUNCE_MAX PILOT_DISABLE_MX_ALPN PILOT_DNS_CARES_UDP_MAX_QUERIES PILOT_DNS_JITTER_DURATION "
        "PILOT_ENABLE_ALPN_FILTER PILOT_ENABLE_ANALYSIS PILOT_ENABLE_CA_CRL PILOT_ENABLE_CDS_CACHE "
        "PILOT_ENABLE_EDS_DEBOUNCE PILOT_ENABLE_GATEWAY_API PILOT_ENABLE_GATEWAY_API_DEPLOYMENT_CONTROLLER "
        "PILOT_ENABLE_GATEWAY_API_GATEWAYCLASS_CONTROLLER PILOT_ENABLE_GATEWAY_API_STATUS "
        "PILOT_ENABLE_METADATA_EXCHANGE PILOT_ENABLE_NODE_UNTAINT_CONTROLLERS PILOT_ENABLE_RDS_CACHE "
        "PILOT_ENABLE_ROUTE_COLLAPSE_OPTIMIZATION PILOT_ENABLE_STATUS PILOT_ENABLE_TELEMETRY_LABEL "
        "PILOT_ENABLE_WORKLOAD_ENTRY_AUTOREGISTRATION PILOT_ENABLE_WORKLOAD_ENTRY_HEALTHCHECKS "
        "PILOT_ENABLE_XDS_CACHE PILOT_ENABLE_XDS_IDENTITY_CHECK PILOT_ENDPOINT_TELEMETRY_LABEL "
        "PILOT_ENVOY_FILTER_STATS PILOT_FILTER_GATEWAY_CLUSTER_CONFIG PILOT_GATEWAY_TRANSPORT_SOCKET_CONNECT_TIMEOUT "
        "PILOT_JWT_ENABLE_REMOTE_JWKS PILOT_JWT_PUB_KEY_REFRESH_INTERVAL PILOT_MAX_REQUESTS_PER_SECOND "
        "PILOT_MX_ADDITIONAL_LABELS PILOT_PUSH_THROTTLE PILOT_REMOTE_CLUSTER_TIMEOUT PILOT_STATUS_MAX_WORKERS "
        "PILOT_TRACE_SAMPLING PILOT_WORKLOAD_ENTRY_GRACE_PERIOD PILOT_XDS_CACHE_INDEX_CLEAR_INTERVAL "
        "PILOT_XDS_CACHE_SIZE PILOT_XDS_CACHE_STATS TRUSTED_GATEWAY_CIDR UNSAFE_ENABLE_ADMIN_ENDPOINTS "
        "USE_CACERTS_FOR_SELF_SIGNED_CA XDS_AUTH GOMEMLIMIT GOMAXPROCS"
    ),
    "PILOT_HTTP10": Decides("whether requests by HTTP/1.0 are accepted", False),
    "PILOT_SCOPE_GATEWAY_TO_NAMESPACE": Decides("which Gateways the gateway's pods serve", False),
    "PILOT_SIDECAR_USE_REMOTE_ADDRESS": Decides("x-forwarded-proto and x-forwarded-for inside the mesh", False),
    "ENABLE_HCM_INTERNAL_NETWORKS": Decides("which callers count as internal (x-envoy-internal)", False),
    "DISABLE_SHADOW_HOST_SUFFIX": Decides("the host of mirrored requests", True),
    "PILOT_ENABLE_ABSOLUTE_FQDN_VHOST_DOMAIN": Decides("hosts that end with a dot", True),
    "PILOT_ENABLE_QUIC_LISTENERS": Decides("whether the gateway accepts HTTP/3", False),
    "PILOT_ENABLE_PERSISTENT_SESSION_FILTER": Decides(_SESSIONS.what, False),
    **_all("PILOT_PERSISTENT_SESSION_LABEL PILOT_PERSISTENT_SESSION_HEADER_LABEL", _SESSIONS),
    "PILOT_DRAINING_LABEL": Decides("which pods get no new requests", "istio.io/draining"),
    "PILOT_SEND_UNHEALTHY_ENDPOINTS": Decides("whether pods that are not ready get requests", False),
    "PILOT_SKIP_VALIDATE_TRUST_DOMAIN": Decides("which callers are allowed", False),
    "PILOT_ENABLE_AMBIENT": Decides("whether traffic goes through ztunnel instead of sidecars", False),
    "ENABLE_ENHANCED_DESTINATIONRULE_MERGE": Decides("which DestinationRule applies, if there are several", True),
    **_all("PILOT_IGNORE_RESOURCES PILOT_INCLUDE_RESOURCES", Decides("which objects istiod ignores", "")),
    "ISTIO_WATCH_NAMESPACE": Decides("which namespaces istiod looks at", ""),
    "SHARED_MESH_CONFIG": Decides(_MORE.what, ""),
}
_PROXY: Table = {
    **_harmless(
        "image componentLogLevel logLevel outlierLogPath privileged seccompProfile readinessFailureThreshold "
        "readinessInitialDelaySeconds readinessPeriodSeconds startupProbe resources statusPort tracer lifecycle "
        "enableCoreDump variant"
    ),
    "autoInject": Decides(_SIDECARS.what, "enabled"),
    "clusterDomain": Decides("the names of services inside the mesh", "cluster.local"),
    "includeInboundPorts": Decides(_CAPTURED.what, "*"),
    "includeIPRanges": Decides(_CAPTURED.what, "*"),
    **_all(
        "excludeInboundPorts excludeIPRanges includeOutboundPorts excludeOutboundPorts", Decides(_CAPTURED.what, "")
    ),
}
ISTIOD: Table = {
    **_harmless(
        "autoscaleEnabled autoscaleMin autoscaleMax autoscaleBehavior replicaCount rollingMaxSurge "
        "rollingMaxUnavailable hub tag variant image traceSampling resources seccompProfile affinity tolerations cpu "
        "memory volumeMounts volumes initContainers nodeSelector podAnnotations serviceAnnotations "
        "serviceAccountAnnotations sidecarInjectorWebhookAnnotations topologySpreadConstraints "
        "jwksResolverExtraRootCA keepaliveMaxServerConnectionAge deploymentLabels deploymentAnnotations podLabels "
        "ipFamilyPolicy ipFamilies telemetry ownerName experimental priorityClassName imagePullSecrets "
        "podDisruptionBudget taint"
    ),
    "meshConfig": MESH_CONFIG,
    "env": ENVIRONMENT,
    "global": {
        **_harmless(
            "certSigners defaultPodDisruptionBudget defaultResources defaultNodeSelector defaultTolerations hub tag "
            "variant imagePullPolicy imagePullSecrets istiod logAsJson nativeNftables logging networkPolicy "
            "operatorManageWebhooks priorityClassName proxy_init caAddress caName configValidation meshID "
            "mountMtlsCerts pilotCertProvider sds sts waypoint ipFamilyPolicy ipFamilies"
        ),
        "istioNamespace": HARMLESS,  # checked against mesh.namespace
        "proxy": _PROXY,
        **_all("profile compatibilityVersion platform", _MORE),
        "resourceScope": Decides("which objects the chart creates", "all"),
        "omitSidecarInjectorConfigMap": Decides(_SIDECARS.what, False),
        **_all("externalIstiod configCluster remotePilotAddress", Decides("which istiod the proxies ask", False)),
        **_all("multiCluster network meshNetworks", Decides("which pods a proxy reaches in other clusters", {})),
    },
    "sidecarInjectorWebhook": {
        **_harmless("rewriteAppHTTPProbe reinvocationPolicy injectedAnnotations"),
        "enableNamespacesByDefault": Decides(_SIDECARS.what, False),
        **_all("neverInjectSelector alwaysInjectSelector", Decides(_SIDECARS.what, [])),
        **_all("templates defaultTemplates", Decides("how sidecars are configured")),
    },
    **_all("profile compatibilityVersion platform envVarFrom extraContainerArgs istiodRemote", _MORE),
    "configMap": Decides("whether istiod reads this MeshConfig", True),
    **_all("revision revisionTags", Decides(_SIDECARS.what, "")),
    "cni": HARMLESS,
    **_all("trustedZtunnelNamespace trustedZtunnelName", Decides("which callers are allowed", "")),
}
GATEWAY: Table = {
    **_harmless(
        "replicaCount kind rbac serviceAccount securityContext containerSecurityContext resources autoscaling "
        "strategy minReadySeconds readinessProbe annotations nodeSelector tolerations topologySpreadConstraints "
        "affinity networkGateway networkGatewayPorts imagePullPolicy imagePullSecrets podDisruptionBudget dnsPolicy "
        "dnsConfig terminationGracePeriodSeconds volumes volumeMounts initContainers additionalContainers "
        "priorityClassName lifecycle global platform"
    ),
    "podAnnotations": {
        CONFIG_ANNOTATION: HONOURED,  # PROXY_CONFIG is the table for its text
        "inject.istio.io/templates": Decides("how the gateway's pods are configured", "gateway"),
        "sidecar.istio.io/inject": Decides("whether the gateway's pods run Envoy", True),
        "sidecar.istio.io/bootstrapOverride": Decides("how Envoy itself treats requests"),
        OTHERS: HARMLESS,
    },
    "env": PROXY_METADATA,
    "envVarFrom": _MORE,
    "labels": {**_all("app istio", Decides("which Gateways the gateway's pods serve")), OTHERS: HARMLESS},
    "service": {
        **_harmless(
            "type clusterIP ports annotations loadBalancerIP loadBalancerClass externalTrafficPolicy "
            "healthCheckNodePort externalIPs ipFamilyPolicy ipFamilies allocateLoadBalancerNodePorts"
        ),
        "selectorLabels": Decides("which pods get the gateway's connections", {}),
        "loadBalancerSourceRanges": Decides("which addresses may connect to the gateway", []),
    },
    **_all("name revision profile compatibilityVersion unprivilegedPort", _MORE),
}
