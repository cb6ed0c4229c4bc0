"""A text that is encrypted in the stack's file: settings know that it is there, and never what it says.

Settings are read without a passphrase, so what they hold is what Pulumi has encrypted. The program asks Pulumi for the
text by the value's location (`stacks.secret_texts`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Discriminator, Field, Tag, WithJsonSchema, model_serializer

from stacks.settings.plain_values import SECRET
from traffic.fields import Model, wrong

TEXT, ENCRYPTED = "<text>", "<encrypted>"
"""Markers of the two kinds of texts in the locations of validation errors; no key can have these names."""

MASK = "[secret]"
"""What is shown for every encrypted text."""
CIPHERTEXT = r"(v[0-9]+:)?[A-Za-z0-9+/_-]+=*(:[A-Za-z0-9+/_-]+=*)*"
"""Base64, for a passphrase with the version and the nonce before it (Pulumi: "Secrets encryption")."""
NOT_ENCRYPTED = (
    "this is not what Pulumi writes for an encrypted value",
    "what `pulumi config set --secret` has written",
    "if this is the secret itself, choose another one, since the file has it in plain text; then run `pulumi config "
    "set --secret --path` with the key's path, which asks for it",
)
"""What is wrong with a value under `secure`, what is allowed, and the fix; the value itself is not shown."""


def _ciphertext(value: str) -> str:
    if re.fullmatch(CIPHERTEXT, value):
        return value
    raise wrong(*NOT_ENCRYPTED)


class Encrypted(Model):
    """A text that Pulumi has encrypted, `{secure: …}`. However it is printed, it is `[secret]`."""

    secure: Annotated[
        str, AfterValidator(_ciphertext), WithJsonSchema({"type": "string", "pattern": f"^({CIPHERTEXT})$"})
    ] = Field(repr=False, description="What `pulumi config set --secret` has written.")

    @property
    def fingerprint(self) -> str:
        """A hash of the encrypted text, which tells that it was set again, and nothing about the text itself."""
        return hashlib.sha256(self.secure.encode()).hexdigest()[:10]

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__

    @model_serializer
    def _masked(self) -> str:
        return f"{MASK} ({self.fingerprint})"


def kind_of_text(value: Any) -> str:
    """Return the marker for a text: encrypted or plain."""
    return ENCRYPTED if isinstance(value, Encrypted) or (isinstance(value, Mapping) and SECRET in value) else TEXT


PlainOrEncrypted = Annotated[
    Annotated[str, Tag(TEXT)] | Annotated[Encrypted, Tag(ENCRYPTED)], Discriminator(kind_of_text)
]
"""A text of a person that gets into a pod."""
