"""A connection to the shared database, whichever of the servers in its address it is on now."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from typing import Any

import asyncpg

HEAD_START_S = 0.25
"""That each server has before the next one is asked, too: a machine that is gone answers nothing."""
_PARTS = re.compile(r"(postgresql://(?:[^/?#]*@)?)([^/?#@]*)(.*)").fullmatch


def servers(url: str) -> list[str]:
    """An address of each, in their order."""
    parts = _PARTS(url)
    return [f"{parts[1]}{server}{parts[3]}" for server in parts[2].split(",")] if parts else [url]


async def connect(
    url: str, *, timeout: float, target_session_attrs: str = "read-write", **options: Any
) -> asyncpg.Connection[Any]:
    """As asyncpg.connect, which asks the second server only when the first one has refused, and so perhaps never.

    `timeout`, in seconds, is for all of them together.
    """
    waiting, asked, errors = deque(servers(url)), set[asyncio.Task[Any]](), list[BaseException]()
    try:
        async with asyncio.timeout(timeout):
            while waiting or asked:
                if waiting:
                    asking = asyncpg.connect(
                        waiting.popleft(), timeout=timeout, target_session_attrs=target_session_attrs, **options
                    )
                    asked.add(asyncio.ensure_future(asking))
                done, _ = await asyncio.wait(
                    asked, timeout=HEAD_START_S if waiting else None, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    asked.remove(task)
                    error = task.exception()
                    if error is None:
                        return task.result()
                    errors.append(error)
    finally:
        for task in asked:
            task.add_done_callback(_let_go)
            task.cancel()
    raise max(errors, key=_tells)


def _tells(error: BaseException) -> int:
    """That a server is a standby says the least, that one cannot be reached little."""
    return 0 if isinstance(error, asyncpg.TargetServerAttributeNotMatched) else 1 if isinstance(error, OSError) else 2


def _let_go(asked: asyncio.Task[Any]) -> None:
    if not asked.cancelled() and asked.exception() is None:
        asked.result().terminate()
