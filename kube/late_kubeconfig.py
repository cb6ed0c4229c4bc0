"""The kubeconfig of a cluster that a stack creates: its text is an output of the stack, known when the cluster exists.

It holds credentials, so it stays in memory: it is neither written to a file nor shown, however this is printed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

Read = Callable[[], str | None]


class LateKubeconfig:
    """A kubeconfig's text that is read when it is first needed. `words` name the cluster in messages."""

    def __init__(self, words: str) -> None:
        self.words = words
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
