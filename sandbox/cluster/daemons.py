"""The daemons of the sandbox: their command lines and configuration files.

One function per daemon, which returns what supervisord starts. The files follow Kubernetes' reference pages for
KubeletConfiguration v1beta1 and KubeProxyConfiguration v1alpha1, and containerd's configuration version 3.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from sandbox.builder.images import PAUSE_IMAGE, Binary
from sandbox.builder.packages import CNI_PLUGINS
from sandbox.layout import Layout


@dataclass(frozen=True)
class Daemon:
    """One supervised process; `files` are written before it starts."""

    name: str
    command: tuple[str, ...]
    files: Mapping[Path, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


def daemons(layout: Layout, binary: Binary) -> list[Daemon]:
    """All daemons of a sandbox, in start order."""
    return [
        _etcd(layout, binary),
        _containerd(layout, binary),
        _api_server(layout, binary),
        _controller_manager(layout, binary),
        _scheduler(layout, binary),
        _kubelet(layout, binary),
        _kube_proxy(layout, binary),
    ]


def _etcd(layout: Layout, binary: Binary) -> Daemon:
    pki = layout.pki
    return Daemon(
        "etcd",
        (
            str(binary("etcd")),
            "--name=sandbox",
            f"--data-dir={layout.etcd}",
            "--listen-client-urls=https://127.0.0.1:2379",
            "--advertise-client-urls=https://127.0.0.1:2379",
            "--listen-peer-urls=https://127.0.0.1:2380",
            "--initial-advertise-peer-urls=https://127.0.0.1:2380",
            "--initial-cluster=sandbox=https://127.0.0.1:2380",
            f"--cert-file={pki}/etcd.crt",
            f"--key-file={pki}/etcd.key",
            f"--trusted-ca-file={pki}/etcd-ca.crt",
            "--client-cert-auth",
            f"--peer-cert-file={pki}/etcd.crt",
            f"--peer-key-file={pki}/etcd.key",
            f"--peer-trusted-ca-file={pki}/etcd-ca.crt",
            "--peer-client-cert-auth",
            "--log-level=warn",
        ),
    )


def _api_server(layout: Layout, binary: Binary) -> Daemon:
    pki = layout.pki
    return Daemon(
        "kube-apiserver",
        (
            str(binary("kube-apiserver")),
            "--etcd-servers=https://127.0.0.1:2379",
            f"--etcd-cafile={pki}/etcd-ca.crt",
            f"--etcd-certfile={pki}/apiserver-etcd.crt",
            f"--etcd-keyfile={pki}/apiserver-etcd.key",
            f"--advertise-address={layout.node_ip}",
            f"--bind-address={layout.node_ip}",
            "--secure-port=6443",
            f"--tls-cert-file={pki}/apiserver.crt",
            f"--tls-private-key-file={pki}/apiserver.key",
            f"--client-ca-file={pki}/ca.crt",
            "--anonymous-auth=false",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            f"--kubelet-certificate-authority={pki}/ca.crt",
            f"--kubelet-client-certificate={pki}/apiserver-kubelet.crt",
            f"--kubelet-client-key={pki}/apiserver-kubelet.key",
            "--kubelet-preferred-address-types=InternalIP",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={pki}/service-accounts.key",
            f"--service-account-signing-key-file={pki}/service-accounts.key",
            f"--service-cluster-ip-range={layout.service_cidr}",
            "--allow-privileged=true",
        ),
    )


def _controller_manager(layout: Layout, binary: Binary) -> Daemon:
    return Daemon(
        "kube-controller-manager",
        (
            str(binary("kube-controller-manager")),
            f"--kubeconfig={layout.config}/controller-manager.kubeconfig",
            f"--service-account-private-key-file={layout.pki}/service-accounts.key",
            f"--root-ca-file={layout.pki}/ca.crt",
            "--use-service-account-credentials",
            "--controllers=*,-nodeipam,-cloud-node-lifecycle",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
        ),
    )


def _scheduler(layout: Layout, binary: Binary) -> Daemon:
    return Daemon(
        "kube-scheduler",
        (
            str(binary("kube-scheduler")),
            f"--kubeconfig={layout.config}/scheduler.kubeconfig",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
        ),
    )


def _containerd(layout: Layout, binary: Binary) -> Daemon:
    config = f"""\
