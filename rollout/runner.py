"""Runs a rollout to its end: looks, decides, carries out, again and again, from any machine and after any kill.

Only the holder of the Lease moves forward; every runner moves back. What takes time (hooks, events, limits, asking the
Envoys) is done beside the loop, and the Lease is renewed in a thread of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from kube.kubeconfig import ClusterAccess
from rollout.decision import Decision
from rollout.limits import LimitReading
from rollout.record import Record

Why = Literal["completed", "aborted", "held", "stopped", "lost"]

ReadLimits = Callable[[Record, str], LimitReading | None]
"""What the absolute limits say, from the record and the API server's time; `rollout.limits.read_limits`."""


@dataclass(frozen=True, kw_only=True)
class RunEnd:
    """How a run has ended: the record as it was last read, and why.

    completed: at its end; aborted: Aborted or Undone; held: nothing is decided yet (`timeout`, `once`, `until_paused`);
    stopped: `stop` was set; lost: another holder has taken the Lease.
    """

    record: Record
    why: Why


def run(
    access: ClusterAccess,
    namespace: str,
    service: str,
    holder: str,
    *,
    once: bool = False,
    timeout: float | None = None,
    stop: threading.Event | None = None,
    on_look: Callable[[Record, Decision], None] = lambda record, decision: None,
    until_paused: bool = False,
    limits: ReadLimits | None = None,
) -> RunEnd:
    """Move the rollout of a service until it is completed or has gone back, or one of the other ends of `RunEnd`.

    It waits for the Lease while another holder has it, and survives an API server that does not answer. `once`: one
    look and one action, as for a CronJob; `timeout` in seconds; `until_paused` ends it when the rollout is paused.
    `on_look` is called in this thread with the record and the decision, before that is carried out.

    Raises NoRolloutError, RecordError, NameTakenError, and ClusterUnreachableError if the first look fails.
    """
    raise NotImplementedError


def finish(
    access: ClusterAccess,
    namespace: str,
    service: str,
    by: str,
    *,
    timeout: float = 60.0,
    on_look: Callable[[Record, Decision], None] = lambda record, decision: None,
) -> RunEnd:
    """Bring a rollout that goes back (Aborting, Undoing) to its end, without the Lease; `held` if it takes longer.

    Call it after `acting.act` with abort or undo. Raises what `run` raises.
    """
    raise NotImplementedError
