"""The cluster of one provider instance, reached only when a resource needs it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from sandbox.provider.api import Api, ApiError, UnreachableError
from sandbox.provider.engine import Engine
from sandbox.provider.kinds import Discovery, NoSuchKindError, kind_of
from sandbox.provider.settings import Settings


class Cluster:
    """API server, its kinds, and the engine to report to. ``cancelled`` is set when the update is to stop."""

    def __init__(self, settings: Settings, engine: Engine, cancelled: threading.Event) -> None:
        self.settings = settings
        self.engine = engine
        self.cancelled = cancelled
        self._lock = threading.Lock()
        self._reason: str | None = settings.unreachable or None
        self._probed = bool(self._reason)
        self._api = Api(settings.connection) if settings.connection else None
        self._discovery = Discovery(self._api) if self._api else None

    @property
    def unreachable(self) -> str:
        """Why the cluster cannot be used, naming context and server; nothing when it can. Found out once."""
        with self._lock:
            if not self._probed and self._api is not None:
                self._probed = True
                try:
                    self._api.get("/version")
                except UnreachableError as error:
                    self._reason = str(error)
                except ApiError as error:
                    if error.code == 401:  # anything else is an answer of a server that can be asked
                        c = self._api.connection
                        self._reason = f"the API server {c.server} of context {c.context!r} refuses this user: {error}"
            return self._reason or ""

    def warm_up(self) -> None:
        """Connect in the background, so that the first resource need not wait for it."""
        threading.Thread(target=lambda: self.unreachable, daemon=True).start()

    @property
    def api(self) -> Api:
        """The API server; raises ``UnreachableError`` when there is none."""
        if self._api is None or self.unreachable:
            raise UnreachableError(f"configured Kubernetes cluster is unreachable: {self.unreachable}")
        return self._api

    @property
    def kinds(self) -> Discovery:
        """The kinds that the API server serves; raises ``UnreachableError``."""
        if self._discovery is None or self.unreachable:
            raise UnreachableError(f"configured Kubernetes cluster is unreachable: {self.unreachable}")
        return self._discovery

    def namespaced(self, obj: Mapping[str, Any]) -> bool:
        """Say whether ``obj`` has a namespace; a kind that nobody knows yet is taken to have one."""
        kind = kind_of(obj)
        if kind.built_in and self._discovery is not None:
            return self._discovery.namespaced(kind)  # asks nobody
        try:
            return self.kinds.namespaced(kind)
        except (NoSuchKindError, UnreachableError, ApiError):
            return True

    def serves(self, obj: Mapping[str, Any]) -> bool:
        """Say whether the API server can be asked and knows the kind of ``obj``."""
        try:
            return self.kinds.exists(kind_of(obj))
        except (UnreachableError, ApiError):
            return False

    def live(self, obj: Mapping[str, Any]) -> dict[str, Any]:
        """Return the object in the cluster that ``obj`` names."""
        return self.api.get(self.kinds.path(obj))
