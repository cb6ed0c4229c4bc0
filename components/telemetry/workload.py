"""Kubernetes objects of a telemetry server: one Deployment with one pod, its Service, storage and secrets.

Every function takes the Pulumi name first and the child's options last, and returns what it builds. All objects of a
server have the labels `app` and `app.kubernetes.io/name`, by which `istioctl dashboard` finds its pods.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

CHECKSUM = "checksum/config"
SKIP_AWAIT = {"pulumi.com/skipAwait": "true"}
NO_SIDECAR = {"sidecar.istio.io/inject": "false"}


@dataclass(frozen=True, kw_only=True)
class StorageArgs:
    """A PersistentVolumeClaim: `size` is a Kubernetes quantity, and without a class the cluster's default is used."""

    size: str
    storage_class_name: str | None = None


@dataclass(frozen=True, kw_only=True)
class Mount:
    """A volume and where the container sees it."""

    volume: k8s.core.v1.VolumeArgs
    mount: k8s.core.v1.VolumeMountArgs


@dataclass(frozen=True, kw_only=True)
class ServerArgs:
    """A server: `name` names its objects, its container and its labels.

    `user` is the numeric user and group of the process, and the group of its volumes. `ports` are the container's TCP
    ports by name. The pod gets its `service_account`'s token of Kubernetes' API, unless `mount_token` is false; without
    an account it gets none. `ready_within` is in seconds.
    """

    name: str
    namespace: pulumi.Input[str]
    image: pulumi.Input[str]
    user: int
    ports: Mapping[str, int]
    readiness_probe: k8s.core.v1.ProbeArgs | None
    liveness_probe: k8s.core.v1.ProbeArgs | None
    startup_probe: k8s.core.v1.ProbeArgs | None = None
    command: Sequence[pulumi.Input[str]] = ()
    args: Sequence[pulumi.Input[str]] = ()
    env: Sequence[k8s.core.v1.EnvVarArgs] = ()
    mounts: Sequence[Mount] = ()
    annotations: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    service_account: pulumi.Input[str] | None = None
    mount_token: bool = True
    resources: pulumi.Input[k8s.core.v1.ResourceRequirementsArgs] | None = None
    termination_grace_period_seconds: int = 30
    ready_within: int = 300


def labels(server: str) -> dict[str, str]:
    """Return the labels of a server's objects, which also select its pods."""
    return {"app": server, "app.kubernetes.io/name": server}


def metadata(
    name: str,
    server: str,
    namespace: pulumi.Input[str] | None,
    annotations: Mapping[str, pulumi.Input[str]] | None = None,
) -> k8s.meta.v1.ObjectMetaArgs:
    """Return the metadata of the object `name` of a server; a cluster-wide object has no namespace."""
    return k8s.meta.v1.ObjectMetaArgs(
        name=name, namespace=namespace, labels=labels(server), annotations=dict(annotations) if annotations else None
    )


def checksum(*contents: Mapping[str, str]) -> dict[str, str]:
    """Return the annotation of a pod that is replaced whenever one of these ConfigMaps' data changes."""
    text = json.dumps([dict(content) for content in contents], sort_keys=True)
    return {CHECKSUM: hashlib.sha256(text.encode()).hexdigest()}


def probe(path: str, port: str, **fields: Any) -> k8s.core.v1.ProbeArgs:
    """Return an HTTP probe of a named container port; `fields` are the other fields of ProbeArgs."""
    return k8s.core.v1.ProbeArgs(http_get=k8s.core.v1.HTTPGetActionArgs(path=path, port=port), **fields)


def config_mount(name: str, config_map: pulumi.Input[str], folder: str) -> Mount:
    """Mount a ConfigMap's files into `folder`, read-only."""
    source = k8s.core.v1.ConfigMapVolumeSourceArgs(name=config_map)
    return Mount(
        volume=k8s.core.v1.VolumeArgs(name=name, config_map=source),
        mount=k8s.core.v1.VolumeMountArgs(name=name, mount_path=folder, read_only=True),
    )


