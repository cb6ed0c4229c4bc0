"""The sandbox itself: start, recovery, access control and cleanup."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.cluster import namespaces
from sandbox.cluster.supervision import Supervisor
from sandbox.layout import Layout, layout
from tests.e2e.tools import BUILD_SECONDS, Cluster, run_canary, wait_until

NAME = "e2e-recovery"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Cluster]:
    """A sandbox for this module, which is killed and stopped."""
    run_canary("sandbox", "down", "--delete", "--name", NAME)
    up()
    yield Cluster(layout(NAME))
    run_canary("sandbox", "down", "--delete", "--name", NAME)


def up() -> None:
    done = run_canary("sandbox", "up", "--name", NAME, timeout=BUILD_SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr


def first_process(here: Layout) -> int:
    running = namespaces.find(here)
    assert running is not None, "the sandbox does not run"
    return running.pid


def host_interfaces() -> set[str]:
    return set(os.listdir("/sys/class/net"))


def iptables() -> list[str]:
    """The host's chains and rules, without the time at which they were printed, and what they have counted."""
    saved = subprocess.run(["iptables-save"], capture_output=True, text=True, check=True).stdout
    return [re.sub(r"\[\d+:\d+\]", "", line) for line in saved.splitlines() if not line.startswith("#")]


def test_a_second_up_restarts_nothing(sandbox: Cluster) -> None:
    before = {state.name: state.pid for state in Supervisor(sandbox.layout).states()}
    up()
    assert {state.name: state.pid for state in Supervisor(sandbox.layout).states()} == before


@pytest.mark.parametrize("daemon", ["etcd", "kube-apiserver", "containerd", "kubelet", "kube-proxy"])
def test_a_killed_daemon_is_restarted_and_up_succeeds(sandbox: Cluster, daemon: str) -> None:
    before = Supervisor(sandbox.layout).state(daemon)
    running = namespaces.find(sandbox.layout)
    assert running is not None
    subprocess.run(running.enter(["kill", "-KILL", str(before.pid)]), check=True)
    wait_until(lambda: Supervisor(sandbox.layout).state(daemon).pid != before.pid, f"a new {daemon}", 20)
    up()
    assert all(state.running for state in Supervisor(sandbox.layout).states())
    assert sandbox.kubectl("get", "nodes", "--no-headers").stdout.split()[1] == "Ready"


@pytest.mark.long
def test_the_cluster_resumes_after_a_power_failure(sandbox: Cluster) -> None:
    sandbox.kubectl("create", "namespace", "survivor")
    os.kill(first_process(sandbox.layout), signal.SIGKILL)
    wait_until(lambda: namespaces.find(sandbox.layout) is None, "the end of the sandbox", 20)
    # A stale interface of the same name, as left while the network namespace is still being removed.
    wait_until(lambda: sandbox.layout.interface not in host_interfaces(), "the interface's end", 20)
    subprocess.run(["ip", "link", "add", sandbox.layout.interface, "type", "bridge"], check=True)
    up()
    assert sandbox.exists("namespace", "survivor"), "the cluster's data is kept"
    sandbox.kubectl("delete", "namespace", "survivor")


def test_the_kubeconfig_and_every_key_are_readable_only_by_root(sandbox: Cluster) -> None:
    files = [sandbox.layout.kubeconfig, *sandbox.layout.pki.iterdir()]
    for file in files:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    printed = run_canary("sandbox", "kubeconfig", "--name", NAME).stdout.strip()
    assert printed == str(sandbox.layout.kubeconfig)


def test_the_api_server_and_the_kubelet_reject_anonymous_requests(sandbox: Cluster) -> None:
    for port in (6443, 10250):
        words = [
            "curl",
            "--silent",
            "--insecure",
            "--max-time",
            "5",
            "--output",
            "/dev/null",
            "--write-out",
            "%{http_code}",
        ]
        done = subprocess.run(
            [*words, f"https://{sandbox.layout.node_ip}:{port}/pods"], capture_output=True, text=True, check=False
        )
        assert done.stdout == "401", f"port {port} answered {done.stdout}"


def test_no_port_of_the_sandbox_is_open_on_the_host(sandbox: Cluster) -> None:
    """All daemons listen in the sandbox's network namespace, to which only this machine has a route."""
    listening = subprocess.run(["ss", "-Htlnup"], capture_output=True, text=True, check=True).stdout
    on_the_host = set(re.findall(r"pid=(\d+)", listening))
    running = [line.split() for line in namespaces.leftovers(sandbox.layout)]
    ours = {words[1] for words in running if words[0] == "process"}
    assert len(ours) >= 7, "the daemons are found"
    assert not on_the_host & ours, listening
    for address in {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}:
        with pytest.raises(OSError, match=r"refused|timed out|unreachable"):
            socket.create_connection((str(address), 6443), timeout=2)


def test_services_are_resolved_by_the_clusters_dns(sandbox: Cluster) -> None:
    answer = resolve("kubernetes.default.svc.cluster.local", sandbox.layout.dns_ip)
    assert answer == sandbox.layout.kubernetes_service_ip


def test_status_as_json_names_every_daemon_and_the_kubeconfig(sandbox: Cluster) -> None:
    done = run_canary("sandbox", "status", "--name", NAME, "--json")
    status: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == 0
    assert status["state"] == "up"
    assert {daemon["name"] for daemon in status["daemons"]} >= {"etcd", "kube-apiserver", "kubelet", "containerd"}
    assert status["kubeconfig"] == str(sandbox.layout.kubeconfig)


def test_logs_of_a_daemon_are_printed_and_an_unknown_one_is_named(sandbox: Cluster) -> None:
    assert run_canary("sandbox", "logs", "kubelet", "--name", NAME, "--lines", "3").stdout.count("\n") == 3
    wrong = run_canary("sandbox", "logs", "kublet", "--name", NAME)
    assert wrong.returncode == 2
    assert "kubelet" in wrong.stderr


def test_down_leaves_no_process_mount_interface_chain_or_cgroup(sandbox: Cluster) -> None:
    assert sandbox.layout.interface in host_interfaces()
    chains = iptables()
    done = run_canary("sandbox", "down", "--name", NAME)
    assert done.returncode == 0, done.stderr
    assert namespaces.leftovers(sandbox.layout) == []
    assert sandbox.layout.interface not in host_interfaces()
    assert iptables() == chains, "the sandbox's chains were never the host's"
    assert "KUBE-" not in "".join(chains)
    assert f"{sandbox.layout.root}/" not in Path("/proc/self/mountinfo").read_text()
    assert run_canary("sandbox", "status", "--name", NAME).returncode == 1
    again = run_canary("sandbox", "down", "--name", NAME)
    assert again.returncode == 0, "down of a stopped sandbox is not an error"
    up()


def test_a_concurrent_command_on_one_sandbox_is_refused_with_the_holder(sandbox: Cluster) -> None:
    with (sandbox.layout.root / "lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.truncate(0)
        lock.write("4711")
        lock.flush()
        refused = run_canary("sandbox", "down", "--name", NAME)
    assert refused.returncode == 1
    assert "process 4711" in refused.stderr


def resolve(name: str, server: str) -> str:
    """The address of a name from a DNS server (one question over UDP, RFC 1035)."""
    question = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0\0\1\0\1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.settimeout(5)
        udp.sendto(b"\x12\x34\x01\0\0\1\0\0\0\0\0\0" + question, (server, 53))
        answer = udp.recv(512)
    return socket.inet_ntoa(answer[-4:])
