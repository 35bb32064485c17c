"""Ids without a sequence: milliseconds, node, counter, in 63 bits; and the shard of an MSISDN."""

from __future__ import annotations

import zlib
from datetime import UTC, datetime
from functools import lru_cache
from threading import Lock

SHARDS = 1024
_EPOCH_MS = int(datetime(2020, 1, 1, tzinfo=UTC).timestamp() * 1000)
_NODE_BITS, _COUNTER_BITS = 8, 14
_LOW_BITS = _NODE_BITS + _COUNTER_BITS
_COUNTER_MAX = (1 << _COUNTER_BITS) - 1


@lru_cache(65_536)
def shard_of(msisdn: str) -> int:
    """0 to 1,023; the same on every node and for ever."""
    return zlib.crc32(msisdn.encode()) % SHARDS


def milliseconds(moment: datetime) -> int:
    """Since 1970 UTC."""
    return int(moment.timestamp() * 1000)


def moment(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)


class Ids:
    """Rising ids, unique over nodes 0 to 255: on average 16,384 a millisecond, then they run ahead of the clock.

    The counter goes on from one millisecond to the next, so that ids made one after the other differ in their low
    16 bits: by these a receipt without an id is matched.
    """

    def __init__(self, node: int = 0) -> None:
        self._node = node << _COUNTER_BITS
        self._last_ms = 0
        self._counter = 0
        self._lock = Lock()

    @property
    def last(self) -> int:
        return (self._last_ms - _EPOCH_MS) << _LOW_BITS | self._node | self._counter if self._last_ms else 0

    def resume_after(self, last: int) -> None:
        """Never make an id up to this one again, whatever the clock says after a restart."""
        if last:
            self._last_ms = max(self._last_ms, id_ms(last) + 1)

    def next(self, now_ms: int) -> int:
        """A new id for something that happens now, in any thread; a clock that went back does not make them fall."""
        with self._lock:
            return self._next(now_ms)

    def _next(self, now_ms: int) -> int:
        if now_ms > self._last_ms:
            self._last_ms, self._counter = now_ms, (self._counter + 1) & _COUNTER_MAX
        else:
            self._counter += 1
            if self._counter > _COUNTER_MAX:
                self._last_ms, self._counter = self._last_ms + 1, 0
        return (self._last_ms - _EPOCH_MS) << _LOW_BITS | self._node | self._counter


def first_id(at_ms: int) -> int:
    """The least id that can have been made at this time: for ranges by time."""
    return max(0, at_ms - _EPOCH_MS) << _LOW_BITS


def id_ms(id_: int) -> int:
    """When an id was made."""
    return (id_ >> _LOW_BITS) + _EPOCH_MS