def secret_mount(name: str, secret: pulumi.Input[str], folder: str) -> Mount:
    """Mount a Secret's keys as files into `folder`, read-only."""
    source = k8s.core.v1.SecretVolumeSourceArgs(secret_name=secret)
    return Mount(
        volume=k8s.core.v1.VolumeArgs(name=name, secret=source),
        mount=k8s.core.v1.VolumeMountArgs(name=name, mount_path=folder, read_only=True),
    )


def empty_mount(name: str, folder: str) -> Mount:
    """Mount an emptyDir, whose content is lost with the pod."""
    return Mount(
        volume=k8s.core.v1.VolumeArgs(name=name, empty_dir=k8s.core.v1.EmptyDirVolumeSourceArgs()),
        mount=k8s.core.v1.VolumeMountArgs(name=name, mount_path=folder),
    )


def storage_mount(
    resource: str,
    server: str,
    namespace: pulumi.Input[str],
    folder: str,
    storage: StorageArgs | None,
    opts: pulumi.ResourceOptions,
) -> Mount:
    """Mount a server's data: a new PersistentVolumeClaim, or an emptyDir if `storage` is None.

    The claim is named after its class too, because the class cannot be changed: another class is another claim, to
    which the pod moves before the old one is deleted. It is not awaited: with the binding mode WaitForFirstConsumer it
    is bound only when the pod exists (Kubernetes: "Storage Classes").
    """
    if storage is None:
        return empty_mount("data", folder)
    name = f"{server}-{storage.storage_class_name}" if storage.storage_class_name else server
    claim = k8s.core.v1.PersistentVolumeClaim(
        resource,
        metadata=metadata(name, server, namespace, SKIP_AWAIT),
        spec=k8s.core.v1.PersistentVolumeClaimSpecArgs(
            access_modes=["ReadWriteOnce"],
            storage_class_name=storage.storage_class_name,
            resources=k8s.core.v1.VolumeResourceRequirementsArgs(requests={"storage": storage.size}),
        ),
        opts=opts,
    )
    source = k8s.core.v1.PersistentVolumeClaimVolumeSourceArgs(claim_name=claim.metadata.name)
    return Mount(
        volume=k8s.core.v1.VolumeArgs(name="data", persistent_volume_claim=source),
        mount=k8s.core.v1.VolumeMountArgs(name="data", mount_path=folder),
    )


def config_map(
    resource: str,
    server: str,
    namespace: pulumi.Input[str],
    data: Mapping[str, pulumi.Input[str]],
    opts: pulumi.ResourceOptions,
) -> k8s.core.v1.ConfigMap:
    """Build the ConfigMap of a server, named after it."""
    return k8s.core.v1.ConfigMap(resource, metadata=metadata(server, server, namespace), data=dict(data), opts=opts)


def service_account(
    resource: str, server: str, namespace: pulumi.Input[str], opts: pulumi.ResourceOptions
) -> k8s.core.v1.ServiceAccount:
    """Build the ServiceAccount of a server, named after it; the pod mounts its token itself."""
    return k8s.core.v1.ServiceAccount(
        resource, metadata=metadata(server, server, namespace), automount_service_account_token=False, opts=opts
    )


def cluster_role(
    resource: str,
    server: str,
    namespace: pulumi.Input[str],
    rules: Sequence[k8s.rbac.v1.PolicyRuleArgs],
    opts: pulumi.ResourceOptions,
) -> list[pulumi.Resource]:
    """Build a server's ClusterRole with `rules`, and its ClusterRoleBinding to the server's ServiceAccount."""
    role = k8s.rbac.v1.ClusterRole(
        f"{resource}-role", metadata=metadata(server, server, None), rules=list(rules), opts=opts
    )
    binding = k8s.rbac.v1.ClusterRoleBinding(
        f"{resource}-binding",
        metadata=metadata(server, server, None),
        role_ref=k8s.rbac.v1.RoleRefArgs(
            api_group="rbac.authorization.k8s.io", kind="ClusterRole", name=role.metadata.name
        ),
        subjects=[k8s.rbac.v1.SubjectArgs(kind="ServiceAccount", name=server, namespace=namespace)],
        opts=opts,
    )
    return [role, binding]


