"""What a node's batches leave in `meta`: a token each, by which an unknown COMMIT is found, with the last id made."""

from __future__ import annotations

import secrets
from typing import NamedTuple

from vas.cluster.member import Member
from vas.store.ids import Ids
from vas.store.postgres_session import Session
from vas.store.postgres_statements import PostgresStatements

_NONCE_BYTES = 8
"""Of a token; the last id follows it."""


class Unknown(NamedTuple):
    """A batch of which it may come to be asked whether it is in the database, and the ids that were made for it."""

    key: str
    token: bytes
    first_id: int
    last_id: int


class Tokens:
    """One row for each number that nodes have had; who takes a number over goes on after its last id."""

    def __init__(self, member: Member, sql: PostgresStatements) -> None:
        self._member = member
        self._sql = sql
        self._number = member.number
        self._ids = Ids(member.number)
        self._last_ids: dict[str, int] = {}

    @property
    def key(self) -> str:
        return f"batch:{self._member.number}"

    @property
    def ids(self) -> Ids:
        """By the number that this node has now: after it was given up it joins with another."""
        if self._number != self._member.number:
            last = max(self._ids.last, self._last_ids.get(self.key, 0))
            self._number = self._member.number
            self._ids = Ids(self._number)
            self._ids.resume_after(last)
        return self._ids

    def after(self, last_id: int) -> Unknown:
        """A token for a batch whose ids come after this one."""
        last = self._ids.last
        return Unknown(self.key, secrets.token_bytes(_NONCE_BYTES) + last.to_bytes(8), last_id + 1, last)

    async def load(self, session: Session) -> None:
        """No id is made again that is in the database."""
        tokens = await session.fetch(self._sql.tokens.text)
        self._last_ids = {key: int.from_bytes(token[_NONCE_BYTES:]) for key, token in tokens}
        self.ids.resume_after(self._last_ids.get(self.key, 0))
        await self.make(session)

    async def make(self, session: Session) -> None:
        """The row of this node's token, if it is not there yet."""
        if self.key not in self._last_ids:
            await session.fetch(self._sql.make_meta.text, (self.key, b""))
            self._last_ids[self.key] = 0
