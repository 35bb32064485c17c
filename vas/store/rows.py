"""Rows as they are written: one NamedTuple a table, its fields the columns in order."""

from __future__ import annotations

from typing import NamedTuple


class SeenRow(NamedTuple):
    session: int
    ordinal: int
    key: bytes
    received_ms: int
    msisdn: str
    inbox_id: int
    lasting: bool


class SessionRow(NamedTuple):
    id: int
    account: str
    confirmed: int
    late: bytes
    node: int = 0
    ended: bool = False


class Earlier(NamedTuple):
    """What a command is a copy of."""

    row: SeenRow
    session: SessionRow | None = None
    """The session that brought it, where that may be another node's: as it was last written down; None: not known."""
    alive: bool = False
    """Whether that session's node has its lease and the session has not ended."""


class InboxRow(NamedTuple):
    shard: int
    msisdn: str
    id: int
    kind: str
    account: str
    session: int
    ordinal: int
    received_ms: int
    sent_to: str
    text: str
    service: str
    handler: str
    why: str
    result: str
    reply: str
    steps: bytes
    copies: int = 0
    parts: int = 1
    node: str = ""


class PartKey(NamedTuple):
    """The key of one long message's parts."""

    shard: int
    msisdn: str
    account: str
    receiver: str
    reference: str
    total: int

    @property
    def given(self) -> dict[str, int | str]:
        """As the statements name it."""
        return {f"of_{name}": value for name, value in self._asdict().items()}


class OutboxRow(NamedTuple):
    shard: int
    msisdn: str
    id: int
    cause: int
    origin: str
    service: str
    kind: str
    source: str
    account: str
    text: str
    key: str
    params: bytes
    settle: str
    once: bool
    reply: bool
    created_ms: int
    expires_ms: int
    due_ms: int | None
    state: str = "queued"
    attempts: int = 0
    segments: int = 0
    smsc_ids: str = ""
    sent_ms: int | None = None
    settled_ms: int | None = None
    status: int = 0
    error: str = ""
    flash: bool = False
    data: bytes | None = None
    port: int = 0
    replaced: bytes | None = None
    owner: int | None = None
    node: str = ""

    @property
    def given(self) -> dict[str, int | str]:
        """Its key, as the statements that look for one row name it."""
        return {"given_shard": self.shard, "given_msisdn": self.msisdn, "given_id": self.id}


class SentUpdate(NamedTuple):
    """Parameters of `Statements.outbox_sent`, in its order."""

    account: str
    due_ms: int | None
    state: str
    attempts: int
    segments: int
    smsc_ids: str
    sent_ms: int
    status: int
    node: str
    shard: int
    msisdn: str
    id: int
    of_owner: int | None
    from_state: str = "queued"


class TalkRow(NamedTuple):
    shard: int
    msisdn: str
    id: int
    account: str
    dialogue: str
    dialled: str
    service: str
    journal: bytes
    updated_ms: int


class JobRow(NamedTuple):
    shard: int
    msisdn: str
    id: int
    due_ms: int
    kind: str
    service: str
    name: str
    key: str
    cause: int
    body: bytes
    attempts: int = 0
    owner: int | None = None

    @property
    def given(self) -> dict[str, int | str]:
        """Its key, as the statements that look for one row name it."""
        return {"given_shard": self.shard, "given_msisdn": self.msisdn, "given_id": self.id}


class DeadLetterRow(NamedTuple):
    id: int
    kind: str
    cause: int
    msisdn: str
    service: str
    handler: str
    error: str
    trace: str
    body: bytes
    at_ms: int
    replayed_ms: int | None = None
    replayed_by: str = ""
