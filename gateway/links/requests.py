"""Requests of ours that wait for their response. Pure: every time is monotonic seconds that the caller gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from gateway.pdus.pdu import RESPONSE, SEQUENCE_MAX, GenericNack, Pdu

Done = Callable[[Pdu | None], None]
"""Called once with the response; None if there will be none."""

_GENERIC_NACK = GenericNack.command_id


class Request(msgspec.Struct):
    """What is remembered of a request."""

    command_id: int
    confirms: int
    """Its response shows that the peer has our answers up to this number."""
    written_at: float
    done: Done
    in_window: bool
    """Whether it takes a place in the window."""


class Requests:
    """By sequence number, in the order in which they were written."""

    def __init__(self, response_seconds: float) -> None:
        self.response_seconds = response_seconds
        self.in_window = 0
        """How many take a place in the window."""
        self._sequence = 0
        self._pending: dict[int, Request] = {}

    def __bool__(self) -> bool:
        return bool(self._pending)

    def write(self, pdu: Pdu, confirms: int, now: float, done: Done, in_window: bool) -> bytes:
        """Number a request and remember it; its frame. Raises SmppError, and remembers nothing, if it has none."""
        pdu.sequence = sequence = self._free()
        frame = pdu.encode()
        self._sequence = sequence
        self._pending[sequence] = Request(pdu.command_id, confirms, now, done, in_window)
        self.in_window += in_window
        return frame

    def _free(self) -> int:
        """The next number from 1 to 0x7FFFFFFF that no request bears (SMPP 3.4 §3.2)."""
        sequence = self._sequence % SEQUENCE_MAX + 1
        while sequence in self._pending:
            sequence = sequence % SEQUENCE_MAX + 1
        return sequence

    def answered(self, pdu: Pdu) -> Request | None:
        """The request that a response belongs to, which is then forgotten; None if there is none."""
        request = self._pending.get(pdu.sequence)
        if request is None or pdu.command_id not in (request.command_id | RESPONSE, _GENERIC_NACK):
            return None
        del self._pending[pdu.sequence]
        self.in_window -= request.in_window
        return request

    def overdue(self, now: float) -> Iterator[Request]:
        """Those that are older than the response timer; they are forgotten."""
        while self._pending:
            sequence, request = next(iter(self._pending.items()))
            if now - request.written_at < self.response_seconds:
                break
            del self._pending[sequence]
            self.in_window -= request.in_window
            yield request

    def abandon(self) -> list[Request]:
        """All of them; they are forgotten."""
        pending, self._pending = self._pending, {}
        self.in_window = 0
        return list(pending.values())
