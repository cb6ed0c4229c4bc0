"""Kubeconfigs of clusters of clouds: the API server's address and certificate, and the cloud's credential plugin.

They hold no credentials: the plugin asks the cloud for a token, as the user who runs it. See Kubernetes' page
"Authenticating", "client-go credential plugins".
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

V1BETA1 = "client.authentication.k8s.io/v1beta1"


def kubeconfig(name: str, server: str, certificate: str, plugin: Mapping[str, Any]) -> str:
    """Return a kubeconfig with one context, in JSON, which is YAML.

    `certificate` is that of the API server's authority in base64, `plugin` the user's `exec`.
    """
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": name, "cluster": {"server": server, "certificate-authority-data": certificate}}],
            "users": [{"name": name, "user": {"exec": plugin}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
            "current-context": name,
        }
    )


def gke_plugin() -> dict[str, Any]:
    """Return the plugin of Google Cloud (GKE: "Install kubectl and configure cluster access")."""
    hint = "install gke-gcloud-auth-plugin: gcloud components install gke-gcloud-auth-plugin"
    return _plugin("gke-gcloud-auth-plugin", (), hint)


def eks_plugin(cluster: str, region: str) -> dict[str, Any]:
    """Return the plugin of AWS (EKS: "Connect kubectl to an EKS cluster by creating a kubeconfig file")."""
    arguments = ("--region", region, "eks", "get-token", "--cluster-name", cluster, "--output", "json")
    return _plugin("aws", arguments, "install the AWS CLI, version 2")


def aks_plugin(server_id: str) -> dict[str, Any]:
    """Return the plugin of Azure (AKS: "Use kubelogin to authenticate users"); `server_id` is that of AKS's own
    application in Microsoft Entra.
    """
    arguments = ("get-token", "--login", "azurecli", "--server-id", server_id)
    return _plugin("kubelogin", arguments, "install kubelogin: az aks install-cli")


def _plugin(command: str, arguments: Sequence[str], hint: str) -> dict[str, Any]:
    return {
        "apiVersion": V1BETA1,
        "command": command,
        "args": list(arguments),
        "installHint": hint,
        "interactiveMode": "Never",
        "provideClusterInfo": command == "gke-gcloud-auth-plugin",
    }
