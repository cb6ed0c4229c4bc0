"""Where a sandbox keeps its files and which addresses it has.

Several sandboxes can run on one machine (the end-to-end tests use their own). Each has a name and an index; its
addresses are derived from the index, so no two sandboxes overlap.
"""

from __future__ import annotations

import fcntl
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

STATE_ROOT = Path("/var/lib/istio-canary")
TOOLS = STATE_ROOT / "bin"  # a link to kubectl, for people
RESERVED = (TOOLS.name, "lock")
DEFAULT_NAME = "sandbox"
GATEWAY_NODE_PORT = 30080
MAX_SANDBOXES = 16
_NAME = re.compile(r"[a-z]([a-z0-9-]{0,30}[a-z0-9])?")


class LayoutError(ValueError):
    """The sandbox's name is not valid, or all indexes are taken."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The files and addresses of one sandbox."""

    name: str
    index: int
    root: Path

    @property
    def context(self) -> str:
        """The name of context and cluster in the kubeconfig."""
        return f"istio-canary-{self.name}"

    @property
    def node(self) -> str:
        """The name of the node, and the host name inside the sandbox."""
        return self.context

    @property
    def node_ip(self) -> str:
        """The bridge's address, at which node, API server and gateway are reached."""
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
        """The host's end of the veth pair that connects it to the sandbox."""
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
        """The parent cgroup of all pods, in each hierarchy."""
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
        """Sockets and process IDs of the running sandbox; not needed once it is down."""
        return self.root / "run"


def layout(name: str = DEFAULT_NAME, state_root: Path = STATE_ROOT) -> Layout:
    """The layout of the sandbox `name`, with the index from its state folder, or a free one for a new sandbox.

    Raises LayoutError when the name is not valid or all indexes are taken.
    """
    if not _NAME.fullmatch(name) or name in RESERVED:
        raise LayoutError(
            f"--name or ISTIO_CANARY_SANDBOX: {name!r} is not a valid sandbox name\n"
            "    allowed: 1 to 32 lower-case letters, digits and '-', starting with a letter and not ending in '-';"
            f" not {' or '.join(map(repr, RESERVED))}\n"
            "    fix:     choose another name"
        )
    root = state_root / name
    index_file = root / "index"
    if index_file.exists():
        return Layout(name=name, index=int(index_file.read_text()), root=root)
    index = 0 if name == DEFAULT_NAME else _free_index(state_root)
    return Layout(name=name, index=index, root=root)


def claim(name: str, state_root: Path = STATE_ROOT) -> Layout:
    """The layout of the sandbox `name`, with its index written down: two new ones at once get different indexes."""
    with state_lock(state_root):
        here = layout(name, state_root)
        here.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        index = here.root / "index"
        if not index.exists():
            # Whole or not at all: others read it without the lock.
            written = index.with_suffix(".new")
            written.write_text(str(here.index))
            written.replace(index)
        return here


@contextmanager
def state_lock(state_root: Path = STATE_ROOT) -> Iterator[None]:
    """Keep other commands from changing what the sandboxes share; nobody holds it for long."""
    state_root.mkdir(parents=True, exist_ok=True)
    with (state_root / "lock").open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _free_index(state_root: Path) -> int:
    taken = {0}
    for file in state_root.glob("*/index"):
        with suppress(FileNotFoundError):  # deleted meanwhile
            taken.add(int(file.read_text()))
    free = [index for index in range(MAX_SANDBOXES) if index not in taken]
    if not free:
        raise LayoutError(
            f"there are {MAX_SANDBOXES} sandboxes in {state_root}\n"
            f"    allowed: at most {MAX_SANDBOXES}\n"
            "    fix:     delete one: canary sandbox down --delete --name NAME"
        )
    return free[0]
