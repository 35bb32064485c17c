"""The same works, batch after batch, leave the same on both engines: on one they run together, on the other in turn."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.engines import Engine
from tests.store.works import PEOPLE, SERVICE, Does, Ends, Later, Once, Purse, Turn, execute, note, shared_store
from vas.messages import Msisdn
from vas.store.protocol import Store, Work
from vas.store.sqlite import SqliteStore
from vas.unit import Unit

pytestmark = pytest.mark.only_on("postgres", "beside the embedded engine")
OPEN_SQLITE = SqliteStore.open
TABLES = ("state", "talk", "job", "seen", "inbox", "toy_word")
LEFT = (
    "SELECT msisdn, service, value FROM state ORDER BY msisdn",
    "SELECT msisdn, journal FROM talk ORDER BY msisdn",
    "SELECT msisdn, key, count(*) FROM job GROUP BY msisdn, key ORDER BY msisdn, key",
    "SELECT word FROM toy_word ORDER BY word",
)


def copies_from(who: Msisdn, friend: Msisdn) -> Does:
    async def handler(unit: Unit) -> None:
        theirs = await unit.document(SERVICE, Purse, friend)
        mine = await unit.document(SERVICE, Purse, who)
        unit.put(SERVICE, who, Purse(mine.spent + theirs.spent + 1, (*mine.notes, *theirs.notes)[-4:]), "copied")

    return Does(handler)


def fails_over(who: Msisdn, limit: int) -> Does:
    """Its fault depends on what those before it have done."""

    async def handler(unit: Unit) -> None:
        purse = await unit.document(SERVICE, Purse, who)
        unit.put(SERVICE, who, Purse(purse.spent + 1, purse.notes), "counted")
        if purse.spent > limit:
            raise KeyError(who.digits)

    return Does(handler)


def words(texts: Sequence[str], who: Msisdn) -> Does:
    """Statements of its own, of which some fail and are taken for what they are."""

    async def handler(unit: Unit) -> None:
        failed = 0
        for text in texts:
            try:
                await unit.execute("INSERT INTO toy_word VALUES (?)", (text,))
            except Exception:
                failed += 1
        purse = await unit.document(SERVICE, Purse, who)
        unit.put(SERVICE, who, Purse(purse.spent + failed, purse.notes), "words")

    return Does(handler)


MAKERS: dict[str, Callable[..., Work]] = {
    "note": lambda who, _, what: note(who, what),
    "copies from": lambda who, friend, _: copies_from(who, friend),
    "fails over": lambda who, _, what: fails_over(who, ord(what) - ord("a")),
    "words": lambda who, _, what: words(what + "ab", who),
    "statement": lambda _, __, what: execute("INSERT INTO toy_word VALUES (?)", what),
    "turn": lambda who, _, what: Turn(who, what),
    "ends": lambda who, _, __: Ends(who),
    "later": lambda who, _, what: Later(what, who),
    "cancel": lambda who, _, what: Later(what, who, cancel=True),
    "once": lambda who, _, what: Once(what.encode(), 1, -1, who, lasting=True),
}
Made = tuple[str, Msisdn, Msisdn, str]
people = st.sampled_from(PEOPLE[:3])
made: st.SearchStrategy[Made] = st.tuples(st.sampled_from(sorted(MAKERS)), people, people, st.sampled_from("abc"))


async def run(store: Store, batches: Sequence[Sequence[Made]]) -> tuple[list[Any], list[Any]]:
    """How each work ended, and what is left."""
    ended: list[Any] = []
    ordinal = 0
    for batch in batches:
        works = [MAKERS[name](*arguments) for name, *arguments in batch]
        for work in works:
            if isinstance(work, Once):
                ordinal += 1
                work.seen = work.seen._replace(ordinal=ordinal, received_ms=ordinal)
        outcomes = await store.commit(works)
        ended += [
            (outcome is None, work.copies if isinstance(work, Once) else 0)
            for work, outcome in zip(works, outcomes, strict=True)
        ]
    return ended, [await store.read(query) for query in LEFT]


@settings(
    max_examples=25, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip
@given(batches=st.lists(st.lists(made, min_size=1, max_size=8), min_size=1, max_size=4))
def test_both_engines_end_in_the_same(
    engine: Engine, tmp_path: Path, empty_database: Path, batches: list[list[Made]]
) -> None:
    async def both() -> tuple[Any, Any]:
        shared = shared_store(engine.url(tmp_path))
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(empty_database, Path(folder, "vas.db"))
            embedded = SqliteStore(Path(folder, "vas.db"), clock_ms=lambda: 1_800_000_000_000)
            await OPEN_SQLITE(embedded)
            await shared.open()
            try:
                for store in (shared, embedded):
                    await store.commit([execute("CREATE TABLE IF NOT EXISTS toy_word (word text PRIMARY KEY)")])
                await shared.commit([execute(f"DELETE FROM {table}") for table in TABLES])  # noqa: S608
                return await run(shared, batches), await run(embedded, batches)
            finally:
                await shared.close()
                await embedded.close()

    of_shared, of_embedded = asyncio.run(both())
    assert of_shared == of_embedded
