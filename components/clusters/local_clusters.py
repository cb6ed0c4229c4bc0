"""Clusters on this machine, made and deleted by their own programs: minikube and kind.

The programs write their kubeconfig to a temporary file, which is read and deleted: the user's own kubeconfig and its
current context stay as they are. See pulumi-command's `local.Command`.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import yaml
from pulumi_command import local

from components.clusters.cluster import Cluster, Reached

KIND_NODE = "kindest/node"
WAIT = "5m"


@dataclass(frozen=True, kw_only=True)
class MinikubeArgs:
    """A profile, the release of Kubernetes, what the nodes run in (None for minikube's choice), their number, CPUs and
    memory in MiB.
    """

    profile: str
    kubernetes_version: str
    driver: str | None = None
    nodes: int = 1
    cpus: int = 4
    memory: int = 6144


class Minikube(Cluster):
    """A minikube. See minikube's pages "minikube start" and "minikube delete".

    Another profile, release, driver or size replaces it: minikube changes none of them while it runs.
    """

    endpoint: pulumi.Output[str]
    kubeconfig: pulumi.Output[str]

    def __init__(self, name: str, args: MinikubeArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("istio-canary:index:Minikube", name, opts)
        start = ["minikube", "start", "--profile", args.profile, "--embed-certs", "--keep-context", "--wait", "all"]
        start += ["--kubernetes-version", f"v{args.kubernetes_version}", "--nodes", str(args.nodes)]
        start += ["--cpus", str(args.cpus), "--memory", f"{args.memory}m"]
        start += ["--driver", args.driver] if args.driver else []
        exists = ["minikube", "profile", "list", "--light", "--output", "json"]
        command = local.Command(
            f"{name}-cluster",
            create=_script(exists, f'"Name":"{args.profile}"', f"the minikube {args.profile}", start),
            delete=_words(["minikube", "delete", "--profile", args.profile]),
            triggers=[args.profile, args.kubernetes_version, args.driver or "", args.nodes, args.cpus, args.memory],
            opts=_secret_stdout(self),
        )
        self._reached(_reached_by(command))


@dataclass(frozen=True, kw_only=True)
class KindArgs:
    """A name, the release of Kubernetes, the number of nodes beside the control plane's, and the node ports that are
    opened at this machine's 127.0.0.1.
    """

    name: str
    kubernetes_version: str
    workers: int = 0
    node_ports: Sequence[int] = ()


class Kind(Cluster):
    """A kind. See kind's pages "Quick Start" and "Configuration" (extraPortMappings).

    Another name, release, number of nodes or node port replaces it: kind changes none of them.
    """

    endpoint: pulumi.Output[str]
    kubeconfig: pulumi.Output[str]

    def __init__(self, name: str, args: KindArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("istio-canary:index:Kind", name, opts)
        image = f"{KIND_NODE}:v{args.kubernetes_version}"
        create = ["kind", "create", "cluster", "--name", args.name, "--image", image, "--config", "-", "--wait", WAIT]
        command = local.Command(
            f"{name}-cluster",
            create=_script(["kind", "get", "clusters"], args.name, f"the kind {args.name}", create, whole_line=True),
            stdin=yaml.safe_dump(_kind_config(args), sort_keys=False),
            delete=_words(["kind", "delete", "cluster", "--name", args.name]),
            triggers=[args.name, image, args.workers, *args.node_ports],
            opts=_secret_stdout(self),
        )
        self._reached(_reached_by(command))


def _kind_config(args: KindArgs) -> Mapping[str, object]:
    mappings = [
        {"containerPort": port, "hostPort": port, "listenAddress": "127.0.0.1", "protocol": "TCP"}
        for port in args.node_ports
    ]
    control_plane = {"role": "control-plane", **({"extraPortMappings": mappings} if mappings else {})}
    return {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "nodes": [control_plane, *({"role": "worker"} for _ in range(args.workers))],
    }


def _script(list_: Sequence[str], found: str, what: str, create: Sequence[str], *, whole_line: bool = False) -> str:
    """A script that creates a cluster and prints its kubeconfig alone.

    It fails if the cluster exists: another stack or a person has made it, and this stack's destroy would delete it.
    """
    grep = f"grep -q{'x' if whole_line else ''}F -- {shlex.quote(found)}"
    return "\n".join(
        [
            "set -eu",
            f"if {_words(list_)} 2>/dev/null | {grep}; then",
            f"  echo {shlex.quote(f'{what} exists already, and this stack has not made it')} >&2; exit 1",
            "fi",
            "folder=$(mktemp -d)",
            "trap 'rm -rf \"$folder\"' EXIT",
            'export KUBECONFIG="$folder/kubeconfig"',
            f"{_words(create)} >&2",
            'cat "$KUBECONFIG"',
        ]
    )


def _words(command: Sequence[str]) -> str:
    return shlex.join(command)


def _secret_stdout(parent: Cluster) -> pulumi.ResourceOptions:
    return pulumi.ResourceOptions(parent=parent, additional_secret_outputs=["stdout"], delete_before_replace=True)


def _reached_by(command: local.Command) -> Reached:
    endpoint = pulumi.Output.unsecret(command.stdout.apply(_server))
    return Reached(kubeconfig=command.stdout, endpoint=endpoint, is_local=True)


def _server(kubeconfig: str) -> str:
    """The address of the API server in a kubeconfig; empty in one that has none."""
    found = yaml.safe_load(kubeconfig) if kubeconfig else None
    return str(found["clusters"][0]["cluster"]["server"]) if isinstance(found, Mapping) else ""
