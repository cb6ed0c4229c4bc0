"""The connection of the verbs without libraries, to an API server in memory."""

from __future__ import annotations

from collections.abc import Mapping

import httpx2

from rollout.lean import Api
from tests.unit.rollout.api_server import ApiServer
from tests.unit.rollout.records import START


class Served(Api):
    """A connection to an API server in memory."""

    def __init__(self, server: ApiServer) -> None:
        self._client = httpx2.Client(transport=httpx2.MockTransport(server._answer), base_url="http://api.invalid")
        self.server_time = ""

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def _ask(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> tuple[int, bytes]:
        answer = self._client.request(method, path, content=body, headers=dict(headers))
        self.server_time = START
        return answer.status_code, answer.content
