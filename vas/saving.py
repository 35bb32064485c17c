"""The works that write down how sessions stand, and forget what no copy can come of any more."""

from __future__ import annotations

from collections.abc import Callable

from vas.core import Core
from vas.store.ids import first_id
from vas.store.protocol import Task
from vas.unit import Batch

ANSWERS_AT_ONCE = 2_000
"""Rows of `seen` looked at in one batch; they are small, and lie together."""
SESSIONS_AT_ONCE = 100


class SaveSessions:
    """The work that writes down what is confirmed; goes with every batch that finds something new."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._ids: list[int] = []

    async def run(self, batch: Batch) -> None:
        sessions = self._core.sessions
        sessions.not_saved(self._ids)
        rows = sessions.take_unsaved(self._core.member.id)
        self._ids = [row.id for row in rows]
        for row in rows:
            await batch.execute(batch.sql.put_session.text, row)

    def committed(self) -> None:
        self._ids = []

    def lost(self, error: Exception) -> None:
        self._core.sessions.not_saved(self._ids)
        self._ids = []


class ForgetConfirmed:
    """The work that deletes answers of a session that have surely arrived: no copy of what they answer can come.

    It begins where the last one ended: those that stay, since the SMSC gave them an id, are looked at once.
    """

    def __init__(self, core: Core, again: Callable[[Task], None], session: int, confirmed: int) -> None:
        self._forgotten = core.sessions.forgotten
        self._again = again
        self._session = session
        self._confirmed = confirmed
        self._up_to = 0

    async def run(self, batch: Batch) -> None:
        some, forget = batch.sql.some_answers, batch.sql.forget_confirmed
        after, self._up_to = self._forgotten.get(self._session, 0), self._confirmed
        stretch = {"session": self._session, "after": after}
        params = some.params(up_to=self._confirmed, most=ANSWERS_AT_ONCE, **stretch)
        [(count, last)] = await batch.execute(some.text, params)
        if count == ANSWERS_AT_ONCE:
            self._up_to = last
        await batch.execute(forget.text, forget.params(up_to=self._up_to, **stretch))

    def committed(self) -> None:
        self._forgotten[self._session] = self._up_to
        if self._up_to < self._confirmed:
            self._again(self)

    def lost(self, error: Exception) -> None:
        """The next minute tries again."""


class ForgetConfirmedOfOthers:
    """The same for sessions that have ended or whose nodes are gone; `again` takes a work for each."""

    def __init__(self, core: Core, again: Callable[[Task], None]) -> None:
        self._core = core
        self._again = again
        self._over: list[tuple[int, int]] = []

    async def run(self, batch: Batch) -> None:
        self._over = [(id_, up_to) for id_, up_to in await batch.execute(batch.sql.confirmed_of_others.text)]

    def committed(self) -> None:
        sessions = self._core.sessions
        sessions.gone(id_ for id_ in sessions.forgotten.keys() - dict(self._over).keys() if not sessions.knows(id_))
        for session, confirmed in sessions.not_forgotten(self._over)[:SESSIONS_AT_ONCE]:
            self._again(ForgetConfirmed(self._core, self._again, session, confirmed))

    def lost(self, error: Exception) -> None:
        """The next minute tries again."""


class ForgetSessions:
    """The work that drops sessions of which no copy can come any more: over, and nothing was answered in them since."""

    def __init__(self, core: Core, since_ms: int) -> None:
        self._core = core
        self._since_ms = since_ms
        self._forgotten: list[int] = []

    async def run(self, batch: Batch) -> None:
        self._forgotten = []
        newest, session, answers = batch.sql.newest_answer, batch.sql.forget_session, batch.sql.forget_answers
        for id_ in await self._over(batch):
            [(newest_ms,)] = await batch.execute(newest.text, (id_,))
            if newest_ms is None or newest_ms < self._since_ms:
                await batch.execute(session.text, (id_,))
                await batch.execute(answers.text, (id_,))
                self._forgotten.append(id_)

    async def _over(self, batch: Batch) -> list[int]:
        before = first_id(self._since_ms)
        if not self._core.shared:
            return self._core.sessions.over(before)
        query = batch.sql.sessions_over
        return [id_ for (id_,) in await batch.execute(query.text, query.params(before=before, most=SESSIONS_AT_ONCE))]

    def committed(self) -> None:
        self._core.sessions.forget(self._forgotten)

    def lost(self, error: Exception) -> None:
        """The next minute tries again."""
