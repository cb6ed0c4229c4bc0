"""The Envoys of the mesh, as pods and as processes of this machine."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.tools import Cluster


def gateway_pod(cluster: Cluster) -> str:
    """The gateway's pod that is not terminating."""
    pods = cluster.get("pods", "--namespace=istio-ingress", "--selector=istio=ingressgateway")["items"]
    (name,) = (pod["metadata"]["name"] for pod in pods if "deletionTimestamp" not in pod["metadata"])
    return str(name)


def envoy_of(pod: str) -> int:
    """The process id of a pod's Envoy, which runs on this machine."""
    for folder in Path("/proc").iterdir():
        try:
            environ = (folder / "environ").read_bytes().split(b"\0")
            name = (folder / "comm").read_text().strip()
        except OSError:  # not a process, or one that has just ended
            continue
        if name == "envoy" and f"HOSTNAME={pod}".encode() in environ:
            return int(folder.name)
    raise AssertionError(f"no Envoy runs in {pod}")
