"""Copies the bytes of a local connection to and from the websocket of a port-forward."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from httpx2.websockets import AsyncWebSocketSession

DATA, ERROR = 0, 1
"""The channels of the only port."""
CHUNK = 32 * 1024
"""Bytes that are sent to the pod in one message."""
NORMAL = (1000, 1001, 1005)
"""Codes of a websocket that was closed on purpose (RFC 6455, 7.4.1): the pod has closed its connection."""
ANSWER_SECONDS = 30.0
REST_SECONDS = 1.0
"""How long to wait for more data once the client sends no more: for an answer, and for the rest of one."""


class PodConnectionError(Exception):
    """The pod's connection broke. `is_of_pod`: no data has come, so that the pod itself is in doubt."""

    def __init__(self, reason: str, is_of_pod: bool) -> None:
        self.is_of_pod = is_of_pod
        super().__init__(reason)


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, websocket: AsyncWebSocketSession) -> None:
    """Copy both ways until the pod or the client closes the connection; raises PodConnectionError.

    The protocol cannot tell the pod that the client sends no more (a half-closed connection). So the client still gets
    what the pod sends, as long as something comes.
    """
    copying = _Copying(reader, writer, websocket)
    sending, receiving = asyncio.create_task(copying.to_pod()), asyncio.create_task(copying.from_pod())
    try:
        await asyncio.wait((sending, receiving), return_when=asyncio.FIRST_COMPLETED)
        while not receiving.done() and sending.result():
            seen = copying.received
            await asyncio.wait((receiving,), timeout=REST_SECONDS if copying.is_answered else ANSWER_SECONDS)
            if copying.received == seen:
                break
        if receiving.done():
            receiving.result()
    finally:
        sending.cancel()
        receiving.cancel()
        await asyncio.gather(sending, receiving, return_exceptions=True)


@dataclass
class _Copying:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    websocket: AsyncWebSocketSession
    received: int = 0
    """Bytes from the pod."""
    is_answered: bool = False
    """Whether the pod sent something after the client did."""

    async def to_pod(self) -> bool:
        """Send what the client sends, until it sends no more; returns whether it may still read."""
        from httpx2.websockets import WebSocketNetworkError
        from wsproto.utilities import LocalProtocolError

        try:
            while data := await self.reader.read(CHUNK):
                self.is_answered = False
                await self.websocket.send_bytes(bytes((DATA,)) + data)
        except OSError:  # the client has reset the connection
            return False
        except (WebSocketNetworkError, LocalProtocolError):  # the websocket is closed: `from_pod` tells why
            pass
        return True

    async def from_pod(self) -> None:
        """Write what the pod sends, until it closes the connection; raises PodConnectionError."""
        from httpx2.websockets import HTTPXWSException, WebSocketDisconnect

        announced = set()
        try:
            while True:
                message = await self.websocket.receive_bytes()
                channel, data = message[0], message[1:]
                if channel not in announced:  # the first message has the port's number
                    announced.add(channel)
                elif channel == ERROR:
                    raise PodConnectionError(data.decode(errors="replace").strip(), not self.received)
                elif channel == DATA:
                    await self._write(data)
        except WebSocketDisconnect as end:
            if end.code not in NORMAL:
                raise PodConnectionError(f"websocket closed: {end.code} {end.reason}".rstrip(), True) from None
        except HTTPXWSException as error:
            raise PodConnectionError(f"the connection to the API server broke ({type(error).__name__})", True) from None
        except OSError:  # the client has closed the connection
            return

    async def _write(self, data: bytes) -> None:
        self.received += len(data)
        self.is_answered = True
        self.writer.write(data)
        await self.writer.drain()
