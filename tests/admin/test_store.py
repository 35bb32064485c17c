"""The questions to the store find their rows by an index, however many rows there are."""

from __future__ import annotations

import pytest

from tests.admin.conftest import World
from vas.admin import store
from vas.store.sql import Query

FEW = {"_ANY_KEY", "_KEYS", "_USABLE_KEYS"}
"""Keys are few, and read as a whole."""
WHOLE = {"_COUNTS": "USING INDEX dead_letter_open"}
"""Read as a whole, too, but only what is open."""
QUESTIONS = {name: query for name, query in vars(store).items() if isinstance(query, Query)}


@pytest.mark.parametrize("name", sorted(QUESTIONS.keys() - FEW))
async def test_no_question_reads_a_whole_table(world: World, name: str) -> None:
    query = QUESTIONS[name]
    plan = await world.books.read(f"EXPLAIN QUERY PLAN {query.text}", [0] * len(query.names))
    steps = [str(step[-1]) for step in plan]
    assert [step for step in steps if step.startswith("SCAN") and WHOLE.get(name, "?") not in step] == []


@pytest.mark.parametrize("name", ["_INBOX_OF", "_OUTBOX_OF", "_LETTERS", "_OPEN_LETTERS", "_AUDIT", "_AUDIT_OF"])
async def test_a_page_is_not_sorted_but_read_in_order(world: World, name: str) -> None:
    plan = await world.books.read(f"EXPLAIN QUERY PLAN {QUESTIONS[name].text}", [0] * len(QUESTIONS[name].names))
    assert [step[-1] for step in plan if "TEMP B-TREE" in str(step[-1])] == []
