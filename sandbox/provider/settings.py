"""The configuration of one provider instance: CheckConfig, DiffConfig and what Configure is told.

Names and meaning are those of ``kubernetes.Provider`` in Pulumi's registry. What the stand-in cannot do is refused
here, before anything is touched.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox.provider import kubeconfig
from sandbox.provider.values import Unknown

_PREFIX = "kubernetes:config:"
_CLUSTER_KEYS = ("kubeconfig", "context", "cluster")
CLUSTER_IDENTIFIER = "clusterIdentifier"


class SettingsError(Exception):
    """A setting of the provider that cannot be used."""


@dataclass(frozen=True)
class Settings:
    """What one ``kubernetes.Provider`` was given; ``unreachable`` says why there is no connection."""

    connection: kubeconfig.Connection | None = None
    unreachable: str = ""
    enable_config_map_mutable: bool = False
    enable_secret_mutable: bool = False
    enable_patch_force: bool = False
    upsert_existing_objects: bool = False
    delete_unreachable: bool = False
    skip_update_unreachable: bool = False
    helm: Mapping[str, Any] = field(default_factory=dict)

    @property
    def namespace(self) -> str:
        """The namespace of objects that name none."""
        return self.connection.namespace if self.connection else ""


def from_variables(variables: Mapping[str, str]) -> Settings:
    """Return the settings in Configure's variables (``kubernetes:config:<name>``), environment variables behind them.

    A kubeconfig that cannot be used is no error yet: previews and invokes need no cluster. Raises ``SettingsError``.
    """
    given = {key.removeprefix(_PREFIX): value for key, value in variables.items()}
    problem = unsupported(given)
    if problem:
        raise SettingsError(problem[1])
    connection, unreachable = None, ""
    try:
        connection = kubeconfig.load(
            given.get("kubeconfig"), given.get("context"), given.get("cluster"), given.get("namespace")
        )
    except kubeconfig.KubeconfigError as error:
        unreachable = str(error)
    return Settings(
        connection=connection,
        unreachable=unreachable,
        enable_config_map_mutable=_flag(given, "enableConfigMapMutable", "PULUMI_K8S_ENABLE_CONFIGMAP_MUTABLE"),
        enable_secret_mutable=_flag(given, "enableSecretMutable", "PULUMI_K8S_ENABLE_SECRET_MUTABLE"),
        enable_patch_force=_flag(given, "enablePatchForce", "PULUMI_K8S_ENABLE_PATCH_FORCE"),
        upsert_existing_objects=_flag(given, "upsertExistingObjects", "PULUMI_K8S_UPSERT_EXISTING_OBJECTS"),
        delete_unreachable=_flag(given, "deleteUnreachable", "PULUMI_K8S_DELETE_UNREACHABLE"),
        skip_update_unreachable=_flag(given, "skipUpdateUnreachable", "PULUMI_K8S_SKIP_UPDATE_UNREACHABLE"),
        helm=_json(given, "helmReleaseSettings"),
    )


def variables_of(args: Mapping[str, Any]) -> dict[str, str]:
    """Return Configure's ``args`` as variables, for an engine that sends no variables."""
    return {
        _PREFIX + key: value if isinstance(value, str) else json.dumps(value)
        for key, value in args.items()
        if not isinstance(value, Unknown)
    }


def _flag(given: Mapping[str, str], name: str, environment: str) -> bool:
    value = given[name] if name in given else os.environ.get(environment, "")
    return value.lower() in ("true", "1")


def _json(given: Mapping[str, str], name: str) -> dict[str, Any]:
    try:
        value = json.loads(given.get(name) or "{}")
    except ValueError as error:
        raise SettingsError(f"`{name}` of the provider is not valid JSON: {error}") from error
    return value if isinstance(value, dict) else {}


def unsupported(given: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the setting that the stand-in does not have, with the message."""
    if given.get("renderYamlToDirectory"):
        return "renderYamlToDirectory", (
            "the sandbox's provider renders no YAML files: remove `renderYamlToDirectory`, "
            "or install the official plugin (pulumi plugin install resource kubernetes)"
        )
    ssa = given.get("enableServerSideApply", os.environ.get("PULUMI_K8S_ENABLE_SERVER_SIDE_APPLY"))
    if str(ssa).lower() == "false":
        return "enableServerSideApply", (
            "the sandbox's provider updates by server-side apply only: remove `enableServerSideApply: false`, "
            "or install the official plugin (pulumi plugin install resource kubernetes)"
        )
    return None


def check(urn: str, news: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return CheckConfig's failures as (property, reason)."""
    failures = []
    problem = unsupported(news)
    if problem:
        failures.append(problem)
    if str(news.get("strictMode")).lower() == "true":
        if urn.rpartition("::")[2].startswith("default"):
            failures.append(("", "strict mode prohibits default provider"))
        failures += [
            (key, f'strict mode requires Provider "{key}" argument')
            for key in ("kubeconfig", "context")
            if not news.get(key)
        ]
    return failures


@dataclass(frozen=True)
class ConfigDiff:
    """DiffConfig's answer: changed properties, and those that replace the provider and all that it made."""

    changed: tuple[str, ...] = ()
    replaces: tuple[str, ...] = ()


def diff(olds: Mapping[str, Any], news: Mapping[str, Any]) -> ConfigDiff:
    """Return what a change of the configuration means.

    With an unchanged ``clusterIdentifier`` nothing replaces; without one, the provider is replaced when the kubeconfig
    selects another cluster, since Kubernetes gives clusters no identity to compare.
    """
    changed = tuple(k for k in sorted({*olds, *news}) if olds.get(k) != news.get(k))
    if not changed:
        return ConfigDiff()
    old_id, new_id = olds.get(CLUSTER_IDENTIFIER), news.get(CLUSTER_IDENTIFIER)
    if new_id and old_id == new_id:
        return ConfigDiff(changed)
    replaces: tuple[str, ...] = (CLUSTER_IDENTIFIER,) if old_id and new_id else ()
    for key in _CLUSTER_KEYS:
        if isinstance(news.get(key), Unknown):
            # what cannot be compared yet is taken to be another cluster
            return ConfigDiff((key,), (*replaces, key))
    old_cluster, new_cluster = _active_cluster(olds), _active_cluster(news)
    if old_cluster is not None and new_cluster is not None and old_cluster != new_cluster:
        replaces += tuple(key for key in _CLUSTER_KEYS if key in changed)
    return ConfigDiff(changed, replaces)


def _active_cluster(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the settings of the cluster that ``config`` selects, or None when its kubeconfig does not tell."""
    given = config.get("kubeconfig")
    if not given or isinstance(given, Unknown):
        return None
    try:
        document = kubeconfig.parse(given) if isinstance(given, str) else dict(given)
    except kubeconfig.KubeconfigError:
        return None
    contexts = kubeconfig.named(document, "contexts", "context")
    context = contexts.get(str(config.get("context") or document.get("current-context")))
    if context is None:
        return None
    clusters = kubeconfig.named(document, "clusters", "cluster")
    return clusters.get(str(config.get("cluster") or context.get("cluster")))
