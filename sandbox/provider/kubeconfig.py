"""The kubeconfig: which cluster, as whom, in which namespace.

Follows "Organizing Cluster Access Using kubeconfig Files" of the Kubernetes documentation, as far as a provider needs
it: a path or the text itself, KUBECONFIG with several files, overrides of context, cluster and namespace.
"""

from __future__ import annotations

import base64
import json
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

DEFAULT_KUBECONFIG = "~/.kube/config"


class KubeconfigError(Exception):
    """The kubeconfig cannot be used; the message says why and what to do."""


@dataclass(frozen=True)
class Connection:
    """How to reach one API server; ``document`` is the kubeconfig with the choice made, for programs such as helm."""

    context: str
    server: str
    namespace: str
    ca: bytes | None = None
    insecure: bool = False
    tls_server_name: str | None = None
    client_certificate: bytes | None = None
    client_key: bytes | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    token_file: str | None = None
    basic: tuple[str, str] | None = field(default=None, repr=False)
    exec: dict[str, Any] | None = field(default=None, repr=False)
    proxy: str | None = None
    document: dict[str, Any] = field(default_factory=dict, repr=False)


def load(text_or_path: str | None, context: str | None, cluster: str | None, namespace: str | None) -> Connection:
    """Return the connection that the kubeconfig and the overrides describe.

    ``text_or_path`` is the file's text, its path, or nothing for KUBECONFIG and then ~/.kube/config.
    Raises ``KubeconfigError``.
    """
    document = parse(text_or_path) if text_or_path else _ambient()
    chosen = context or document.get("current-context")
    if not chosen:
        raise KubeconfigError("the kubeconfig has no current-context; set `context` of the provider")
    contexts = named(document, "contexts", "context")
    if chosen not in contexts:
        known = ", ".join(sorted(contexts)) or "none"
        raise KubeconfigError(f"the kubeconfig has no context {chosen!r}; it has: {known}")
    settings = contexts[chosen]
    cluster_name = cluster or settings.get("cluster")
    clusters = named(document, "clusters", "cluster")
    if cluster_name not in clusters:
        raise KubeconfigError(
            f"context {chosen!r} of the kubeconfig names a cluster that is not there: {cluster_name!r}"
        )
    users = named(document, "users", "user")
    user_name = settings.get("user")
    if user_name and user_name not in users:
        raise KubeconfigError(f"context {chosen!r} of the kubeconfig names a user that is not there: {user_name!r}")
    connection = Connection(
        context=str(chosen),
        server=str(clusters[cluster_name].get("server", "")).rstrip("/"),
        namespace=namespace or settings.get("namespace") or "default",
        document=_selected(document, str(chosen), str(cluster_name)),
    )
    return _with_user(_with_cluster(connection, clusters[cluster_name]), users.get(str(user_name)) or {})


def parse(text_or_path: str) -> dict[str, Any]:
    """Return the kubeconfig that is given as text or as a path; raise ``KubeconfigError``."""
    looks_like_path = "\n" not in text_or_path and not text_or_path.lstrip().startswith("{")
    if looks_like_path:
        path = Path(os.path.expandvars(text_or_path)).expanduser()
        try:
            return _document(path.read_text(), path)
        except OSError as error:
            raise KubeconfigError(f"the kubeconfig {path} cannot be read: {error.strerror}") from error
    return _document(text_or_path, None)


def _document(text: str, path: Path | None) -> dict[str, Any]:
    where = f"the kubeconfig {path}" if path else "the kubeconfig given as text"
    try:
        document = json.loads(text) if text.lstrip().startswith("{") else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError) as error:
        raise KubeconfigError(f"{where} is not valid YAML") from error
    if not isinstance(document, dict):
        raise KubeconfigError(f"{where} holds no configuration")
    if path is not None:
        _make_paths_absolute(document, path.parent)
    return document


def _make_paths_absolute(document: dict[str, Any], folder: Path) -> None:
    for section, entry, keys in (
        ("clusters", "cluster", ("certificate-authority",)),
        ("users", "user", ("client-certificate", "client-key", "tokenFile")),
    ):
        for settings in named(document, section, entry).values():
            for key in keys:
                if settings.get(key):
                    settings[key] = str(folder / settings[key])


def _ambient() -> dict[str, Any]:
    """Merge the files of KUBECONFIG: the first to set a name wins."""
    names = [n for n in os.environ.get("KUBECONFIG", "").split(os.pathsep) if n]
    paths = [Path(n).expanduser() for n in names] or [Path(DEFAULT_KUBECONFIG).expanduser()]
    merged: dict[str, Any] = {"clusters": [], "contexts": [], "users": []}
    for path in paths:
        if not path.is_file():
            continue
        document = parse(str(path))
        merged.setdefault("current-context", document.get("current-context"))
        for section in ("clusters", "contexts", "users"):
            known = {item["name"] for item in merged[section]}
            merged[section] += [item for item in document.get(section) or [] if item["name"] not in known]
    if not merged["contexts"]:
        raise KubeconfigError(f"no kubeconfig: none of {', '.join(str(p) for p in paths)} has a context")
    return merged


def named(document: dict[str, Any], section: str, entry: str) -> dict[str, dict[str, Any]]:
    """Return a section of the kubeconfig by name: its clusters, contexts or users."""
    items = document.get(section) or []
    if not isinstance(items, list):
        raise KubeconfigError(f"`{section}` of the kubeconfig is not a list")
    return {str(item.get("name")): item.get(entry) or {} for item in items}


def _selected(document: dict[str, Any], context: str, cluster: str) -> dict[str, Any]:
    """The same kubeconfig with the chosen context and cluster made the current ones."""
    contexts = [
        {**c, "context": {**(c.get("context") or {}), "cluster": cluster}} if c.get("name") == context else c
        for c in document.get("contexts") or []
    ]
    return {"apiVersion": "v1", "kind": "Config", **document, "contexts": contexts, "current-context": context}


def _with_cluster(connection: Connection, cluster: dict[str, Any]) -> Connection:
    if not connection.server:
        raise KubeconfigError(f"the cluster of context {connection.context!r} has no `server` in the kubeconfig")
    return replace(
        connection,
        ca=_data_or_file(cluster, "certificate-authority"),
        insecure=bool(cluster.get("insecure-skip-tls-verify")),
        tls_server_name=cluster.get("tls-server-name"),
        proxy=cluster.get("proxy-url"),
    )


def _with_user(connection: Connection, user: dict[str, Any]) -> Connection:
    if user.get("auth-provider"):
        raise KubeconfigError("`auth-provider` in the kubeconfig is not supported; use `exec` or a client certificate")
    basic = (user["username"], user.get("password", "")) if user.get("username") else None
    return replace(
        connection,
        client_certificate=_data_or_file(user, "client-certificate"),
        client_key=_data_or_file(user, "client-key"),
        token=user.get("token"),
        token_file=user.get("tokenFile"),
        basic=basic,
        exec=user.get("exec"),
    )


def _data_or_file(settings: dict[str, Any], key: str) -> bytes | None:
    if settings.get(f"{key}-data"):
        try:
            return base64.b64decode(settings[f"{key}-data"], validate=True)
        except ValueError as error:
            raise KubeconfigError(f"`{key}-data` of the kubeconfig is not base64") from error
    if settings.get(key):
        try:
            return Path(settings[key]).read_bytes()
        except OSError as error:
            raise KubeconfigError(f"`{key}` of the kubeconfig: {settings[key]}: {error.strerror}") from error
    return None
