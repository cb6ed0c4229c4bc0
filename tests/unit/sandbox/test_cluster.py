"""The sandbox's cluster, as far as it can be tested without running one."""

from __future__ import annotations

import ipaddress
import itertools
import re
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509

from canary.commands.sandbox import _print_status
from sandbox.builder import images
from sandbox.builder.artifacts import versions
from sandbox.builder.go_modules import ISTIO_VERSION
from sandbox.cluster import addons, certificates, daemons, init, lifecycle, supervision
from sandbox.layout import MAX_SANDBOXES, STATE_ROOT, Layout, LayoutError, claim, layout
from stacks.settings.cluster import SandboxSettings

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def here(tmp_path: Path) -> Layout:
    return Layout(name="sandbox", index=0, root=tmp_path / "sandbox")


def binary(name: str) -> Path:
    return Path("/bin-cache") / name


def test_no_two_sandboxes_share_an_address() -> None:
    layouts = [Layout(name=f"s{index}", index=index, root=Path("/none")) for index in range(MAX_SANDBOXES)]
    for one, other in itertools.combinations(layouts, 2):
        for kind in ("pod_cidr", "service_cidr"):
            first, second = (ipaddress.ip_network(getattr(each, kind)) for each in (one, other))
            assert not first.overlaps(second), f"{one.name} and {other.name} share part of {kind}"
        assert one.interface != other.interface
        assert one.cgroup != other.cgroup


def test_every_address_of_a_sandbox_is_in_its_own_ranges(here: Layout) -> None:
    services = ipaddress.ip_network(here.service_cidr)
    assert ipaddress.ip_address(here.node_ip) in ipaddress.ip_network(here.pod_cidr)
    assert ipaddress.ip_address(here.dns_ip) in services
    assert ipaddress.ip_address(here.kubernetes_service_ip) == services[1], "the API server takes the first address"


def test_sandboxes_that_start_at_once_get_different_indexes(tmp_path: Path) -> None:
    names = [f"worker-{number}" for number in range(8)]
    with ThreadPoolExecutor(len(names)) as pool:
        indexes = list(pool.map(lambda name: claim(name, tmp_path).index, names))
    assert sorted(indexes) == list(range(1, 9))


def test_the_first_sandbox_keeps_its_index_and_others_take_the_lowest_free_one(tmp_path: Path) -> None:
    for name, index in (("sandbox", 0), ("e2e", 1), ("third", 2)):
        found = layout(name, tmp_path)
        assert found.index == index
        found.root.mkdir()
        (found.root / "index").write_text(str(found.index))
    (tmp_path / "e2e" / "index").unlink()
    assert layout("fourth", tmp_path).index == 1
    assert layout("third", tmp_path).index == 2


@pytest.mark.parametrize("name", ["", "Upper", "-a", "a-", "a_b", "a/b", "..", "x" * 33, "bin"])
def test_a_name_that_is_not_a_dns_label_or_is_reserved_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match="is not a valid sandbox name"):
        layout(name, tmp_path)


def test_only_the_owner_can_read_keys_and_kubeconfigs(here: Layout) -> None:
    certificates.ensure_certificates(here)
    files = [path for path in here.root.rglob("*") if path.is_file()]
    assert here.kubeconfig in files
    for file in files:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, f"{file.name} can be read by others"


def test_certificates_are_issued_once_and_again_when_their_ca_changes(here: Layout) -> None:
    certificates.ensure_certificates(here)
    before = (here.pki / "admin.crt").read_bytes()
    certificates.ensure_certificates(here)
    assert (here.pki / "admin.crt").read_bytes() == before
    (here.pki / "ca.key").unlink()
    certificates.ensure_certificates(here)
    admin = x509.load_pem_x509_certificate((here.pki / "admin.crt").read_bytes())
    admin.verify_directly_issued_by(x509.load_pem_x509_certificate((here.pki / "ca.crt").read_bytes()))


