"""Every statement is one source for both engines."""

from __future__ import annotations

from functools import cached_property

import pytest
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Dialect

from vas.store.rows import PartKey
from vas.store.schema import metadata
from vas.store.sql import SQLITE, Query
from vas.store.statements import Statements

NAMES = sorted({
    name for kind in Statements.__mro__ for name, member in vars(kind).items() if isinstance(member, cached_property)
})  # fmt: skip
POSTGRES: Dialect = postgresql.dialect(paramstyle="numeric_dollar")


@pytest.mark.parametrize("dialect", [SQLITE, POSTGRES], ids=["sqlite", "postgresql"])
@pytest.mark.parametrize("name", NAMES)
def test_every_statement_is_compiled_for_both_engines(name: str, dialect: Dialect) -> None:
    query = getattr(Statements(dialect), name)
    assert isinstance(query, Query)
    assert query.text.count("?" if dialect is SQLITE else "$") >= len(set(query.names))


def test_the_statements_are_all_found() -> None:
    assert {"insert_inbox", "long_message_met", "receipt_came", "outbox_settled"} <= set(NAMES)


@pytest.mark.parametrize("table", ["part", "long_message", "inbox", "outbox", "state", "talk", "job"])
def test_what_belongs_to_a_subscriber_is_led_by_its_shard_and_number(table: str) -> None:
    key = [column.name for column in metadata.tables[table].primary_key]
    assert key[:2] == ["shard", "msisdn"]


def test_the_parts_of_a_long_message_meet_at_one_row_whatever_node_takes_them() -> None:
    assert tuple(column.name for column in metadata.tables["long_message"].primary_key) == PartKey._fields
    assert "ON CONFLICT" in Statements(POSTGRES).long_message_met.text
