"""The shared engine while its database goes away, answers late, or does not say what became of a COMMIT."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from bench.proxy import Proxy
from tests.engines import Engine
from tests.store.works import (
    LAN,
    MAI,
    Does,
    Member,
    Purse,
    execute,
    note,
    purses,
    raises_nothing,
    shared_store,
    waits_for_a_lock,
)  # fmt: skip
from vas.errors import CommitUnknown, StoreError, StoreUnusable
from vas.store.ids import id_ms
from vas.store.postgres import PostgresStore
from vas.store.postgres_session import Session
from vas.unit import Unit

pytestmark = pytest.mark.only_on("postgres", "its connection")
WITHIN_S = 20


@pytest.fixture
def url(engine: Engine, tmp_path: Path) -> str:
    return engine.url(tmp_path)


@pytest.fixture
async def other(url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A session past the store."""
    connection = await asyncpg.connect(url)
    yield connection
    await connection.close()


@asynccontextmanager
async def behind_a_proxy(url: str, **settings: Any) -> AsyncIterator[tuple[PostgresStore, Proxy]]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    async with Proxy(parts.hostname, parts.port or 5432) as proxy:
        user = f"{parts.username}:{parts.password}@" if parts.password else f"{parts.username}@"
        store = shared_store(parts._replace(netloc=f"{user}127.0.0.1:{proxy.port}").geturl(), **settings)
        await store.open()
        try:
            yield store, proxy
        finally:
            proxy.heal()
            await store.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def swallow(proxy: Proxy, *, onward: bool, then: Callable[[], None]) -> None:
    """Lose the next COMMIT on its way to the server, or the server's answer to it."""
    seen = False

    def passes(piece: bytes, is_onward: bool) -> bool:
        nonlocal seen
        if seen or is_onward is not onward or b"COMMIT\0" not in piece:
            return True
        seen = True
        then()
        return False

    proxy.passes = passes


def cut_for_a_moment(proxy: Proxy) -> Callable[[], None]:
    def cut() -> None:
        proxy.cut()
        proxy.heal()

    return cut


# -- a COMMIT without an answer


async def test_a_commit_whose_answer_was_lost_is_found_to_be_there(url: str) -> None:
    async with behind_a_proxy(url) as (store, proxy):
        await raises_nothing(store.commit([note(LAN, "0")]))
        swallow(proxy, onward=False, then=cut_for_a_moment(proxy))
        await raises_nothing(store.commit([note(LAN, "1"), note(MAI, "1")]))
        assert (store.revived, store.outage) == (None, None)
        await raises_nothing(store.commit([note(LAN, "2")]))
        assert (await purses(store))[LAN.digits].notes == ("0", "1", "2")


async def test_a_commit_that_never_arrived_is_found_not_to_be_there(url: str) -> None:
    async with behind_a_proxy(url) as (store, proxy):
        await raises_nothing(store.commit([note(LAN, "0")]))
        swallow(proxy, onward=True, then=cut_for_a_moment(proxy))
        with pytest.raises(StoreError) as refused:
            await store.commit([note(LAN, "1")])
        assert not isinstance(refused.value, CommitUnknown)
        await raises_nothing(store.commit([note(LAN, "2")]))
        assert (await purses(store))[LAN.digits].notes == ("0", "2")


async def test_what_nobody_could_look_at_is_refused_and_found_to_be_there_later(url: str) -> None:
    async with behind_a_proxy(url) as (store, proxy):
        swallow(proxy, onward=False, then=proxy.cut)
        work = note(LAN, "1")
        with pytest.raises(CommitUnknown):
            await store.commit([work])
        assert store.outage is not None
        proxy.heal()
        await until(lambda: store.outage is None)
        assert store.revived is not None
        first, last = store.revived
        assert first <= work.ids[-1] <= last
        await raises_nothing(store.commit([note(LAN, "2")]))
        assert (await purses(store))[LAN.digits].notes == ("1", "2")


async def test_what_was_found_to_be_there_is_not_forgotten_if_the_connection_is_lost_again(url: str) -> None:
    async with behind_a_proxy(url) as (store, proxy):
        swallow(proxy, onward=False, then=proxy.cut)
        with pytest.raises(CommitUnknown):
            await store.commit([note(LAN, "1")])
        load, lost = store._tokens.load, [ConnectionResetError()]

        async def lost_once(session: Session) -> None:
            if lost:
                raise lost.pop()
            await load(session)

        store._tokens.load = lost_once  # type: ignore[method-assign]
        proxy.heal()
        await until(lambda: store.outage is None)
        assert not lost
        assert store.revived is not None


