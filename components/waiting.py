"""Waiting for something outside Pulumi between two resources."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

import pulumi

T = TypeVar("T")


def once(wait: Callable[[], None] | None, value: pulumi.Input[T], *after: pulumi.Resource) -> pulumi.Input[T]:
    """Return `value`, known once the resources `after` are made and `wait` has returned.

    Nothing is waited for in a preview, so that it shows the values. What `wait` raises fails the resource that
    `value` belongs to, and with it the run.
    """
    if wait is None or pulumi.runtime.is_dry_run():
        return value

    async def waited(values: list[object]) -> T:
        await asyncio.to_thread(wait)
        known: T = values[0]  # type: ignore[assignment]  # Output.all forgets the types
        return known

    return pulumi.Output.all(value, *(resource.urn for resource in after)).apply(waited)