def service_port(
    name: str, port: int, target: int | str | None = None, app_protocol: str | None = None
) -> k8s.core.v1.ServicePortArgs:
    """Return a TCP port of a Service, which leads to the container port `target`, by default of the same number."""
    return k8s.core.v1.ServicePortArgs(
        name=name, port=port, target_port=port if target is None else target, protocol="TCP", app_protocol=app_protocol
    )


def cluster_ip_service(
    resource: str,
    name: str,
    server: str,
    namespace: pulumi.Input[str],
    ports: Sequence[k8s.core.v1.ServicePortArgs],
    opts: pulumi.ResourceOptions,
) -> k8s.core.v1.Service:
    """Build the Service `name` of a server. Pulumi waits for the Deployment, so it need not wait for endpoints too."""
    return k8s.core.v1.Service(
        resource,
        metadata=metadata(name, server, namespace, SKIP_AWAIT),
        spec=k8s.core.v1.ServiceSpecArgs(type="ClusterIP", selector=labels(server), ports=list(ports)),
        opts=opts,
    )


def generated_secret(
    resource: str,
    server: str,
    namespace: pulumi.Input[str],
    key: str,
    value: pulumi.Input[str] | None,
    opts: pulumi.ResourceOptions,
    length: int = 32,
) -> k8s.core.v1.Secret:
    """Build the Secret of a server with one key: `value`, or `length` random hexadecimal digits if it is None.

    Every run generates another value, of which only the first is used: Pulumi ignores the change, so there is no diff.
    It is written as `data`, which a refresh reads back, unlike `stringData`. The SDK marks both as secrets.
    """
    if value is None:
        value = secrets.token_hex((length + 1) // 2)[:length]
        opts = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(ignore_changes=["data"]))
    encoded = pulumi.Output.from_input(value).apply(lambda text: base64.b64encode(text.encode()).decode())
    return k8s.core.v1.Secret(
        resource, metadata=metadata(server, server, namespace), type="Opaque", data={key: encoded}, opts=opts
    )


def allow(
    ports: Sequence[int], servers: Sequence[str], namespaces: Sequence[str] = ()
) -> list[k8s.networking.v1.NetworkPolicyIngressRuleArgs]:
    """Return the rule that allows TCP `ports` from these servers in the same namespace, and from other `namespaces`.

    None if it would allow nobody: a rule without a source allows everyone.
    """
    sources = [
        k8s.networking.v1.NetworkPolicyPeerArgs(
            pod_selector=k8s.meta.v1.LabelSelectorArgs(match_labels={"app.kubernetes.io/name": server})
        )
        for server in servers
    ]
    sources += [
        k8s.networking.v1.NetworkPolicyPeerArgs(
            namespace_selector=k8s.meta.v1.LabelSelectorArgs(match_labels={"kubernetes.io/metadata.name": namespace})
        )
        for namespace in namespaces
    ]
    return [k8s.networking.v1.NetworkPolicyIngressRuleArgs(from_=sources, ports=_tcp(ports))] if sources else []


def allow_all(ports: Sequence[int]) -> list[k8s.networking.v1.NetworkPolicyIngressRuleArgs]:
    """Return the rule that allows TCP `ports` from anywhere."""
    return [k8s.networking.v1.NetworkPolicyIngressRuleArgs(ports=_tcp(ports))]


def _tcp(ports: Sequence[int]) -> list[k8s.networking.v1.NetworkPolicyPortArgs]:
    return [k8s.networking.v1.NetworkPolicyPortArgs(protocol="TCP", port=port) for port in ports]


