"""Waits a stated time for the Envoys that may not be asked whether they have applied a change of routes.

Nothing is proven of them: each wait says what is assumed. istiod usually pushes a change within a second.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from rollout.proxy_sync import ProxySync, names_of
from traffic.model import Target


@dataclass(frozen=True, kw_only=True)
class UnaskedProxies:
    """Waits `seconds` for the Envoys that are not asked, after `asked` has waited for those that are, if any.

    `unasked` names them, such as `the sidecars`; `setting` is the setting that says so; `note` tells the user what is
    not proven.
    """

    asked: ProxySync | None
    unasked: str
    setting: str
    seconds: float
    note: Callable[[str], None]

    def until_known(self, targets: Iterable[Target], caller: str) -> None:
        """Wait until every Envoy should know a healthy pod of each of `targets`; raises what ProxySync raises."""
        targets = frozenset(targets)
        if self.asked is not None:
            self.asked.until_known(targets, caller)
        self._wait(f"know a healthy pod of {names_of(targets)}, to which requests are sent now")

    def until_unused(self, targets: Iterable[Target]) -> None:
        """Wait until no Envoy should have a route to any of `targets`; raises what ProxySync raises."""
        targets = frozenset(targets)
        if self.asked is not None:
            self.asked.until_unused(targets)
        self._wait(f"send no more requests to {names_of(targets)}, which loses its pods or its subset now")

    def _wait(self, assumed: str) -> None:
        time.sleep(self.seconds)
        self.note(f"not proven after {self.seconds:g} s ({self.setting}): that {self.unasked} {assumed}")
