"""The Envoys and other processes of pods, which run on this machine."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.tools import Cluster


def gateway_pod(cluster: Cluster) -> str:
    """The gateway's pod that is not terminating."""
    pods = cluster.get("pods", "--namespace=istio-ingress", "--selector=istio=ingressgateway")["items"]
    (name,) = (pod["metadata"]["name"] for pod in pods if "deletionTimestamp" not in pod["metadata"])
    return str(name)


def envoy_of(pod: str) -> int:
    """The process id of a pod's Envoy."""
    return process_of(pod, "envoy")


def process_of(pod: str, program: str) -> int:
    """The process id of a program in a pod."""
    for folder in Path("/proc").iterdir():
        try:
            environ = (folder / "environ").read_bytes().split(b"\0")
            name = (folder / "comm").read_text().strip()
        except OSError:  # not a process, or one that has just ended
            continue
        if name == program and f"HOSTNAME={pod}".encode() in environ:
            return int(folder.name)
    raise AssertionError(f"no {program} runs in {pod}")
