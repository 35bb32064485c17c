"""The works that write down how sessions stand, and forget what no copy can come of any more."""

from __future__ import annotations

from collections.abc import Callable

from vas.core import Core
from vas.store.ids import first_id
from vas.store.protocol import Task
from vas.unit import Batch

ANSWERS_AT_ONCE = 2_000
"""Rows of `seen` deleted in one batch; they are small, and lie together."""
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
    """The work that deletes answers of a session that have surely arrived: no copy of what they answer can come."""

    def __init__(self, again: Callable[[Task], None], session: int, confirmed: int) -> None:
        self._again = again
        self._session = session
        self._confirmed = confirmed
        self._more = False

    async def run(self, batch: Batch) -> None:
        query = batch.sql.forget_confirmed
        params = query.params(session=self._session, confirmed=self._confirmed, most=ANSWERS_AT_ONCE)
        self._more = len(await batch.execute(query.text, params)) == ANSWERS_AT_ONCE

    def committed(self) -> None:
        if self._more:
            self._again(self)

    def lost(self, error: Exception) -> None:
        """The next minute tries again."""


class ForgetConfirmedOfOthers:
    """The same for all sessions that have ended or whose nodes are gone."""

    def __init__(self, again: Callable[[Task], None]) -> None:
        self._again = again
        self._more = False

    async def run(self, batch: Batch) -> None:
        query = batch.sql.forget_confirmed_of_others
        self._more = len(await batch.execute(query.text, query.params(most=ANSWERS_AT_ONCE))) == ANSWERS_AT_ONCE

    def committed(self) -> None:
        if self._more:
            self._again(self)

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
