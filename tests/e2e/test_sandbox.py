"""The sandbox itself: it starts, mends what it finds, lets nobody in, and leaves nothing behind."""

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
from tests.e2e.tools import Cluster, run_canary, wait_until

NAME = "e2e-mend"


@pytest.fixture(scope="module")
def mended() -> Iterator[Cluster]:
    """A sandbox of this module's own, since it kills and stops it."""
    run_canary("sandbox", "down", "--delete", "--name", NAME)
    up()
    yield Cluster(layout(NAME))
    run_canary("sandbox", "down", "--delete", "--name", NAME)


def up() -> None:
    done = run_canary("sandbox", "up", "--name", NAME, timeout=1800)
    assert done.returncode == 0, done.stdout + done.stderr


def first_process(here: Layout) -> int:
    running = namespaces.find(here)
    assert running is not None, "the sandbox does not run"
    return running.pid


def host_interfaces() -> set[str]:
    return set(os.listdir("/sys/class/net"))


def iptables() -> str:
    return subprocess.run(["iptables-save"], capture_output=True, text=True, check=True).stdout


def test_a_second_up_starts_nothing_again(mended: Cluster) -> None:
    before = {state.name: state.pid for state in Supervisor(mended.layout).states()}
    up()
    assert {state.name: state.pid for state in Supervisor(mended.layout).states()} == before


@pytest.mark.parametrize("daemon", ["etcd", "kube-apiserver", "containerd", "kubelet", "kube-proxy"])
def test_a_killed_daemon_runs_again_and_up_says_that_all_is_well(mended: Cluster, daemon: str) -> None:
    before = Supervisor(mended.layout).state(daemon)
    running = namespaces.find(mended.layout)
    assert running is not None
    subprocess.run(running.enter(["kill", "-KILL", str(before.pid)]), check=True)
    wait_until(lambda: Supervisor(mended.layout).state(daemon).pid != before.pid, f"a new {daemon}", 20)
    up()
    assert all(state.running for state in Supervisor(mended.layout).states())
    assert mended.kubectl("get", "nodes", "--no-headers").stdout.split()[1] == "Ready"


def test_what_a_switched_off_machine_leaves_is_swept_up_and_the_cluster_resumes(mended: Cluster) -> None:
    mended.kubectl("create", "namespace", "survivor")
    os.kill(first_process(mended.layout), signal.SIGKILL)
    wait_until(lambda: namespaces.find(mended.layout) is None, "the end of the sandbox", 20)
    # A stale interface of the same name, as it is left when the network namespace is still being taken down.
    wait_until(lambda: mended.layout.interface not in host_interfaces(), "the interface's end", 20)
    subprocess.run(["ip", "link", "add", mended.layout.interface, "type", "bridge"], check=True)
    up()
    assert mended.exists("namespace", "survivor"), "the cluster's data is kept"
    mended.kubectl("delete", "namespace", "survivor")


def test_the_kubeconfig_and_every_key_belong_to_root_alone(mended: Cluster) -> None:
    files = [mended.layout.kubeconfig, *mended.layout.pki.iterdir()]
    for file in files:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    printed = run_canary("sandbox", "kubeconfig", "--name", NAME).stdout.strip()
    assert printed == str(mended.layout.kubeconfig)


def test_strangers_are_refused_by_the_api_server_and_the_kubelet(mended: Cluster) -> None:
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
            [*words, f"https://{mended.layout.node_ip}:{port}/pods"], capture_output=True, text=True, check=False
        )
        assert done.stdout == "401", f"port {port} answered {done.stdout}"


def test_no_port_of_the_sandbox_is_open_on_the_host(mended: Cluster) -> None:
    """All listens in the sandbox's own network namespace, which nothing but this machine has a route to."""
    listening = subprocess.run(["ss", "-Htlnup"], capture_output=True, text=True, check=True).stdout
    on_the_host = set(re.findall(r"pid=(\d+)", listening))
    running = [line.split() for line in namespaces.leftovers(mended.layout)]
    ours = {words[1] for words in running if words[0] == "process"}
    assert len(ours) >= 7, "the daemons are found"
    assert not on_the_host & ours, listening
    for address in {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}:
        with pytest.raises(OSError, match=r"refused|timed out|unreachable"):
            socket.create_connection((str(address), 6443), timeout=2)


def test_services_are_found_by_name_at_the_clusters_dns(mended: Cluster) -> None:
    answer = resolve("kubernetes.default.svc.cluster.local", mended.layout.dns_ip)
    assert answer == mended.layout.kubernetes_service_ip


def test_status_as_json_names_every_daemon_and_the_kubeconfig(mended: Cluster) -> None:
    done = run_canary("sandbox", "status", "--name", NAME, "--json")
    status: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == 0
    assert status["state"] == "up"
    assert {daemon["name"] for daemon in status["daemons"]} >= {"etcd", "kube-apiserver", "kubelet", "containerd"}
    assert status["kubeconfig"] == str(mended.layout.kubeconfig)


def test_logs_of_a_daemon_are_printed_and_an_unknown_one_is_named(mended: Cluster) -> None:
    assert run_canary("sandbox", "logs", "kubelet", "--name", NAME, "--lines", "3").stdout.count("\n") == 3
    wrong = run_canary("sandbox", "logs", "kublet", "--name", NAME)
    assert wrong.returncode == 2
    assert "kubelet" in wrong.stderr


def test_down_leaves_no_process_mount_interface_chain_or_cgroup(mended: Cluster) -> None:
    assert mended.layout.interface in host_interfaces()
    chains = iptables()
    done = run_canary("sandbox", "down", "--name", NAME)
    assert done.returncode == 0, done.stderr
    assert namespaces.leftovers(mended.layout) == []
    assert mended.layout.interface not in host_interfaces()
    assert iptables() == chains, "the sandbox's chains were never the host's"
    assert "KUBE-" not in chains
    assert f"{mended.layout.root}/" not in Path("/proc/self/mountinfo").read_text()
    assert run_canary("sandbox", "status", "--name", NAME).returncode == 1
    again = run_canary("sandbox", "down", "--name", NAME)
    assert again.returncode == 0, "down of what is down is no error"
    up()


def test_two_commands_at_once_on_one_sandbox_are_refused_with_the_holder(mended: Cluster) -> None:
    with (mended.layout.root / "lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.truncate(0)
        lock.write("4711")
        lock.flush()
        refused = run_canary("sandbox", "down", "--name", NAME)
    assert refused.returncode == 1
    assert "process 4711" in refused.stderr


def resolve(name: str, server: str) -> str:
    """The address that a DNS server gives for a name (a query of one question over UDP, RFC 1035)."""
    question = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0\0\1\0\1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.settimeout(5)
        udp.sendto(b"\x12\x34\x01\0\0\1\0\0\0\0\0\0" + question, (server, 53))
        answer = udp.recv(512)
    return socket.inet_ntoa(answer[-4:])
