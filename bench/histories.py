"""What the SMSC saw of each node, what the database says of its leases, and where the two do not agree.

A node has a lease while its row stands in `node`, up to the time that it was last given. Past that time others own
what was its own, so nothing of it may reach an SMSC any more: neither while it is cut off from the database, nor when
it wakes on the links of its former life.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple

from bench.rows import Rows
from gateway.pdus.pdu import BindTransceiver, SubmitSm, SubmitSmResp, decode, header
from gateway.simulator import Simulator
from gateway.simulator.delivery import Mo
from gateway.simulator.session import Session

HEARD_WITHIN = timedelta(seconds=1)
"""A link that stands for so long after a response has brought it."""
RECORDED_WITHIN = timedelta(seconds=3)
"""What a node has heard it has written down by then, if no fault is near."""
SLACK = timedelta(seconds=1)
"""By which the SMSC's clock on a submit_sm may be late: this machine has more to do than it has cores."""


class Lease(NamedTuple):
    """One run of a node."""

    name: str
    since: datetime
    until: datetime
    """The last time that it was given."""


class Bound(NamedTuple):
    """A session, as its bind came."""

    node: str
    at: datetime


class Wire:
    """The SMSC's history from now on: which node bound which session, what came on it, and what was answered."""

    def __init__(self, simulator: Simulator) -> None:
        self.bound: dict[int, Bound] = {}
        self.submitted: list[tuple[int, datetime]] = []
        """Session and time of each submit_sm, refused ones too."""
        self._answered: dict[int, tuple[int, datetime]] = {}
        self._ended: dict[int, datetime] = {}
        self._disconnected = simulator.smsc.disconnected
        self._sessions = simulator.smsc.sessions
        simulator.smsc.tape = self._frame
        simulator.smsc.disconnected = self._gone  # type: ignore[method-assign]

    def _frame(self, session: Session, way: Literal["in", "out"], frame: bytes) -> None:
        command = header(frame)[1]
        if way == "in" and command == SubmitSm.command_id:
            self.submitted.append((session.id, datetime.now(UTC)))
        elif way == "in" and command == BindTransceiver.command_id:
            bind = decode(frame)
            assert isinstance(bind, BindTransceiver)
            self.bound[session.id] = Bound(bind.system_type.decode(), datetime.now(UTC))
        elif way == "out" and command == SubmitSmResp.command_id:
            response = decode(frame)
            if isinstance(response, SubmitSmResp) and response.message_id:
                self._answered[int(response.message_id)] = (session.id, datetime.now(UTC))

    def _gone(self, session: Session) -> None:
        self._ended[session.id] = datetime.now(UTC)
        self._disconnected(session)

    def surely_heard(self, message_id: int) -> datetime | None:
        """When the response with this id was written, if its link stood long enough to bring it."""
        if message_id not in self._answered:
            return None
        session, at = self._answered[message_id]
        return at if session not in self._ended or self._ended[session] > at + HEARD_WITHIN else None

    def over(self, session: int, given: list[Lease]) -> datetime:
        """Until when its node had the lease under which it bound this session."""
        node, at = self.bound[session]
        runs = [lease for lease in given if lease.name == node and lease.since <= at]
        return runs[-1].until if runs else at

    def node_of(self, session: int) -> str:
        return self.bound[session].node if session in self.bound else ""

    def binds(self) -> Counter[str]:
        """How many sessions each node has bound now."""
        return Counter(self.node_of(session.id) for session in self._sessions.values() if session.mode)

    def moved(self, commands: Iterable[Mo]) -> int:
        """How many commands the SMSC brought to more than one node."""
        return sum(len({self.node_of(attempt.session) for attempt in mo.attempts}) > 1 for mo in commands)


KEEP_LEASES = (
    "CREATE TABLE lease_history (at_ms bigint, run bigint, name text, until_ms bigint)",
    """CREATE FUNCTION keep_lease() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO lease_history
        VALUES (extract(epoch FROM clock_timestamp()) * 1000, NEW.id, NEW.name, NEW.until_ms);
        RETURN NULL;
    END $$""",
    "CREATE TRIGGER keep_lease AFTER INSERT OR UPDATE ON node FOR EACH ROW EXECUTE FUNCTION keep_lease()",
)
"""Makes the database write down every lease that it gives."""


async def leases(database: Rows) -> list[Lease]:
    """All that were given since KEEP_LEASES was run."""
    query = "SELECT name, min(at_ms), max(until_ms) FROM lease_history GROUP BY run, name ORDER BY 2"
    return [Lease(name, _moment(since), _moment(until)) for name, since, until in await database.query(query)]


def without_lease(wire: Wire, given: list[Lease]) -> list[str]:
    """Each session on which something was submitted when the lease under which it was bound was over."""
    last: dict[int, datetime] = {}
    for session, at in wire.submitted:
        last[session] = max(at, last.get(session, at))
    found = []
    for session, at in last.items():
        over = wire.over(session, given)
        if at > over + SLACK:
            count = sum(1 for other, when in wire.submitted if other == session and when > over + SLACK)
            late_s = (at - over).total_seconds()
            found.append(
                f"{count} submit_sm on session {session} of {wire.node_of(session)}, {late_s:.1f} s after its lease"
            )
    return found


def _moment(ms: int) -> datetime:
    return datetime.fromtimestamp(int(ms) / 1000, UTC)
