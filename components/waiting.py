"""Resource hooks that wait for something outside Pulumi before a resource is written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pulumi


def after_wait(name: str, wait: Callable[[], None] | None) -> pulumi.ResourceHookBinding | None:
    """Return hooks that call `wait` before a resource is created or updated; None without `wait`.

    `name` must be unique in the program. The hook runs only if the resource is created or updated, and never in a
    preview; an error raised by `wait` fails the operation and the run (Pulumi: "Resource hooks"). Deletions have no
    hook: plain `pulumi destroy` cannot destroy a stack that has one.
    """
    if wait is None:
        return None

    async def waited(_: pulumi.ResourceHookArgs) -> None:
        await asyncio.to_thread(wait)

    hook = pulumi.ResourceHook(name, waited)
    return pulumi.ResourceHookBinding(before_create=[hook], before_update=[hook])
