"""Writes that must not overwrite what somebody else wrote meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

CONFLICT, NOT_FOUND = 409, 404


class ConflictError(Exception):
    """Somebody else has written, created or deleted the object since it was read: read again, and decide again."""


@contextmanager
def conflicts(what: str, *codes: int) -> Iterator[None]:
    """Raise ConflictError if the API server refuses the write of `what` with one of `codes`, by default 409."""
    import httpx2

    try:
        yield
    except httpx2.HTTPStatusError as error:
        if error.response.status_code in (codes or (CONFLICT,)):
            raise ConflictError(f"{what} was written by somebody else meanwhile: {error}") from None
        raise