def network_policy(
    resource: str,
    server: str,
    namespace: pulumi.Input[str],
    rules: Sequence[k8s.networking.v1.NetworkPolicyIngressRuleArgs],
    opts: pulumi.ResourceOptions,
) -> k8s.networking.v1.NetworkPolicy:
    """Build a NetworkPolicy that denies a server's pod every connection from other pods that `rules` do not allow.

    It does not apply to the node's kubelet, which probes the pod and forwards ports to it (Kubernetes: "Network
    Policies").
    """
    return k8s.networking.v1.NetworkPolicy(
        resource,
        metadata=metadata(server, server, namespace),
        spec=k8s.networking.v1.NetworkPolicySpecArgs(
            pod_selector=k8s.meta.v1.LabelSelectorArgs(match_labels=labels(server)),
            policy_types=["Ingress"],
            ingress=list(rules),
        ),
        opts=opts,
    )


def deployment(resource: str, args: ServerArgs, opts: pulumi.ResourceOptions) -> k8s.apps.v1.Deployment:
    """Build a server's Deployment: one pod without a sidecar, with the rights of the policy "restricted".

    The old pod terminates before the new one starts (Recreate), since only one may use the data. See "Pod Security
    Standards" in Kubernetes' documentation; the root file system is read-only as well.
    """
    within = f"{args.ready_within}s"
    return k8s.apps.v1.Deployment(
        resource,
        metadata=metadata(args.name, args.name, args.namespace),
        spec=k8s.apps.v1.DeploymentSpecArgs(
            replicas=1,
            strategy=k8s.apps.v1.DeploymentStrategyArgs(type="Recreate"),
            selector=k8s.meta.v1.LabelSelectorArgs(match_labels=labels(args.name)),
            template=k8s.core.v1.PodTemplateSpecArgs(
                metadata=k8s.meta.v1.ObjectMetaArgs(
                    labels=labels(args.name) | NO_SIDECAR, annotations=dict(args.annotations) or None
                ),
                spec=pod_spec(args),
            ),
        ),
        opts=pulumi.ResourceOptions.merge(
            opts, pulumi.ResourceOptions(custom_timeouts=pulumi.CustomTimeouts(create=within, update=within))
        ),
    )


def pod_spec(args: ServerArgs, restart_policy: str | None = None) -> k8s.core.v1.PodSpecArgs:
    """Return the spec of a server's pod; without a restart policy Kubernetes' default, Always, is used."""
    return k8s.core.v1.PodSpecArgs(
        restart_policy=restart_policy,
        service_account_name=args.service_account,
        automount_service_account_token=args.service_account is not None and args.mount_token,
        termination_grace_period_seconds=args.termination_grace_period_seconds,
        security_context=k8s.core.v1.PodSecurityContextArgs(
            run_as_non_root=True,
            run_as_user=args.user,
            run_as_group=args.user,
            fs_group=args.user,
            fs_group_change_policy="OnRootMismatch",
            seccomp_profile=k8s.core.v1.SeccompProfileArgs(type="RuntimeDefault"),
        ),
        containers=[_container(args)],
        volumes=[mount.volume for mount in args.mounts] or None,
    )


def _container(args: ServerArgs) -> k8s.core.v1.ContainerArgs:
    return k8s.core.v1.ContainerArgs(
        name=args.name,
        image=args.image,
        image_pull_policy="IfNotPresent",
        command=list(args.command) or None,
        args=list(args.args) or None,
        env=list(args.env) or None,
        ports=[
            k8s.core.v1.ContainerPortArgs(name=name, container_port=port, protocol="TCP")
            for name, port in args.ports.items()
        ]
        or None,
        startup_probe=args.startup_probe,
        readiness_probe=args.readiness_probe,
        liveness_probe=args.liveness_probe,
        resources=args.resources,
        volume_mounts=[mount.mount for mount in args.mounts] or None,
        security_context=k8s.core.v1.SecurityContextArgs(
            allow_privilege_escalation=False,
            read_only_root_filesystem=True,
            capabilities=k8s.core.v1.CapabilitiesArgs(drop=["ALL"]),
        ),
    )
