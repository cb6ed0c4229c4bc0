"""Waiting for something outside Pulumi before a resource is written, as the engine's own resource hooks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pulumi


def after_wait(name: str, wait: Callable[[], None] | None) -> pulumi.ResourceHookBinding | None:
    """Return hooks by which a resource is created or updated only after `wait` has returned; none without `wait`.

    `name` is unique in the program. The engine waits only where it has something to create or to update, and never in
    a preview; what `wait` raises fails the operation, and with it the run (Pulumi: "Resource hooks"). There is no such
    hook for a deletion: a stack with one cannot be destroyed by plain `pulumi destroy`.
    """
    if wait is None:
        return None

    async def waited(_: pulumi.ResourceHookArgs) -> None:
        await asyncio.to_thread(wait)

    hook = pulumi.ResourceHook(name, waited)
    return pulumi.ResourceHookBinding(before_create=[hook], before_update=[hook])
