"""An issuer of JWTs with its own key (RFC 7515, RFC 7517, RFC 7519)."""

from __future__ import annotations

import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

HOUR = 3600


class Issuer:
    """Signs tokens with ES256."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())

    @property
    def jwks(self) -> str:
        """The public key as a JWKS."""
        numbers = self._key.public_key().public_numbers()
        key = {"kty": "EC", "crv": "P-256", "x": _number(numbers.x), "y": _number(numbers.y)}
        return json.dumps({"keys": [key]})

    def token(self, **claims: Any) -> str:
        """A token with these claims."""
        signed = ".".join(_base64(json.dumps(part).encode()) for part in ({"alg": "ES256", "typ": "JWT"}, claims))
        signature = self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256()))
        return f"{signed}.{_base64(_bytes(*decode_dss_signature(signature)))}"

    def placeholders(self, rule: Mapping[str, Any]) -> dict[str, str]:
        """The tokens named in docs/routing.md, for a `jwt` rule."""
        now = int(time.time())
        good = {"iss": rule["issuer"], "sub": "anna", "aud": rule["audiences"][0], "exp": now + HOUR}
        return {
            "token": self.token(**good),
            "beta token": self.token(**good | {"groups": ["staff", "beta"], "realm": {"role": "qa"}}),
            "beta token of another key": Issuer().token(**good | {"groups": ["beta"]}),
            "beta token of another issuer": Issuer().token(
                **good | {"groups": ["beta"], "iss": "https://other.example"}
            ),
            "expired token": self.token(**good | {"exp": now - HOUR}),
            "token for others": self.token(**good | {"aud": "others"}),
            "token of another key": Issuer().token(**good),
        }


def _bytes(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(32, "big") for number in numbers)


def _number(number: int) -> str:
    return _base64(_bytes(number))


def _base64(content: bytes) -> str:
    return urlsafe_b64encode(content).rstrip(b"=").decode()
