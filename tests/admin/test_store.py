"""The questions to the store find their rows by an index, however many rows there are."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.admin.conftest import World
from tests.engines import Engine
from vas.admin import store
from vas.store.sql import Portable

FEW = {"_ANY_KEY", "_KEYS", "_USABLE_KEYS"}
"""Keys are few, and read as a whole."""
WHOLE = {"_COUNTS": "dead_letter_open"}
"""Read as a whole, too, but only what is open."""
QUESTIONS = {
    name: question
    for name, question in vars(store).items()
    if isinstance(question, Portable) and not name.startswith(("_PUT", "_REVOKE"))
}
SCAN = {"sqlite": "SCAN", "postgres": "Seq Scan"}
SORT = {"sqlite": "TEMP B-TREE", "postgres": "Sort"}


def plan(world: World, engine: Engine, folder: Path, name: str) -> list[str]:
    return engine.plan(folder, QUESTIONS[name].on(world.books.sql.dialect).text)


@pytest.mark.parametrize("name", sorted(QUESTIONS.keys() - FEW))
async def test_no_question_reads_a_whole_table(world: World, engine: Engine, folder: Path, name: str) -> None:
    steps = plan(world, engine, folder, name)
    assert steps
    assert [step for step in steps if SCAN[engine.name] in step and WHOLE.get(name, "?") not in step] == []


@pytest.mark.parametrize("name", ["_INBOX_OF", "_OUTBOX_OF", "_LETTERS", "_OPEN_LETTERS", "_AUDIT", "_AUDIT_OF"])
async def test_a_page_is_not_sorted_but_read_in_order(world: World, engine: Engine, folder: Path, name: str) -> None:
    assert [step for step in plan(world, engine, folder, name) if SORT[engine.name] in step] == []
