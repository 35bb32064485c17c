"""Requests of ours that wait for their response. Pure: every time is monotonic seconds that the caller gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from gateway.pdu import RESPONSE, SEQUENCE_MAX, GenericNack, Pdu

Done = Callable[[Pdu | None], None]
"""Called once with the response; None if there will be none."""


class Request(msgspec.Struct):
    """What is remembered of a request."""

    command_id: int
    confirms: int
    """Its response shows that the peer has our answers up to this number."""
    written_at: float
    done: Done


class Requests:
    """By sequence number, in the order in which they were written."""

    def __init__(self, response_seconds: float) -> None:
        self._response_seconds = response_seconds
        self._sequence = 0
        self._pending: dict[int, Request] = {}

    def __bool__(self) -> bool:
        return bool(self._pending)

    def write(self, pdu: Pdu, confirms: int, now: float, done: Done) -> bytes:
        """Number a request and remember it; its frame. Raises SmppError, and remembers nothing, if it has none."""
        pdu.sequence = self._sequence % SEQUENCE_MAX + 1
        frame = pdu.encode()
        self._sequence = pdu.sequence
        self._pending[pdu.sequence] = Request(pdu.command_id, confirms, now, done)
        return frame

    def answered(self, pdu: Pdu) -> Request | None:
        """The request that a response belongs to, which is then forgotten; None if there is none."""
        request = self._pending.get(pdu.sequence)
        if request is None or pdu.command_id not in (request.command_id | RESPONSE, GenericNack.command_id):
            return None
        return self._pending.pop(pdu.sequence)

    def overdue(self, now: float) -> Iterator[Request]:
        """Those that are older than the response timer; they are forgotten."""
        while self._pending:
            sequence, request = next(iter(self._pending.items()))
            if now - request.written_at < self._response_seconds:
                break
            del self._pending[sequence]
            yield request

    def abandon(self) -> list[Request]:
        """All of them; they are forgotten."""
        pending, self._pending = self._pending, {}
        return list(pending.values())
