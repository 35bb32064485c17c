"""One message on its way: its segments, and the accounts that may carry it, one after the other.

An account hands the message on only while nothing of it has left: then the next one takes it at once. As soon as a
segment was accepted, or may have been, the message stays where it is. Segments that were refused for now while
others were accepted are sent again alone, so that the phone gets each once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Protocol

from gateway.accounts.account import Account
from gateway.accounts.lanes import Submission
from gateway.pdus.pdu import SubmitSm
from vas.errors import SmppError
from vas.messages import Outbound, SendOutcome, SendResult

Sent = Callable[[SendResult], None]

SEGMENTS_AGAIN_AFTER_S = (1.0, 5.0, 30.0)
"""Pauses before segments that were refused for now are sent again, if others of the message were accepted."""

# Where the segments of one message fare differently, the first of these decides.
_GRAVITY = (SendOutcome.PERMANENT, SendOutcome.UNANSWERED, SendOutcome.TEMPORARY, SendOutcome.NOT_SENT)
_FOR_NOW = frozenset({SendOutcome.TEMPORARY, SendOutcome.NOT_SENT})
_SENT = SendOutcome.SENT
_NEVER = float("inf")


class Carrier(Protocol):
    """What a message on its way needs of the gateway."""

    pausing: dict[Sending, asyncio.TimerHandle]
    """Messages of which some segments wait to be sent again."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop: ...
    def now(self) -> datetime: ...
    def segments(self, message: Outbound, account: Account, now: datetime) -> list[SubmitSm]:
        """What leaves by this account; raises SmppError if it cannot carry the message."""

    def submitted_id(self, account: Account, message_id: bytes) -> tuple[str, str]:
        """The SMSC's id in the receipts' form, and as it came."""

    def finished(self, done: Sent, result: SendResult) -> None: ...


class Sending:
    """An Outbound until its result is known."""

    __slots__ = (
        "_account", "_carrier", "_done", "_expires_at", "_failures", "_ids", "_message", "_open", "_pauses", "_reply",
        "_segments", "_untried", "_waited",
    )  # fmt: skip

    def __init__(
        self, carrier: Carrier, message: Outbound, accounts: Sequence[Account], reply: bool, done: Sent, now: datetime
    ) -> None:
        """`accounts` are in the order of preference."""
        self._carrier = carrier
        self._message = message
        self._untried = accounts
        self._reply = reply
        self._done = done
        self._waited = False
        self._pauses = 0
        self._account: Account
        self._segments: list[SubmitSm] = []
        self._ids: list[tuple[str, str] | None] = []
        self._failures: dict[int, tuple[SendOutcome, int]] = {}
        self._open = 0
        self._expires_at = _NEVER
        if message.expires_at is not None:
            self._expires_at = carrier.loop.time() + (message.expires_at - now).total_seconds()

    def begin(self, now: datetime) -> None:
        """Give it to the first account that is up; where none is, let it wait for the first. `done` follows later."""
        if len(self._untried) == 1:
            [account], self._untried, self._waited = self._untried, (), True
            self._submit_all(account, now)
        elif not self._handed_on(now):
            self._soon(SendResult(SendOutcome.NOT_SENT, now))

    def give_up(self) -> None:
        """End a pause with what is known."""
        self._carrier.pausing.pop(self).cancel()
        self._finish()

    def _handed_on(self, now: datetime) -> bool:
        """Whether another account has taken it."""
        untried = self._untried
        account = next((account for account in untried if account.up), None)
        if account is not None:
            self._untried = [other for other in untried if other is not account]
        elif untried and not self._waited:
            self._waited = True
            # A screen leaves by its session also while the account drains.
            session = self._message.session
            account = next((it for it in untried if session or it.takes), None)
        if account is None:
            return False
        self._submit_all(account, now)
        return True

    def _submit_all(self, account: Account, now: datetime) -> None:
        self._account = account
        try:
            self._segments = self._carrier.segments(self._message, account, now)
        except SmppError as error:
            name = account.settings.name
            self._soon(SendResult(SendOutcome.PERMANENT, now, name, 0, status=error.status))
            return
        self._ids = [None] * len(self._segments)
        self._submit(range(len(self._segments)))

    def _submit(self, numbers: Sequence[int]) -> None:
        self._open = len(numbers)
        waits = self._waited or not self._untried
        for number in numbers:
            self._account.submit(
                Submission(
                    self._segments[number], partial(self._submitted, number), self._reply, self._expires_at,
                    self._message.session, waits,
                )
            )  # fmt: skip

    def _submitted(self, number: int, outcome: SendOutcome, status: int, message_id: bytes) -> None:
        if outcome is _SENT:
            self._ids[number] = self._carrier.submitted_id(self._account, message_id)
        else:
            self._failures[number] = outcome, status
        self._open -= 1
        if self._open:
            return
        if self._failures:
            self._fell_short()
        else:
            self._finish()

    def _fell_short(self) -> None:
        """Every segment has an outcome, and not all were accepted."""
        outcomes = {outcome for outcome, _ in self._failures.values()}
        whole = len(self._failures) == len(self._ids)
        if self._carrier.loop.time() >= self._expires_at or not outcomes <= _FOR_NOW:
            self._finish()
        elif not whole and self._pauses < len(SEGMENTS_AGAIN_AFTER_S):
            self._pause()
        elif whole and outcomes == {SendOutcome.NOT_SENT}:
            failures, self._failures = self._failures, {}
            if not self._handed_on(self._carrier.now()):
                self._failures = failures
                self._finish()
        else:
            self._finish()

    def _pause(self) -> None:
        pause = SEGMENTS_AGAIN_AFTER_S[self._pauses]
        self._pauses += 1
        self._carrier.pausing[self] = self._carrier.loop.call_later(pause, self._again)

    def _again(self) -> None:
        del self._carrier.pausing[self]
        numbers, self._failures = list(self._failures), {}
        self._submit(numbers)

    def _finish(self) -> None:
        accepted = [known for known in self._ids if known is not None]
        ids, spelled = tuple([known[0] for known in accepted]), tuple([known[1] for known in accepted])
        if spelled == ids:
            spelled = ()
        name = self._account.settings.name
        result = SendResult(_SENT, self._carrier.now(), name, len(self._ids), ids, 0, spelled)
        if self._failures:
            failures = list(self._failures.values())
            outcome = next(outcome for outcome in _GRAVITY if any(outcome is failed for failed, _ in failures))
            status = next(status for failed, status in failures if failed is outcome)
            if outcome is SendOutcome.NOT_SENT and ids:
                outcome = SendOutcome.TEMPORARY  # a part has left, so it cannot be said that nothing did
            result = SendResult(outcome, result.at, name, result.segments, ids, status, spelled)
        self._carrier.finished(self._done, result)

    def _soon(self, result: SendResult) -> None:
        self._carrier.loop.call_soon(self._carrier.finished, self._done, result)
