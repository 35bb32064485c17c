"""What tests of nodes do again and again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from vas.cluster.membership import Membership

WITHIN_S = 20.0


async def until(condition: Callable[[], object], within_s: float = WITHIN_S) -> None:
    """Wait for something that must come."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def die(member: Membership) -> None:
    """As kill -9 would have it: nothing is renewed, nothing given back."""
    for task in member._tasks:
        task.cancel()
    await asyncio.gather(*member._tasks, return_exceptions=True)
    for line in (member.line, member._renewals):
        if line._connection is not None:
            line._connection.terminate()
            line._connection = None
