"""Which answers have surely reached the SMSC: what tells a redelivered command from a repeated one.

SMPP gives a redelivered deliver_sm no identity. A copy (the same addresses, body, UDH and USSD fields on
one account) is a redelivery only while our earlier answer is doubtful. An answer is confirmed when the
peer has answered something that we sent after it on the same session, and it left within the SMSC's
response timer. A doubtful answer absorbs one copy, whose own answer is then judged afresh.

Where nodes share the database, what was answered is looked up there; how a session stands is known here if it is this
node's, and else as its node has written it down.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from enum import Enum, auto

import msgspec

from vas.store.rows import Earlier, SeenRow, SessionRow

KEPT_LATE = 10_000
"""Late answers remembered for one session; a session with more has no confirmed answers at all."""

TIMER_MARGIN_MS = 500
"""By which the SMSC's response timer may be over sooner than we think."""


HELD_UP_MS = 300
"""A command that was read so long after it can have come was read by a node that had stood still."""


class Copy(Enum):
    """What a command is whose like was seen before."""

    WISH = auto()
    """The subscriber means it again."""
    REDELIVERY = auto()
    """The SMSC did not hear our answer."""
    ASK = auto()
    """The earlier answer went to another session that is still up: ask that peer for a sign of life first."""


class _Session:
    __slots__ = ("account", "alive", "confirmed", "doubtful", "late", "never", "unsaved")

    def __init__(self, account: str, confirmed: int = 0, late: set[int] | None = None, *, alive: bool) -> None:
        self.account = account
        self.confirmed = confirmed
        self.late = late or set()
        self.alive = alive
        self.unsaved = False
        self.doubtful: deque[SeenRow] = deque()
        """What was answered on it, oldest first, as far as the answers are not confirmed."""
        self.never: list[SeenRow] = []
        """What was answered too late for any confirmation."""


