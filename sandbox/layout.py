"""Where a sandbox keeps its files and which addresses it has.

Several sandboxes may run beside each other on one machine (the end-to-end tests have their own): each has a name,
and an index from which its addresses follow, so that no two overlap.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

STATE_ROOT = Path("/var/lib/istio-canary")
TOOLS = STATE_ROOT / "bin"  # a link to kubectl, for people
DEFAULT_NAME = "sandbox"
GATEWAY_NODE_PORT = 30080
MAX_SANDBOXES = 16
_NAME = re.compile(r"[a-z]([a-z0-9-]{0,30}[a-z0-9])?")


class LayoutError(ValueError):
    """A sandbox cannot be laid out: its name is no DNS label, or there are too many of them."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The files and addresses of one sandbox."""

    name: str
    index: int
    root: Path

    @property
    def context(self) -> str:
        """The context's and the cluster's name in the kubeconfig."""
        return f"istio-canary-{self.name}"

    @property
    def node(self) -> str:
        """The name of the one node, and the host name inside the sandbox."""
        return self.context

    @property
    def node_ip(self) -> str:
        """The bridge's address: node, API server and gateway are reached at it."""
        return f"10.244.{self.index}.1"

    @property
    def pod_cidr(self) -> str:
        return f"10.244.{self.index}.0/24"

    @property
    def service_cidr(self) -> str:
        return f"10.{96 + self.index}.0.0/16"

    @property
    def kubernetes_service_ip(self) -> str:
        return f"10.{96 + self.index}.0.1"

    @property
    def dns_ip(self) -> str:
        return f"10.{96 + self.index}.0.10"

    @property
    def host_link_ip(self) -> str:
        """The host's end of the veth pair that joins it to the sandbox."""
        return f"10.245.{self.index}.1"

    @property
    def sandbox_link_ip(self) -> str:
        return f"10.245.{self.index}.2"

    @property
    def interface(self) -> str:
        """The host's end of the veth pair."""
        return f"canary{self.index}"

    @property
    def cgroup(self) -> str:
        """The cgroup below which every pod lives, in each hierarchy."""
        return self.context

    @property
    def api_server(self) -> str:
        return f"https://{self.node_ip}:6443"

    @property
    def gateway_url(self) -> str:
        return f"http://{self.node_ip}:{GATEWAY_NODE_PORT}"

    @property
    def kubeconfig(self) -> Path:
        return self.root / "kubeconfig"

    @property
    def charts(self) -> Path:
        """A link to the folder of Istio's charts: the stack's `mesh.charts`."""
        return self.root / "charts"

    @property
    def logs(self) -> Path:
        return self.root / "log"

    @property
    def pki(self) -> Path:
        return self.root / "pki"

    @property
    def config(self) -> Path:
        """The daemons' configuration files."""
        return self.root / "config"

    @property
    def etcd(self) -> Path:
        return self.root / "etcd"

    @property
    def containerd(self) -> Path:
        return self.root / "containerd"

    @property
    def containerd_socket(self) -> Path:
        return self.root / "run" / "containerd.sock"

    @property
    def supervisor_socket(self) -> Path:
        return self.root / "run" / "supervisor.sock"

    @property
    def kubelet(self) -> Path:
        return self.root / "kubelet"

    @property
    def run(self) -> Path:
        """Sockets and the record of the running namespaces; worthless once the sandbox is down."""
        return self.root / "run"


def layout(name: str = DEFAULT_NAME, state_root: Path = STATE_ROOT) -> Layout:
    """The layout of the sandbox `name`, its index kept in its state folder, allotted at the first call.

    Raises LayoutError for a name that is no DNS label and where every index is taken.
    """
    if not _NAME.fullmatch(name) or name == TOOLS.name:
        raise LayoutError(
            f"{name!r} cannot name a sandbox: use at most 32 lower-case letters, digits and '-', starting with a letter"
        )
    root = state_root / name
    index_file = root / "index"
    if index_file.exists():
        return Layout(name=name, index=int(index_file.read_text()), root=root)
    index = 0 if name == DEFAULT_NAME else _free_index(state_root)
    return Layout(name=name, index=index, root=root)


def _free_index(state_root: Path) -> int:
    taken = {int(file.read_text()) for file in state_root.glob("*/index")} | {0}
    free = [index for index in range(MAX_SANDBOXES) if index not in taken]
    if not free:
        raise LayoutError(
            f"{MAX_SANDBOXES} sandboxes exist under {state_root}; remove one: canary sandbox down --delete --name NAME"
        )
    return free[0]