def test_the_api_server_certificate_names_all_its_addresses(here: Layout) -> None:
    certificates.ensure_certificates(here)
    certificate = x509.load_pem_x509_certificate((here.pki / "apiserver.crt").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    addresses = {str(address) for address in names.get_values_for_type(x509.IPAddress)}
    assert {here.node_ip, here.kubernetes_service_ip} <= addresses
    assert "kubernetes.default.svc" in names.get_values_for_type(x509.DNSName)


def test_the_kubeconfig_names_the_context_of_its_sandbox(here: Layout) -> None:
    certificates.ensure_certificates(here)
    config = yaml.safe_load(here.kubeconfig.read_text())
    assert config["current-context"] == "istio-canary-sandbox"
    assert config["clusters"][0]["cluster"]["server"] == here.api_server


def test_no_daemon_listens_on_all_addresses_or_allows_anonymous_access(here: Layout) -> None:
    for daemon in daemons.daemons(here, binary):
        text = " ".join([*daemon.command, *daemon.files.values()])
        assert "0.0.0.0:" not in text, daemon.name
        assert "AlwaysAllow" not in text, daemon.name
    api_server = next(d for d in daemons.daemons(here, binary) if d.name == "kube-apiserver").command
    assert "--anonymous-auth=false" in api_server
    assert "--authorization-mode=Node,RBAC" in api_server
    assert f"--bind-address={here.node_ip}" in api_server
    kubelet = next(d for d in daemons.daemons(here, binary) if d.name == "kubelet")
    config = yaml.safe_load(kubelet.files[here.config / "kubelet.yaml"])
    assert config["authentication"]["anonymous"]["enabled"] is False
    assert config["authorization"]["mode"] == "Webhook"
    assert config["readOnlyPort"] == 0


def test_writing_the_same_configuration_again_changes_nothing(here: Layout) -> None:
    required = daemons.daemons(here, binary)
    assert supervision.write_configuration(here, required), "the files are new"
    assert not supervision.write_configuration(here, required)
    other = daemons.daemons(here, lambda name: Path("/newer") / name)
    assert supervision.write_configuration(here, other), "the programs moved"


def test_cgroup_hierarchies_of_both_versions_are_found() -> None:
    mountinfo = """\
30 23 0:26 / /sys/fs/cgroup rw shared:9 - tmpfs tmpfs rw,mode=755
31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw shared:10 - cgroup cgroup rw,cpu,cpuacct
32 30 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
33 30 0:29 / /sys/fs/cgroup/unified rw shared:11 - cgroup2 cgroup2 rw,nsdelegate
34 23 0:30 / /mnt/cgroup-lookalike rw - ext4 /dev/vda rw
"""
    assert init.cgroup_roots(mountinfo) == [
        Path("/sys/fs/cgroup/cpu,cpuacct"),
        Path("/sys/fs/cgroup/memory"),
        Path("/sys/fs/cgroup/unified"),
    ]


def pod(name: str, phase: str = "Running", ready: str | None = None, deleted: bool = False) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": "True", "lastTransitionTime": ready}] if ready else []
    metadata: dict[str, Any] = {"name": name, "namespace": "ns"}
    if deleted:
        metadata["deletionTimestamp"] = ready or "2026-01-02T03:04:00Z"
    return {"metadata": metadata, "status": {"phase": phase, "conditions": conditions}}


@pytest.mark.parametrize(
    ("one", "unsettled"),
    [
        (pod("fresh", ready="2026-01-02T03:04:05Z"), []),
        (pod("later", ready="2026-01-02T03:05:00Z"), []),
        (pod("stale", ready="2026-01-02T03:04:04Z"), ["ns/stale"]),
        (pod("never"), ["ns/never"]),
        (pod("done", phase="Succeeded"), []),
        (pod("leaving", deleted=True), []),
    ],
)
def test_a_pod_is_settled_once_it_became_ready_after_the_start(one: dict[str, Any], unsettled: list[str]) -> None:
    assert lifecycle.unsettled_pods([one], NOW) == unsettled


def test_the_kubelet_gives_pods_the_address_of_cluster_dns(here: Layout) -> None:
    service = next(item for item in addons.manifests(here)["items"] if item["kind"] == "Service")
    kubelet = next(d for d in daemons.daemons(here, binary) if d.name == "kubelet")
    config = yaml.safe_load(kubelet.files[here.config / "kubelet.yaml"])
    assert config["clusterDNS"] == [service["spec"]["clusterIP"]]


def test_the_status_shows_the_versions_that_the_sandbox_runs(capsys: pytest.CaptureFixture[str]) -> None:
    found = lifecycle.status("not-there")

    assert found.as_dict()["versions"] == versions()
    _print_status(replace(found, state="down"))
    assert f"istio {ISTIO_VERSION}, envoy " in capsys.readouterr().out


def test_the_images_that_the_cluster_starts_by_itself_are_built(here: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "_iptables_program", lambda: Path("/usr/sbin/xtables-nft-multi"))
    monkeypatch.setattr(images, "libraries", lambda programs: [])
    built = {recipe.reference for recipe in images.recipes(binary, "amd64", Path("/envoy_bootstrap.json"))}
    containerd = next(d for d in daemons.daemons(here, binary) if d.name == "containerd")
    (pause,) = re.findall(r'sandbox = "(.+)"', containerd.files[here.config / "containerd.toml"])
    deployment = next(item for item in addons.manifests(here)["items"] if item["kind"] == "Deployment")
    assert {pause, deployment["spec"]["template"]["spec"]["containers"][0]["image"]} <= built, "nothing can be pulled"


@pytest.mark.parametrize(("before", "after"), [("128\n", "1024"), ("4096\n", "4096\n")])
def test_a_limit_of_the_kernel_is_raised_and_never_lowered(before: str, after: str, tmp_path: Path) -> None:
    limit = tmp_path / "max_user_instances"
    limit.write_text(before)
    init.raise_limit(limit, 1024)
    assert limit.read_text() == after


def test_a_limit_that_cannot_be_written_stays(tmp_path: Path) -> None:
    init.raise_limit(tmp_path / "missing", 1024)
    assert not (tmp_path / "missing").exists()


@pytest.mark.parametrize("name", ["sandbox", "mine"])
def test_the_settings_of_a_stack_find_a_sandbox_by_its_name(name: str) -> None:
    here = Layout(name=name, index=0, root=STATE_ROOT / name)
    settings = SandboxSettings(kind="sandbox", name=name)

    assert (settings.kubeconfig, settings.context) == (str(here.kubeconfig), here.context)
