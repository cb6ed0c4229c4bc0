"""Which changes of a built-in kind the API server does not take, so that the object must be replaced.

The fields are those of the official provider, which took them from the validation of the API server: a path matches a
change at it, above it or below it; ``[*]`` stands for every element of a list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sandbox.provider import objects
from sandbox.provider.kinds import kind_of

_SELECTOR = (".spec.selector",)
_STATEFUL_SET = (
    ".spec.podManagementPolicy",
    ".spec.revisionHistoryLimit",
    ".spec.selector",
    ".spec.serviceName",
    ".spec.volumeClaimTemplates",
)
_JOB = (".spec.completions", ".spec.parallelism", ".spec.selector", ".spec.template")
_ROLE_BINDING = (".roleRef",)
_VOLUME_SOURCES = tuple(
    f".spec.{name}"
    for name in objects.words(
        """awsElasticBlockStore azureDisk azureFile cephfs cinder csi fc flexVolume flocker gcePersistentDisk
    glusterfs hostPath iscsi local nfs photonPersistentDisk portworxVolume quobyte rbd scaleIO storageos
    vsphereVolume"""
    )
)
_POD = tuple(
    f".spec.{name}"
    for name in objects.words(
        """affinity automountServiceAccountToken dnsConfig dnsPolicy enableServiceLinks hostAliases hostIPC
    hostNetwork hostPID hostname imagePullSecrets nodeName nodeSelector overhead preemptionPolicy priority
    priorityClassName readinessGates restartPolicy runtimeClassName schedulerName securityContext serviceAccount
    serviceAccountName shareProcessNamespace subdomain terminationGracePeriodSeconds volumes"""
    )
) + tuple(
    f".spec.{containers}[*].{name}"
    for containers in ("containers", "initContainers")
    for name in objects.words(
        """args command env image imagePullPolicy lifecycle livenessProbe ports readinessProbe resources
    securityContext stdin stdinOnce terminationMessagePath terminationMessagePolicy tty volumeDevices volumeMounts
    workingDir"""
    )
)

_RULES: dict[str, tuple[str, ...]] = {
    "apps/v1/DaemonSet": _SELECTOR,
    "apps/v1/Deployment": _SELECTOR,
    "apps/v1/StatefulSet": _STATEFUL_SET,
    "apps/v1beta1/StatefulSet": _STATEFUL_SET,
    "apps/v1beta2/DaemonSet": _SELECTOR,
    "apps/v1beta2/Deployment": _SELECTOR,
    "apps/v1beta2/StatefulSet": _STATEFUL_SET,
    "batch/v1/Job": _JOB,
    "policy/v1beta1/PodDisruptionBudget": (".spec",),
    "rbac.authorization.k8s.io/v1/ClusterRoleBinding": _ROLE_BINDING,
    "rbac.authorization.k8s.io/v1/RoleBinding": _ROLE_BINDING,
    "storage.k8s.io/v1/StorageClass": (".parameters", ".provisioner"),
    "v1/PersistentVolume": _VOLUME_SOURCES,
    "v1/PersistentVolumeClaim": (
        ".spec.accessModes",
        ".spec.selector",
        ".spec.storageClassName",
        ".spec.volumeName",
    ),
    "v1/Pod": _POD,
    "v1/ResourceQuota": (".spec.scopes",),
    "v1/Secret": (".type",),
    "v1/Service": (".spec.clusterIP",),
}
IDENTITY = (".metadata.name", ".metadata.namespace")


def replaced_by(obj: Mapping[str, Any], *, mutable_config_maps: bool, mutable_secrets: bool) -> tuple[str, ...]:
    """Return the paths whose change replaces ``obj``; of ConfigMaps and Secrets, unless they may be changed."""
    kind = str(kind_of(obj))
    immutable = obj.get("immutable") is True
    if kind == "v1/Secret" and (immutable or not mutable_secrets):
        return (*IDENTITY, ".type", ".stringData", ".data")
    if kind == "v1/ConfigMap" and (immutable or not mutable_config_maps):
        return (*IDENTITY, ".binaryData", ".data")
    return (*IDENTITY, *_RULES.get(kind, ()))


def matches(path: Sequence[str | int], value: Any, rules: Sequence[str]) -> bool:
    """Say whether a change to ``value`` at ``path`` touches one of the ``rules``."""
    return any(_matches(path, value, rule.replace("[*]", ".[*]").split(".")[1:]) for rule in rules)


def _matches(path: Sequence[str | int], value: Any, rule: Sequence[str]) -> bool:
    if not rule:
        return True
    if not path:
        return _holds(value, rule)
    step, expected = path[0], rule[0]
    fits = expected == "[*]" if isinstance(step, int) else step == expected
    return fits and _matches(path[1:], value, rule[1:])


def _holds(value: Any, rule: Sequence[str]) -> bool:
    if not rule:
        return True
    if rule[0] == "[*]":
        return isinstance(value, list) and bool(value) and all(_holds(item, rule[1:]) for item in value)
    return isinstance(value, Mapping) and rule[0] in value and _holds(value[rule[0]], rule[1:])