@pytest.mark.parametrize("looked", [True, False], ids=["while it looks", "while it is reached again"])
async def test_it_is_reached_again_whatever_the_driver_raises(url: str, looked: bool) -> None:
    async with behind_a_proxy(url) as (store, proxy):
        swallow(proxy, onward=False, then=cut_for_a_moment(proxy) if looked else proxy.cut)
        load, stumbles = store._tokens.load, [AttributeError()]

        async def stumbles_once(session: Session) -> None:
            if stumbles:
                raise stumbles.pop()
            await load(session)

        store._tokens.load = stumbles_once  # type: ignore[method-assign]
        with pytest.raises(CommitUnknown):
            await store.commit([note(LAN, "1")])
        proxy.heal()
        await until(lambda: store.outage is None)
        assert not stumbles
        await raises_nothing(store.commit([note(LAN, "2")]))


async def test_that_a_batch_fails_for_which_nobody_waits_any_more_is_no_error_of_its_own(url: str) -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, complaint: complaints.append(complaint))
    async with behind_a_proxy(url, commit_timeout=timedelta(seconds=0.5)) as (store, proxy):
        proxy.stall()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await store.commit([note(LAN, "1")])
        await until(lambda: store.outage is not None)
        await asyncio.sleep(0)
        gc.collect()
    assert complaints == []


async def test_once_it_is_closed_nobody_tries_to_reach_it_any_more(url: str) -> None:
    async with behind_a_proxy(url, commit_timeout=timedelta(seconds=0.5)) as (store, proxy):
        proxy.stall()
        committing = asyncio.create_task(store.commit([note(LAN, "1")]))
        await asyncio.sleep(0.1)
        await store.close()
        with pytest.raises(StoreError):
            await committing
        assert store._reaching is not None
        assert store._reaching.done()


async def test_what_nobody_could_look_at_and_is_not_there_is_simply_refused(url: str) -> None:
    async with behind_a_proxy(url) as (store, proxy):
        swallow(proxy, onward=True, then=proxy.cut)
        with pytest.raises(CommitUnknown):
            await store.commit([note(LAN, "1")])
        proxy.heal()
        await until(lambda: store.outage is None)
        assert store.revived is None
        await raises_nothing(store.commit([note(LAN, "2")]))
        assert (await purses(store))[LAN.digits].notes == ("2",)


async def test_nobody_says_that_a_transaction_is_not_there_while_it_may_still_be_committed(
    url: str, other: asyncpg.Connection[asyncpg.Record]
) -> None:
    """Its COMMIT may be on its way; who asks waits for its end."""
    async with behind_a_proxy(url) as (store, proxy):
        swallow(proxy, onward=True, then=proxy.cut)
        with pytest.raises(CommitUnknown):
            await store.commit([note(LAN, "1")])
        batch = store._unknown
        assert batch is not None
        async with other.transaction():
            # Another session in the place of the one that was cut off.
            await other.execute("UPDATE meta SET value = $1 WHERE key = $2", batch.token, batch.key)
            proxy.heal()
            await waits_for_a_lock(other)
            assert store.outage is not None
        await until(lambda: store.outage is None)
        assert store.revived == (batch.first_id, batch.last_id)


# -- gone, and there again


async def test_without_its_database_it_refuses_at_once_and_goes_on_by_itself(url: str) -> None:
    async with behind_a_proxy(url) as (store, proxy):
        await raises_nothing(store.commit([note(LAN, "0")]))
        proxy.cut()
        with pytest.raises(StoreError):
            await store.commit([note(LAN, "1")])
        assert store.outage is not None
        work = note(LAN, "2")
        with pytest.raises(StoreError, match="check that it runs"):
            await store.commit([work])
        with pytest.raises(StoreError):
            await store.read("SELECT 1")
        assert work.runs == 0
        since_s = store.outage.since_s
        await asyncio.sleep(0.5)
        assert store.outage.since_s == since_s
        proxy.heal()
        await until(lambda: store.outage is None)
        await raises_nothing(store.commit([note(LAN, "3")]))
        assert (await purses(store))[LAN.digits].notes == ("0", "3")


FAREWELL = b"SFATAL\0VFATAL\0C57P01\0Mterminating connection due to administrator command\0\0"
"""The fields of an ErrorResponse, as pg_terminate_backend has the server send it."""