class Sessions:
    """All sessions that may still matter. The event loop writes here, the units read."""

    def __init__(self) -> None:
        self._sessions: dict[int, _Session] = {}
        self._copies: dict[bytes, SeenRow] = {}
        self.unsaved = False
        self.forgotten: dict[int, int] = {}
        """Of sessions, also of other nodes: the ordinal up to which the store has no answers that have arrived."""

    def restore(self, rows: Iterable[SessionRow]) -> None:
        """What was saved before a restart: sessions that are over."""
        for row in rows:
            late: set[int] = set(msgspec.json.decode(row.late))
            self._sessions[row.id] = _Session(row.account, row.confirmed, late, alive=False)

    def remember(self, row: SeenRow) -> None:
        """An answer is given; until it is confirmed, a copy of what it answers is a redelivery."""
        session = self._sessions.get(row.session)
        if session is None:
            session = self._sessions[row.session] = _Session("", alive=False)
        self._copies[row.key] = row
        session.doubtful.append(row)

    def never_confirmed(self, row: SeenRow) -> None:
        """What is in the store was answered with "later": no confirmation can be one of ROK."""
        self.answered_late(row.session, row.ordinal)
        self.remember(row)

    def earlier(self, key: bytes) -> SeenRow | None:
        """What was answered before and is the same as this, if that answer is not known to have arrived."""
        return self._copies.get(key)

    def opened(self, id_: int, account: str) -> None:
        self._sessions[id_] = _Session(account, alive=True)

    def closed(self, id_: int) -> None:
        if id_ in self._sessions:
            self._sessions[id_].alive = False

    def tell(self, id_: int) -> None:
        """Write down how a session stands, for the other nodes."""
        if id_ in self._sessions:
            self._sessions[id_].unsaved = self.unsaved = True

    def knows(self, id_: int) -> bool:
        """Whether a session is this node's."""
        return id_ in self._sessions

    def alive(self, id_: int) -> bool:
        """Whether it is, and has not ended."""
        return id_ in self._sessions and self._sessions[id_].alive

    def confirm(self, id_: int, ordinal: int) -> None:
        session = self._sessions.get(id_)
        if session is not None and ordinal > session.confirmed:
            session.confirmed = ordinal
            session.unsaved = self.unsaved = True
            doubtful = session.doubtful
            while doubtful and doubtful[0].ordinal <= ordinal:
                self._forget(session, doubtful.popleft())

    def _forget(self, session: _Session, row: SeenRow) -> None:
        if row.ordinal in session.late:
            session.never.append(row)
        elif self._copies.get(row.key) is row:
            del self._copies[row.key]

    def answered_late(self, id_: int, ordinal: int) -> None:
        session = self._sessions.get(id_)
        if session is not None and len(session.late) <= KEPT_LATE:
            session.late.add(ordinal)
            session.unsaved = self.unsaved = True

    def judge(self, earlier: SeenRow, session: int, read_ms: int, timer_ms: int) -> Copy:
        """What a copy is that was read at `read_ms` on `session`; `timer_ms` is the SMSC's response timer."""
        before = self._sessions.get(earlier.session)
        if before is None:
            return Copy.REDELIVERY
        if _arrived(earlier, before.confirmed, before.late):
            return Copy.WISH
        if not before.alive or earlier.ordinal in before.late:
            return Copy.REDELIVERY
        if earlier.session == session:
            # On a link that is up, an SMSC repeats itself only after its response timer.
            return Copy.WISH if read_ms < earlier.received_ms + timer_ms - TIMER_MARGIN_MS else Copy.REDELIVERY
        return Copy.ASK

    def over(self, older_than: int) -> list[int]:
        """Ended sessions with ids below this one."""
        return [id_ for id_, session in list(self._sessions.items()) if id_ < older_than and not session.alive]

    def forget(self, ids: Sequence[int]) -> None:
        self.gone(ids)
        for id_ in self._sessions.keys() & set(ids):
            session = self._sessions.pop(id_)
            for row in (*session.doubtful, *session.never):
                if self._copies.get(row.key) is row:
                    del self._copies[row.key]

    def late(self) -> list[tuple[int, int]]:
        """Session and ordinal of each answer that came too late to count."""
        return [(id_, ordinal) for id_, session in self._sessions.items() for ordinal in sorted(session.late)]

    def confirmed(self) -> list[tuple[int, int]]:
        """Each session and the ordinal up to which its answers have arrived."""
        return [(id_, session.confirmed) for id_, session in list(self._sessions.items()) if not session.late]

    def not_forgotten(self, confirmed: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
        """Those with answers that have arrived since the store was last rid of them."""
        return [(id_, up_to) for id_, up_to in confirmed if up_to > self.forgotten.get(id_, 0)]

    def gone(self, ids: Iterable[int]) -> None:
        """The store has nothing of these any more."""
        for id_ in ids:
            self.forgotten.pop(id_, None)

    def take_unsaved(self, node: int) -> list[SessionRow]:
        """Rows to be saved by this node; `unsaved` is false until something changes again."""
        self.unsaved = False
        rows = []
        for id_, session in list(self._sessions.items()):
            if session.unsaved:
                session.unsaved = False
                late = msgspec.json.encode(sorted(session.late))
                rows.append(SessionRow(id_, session.account, session.confirmed, late, node, ended=not session.alive))
        return rows

    def not_saved(self, ids: list[int]) -> None:
        """The batch that should have saved these was lost."""
        for id_ in ids:
            if id_ in self._sessions:
                self._sessions[id_].unsaved = self.unsaved = True


def judged_by_its_row(earlier: Earlier) -> Copy:
    """What a copy is of a command that came in a session of another node, or of a run of this one that is over."""
    before = earlier.session
    if before is None:
        return Copy.REDELIVERY
    late: set[int] = set(msgspec.json.decode(before.late))
    if _arrived(earlier.row, before.confirmed, late):
        return Copy.WISH
    return Copy.REDELIVERY if earlier.row.ordinal in late or not earlier.alive else Copy.ASK


def may_be_older(earlier: SeenRow, received_ms: int, read_ms: int) -> bool:
    """Whether a command can have come before its like was brought to another node, though it was read afterwards.

    `received_ms` is the earliest time at which it can have come: its node stood still, the SMSC lost patience.
    """
    return read_ms - received_ms > HELD_UP_MS and earlier.received_ms >= received_ms


def _arrived(answer: SeenRow, confirmed: int, late: set[int]) -> bool:
    return answer.ordinal <= confirmed and answer.ordinal not in late and len(late) < KEPT_LATE
