"""A COMMIT that fails while the file cannot even be looked at: what was refused may be there after all."""

from __future__ import annotations

import sqlite3
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from services.callme import callme
from vas.errors import StoreError
from vas.messages import ROK, RX_T_APPN, Inbound
from vas.store.ids import moment
from vas.testing import ACCOUNT, Network, mount

pytestmark = pytest.mark.only_on("sqlite", "its connection, which fails as a disk makes it fail")


class CommitsAndFails:
    """A connection whose next COMMIT reaches the disk and reports an error all the same."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def execute(self, text: str, *params: Any) -> Any:
        result = self._connection.execute(text, *params)
        if text == "COMMIT":
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR
            raise error
        return result

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def failing(network: Network) -> Any:
    """The store, whose next COMMIT succeeds and fails, and which then cannot be opened once."""
    store: Any = network.node.store
    connect, failures = store._connect, [sqlite3.OperationalError("disk I/O error")]

    def fails_once() -> sqlite3.Connection:
        if failures:
            raise failures.pop()
        connection: sqlite3.Connection = connect()
        return connection

    store._connection, store._connect = CommitsAndFails(store._connection), fails_once
    return store


async def test_what_was_refused_and_is_there_after_all_is_not_done_again(tmp_path: Path) -> None:
    async with Network(tmp_path, mount(callme, short_codes=["9105"], ussd="*105")) as network:
        lan, mai = network.phone("0912345678"), network.phone("0987654321")
        store = failing(network)
        network.confirms = False

        def copy(ordinal: int) -> Inbound:
            text = "CM 0987654321"
            session = network._session
            return Inbound(
                ACCOUNT, session, ordinal, moment(network.now_ms), lan.number.digits, "9105", text, text.encode()
            )

        assert await network.redeliver(copy(1)) == RX_T_APPN
        for ordinal in range(2, 5):
            # The SMSC delivers again what it was told to keep, until it is taken.
            if await network.redeliver(copy(ordinal)) == ROK:
                break
        else:
            raise AssertionError("it was never taken")
        await network.settled()
        network.node.outbox.tick()
        await network.settled()
        rows = await store.read("SELECT count(*) FROM inbox")
        assert (rows, len(mai.texts), len(lan.texts)) == ([(1,)], 1, 1)


async def test_nothing_more_is_written_until_what_is_there_after_all_is_known(tmp_path: Path) -> None:
    async with Network(tmp_path, mount(callme, short_codes=["9105"], ussd="*105")) as network:
        lan = network.phone("0912345678")
        failing(network)
        network.confirms = False
        node: Any = network.node
        load, failures = node.load_revived, [StoreError("gone again") for _ in range(3)]

        async def fails_at_first() -> None:
            if failures:
                raise failures.pop()
            await load()

        node.load_revived = fails_at_first

        async def deliver(ordinal: int) -> int:
            sent = (network._session, ordinal, moment(network.now_ms), lan.number.digits)
            return await network.redeliver(Inbound(ACCOUNT, *sent, "9105", "HD", b"HD"))

        answers = []
        while ROK not in answers and len(answers) < 5:
            answers.append(await deliver(len(answers) + 1))
        assert answers[0] == RX_T_APPN
        assert answers[-1] == ROK
        assert not failures
        assert node.dispatch.unfinished == 0
        assert await node.store.read("SELECT count(*) FROM inbox") == [(1,)]


async def test_a_part_that_was_refused_and_is_there_after_all_is_waited_for_like_any_other(tmp_path: Path) -> None:
    async with Network(tmp_path, mount(callme, short_codes=["9105"], ussd="*105")) as network:
        lan = network.phone("0912345678")
        failing(network)
        await lan.text("CM 0987654321", "9105", parts=2, order=[1])
        assert network.statuses == [RX_T_APPN]
        await lan.text("HD", "9105")
        assert network.node.core.parts.count == 1
        await network.pass_time(timedelta(minutes=10))
        assert network.node.core.parts.count == 0
        assert "phần 2 trên 2" in lan.texts[-1]
