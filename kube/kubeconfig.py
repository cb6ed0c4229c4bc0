"""The cluster of a stack: kubeconfig, context, and a client for them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from lightkube import Client, KubeConfig, SingleConfig

REQUEST_TIMEOUT = 4.0
"""Timeout of one request to the API server, in seconds."""

DEFAULT = "~/.kube/config"


class ClusterAccess(Protocol):
    """Path of a kubeconfig and a context in it, each None for kubectl's default."""

    @property
    def kubeconfig(self) -> str | None: ...

    @property
    def context(self) -> str | None: ...


class ClusterUnreachableError(Exception):
    """The cluster cannot be reached. Names the cluster, the reason and the fix; nothing was changed."""

    def __init__(self, cluster: str, reason: str, fix: str) -> None:
        self.cluster = cluster
        self.reason = reason
        self.fix = fix
        super().__init__(f"cannot reach the cluster ({cluster})\n    reason:  {reason}\n    fix:     {fix}")


def choose(cluster: ClusterAccess) -> SingleConfig:
    """Return the context of `cluster`, chosen by kubectl's rules.

    The kubeconfig is that of the settings, else $KUBECONFIG (of several files, the first with the context), else
    ~/.kube/config, else the service account of the pod that this runs in. Raises ClusterUnreachableError if the file
    or the context does not exist or cannot be read.
    """
    from lightkube import KubeConfig

    paths = _paths(cluster)
    files = [path for path in paths if path.is_file()]
    if not files and cluster.kubeconfig is None and "KUBERNETES_SERVICE_HOST" in os.environ:
        files_read = [KubeConfig.from_service_account()]
    elif not files:
        raise ClusterUnreachableError(
            f"kubeconfig {', '.join(map(str, paths))}",
            "no such file",
            "start the cluster that creates it (the sandbox: `canary sandbox up`), or name another kubeconfig with "
            "istio-canary:cluster.kubeconfig or $KUBECONFIG",
        )
    else:
        files_read = [_read(path) for path in files]
    return _context(files_read, cluster.context, ", ".join(map(str, files)))


def client(config: SingleConfig) -> Client:
    """Return a client for the context; raises ClusterUnreachableError if its certificates or keys cannot be read."""
    import httpx2
    from lightkube import Client

    try:
        return Client(config=config, timeout=httpx2.Timeout(REQUEST_TIMEOUT))
    except (OSError, ValueError, AssertionError) as error:  # ssl.SSLError is an OSError, bad base64 a ValueError
        raise ClusterUnreachableError(
            describe(config),
            f"the credentials in the kubeconfig cannot be used: {error}",
            "fetch a new kubeconfig for this cluster",
        ) from None


def describe(config: SingleConfig) -> str:
    """Return `context a of /home/…/config, server https://…` for messages."""
    place = f" of {config.fname}" if config.fname else ""
    return f"context {config.context_name}{place}, server {config.cluster.server}"


def _paths(cluster: ClusterAccess) -> list[Path]:
    given = cluster.kubeconfig or os.environ.get("KUBECONFIG") or DEFAULT
    parts = [given] if cluster.kubeconfig else given.split(os.pathsep)
    return [Path(part).expanduser() for part in parts if part]


def _read(path: Path) -> KubeConfig:
    import msgspec
    import yaml
    from lightkube import KubeConfig

    try:
        return KubeConfig.from_file(path)
    except (OSError, yaml.YAMLError, msgspec.MsgspecError, KeyError, TypeError, AttributeError, UnicodeError) as error:
        reason = " ".join(str(error).split()) if isinstance(error, (OSError, yaml.YAMLError)) else repr(error)
        raise ClusterUnreachableError(
            f"kubeconfig {path}",
            f"the file is not a valid kubeconfig: {reason}",
            "fetch a new kubeconfig, or name another with istio-canary:cluster.kubeconfig",
        ) from None


def _context(configs: list[KubeConfig], given: str | None, place: str) -> SingleConfig:
    current = next((config.current_context for config in configs if config.current_context), None)
    name = given or current
    names = sorted({context for config in configs for context in config.contexts})
    known = f"one of its contexts: {', '.join(names)}" if names else "a kubeconfig that has one"
    fix = f"set istio-canary:cluster.context to {known}"
    if name is None:
        raise ClusterUnreachableError(
            f"kubeconfig {place}", "it has no current context, and the settings name none", fix
        )
    holder = next((config for config in configs if name in config.contexts), None)
    if holder is None:
        raise ClusterUnreachableError(f"context {name} of {place}", "no such context", fix)
    try:
        chosen = holder.get(name)
    except KeyError as missing:
        reason = f"the context names the cluster or user {missing}, which is not in the file"
        raise ClusterUnreachableError(f"context {name} of {place}", reason, fix) from None
    assert chosen is not None  # `get` returns None only for a missing name with a default
    return chosen
