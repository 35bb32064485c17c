"""One batch on the shared engine: its works run together and come out as if one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from tests.engines import Engine
from tests.store.works import (
    LAN,
    MAI,
    SERVICE,
    Does,
    Ends,
    Later,
    Once,
    Purse,
    Turn,
    execute,
    note,
    purses,
    shared_store,
)
from vas.errors import ForeignAwait
from vas.store.postgres import PostgresStore
from vas.store.rows import OutboxRow
from vas.unit import Unit

pytestmark = pytest.mark.only_on("postgres", "its transactions")


@pytest.fixture
async def store(engine: Engine, tmp_path: Path) -> AsyncIterator[PostgresStore]:
    store = shared_store(engine.url(tmp_path))
    await store.open()
    await store.commit([execute("CREATE TABLE toy_word (word text PRIMARY KEY)")])
    yield store
    await store.close()


async def words(store: PostgresStore) -> list[str]:
    return [word for (word,) in await store.read("SELECT word FROM toy_word ORDER BY word")]


def word(text: str) -> Does:
    return execute("INSERT INTO toy_word VALUES (?)", text)


def after_a_word(text: str, then: Does) -> Does:
    """Runs a statement first, so that it waits for its turn, and then does as another work."""

    async def handler(unit: Unit) -> None:
        await unit.execute("INSERT INTO toy_word VALUES (?)", (text,))
        await then._handler(unit)

    return Does(handler)


async def test_works_on_one_document_follow_each_other_in_the_order_of_arrival(store: PostgresStore) -> None:
    works = [note(LAN, str(number)) for number in range(20)]
    assert await store.commit(works) == [None] * 20
    assert (await purses(store))[LAN.digits] == Purse(20, tuple(map(str, range(20))))
    assert [work.runs for work in works] == [1] + [2] * 19


async def test_one_that_only_reads_sees_what_those_before_it_wrote_and_nothing_else(store: PostgresStore) -> None:
    seen: list[int] = []

    async def look(unit: Unit) -> None:
        seen.append((await unit.document(SERVICE, Purse, LAN)).spent)

    before, after = Does(look), Does(look)
    del seen[:]
    await store.commit([before, note(LAN, "a", 5), after, note(LAN, "b", 7)])
    assert (seen[0], seen[-1]) == (0, 5)
    assert (await purses(store))[LAN.digits].spent == 12


async def test_those_who_run_statements_keep_their_place_in_the_order(store: PostgresStore) -> None:
    works = [note(LAN, "1"), after_a_word("two", note(LAN, "2")), note(LAN, "3"), after_a_word("four", note(LAN, "4"))]
    assert await store.commit(works) == [None] * 4
    assert (await purses(store))[LAN.digits].notes == ("1", "2", "3", "4")
    assert await words(store) == ["four", "two"]


async def test_reads_of_all_works_are_one_query_a_kind(store: PostgresStore) -> None:
    queries: list[str] = []
    session = store._session
    assert session is not None
    session.connection.add_query_logger(lambda query: queries.append(query.query))
    many = [note(person, "x") for person in (LAN, MAI)] * 5 + [Turn(LAN, "1"), Turn(MAI, "1")]
    await store.commit(many)
    await asyncio.sleep(0)
    assert sum("FROM state" in query for query in queries) == sum("FROM talk" in query for query in queries) == 1


async def test_a_fault_leaves_nothing_of_its_work_and_all_of_the_others(store: PostgresStore) -> None:
    async def fails(unit: Unit) -> None:
        purse = await unit.document(SERVICE, Purse, LAN)
        unit.put(SERVICE, LAN, Purse(purse.spent + 100), "fails")
        raise KeyError("mine")

    outcomes = await store.commit([note(LAN, "1"), Does(fails), note(LAN, "2")])
    assert [type(outcome) for outcome in outcomes] == [type(None), KeyError, type(None)]
    assert (await purses(store))[LAN.digits] == Purse(2, ("1", "2"))


async def test_a_fault_that_only_what_was_stale_has_caused_is_none(store: PostgresStore) -> None:
    async def asks_for_five(unit: Unit) -> None:
        assert (await unit.document(SERVICE, Purse, LAN)).spent == 5

    assert await store.commit([note(LAN, "", 5), Does(asks_for_five)]) == [None, None]


async def test_a_fault_after_a_statement_undoes_that_statement_alone(store: PostgresStore) -> None:
    async def fails(unit: Unit) -> None:
        await unit.execute("INSERT INTO toy_word VALUES ('mine')")
        raise KeyError("mine")

    outcomes = await store.commit([word("before"), note(LAN, "1"), Does(fails), word("after")])
    assert [type(outcome) for outcome in outcomes] == [type(None), type(None), KeyError, type(None)]
    assert await words(store) == ["after", "before"]
    assert (await purses(store))[LAN.digits].spent == 1


async def test_a_unit_that_is_dropped_takes_its_statements_back_and_its_work_goes_on(store: PostgresStore) -> None:
    class Refuses:
        async def run(self, batch: object) -> None:
            unit = Unit(batch, 1)  # type: ignore[arg-type]
            await unit.execute("INSERT INTO toy_word VALUES ('refused')")
            unit = unit.drop()
            await unit.execute("INSERT INTO toy_word VALUES ('answered')")
            unit.keep()

    assert await store.commit([word("before"), Refuses(), word("after")]) == [None, None, None]
    assert await words(store) == ["after", "answered", "before"]


async def test_a_handler_may_catch_that_its_statement_failed_and_go_on(store: PostgresStore) -> None:
    caught: list[Exception] = []

    async def twice(unit: Unit) -> None:
        for text in ("one", "one", "two", "two"):
            try:
                await unit.execute("INSERT INTO toy_word VALUES (?)", (text,))
            except Exception as error:
                caught.append(error)
        # Nor does the last one's failure spoil what is not a statement of its own.
        await unit.document(SERVICE, Purse, MAI)

    assert await store.commit([note(LAN, "1"), Does(twice), note(LAN, "2")]) == [None, None, None]
    assert (await words(store), [type(error).__name__ for error in caught]) == (
        ["one", "two"],
        ["UniqueViolationError"] * 2,
    )


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(("SELECT nothing FROM toy_word",), id="no such column"),
        pytest.param(("INSERT INTO toy_word VALUES (?)",), id="a parameter missing"),
        pytest.param(("INSERT INTO toy_word VALUES (?)", 5), id="a parameter of a wrong type"),
        pytest.param(("INSERT INTO toy_word VALUES (NULL)",), id="against a constraint"),
        pytest.param(("SELECT 1 / ?", 0), id="a value that cannot be"),
    ],
)
async def test_a_statement_that_is_wrong_is_its_own_works_fault(store: PostgresStore, wrong: tuple[str]) -> None:
    outcomes = await store.commit([word("before"), execute(*wrong), note(LAN, "1")])
    assert [outcome is None for outcome in outcomes] == [True, False, True]
    assert await words(store) == ["before"]
    assert (await purses(store))[LAN.digits].spent == 1
    assert store.outage is None


async def test_one_whose_rows_cannot_be_written_fails_alone(store: PostgresStore) -> None:
    class Spoils:
        async def run(self, batch: object) -> None:
            batch.outbox.append(outbox_row(text="x", status=1 << 80))  # type: ignore[attr-defined]

    notes = [note(LAN, str(number)) for number in range(9)]
    outcomes = await store.commit([*notes[:4], Spoils(), *notes[4:]])
    assert [at for at, outcome in enumerate(outcomes) if outcome is not None] == [4]
    assert (await purses(store))[LAN.digits].notes == tuple("012345678")


def outbox_row(text: str, status: int = 0) -> OutboxRow:
    return OutboxRow(
        1, LAN.digits, 7, 0, "", "toy", "sms", "9105", "", text, "", b"", "", False, False, 0, 0, None, status=status
    )


@pytest.mark.parametrize("text", ["a\0b", "a\ud83dz"], ids=["NUL", "half a surrogate pair"])
async def test_what_a_phone_may_send_and_the_database_cannot_hold_is_replaced(store: PostgresStore, text: str) -> None:
    class Sends:
        async def run(self, batch: object) -> None:
            batch.outbox.append(outbox_row(text))  # type: ignore[attr-defined]

    assert await store.commit([Sends(), word(text)]) == [None, None]
    [(kept,)] = await store.read("SELECT text FROM outbox")
    assert (kept[0], len(kept), kept[2]) == (text[0], 3, text[2])
    assert await words(store) == [kept]


async def a_future() -> None:
    await asyncio.get_running_loop().create_future()


@pytest.mark.parametrize(
    "foreign",
    [lambda: asyncio.sleep(0), lambda: asyncio.sleep(0.01), a_future],
    ids=["a pause", "a timer", "a future"],
)
async def test_a_handler_that_waits_for_anything_else_is_told(
    store: PostgresStore, foreign: Callable[[], Awaitable[None]]
) -> None:
    async def waits(unit: Unit) -> None:
        await unit.document(SERVICE, Purse, LAN)
        await foreign()

    outcomes = await store.commit([note(LAN, "1"), Does(waits), note(LAN, "2")])
    assert [type(outcome) for outcome in outcomes] == [type(None), ForeignAwait, type(None)]


async def test_it_is_told_in_its_own_code(store: PostgresStore) -> None:
    caught: list[ForeignAwait] = []

    class Catches:
        async def run(self, batch: object) -> None:
            try:
                await batch.handle(asyncio.sleep(0))  # type: ignore[attr-defined]
            except ForeignAwait as error:
                caught.append(error)

    assert await store.commit([Catches(), word("after")]) == [None, None]
    assert len(caught) == 1


async def test_the_second_copy_in_a_batch_finds_the_first(store: PostgresStore) -> None:
    copies = [Once(b"k", 1, ordinal, LAN) for ordinal in (1, 2, 3)]
    assert await store.commit(copies) == [None] * 3
    assert [copy.copies for copy in copies] == [0, 1, 1]
    assert await store.read("SELECT session, ordinal FROM seen") == [(1, 3)]
    later = Once(b"k", 1, 4, LAN)
    await store.commit([later])
    assert (later.copies, await store.read("SELECT session, ordinal FROM seen")) == (1, [(1, 4)])
    assert (await purses(store))[LAN.digits].spent == 1


async def test_a_talk_that_begins_goes_on_and_ends_in_one_batch_or_in_several(store: PostgresStore) -> None:
    await store.commit([Turn(LAN, "1"), Turn(LAN, "2"), Turn(MAI, "x"), Ends(MAI)])
    await store.commit([Turn(LAN, "3"), Turn(LAN, "4")])
    assert await store.read("SELECT msisdn, journal FROM talk") == [(LAN.digits, b"1234")]
    await store.commit([Ends(LAN), Turn(LAN, "5")])
    assert await store.read("SELECT msisdn, journal FROM talk") == [(LAN.digits, b"5")]
    await store.commit([Ends(LAN)])
    assert await store.read("SELECT msisdn, journal FROM talk") == []


async def test_jobs_are_cancelled_in_the_database_and_in_the_batch_and_may_be_made_anew(store: PostgresStore) -> None:
    await store.commit([Later("old"), Later("stays")])
    await store.commit([Later("new"), Later("old", cancel=True), Later("new", cancel=True), Later("again")])
    assert await store.read("SELECT key FROM job ORDER BY key") == [("again",), ("stays",)]


async def test_a_statement_finds_no_job_that_was_cancelled_before_it(store: PostgresStore) -> None:
    found: list[object] = []

    async def look(unit: Unit) -> None:
        found.append(await unit.batch.execute("SELECT key FROM job"))

    await store.commit([Later("old")])
    await store.commit([Later("old", cancel=True), Does(look)])
    assert found == [[]]


async def test_who_no_longer_waits_for_a_commit_does_not_undo_it(store: PostgresStore) -> None:
    waiting = asyncio.ensure_future(store.commit([note(LAN, "1")]))
    await asyncio.sleep(0)
    waiting.cancel()
    await store.commit([note(LAN, "2")])
    assert (await purses(store))[LAN.digits].notes == ("1", "2")
