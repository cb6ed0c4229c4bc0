"""Hooks: URLs that are asked at points of a rollout, and whose answer holds or aborts it.

A hook gets a POST with JSON; a status of 200 to 299 means yes, and the answer's text is kept as the reason otherwise.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rollout.decision import HookPoint, HookResult
from rollout.outgoing import SentRequest, UnsafeUrlError, post, shown
from rollout.record import NOT_STARTED, Record
from traffic.fields import seconds
from traffic.model.rollout import RolloutHook

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 10.0
"""Seconds between two tries: doubled each time, from the first to the longest."""

LONGEST_REASON = 300

Post = Callable[[str, bytes, Mapping[str, str], float], SentRequest]


def hooks_at(record: Record, at: HookPoint) -> tuple[RolloutHook, ...]:
    """Return the hooks that a decision with `hook=at` is about: of the step that is next for `beforeStep`."""
    strategy = record.plan.rules[record.plan.steps[step_at(record, at)].rule].strategy
    return tuple(hook for hook in strategy.hooks if hook.at == at)


def step_at(record: Record, at: HookPoint) -> int:
    """Return the index of the step that the question is about."""
    last = len(record.plan.steps) - 1
    if at != "beforeStep":
        return max(record.step, 0)
    full = record.promotion is not None and record.promotion.full
    return last if full else min(record.step + 1, last)


def question(record: Record, at: HookPoint) -> dict[str, Any]:
    """Return what a hook is sent: the same for every try, and for another holder that asks again."""
    step = step_at(record, at)
    return {
        "at": at,
        "service": record.service,
        "namespace": record.namespace,
        "rollout": record.id,
        "phase": record.phase.value,
        "from": record.from_.version,
        "to": record.target.version,
        "step": step + 1,
        "steps": len(record.plan.steps),
        "weight": record.plan.steps[step].weight,
        "weights": record.plan.steps[step].weights if at == "beforeStep" else record.wanted,
        "started": record.step != NOT_STARTED,
    }


def ask(
    record: Record,
    at: HookPoint,
    *,
    send: Post = post,
    sleep: Callable[[float], None] = time.sleep,
    goes_on: Callable[[], bool] = lambda: True,
) -> HookResult:
    """Ask the hooks at a point, one after the other until one says no, and return their answer together.

    It takes up to each hook's timeout times its tries; while `goes_on` says no, there are no further tries. Call it
    outside of the thread that renews the Lease. Only no answer, a 5xx, 408, 425 or 429 is worth a further try: any
    other status is the hook's answer.
    """
    body = json.dumps(question(record, at), separators=(",", ":")).encode()
    # The same for each try: a receiver may tell a repeated question from a new one.
    key = f"{record.id}/{at}/{step_at(record, at)}"
    headers = {"Content-Type": "application/json", "Idempotency-Key": key}
    for hook in hooks_at(record, at):
        said = _answer(hook, body, headers, send, sleep, goes_on)
        if said is not None:
            return HookResult(at=at, ok=False, text=f"{shown(hook.url)}: {said}", then=hook.then)
    return HookResult(at=at, ok=True)


def pauses(retries: int) -> Sequence[float]:
    """Return the seconds to wait before each further try."""
    return [min(FIRST_PAUSE * 2**number, LONGEST_PAUSE) for number in range(retries)]


def _answer(
    hook: RolloutHook,
    body: bytes,
    headers: Mapping[str, str],
    send: Post,
    sleep: Callable[[float], None],
    goes_on: Callable[[], bool],
) -> str | None:
    """None if a hook says yes, else why not."""
    waits = list(pauses(hook.retries))
    tries = 0
    while True:
        try:
            sent = send(hook.url, body, headers, seconds(hook.timeout))
        except UnsafeUrlError as error:
            return f"{error}; use https"
        tries += 1
        if sent.ok:
            return None
        if not waits or not sent.is_worth_a_retry or not goes_on():
            times = f" ({tries} tries)" if tries > 1 else ""
            return f"{sent.words[:LONGEST_REASON]}{times}"
        sleep(waits.pop(0))
