"""Waits for something outside Pulumi, before a resource is written or after it was."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pulumi

R = TypeVar("R", bound=pulumi.Resource)
T = TypeVar("T")


async def in_own_thread(call: Callable[[], T]) -> T:
    """Return what `call` returns, without blocking the program.

    Not by asyncio.to_thread: Pulumi's own calls may hold all threads of the program's executor while they wait for the
    engine, and the engine waits for a hook. Eight services that changed at once were enough (plain `pulumi up`).
    """
    thread = ThreadPoolExecutor(max_workers=1)
    try:
        return await asyncio.get_running_loop().run_in_executor(thread, contextvars.copy_context().run, call)
    finally:
        thread.shutdown(wait=False)


def after_wait(name: str, wait: Callable[[], None] | None) -> pulumi.ResourceHookBinding | None:
    """Return hooks that call `wait` before a resource is created or updated; None without `wait`.

    `name` must be unique in the program. The hook runs only if the resource is created or updated, and never in a
    preview; an error raised by `wait` fails the operation and the run (Pulumi: "Resource hooks"). Deletions have no
    hook: plain `pulumi destroy` cannot destroy a stack that has one.
    """
    if wait is None:
        return None

    async def waited(_: pulumi.ResourceHookArgs) -> None:
        await in_own_thread(wait)

    hook = pulumi.ResourceHook(name, waited)
    return pulumi.ResourceHookBinding(before_create=[hook], before_update=[hook])


def waited_for(resource: R, wait: Callable[[], None] | None) -> pulumi.Input[R]:
    """Return `resource`, for its dependents only once `wait`, called after it was written, has returned.

    Without `wait`, and in a preview, it is `resource` itself. An error raised by `wait` fails the run. A hook could not
    do that: the error of one that runs after the operation is a warning (Pulumi: "Resource hooks").
    """
    if wait is None or pulumi.runtime.is_dry_run():
        return resource

    async def waited(_: str) -> R:
        await in_own_thread(wait)
        return resource

    return resource.urn.apply(waited)
