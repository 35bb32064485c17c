"""What many works of a batch ask the shared engine for at once: each gets its own answer, and only once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.engines import Engine
from tests.store.works import LAN, MAI, SERVICE, Does, Purse, execute, note, purses, shared_store
from vas.store.postgres import PostgresStore
from vas.unit import Unit

pytestmark = pytest.mark.only_on("postgres", "its transactions")


@pytest.fixture
async def store(engine: Engine, tmp_path: Path) -> AsyncIterator[PostgresStore]:
    store = shared_store(engine.url(tmp_path))
    await store.open()
    for smsc_id in "abc":
        expected = store.sql.receipt_expected
        await store.commit([execute(expected.text, "mobifone", smsc_id, LAN.digits, ord(smsc_id), None, "", 1)])
    yield store
    await store.close()


def came(smsc_id: str, state: str = "delivered", *, error: str = "", fails: bool = False) -> Does:
    """A receipt: the id that was found with it is added to what is remembered of Lan."""

    async def handler(unit: Unit) -> None:
        query = unit.batch.sql.receipt_came
        params = query.params(
            account="mobifone", smsc_id=smsc_id, msisdn=LAN.digits, outbox_id=None, state=state, error=error, at_ms=2
        )
        found = await unit.batch.execute_together(query.text, params)
        purse = await unit.document(SERVICE, Purse, LAN)
        if fails:
            raise KeyError("mine")
        notes = (*purse.notes, f"{smsc_id} {[tuple(row) for row in found]}")
        unit.put(SERVICE, LAN, Purse(purse.spent + 1, notes), "came")

    return Does(handler)


async def states(store: PostgresStore) -> dict[str, str | None]:
    return dict(await store.read("SELECT smsc_id, state FROM receipt"))


async def notes(store: PostgresStore) -> tuple[str, ...]:
    return (await purses(store))[LAN.digits].notes


async def test_each_gets_its_own_answer_also_in_the_run_after_the_first(store: PostgresStore) -> None:
    works = [came("b"), came("d"), came("a")]
    assert await store.commit(works) == [None] * 3
    assert [work.runs for work in works] == [1, 2, 2]
    assert await notes(store) == ("b [(98,)]", "d [(None,)]", "a [(97,)]")
    assert await states(store) == {"a": "delivered", "b": "delivered", "c": None, "d": "delivered"}


async def test_they_are_one_statement(store: PostgresStore) -> None:
    queries: list[str] = []
    assert store._session is not None
    store._session.connection.add_query_logger(lambda query: queries.append(query.query))
    await store.commit([came(smsc_id) for smsc_id in "abc"])
    await asyncio.sleep(0)
    assert sum("INTO receipt" in query for query in queries) == 1


async def test_of_two_with_one_key_the_first_is_before_the_second(store: PostgresStore) -> None:
    await store.commit([came("a", "enroute"), came("a", "failed"), came("a", "delivered")])
    assert await notes(store) == ("a [(97,)]", "a [(97,)]", "a []")
    assert (await states(store))["a"] == "failed"


async def test_who_waits_for_something_else_is_not_held_up(store: PostgresStore) -> None:
    works = [note(LAN, "1"), came("a"), execute("SELECT 1"), note(MAI, "2"), came("b")]
    assert await store.commit(works) == [None] * 5
    assert await notes(store) == ("1", "a [(97,)]", "b [(98,)]")
    assert (await purses(store))[MAI.digits].notes == ("2",)


async def test_a_fault_after_it_undoes_the_work_alone(store: PostgresStore) -> None:
    outcomes = await store.commit([came("a"), came("b", fails=True), came("c")])
    assert [type(outcome) for outcome in outcomes] == [type(None), KeyError, type(None)]
    assert await notes(store) == ("a [(97,)]", "c [(99,)]")
    assert await states(store) == {"a": "delivered", "b": None, "c": "delivered"}


async def test_who_asks_for_something_else_when_he_runs_again_is_run_alone(store: PostgresStore) -> None:
    async def by_what_he_read(unit: Unit) -> None:
        spent = (await unit.document(SERVICE, Purse, LAN)).spent
        await came("c" if spent else "b")._handler(unit)

    assert await store.commit([note(LAN, "1"), Does(by_what_he_read)]) == [None, None]
    assert await states(store) == {"a": None, "b": None, "c": "delivered"}


async def test_a_text_that_no_database_can_hold_is_written_as_it_can(store: PostgresStore) -> None:
    assert await store.commit([came("a\0", error="\ud800"), came("b")]) == [None, None]
    assert (await states(store))["a\N{REPLACEMENT CHARACTER}"] == "delivered"
