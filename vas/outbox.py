"""Committed rows → gateway → what came of them.

A new row goes to the gateway at once, from memory; the row in the store is there for the restart, for
messages that wait for their hour, and for more than memory should hold.

Where nodes share the store, a message that is due is in the memory of its owner, or is nobody's: then whoever can send
it takes it. What is put off is nobody's again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from functools import partial

from vas.core import Core
from vas.due import NEVER_MS, GiveBack, ScanDue, TakeDue
from vas.messages import Gateway, Msisdn, Outbound, SendOutcome, SendResult
from vas.running import Made, Screen
from vas.sending import PUSHED
from vas.store.ids import milliseconds, moment
from vas.store.protocol import Submit
from vas.store.rows import OutboxRow
from vas.submissions import Claim, RecordSent, Sent

RECORDED_AT_ONCE, MORE_AT_ONCE = 1_000, 10
"""Results written down in a batch: half after one that failed, which may have had too many for its time, and by and by
more again."""


class Outbox:
    """Hands rows to the gateway and writes back how it went.

    `submit` puts a work into the next batch; `follow` takes what those have made who were told an outcome.
    """

    def __init__(
        self, core: Core, gateway: Gateway, submit: Submit, follow: Callable[[Made], None], *,
        memory_limit: int = 20_000,
    ) -> None:  # fmt: skip
        self._core = core
        self._gateway = gateway
        self._submit = submit
        self._follow = follow
        self._memory_limit = memory_limit
        self._in_flight: dict[int, int] = {}
        self._withheld: set[int] = set()
        self._not_ours: set[int] = set()
        """What this node has in a shared store and does not send."""
        self._giving_back = False
        self._results: deque[Sent] = deque()
        self._at_once = RECORDED_AT_ONCE
        self._recording = False
        self._scanning = False
        self._place = (0, 0)
        self._due_ms = 0
        """No row that is not in flight is due before this; 0: look at once, as after a restart."""
        self.stopped = False
        self.sent = 0
        """Messages submitted since the start."""

    @property
    def backlog(self) -> int:
        """Messages in memory that have not been answered by the SMSC."""
        return len(self._in_flight)

    @property
    def oldest_ms(self) -> int:
        """When the message that has been in flight for longest was handed over; 0: there is none."""
        return next(iter(self._in_flight.values()), 0)

    @property
    def busy(self) -> bool:
        """Whether something is in flight, being written down, or being looked for."""
        return bool(self._in_flight or self._results or self._scanning or self._giving_back)

    def takes(self, row: OutboxRow) -> bool:
        """Whether it could be sent from here now; alone, a node takes all. Called in the writer's thread."""
        if not self._core.shared:
            return True
        return not self.stopped and len(self._in_flight) < self._memory_limit and self._gateway.carries(outbound(row))

    def send(self, row: OutboxRow, received_ms: int = 0) -> None:
        """Send a committed row, now or when it is due."""
        now_ms = self._core.clock_ms()
        if self.stopped or row.due_ms is None or row.id in self._withheld:
            return
        if self._waits(row, now_ms):
            self.wake_at(row.due_ms, row.id)
            return
        if row.id in self._in_flight:
            return
        self._in_flight[row.id] = now_ms
        if row.once:
            self._submit(Claim(self, row, received_ms))
        else:
            self.hand_over(row, received_ms)

    def _waits(self, row: OutboxRow, now_ms: int) -> bool:
        if self._core.shared:
            return row.owner is None
        return (row.due_ms or 0) > now_ms or len(self._in_flight) >= self._memory_limit

    def withhold(self, id_: int) -> bool:
        """Do not send a row until `release`; False if it is in flight already."""
        if id_ in self._in_flight or id_ in self._withheld:
            return False
        self._withheld.add(id_)
        return True

    def release(self, id_: int) -> None:
        """Send it again when a look finds that it is due."""
        self._withheld.remove(id_)
        self._leave(0, id_)

    def hand_over(self, row: OutboxRow, received_ms: int) -> None:
        """Give the gateway a message that may be sent now."""
        self._gateway.send(outbound(row), partial(self._done, row, received_ms))

    def show(self, screen: Screen, received_ms: int) -> None:
        """Send a USSD screen into its dialogue; a screen that is shown again leaves no second row."""
        row, inbound = screen.row, screen.inbound
        if self.stopped or inbound.ussd is None:
            return
        message = Outbound(
            row.id if row else 0, Msisdn.parse(inbound.sender), inbound.to, screen.text, inbound.account, False,
            None, True, inbound.session, inbound.ussd.token, screen.more,
        )  # fmt: skip
        if row is None:
            self._gateway.send(message, lambda result: None)
        else:
            self._in_flight[row.id] = self._core.clock_ms()
            self._gateway.send(message, partial(self._done, row, received_ms))

    def _done(self, row: OutboxRow, received_ms: int, result: SendResult) -> None:
        self._core.metrics.sent.labels(row.service, result.account or row.account, result.outcome.value).inc()
        if received_ms and result.outcome is SendOutcome.SENT:
            self._core.metrics.latency_seconds.observe((milliseconds(result.at) - received_ms) / 1000)
        self.sent += result.outcome is SendOutcome.SENT
        self._results.append(Sent(row, result))
        self._record()

    def _record(self) -> None:
        if not self._recording:
            self._recording = True
            self._submit(RecordSent(self._core, self, self._results, self._at_once))

    def recorded(self, sent: list[Sent], made: Made) -> None:
        """Results are written down."""
        self._recording = False
        self._at_once = min(self._at_once + MORE_AT_ONCE, RECORDED_AT_ONCE)
        for each in sent:
            self._in_flight.pop(each.row.id, None)
        self._follow(made)
        if self._results:
            self._record()

    def not_claimed(self, row: OutboxRow) -> None:
        """It stays where it is until `tick` looks again."""
        del self._in_flight[row.id]
        self._leave(row.due_ms or 0, row.id)

    def not_recorded(self, sent: list[Sent]) -> None:
        """The store failed; the results are kept and written with the next batch that `tick` begins."""
        self._recording = False
        self._at_once = max(min(self._at_once, len(sent) // 2), 1)
        self._results.extendleft(reversed(sent))

    def _leave(self, due_ms: int, id_: int) -> None:
        """A row is not in flight (any more) that should be; a look will find it."""
        if self._core.shared:
            self.give_back([id_])
        else:
            self.wake_at(due_ms, id_)

    def give_back(self, ids: Iterable[int]) -> None:
        """Of a shared store: what this node has of these and is not sending, anybody may."""
        self._not_ours.update(ids)

    def given_back(self) -> None:
        self._giving_back = False
        self.look()

    def not_given_back(self, ids: Iterable[int]) -> None:
        """The store failed; `tick` tries again."""
        self._giving_back = False
        self.give_back(ids)

    def look(self) -> None:
        """Another node has told that messages wait which are nobody's."""
        self._due_ms = 0

    def wake_at(self, due_ms: int, id_: int) -> None:
        """A row will want a look then: to be sent, or to be given up."""
        self._due_ms = min(self._due_ms, due_ms)
        self._place = min(self._place, (due_ms, id_ - 1))

    def tick(self) -> None:
        """Called a few times a second: rows whose time has come, results that could not be written."""
        if self._results:
            self._record()
        # Not while a look is under way: it may be taking the same, which then is in flight.
        if self._not_ours and not self._giving_back and not self._scanning:
            ids, self._not_ours = self._not_ours - self._in_flight.keys(), set()
            if ids:
                self._giving_back = True
                self._submit(GiveBack(self._core, self, ids))
        if self.stopped or self._scanning or self._core.clock_ms() < self._due_ms:
            return
        if len(self._in_flight) < self._memory_limit // 2:
            scan = (TakeDue if self._core.shared else ScanDue)(self._core, self, self._place, self._in_flight)
            self._scanning = True
            self._place, self._due_ms = (NEVER_MS, 0), NEVER_MS
            self._submit(scan)

    def scanned(self, scan: ScanDue) -> None:
        self._scanning = False
        self.wake_at(scan.next_due_ms, 0)
        self._place = min(self._place, scan.place)
        for row in scan.ready:
            self.send(row)
        self._follow(scan.made)

    def not_scanned(self, scan: ScanDue) -> None:
        self._scanning = False
        self._place, self._due_ms = min(self._place, scan.began_at), 0


def outbound(row: OutboxRow) -> Outbound:
    """What the gateway is given of a row, if it is no screen of a dialogue."""
    return Outbound(
        row.id, Msisdn(row.msisdn), row.source, row.text, row.account, bool(row.settle), moment(row.expires_ms),
        row.reply, more=row.kind == "push", push=row.kind in PUSHED, flash=row.flash, data=row.data or b"",
        port=row.port,
    )  # fmt: skip
