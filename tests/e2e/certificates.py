"""A certificate authority for tests; certificates are valid for an hour."""

from __future__ import annotations

import base64
import json
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.e2e.tools import Cluster

HOUR = timedelta(hours=1)
Pair = dict[str, bytes]
"""A certificate and its key, under the names that a Secret of type kubernetes.io/tls has."""


class Authority:
    """Signs certificates; `pem` is its own certificate."""

    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        usage = x509.BasicConstraints(ca=True, path_length=0)
        own = self._builder(self._name, self._key).add_extension(usage, critical=True)
        self.pem = own.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)

    def certificate(self, name: str) -> Pair:
        """A certificate for a DNS name, with its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = self._builder(subject, key).add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False
        )
        signed = builder.sign(self._key, hashes.SHA256())
        return {
            "tls.crt": signed.public_bytes(Encoding.PEM),
            "tls.key": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        }

    def client_context(self, pair: Pair | None = None, folder: Path | None = None) -> ssl.SSLContext:
        """TLS of a client that trusts only this authority, and presents `pair` if given (stored in `folder`)."""
        context = ssl.create_default_context(cadata=self.pem.decode())
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # would require key identifiers, which are not needed here
        if pair and folder:
            for name, content in pair.items():
                (folder / name).write_bytes(content)
            context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
        return context

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - HOUR)
            .not_valid_after(now + HOUR)
        )


def bring_secret(cluster: Cluster, name: str, content: Pair) -> None:
    """Create a Secret in the gateway's namespace."""
    data = {key: base64.b64encode(value).decode() for key, value in content.items()}
    metadata = {"name": name, "namespace": "istio-ingress"}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}
    cluster.kubectl("apply", "--filename=-", stdin=json.dumps(secret))