version = 3
root = "{layout.containerd}/root"
state = "/run/containerd"
[grpc]
  address = "{layout.containerd_socket}"
[plugins.'io.containerd.cri.v1.images']
  snapshotter = "overlayfs"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "{PAUSE_IMAGE}"
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ["{CNI_PLUGINS}"]
  conf_dir = "{layout.config}/cni"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
  SystemdCgroup = false
"""
    network = {
        "cniVersion": "1.0.0",
        "name": "sandbox",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "sb0",
                "isGateway": True,
                "ipMasq": False,
                "hairpinMode": True,
                "ipam": {
                    "type": "host-local",
                    "dataDir": "/run/cni",  # on the sandbox's tmpfs: leases end with its pods
                    "ranges": [[{"subnet": layout.pod_cidr}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }
    return Daemon(
        "containerd",
        (str(binary("containerd")), f"--config={layout.config}/containerd.toml"),
        files={
            layout.config / "containerd.toml": config,
            layout.config / "cni" / "10-bridge.conflist": json.dumps(network, indent=2),
        },
        environment={"PATH": f"{binary('containerd').parent}:/usr/sbin:/usr/bin:/sbin:/bin"},
    )


def _kubelet(layout: Layout, binary: Binary) -> Daemon:
    config = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": layout.node_ip,
        "containerRuntimeEndpoint": f"unix://{layout.containerd_socket}",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{layout.pki}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "readOnlyPort": 0,
        "healthzBindAddress": "127.0.0.1",
        "tlsCertFile": f"{layout.pki}/kubelet-server.crt",
        "tlsPrivateKeyFile": f"{layout.pki}/kubelet-server.key",
        "clusterDNS": [layout.dns_ip],
        "clusterDomain": "cluster.local",
        "resolvConf": f"{layout.config}/resolv.conf",
        "podLogsDir": f"{layout.logs}/pods",
        "volumePluginDir": f"{layout.kubelet}/volume-plugins",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{layout.cgroup}",
        "cgroupsPerQOS": False,
        "enforceNodeAllocatable": [],
        "failCgroupV1": False,  # the sandbox supports cgroup v1
        "failSwapOn": False,
        "featureGates": {"KubeletInUserNamespace": True},  # /dev/kmsg and some sysctls are not writable here
        "imageGCHighThresholdPercent": 100,  # a collected image could not be pulled again
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "syncFrequency": "10s",
        "maxPods": 200,
    }
    return Daemon(
        "kubelet",
        (
            str(binary("kubelet")),
            f"--config={layout.config}/kubelet.yaml",
            f"--kubeconfig={layout.config}/kubelet.kubeconfig",
            f"--hostname-override={layout.node}",
            f"--node-ip={layout.node_ip}",
            f"--root-dir={layout.kubelet}",
        ),
        files={
            layout.config / "kubelet.yaml": yaml.safe_dump(config, sort_keys=False),
            layout.config / "resolv.conf": f"nameserver {layout.dns_ip}\n",
        },
    )


def _kube_proxy(layout: Layout, binary: Binary) -> Daemon:
    config = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "hostnameOverride": layout.node,
        "clusterCIDR": layout.pod_cidr,
        "clientConnection": {"kubeconfig": f"{layout.config}/kube-proxy.kubeconfig"},
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        # The size of the conntrack table is host-wide and cannot be set from a network namespace.
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
        "iptables": {"minSyncPeriod": "200ms", "syncPeriod": "30s"},
    }
    return Daemon(
        "kube-proxy",
        (str(binary("kube-proxy")), f"--config={layout.config}/kube-proxy.yaml"),
        files={layout.config / "kube-proxy.yaml": yaml.safe_dump(config, sort_keys=False)},
    )
