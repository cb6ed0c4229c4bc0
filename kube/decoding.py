"""Keeps threads from decoding objects of the API server at the same time, which ends the process.

msgspec 0.22, with which lightkube decodes, describes a type when it first meets it, and stores the description before
it is complete. A second thread that meets the type meanwhile reads a field that is not there: a segmentation fault.
Decoding takes microseconds and holds the interpreter's lock anyway, so that nothing is lost by a lock of its own.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

_LOCK = threading.RLock()


def one_at_a_time() -> None:
    """Have all decoding and converting of lightkube's objects done by one thread at a time, from now on."""
    import msgspec
    from lightkube.core import decoders

    with _LOCK:
        if not hasattr(msgspec.convert, "__wrapped__"):
            msgspec.convert = _locked(msgspec.convert)
            msgspec.json.decode = _locked(msgspec.json.decode)
            decoders.json_decode = msgspec.json.decode


def _locked(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **keys: Any) -> Any:
        with _LOCK:
            return function(*args, **keys)

    return call
