"""What a handler gives back, what it is told, and what it stops with while it waits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import msgspec

from vas.messages import Msisdn


class Reply(msgspec.Struct, frozen=True):
    """An answer to the sender: a text of the service and its values."""

    key: str
    params: dict[str, Any] = {}


class Outcome(msgspec.Struct, frozen=True):
    """How a message sent with `then=` ended."""

    result: str
    """`delivered`, `failed`, `expired`, `cancelled` by operations, or `unknown`.

    What was cancelled has reached nobody; of what is unknown no receipt came by its validity and a day.
    """
    to: Msisdn
    key: str
    params: dict[str, Any]
    """What the text was given, as JSON gives it back: an Msisdn as its digits."""
    sent_at: datetime
    """When the handler sent it."""
    error: str = ""

    @property
    def delivered(self) -> bool:
        return self.result == "delivered"


class Suspended(BaseException):
    """The handler waits for the outside world; not an Exception, so that no service swallows it."""

    def __init__(self, run: Callable[..., Awaitable[Any]], args: tuple[Any, ...], key: str) -> None:
        self.run, self.args_, self.key = run, args, key
