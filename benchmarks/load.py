"""Requests at a constant rate, for figures that are measured under load."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx

IN_FLIGHT = 8
"""Requests that may be under way at the same time."""


@contextmanager
def requests(url: str, rate: float, host: str | None = None) -> Iterator[None]:
    """Send so many requests a second to `url` while the block runs, with `host` as their Host header."""
    headers = {} if host is None else {"Host": host}
    ended = threading.Event()

    def send() -> None:
        with httpx.Client(timeout=5, trust_env=False, headers=headers) as client, ThreadPoolExecutor(IN_FLIGHT) as pool:
            while not ended.wait(1 / rate):
                pool.submit(client.get, url)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
