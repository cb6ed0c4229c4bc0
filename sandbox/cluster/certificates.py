"""The sandbox's certificate authorities, certificates and kubeconfigs.

Follows Kubernetes' page "PKI certificates and requirements": one CA for the cluster, one for etcd, one key pair for
service accounts. Each client has its own certificate, so that RBAC and the Node authorizer can tell them apart.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sandbox.layout import Layout

_LIFETIME = datetime.timedelta(days=3650)
_RENEW_BEFORE = datetime.timedelta(days=30)


@dataclass(frozen=True)
class _Authority:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


@dataclass(frozen=True, kw_only=True)
class _Request:
    """A certificate to issue: its subject, its alternative names, and whether a server uses it."""

    file: str
    common_name: str
    organization: str | None = None
    names: Sequence[str] = ()
    server: bool = False


def write_private(path: Path, content: bytes | str) -> None:
    """Write a file atomically, readable by its owner only."""
    data = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, 0o600)
        file.write(data)
    temporary.replace(path)


def ensure_certificates(layout: Layout) -> None:
    """Issue the certificates in `layout.pki` that are missing or expire soon, and write all clients' kubeconfigs."""
    cluster = _authority(layout.pki / "ca", "istio-canary sandbox")
    etcd = _authority(layout.pki / "etcd-ca", "istio-canary sandbox etcd")
    for request in _cluster_requests(layout):
        _issue(layout.pki, cluster, request)
    for request in _etcd_requests():
        _issue(layout.pki, etcd, request)
    service_accounts = layout.pki / "service-accounts.key"
    if not service_accounts.exists():
        write_private(service_accounts, _key_pem(ec.generate_private_key(ec.SECP256R1())))
    for client in ("controller-manager", "scheduler", "kubelet", "kube-proxy"):
        _write_kubeconfig(layout, client, layout.config / f"{client}.kubeconfig")
    _write_kubeconfig(layout, "admin", layout.kubeconfig)


def _cluster_requests(layout: Layout) -> list[_Request]:
    api_names = [
        layout.node_ip,
        layout.kubernetes_service_ip,
        "127.0.0.1",
        "localhost",
        layout.node,
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    ]
    return [
        _Request(file="apiserver", common_name="kube-apiserver", names=api_names, server=True),
        _Request(file="kubelet-server", common_name=layout.node, names=[layout.node, layout.node_ip], server=True),
        _Request(file="apiserver-kubelet", common_name="kube-apiserver-kubelet-client"),
        _Request(file="admin", common_name="istio-canary-admin", organization="system:masters"),
        _Request(file="controller-manager", common_name="system:kube-controller-manager"),
        _Request(file="scheduler", common_name="system:kube-scheduler"),
        _Request(file="kube-proxy", common_name="system:kube-proxy"),
        _Request(file="kubelet", common_name=f"system:node:{layout.node}", organization="system:nodes"),
    ]


def _etcd_requests() -> list[_Request]:
    return [
        _Request(file="etcd", common_name="etcd", names=["127.0.0.1", "localhost"], server=True),
        _Request(file="apiserver-etcd", common_name="kube-apiserver-etcd-client"),
    ]


def _authority(stem: Path, common_name: str) -> _Authority:
    certificate_file, key_file = stem.with_suffix(".crt"), stem.with_suffix(".key")
    if certificate_file.exists() and key_file.exists():
        certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
        key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
        if _fresh(certificate) and isinstance(key, ec.EllipticCurvePrivateKey):
            return _Authority(certificate, key)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    certificate = (
        _builder(name, name, key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    write_private(key_file, _key_pem(key))
    write_private(certificate_file, certificate.public_bytes(serialization.Encoding.PEM))
    return _Authority(certificate, key)


def _issue(folder: Path, authority: _Authority, request: _Request) -> None:
    certificate_file = folder / f"{request.file}.crt"
    key_file = folder / f"{request.file}.key"
    if certificate_file.exists() and key_file.exists():
        present = x509.load_pem_x509_certificate(certificate_file.read_bytes())
        if _fresh(present) and _issued_by(present, authority):
            return
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, request.common_name)]
    if request.organization:
        attributes.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, request.organization))
    key = ec.generate_private_key(ec.SECP256R1())
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH] + ([ExtendedKeyUsageOID.SERVER_AUTH] if request.server else [])
    builder = (
        _builder(x509.Name(attributes), authority.certificate.subject, key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False)
    )
    if request.names:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([_general_name(name) for name in request.names]), critical=False
        )
    write_private(key_file, _key_pem(key))
    signed = builder.sign(authority.key, hashes.SHA256())
    write_private(certificate_file, signed.public_bytes(serialization.Encoding.PEM))


def _builder(subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))  # allows for clock skew
        .not_valid_after(now + _LIFETIME)
    )


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _fresh(certificate: x509.Certificate) -> bool:
    return certificate.not_valid_after_utc - datetime.datetime.now(datetime.UTC) > _RENEW_BEFORE


def _issued_by(certificate: x509.Certificate, authority: _Authority) -> bool:
    identifier = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    return identifier == x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """As "EC PRIVATE KEY", the only form in which the API server finds the service accounts' public key."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )


def _write_kubeconfig(layout: Layout, client: str, path: Path) -> None:
    """With certificates and key embedded, so that the file can be copied."""

    def embedded(file: str) -> str:
        return b64encode((layout.pki / file).read_bytes()).decode()

    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": layout.context,
        "clusters": [
            {
                "name": layout.context,
                "cluster": {"server": layout.api_server, "certificate-authority-data": embedded("ca.crt")},
            }
        ],
        "users": [
            {
                "name": f"{layout.context}-{client}",
                "user": {
                    "client-certificate-data": embedded(f"{client}.crt"),
                    "client-key-data": embedded(f"{client}.key"),
                },
            }
        ],
        "contexts": [
            {
                "name": layout.context,
                "context": {"cluster": layout.context, "user": f"{layout.context}-{client}"},
            }
        ],
    }
    write_private(path, yaml.safe_dump(config, sort_keys=False))
