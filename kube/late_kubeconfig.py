"""A kubeconfig that is no file: its text is an output of a stack, known when the cluster exists, or an encrypted value
of a stack's file.

It holds credentials, so it stays in memory: it is neither written to a file nor shown, however this is printed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

Read = Callable[[], str | None]
EMBED = "kubectl config view --raw --flatten --minify"
"""The command that prints the kubeconfig of one context with its certificates and keys in it."""
INVALID_OUTPUT = (
    "the output `kubeconfig` of its stack is not a valid kubeconfig",
    "run `pulumi refresh` on that stack, and look at the output with `pulumi stack output kubeconfig --show-secrets`",
)
"""What is wrong with an output that is no kubeconfig, and the fix."""


class LateKubeconfig:
    """A kubeconfig's text that is read when it is first needed.

    `words` name the cluster in messages; `invalid` is the reason and the fix for a text that is no kubeconfig.
    """

    def __init__(self, words: str, invalid: tuple[str, str] = INVALID_OUTPUT) -> None:
        self.words = words
        self.invalid = invalid
        self._lock = threading.Lock()
        self._text: str | None = None
        self._read: Read | None = None

    def read_by(self, read: Read) -> None:
        """Set what reads the text; it returns None if there is no cluster yet, and raises ClusterUnreachableError if
        it cannot be known.
        """
        self._read = read

    def learn(self, text: str) -> None:
        """Set the text: the cluster now exists, or has other credentials."""
        with self._lock:
            self._text = text

    def text(self) -> str | None:
        """Return the text, None if the cluster does not exist; raises what the reader raises."""
        with self._lock:
            if self._text is None and self._read is not None:
                self._text = self._read()
            return self._text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LateKubeconfig) and other.words == self.words

    def __hash__(self) -> int:
        return hash(self.words)

    def __deepcopy__(self, memo: object) -> LateKubeconfig:
        return self  # one cluster, one text

    def __repr__(self) -> str:
        return self.words
