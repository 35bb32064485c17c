"""Every node deletes what is old; two at once share the work and do not wait for each other."""

from __future__ import annotations

import asyncpg
import pytest

from vas.store import migrate_postgres, schema
from vas.store.postgres_statements import PostgresStatements
from vas.store.sql import Query

STEP = 50
STATEMENTS = PostgresStatements()
FILL = {
    "receipt": "INSERT INTO receipt SELECT 'a', i::text, '84', NULL, NULL, '', i FROM generate_series(1, 80) i",
    "seen": "INSERT INTO seen SELECT 1, i, int8send(i), i, '84', i, {lasting} FROM generate_series(1, 80) i",
}


@pytest.mark.parametrize(
    "fill, query, given, left",
    [
        pytest.param(
            FILL["receipt"], STATEMENTS.purge(schema.receipt, "at_ms"), {"before": 1_000, "most": STEP}, 80 - STEP,
            id="receipts",
        ),
        pytest.param(
            FILL["seen"].format(lasting="true"), STATEMENTS.purge(schema.seen, "received_ms"),
            {"before": 1_000, "most": STEP}, 80 - STEP, id="what was seen with an id",
        ),
        pytest.param(
            FILL["seen"].format(lasting="false"), STATEMENTS.forget_confirmed,
            {"session": 1, "after": 0, "up_to": STEP}, 0, id="what is confirmed",
        ),
    ],
)  # fmt: skip
async def test_two_who_delete_at_once_take_different_rows_and_neither_waits(
    blank: str, fill: str, query: Query, given: dict[str, object], left: int
) -> None:
    await migrate_postgres.upgrade(blank)
    first, second = await asyncpg.connect(blank), await asyncpg.connect(blank)
    await first.execute(fill)
    await second.execute("SET lock_timeout = '100ms'")
    deleting = first.transaction()
    await deleting.start()
    assert len(await first.fetch(query.text, *query.params(**given))) == STEP
    assert len(await second.fetch(query.text, *query.params(**given))) == left
    await deleting.commit()
    assert await second.fetch(query.text, *query.params(**given)) == []
    await first.close()
    await second.close()