async def test_a_farewell_whose_end_of_the_connection_is_not_read_yet_is_the_engines_fault(url: str) -> None:
    store = shared_store(url)
    await store.open()
    assert store._session is not None
    farewell = b"E" + (len(FAREWELL) + 4).to_bytes(4) + FAREWELL
    store._session.connection._protocol.data_received(farewell)
    assert not store._session.closed
    with pytest.raises(StoreError):
        await store.commit([note(LAN, "1")])
    await until(lambda: store.outage is None)
    await raises_nothing(store.commit([note(LAN, "2")]))
    await store.close()


async def test_a_batch_that_takes_too_long_is_given_up(url: str) -> None:
    async with behind_a_proxy(url, commit_timeout=timedelta(seconds=0.5)) as (store, _):
        with pytest.raises(StoreError):
            await store.commit([execute("SELECT pg_sleep(10)")])
        await until(lambda: store.outage is None)
        await raises_nothing(store.commit([note(LAN, "1")]))


async def test_a_database_that_says_nothing_any_more_is_noticed_within_the_time_of_a_commit(url: str) -> None:
    async with behind_a_proxy(url, commit_timeout=timedelta(seconds=0.5)) as (store, proxy):
        proxy.stall()
        async with asyncio.timeout(5):
            with pytest.raises(StoreError, match="no answer in time"):
                await store.commit([note(LAN, "1")])
        assert store.outage is not None
        proxy.heal()
        await until(lambda: store.outage is None)
        await raises_nothing(store.commit([note(LAN, "2")]))
        assert (await purses(store))[LAN.digits].notes == ("2",)


async def test_a_node_without_commands_notices_as_well(url: str) -> None:
    async with behind_a_proxy(url) as (store, proxy):
        proxy.cut()
        await until(lambda: store.outage is not None)
        proxy.heal()
        await until(lambda: store.outage is None)


async def test_a_handler_never_sees_that_the_database_is_gone(
    url: str, other: asyncpg.Connection[asyncpg.Record]
) -> None:
    caught: list[BaseException] = []

    async def stubborn(unit: Unit) -> None:
        try:
            await unit.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        except Exception as error:
            caught.append(error)

    store = shared_store(url)
    await store.open()
    with pytest.raises(StoreError, match="terminating connection"):
        await store.commit([note(LAN, "1"), Does(stubborn), note(MAI, "1")])
    assert caught == []
    await until(lambda: store.outage is None)
    await raises_nothing(store.commit([note(LAN, "2")]))
    assert await purses(store) == {LAN.digits: Purse(1, ("2",))}
    await store.close()


async def test_hints_are_heard_again_after_an_outage(url: str) -> None:
    async with behind_a_proxy(url) as (store, proxy):
        heard: list[str] = []
        store.on_hint = heard.append
        proxy.cut()
        await until(lambda: store.outage is not None)
        proxy.heal()
        await until(lambda: store.outage is None)
        connection = await asyncpg.connect(url)
        async with asyncio.timeout(WITHIN_S):
            while not heard:
                await connection.execute("SELECT pg_notify('vas', 'jobs')")
                await asyncio.sleep(0.05)
        await connection.close()
        assert set(heard) == {"jobs"}


# -- a start


@pytest.mark.parametrize(
    ("change", "advice"),
    [
        ({"port": 1}, "check that it runs"),
        ({"path": "/nowhere"}, "make the database"),
        ({"path": "/postgres"}, "run `vas db upgrade`"),
    ],
    ids=["nobody there", "no such database", "no tables"],
)
async def test_a_start_without_its_database_says_what_to_do(url: str, change: dict[str, Any], advice: str) -> None:
    parts = urlsplit(url)
    if "port" in change:
        change = {"netloc": f"me:secret@127.0.0.1:{change['port']}"}
    store = shared_store(parts._replace(**change).geturl())
    with pytest.raises(StoreUnusable, match=advice) as refused:
        await store.open()
    assert "secret" not in str(refused.value)


async def test_no_id_is_made_twice_however_the_clock_stands(url: str) -> None:
    made: list[int] = []
    for number in (0, 0, 3, 3):
        store = PostgresStore(url, clock_ms=lambda: 1_800_000_000_000, member=Member("n", 0, number))
        await store.open()
        work = note(LAN, "x")
        await raises_nothing(store.commit([work]))
        made += [*work.ids, store.new_id()]
        await raises_nothing(store.commit([note(LAN, "y")]))
        await store.close()
    assert len(made) == len(set(made))
    assert {id_ms(id_) // 1000 for id_ in made} == {1_800_000_000}


async def test_a_backup_is_the_databases_own_work(url: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="pg_dump"):
        await shared_store(url).backup(tmp_path / "copy")
