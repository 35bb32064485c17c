"""What a handler was given comes back from its journal as it was."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vas.errors import TalkChanged
from vas.journal import Entry, Journal, restored
from vas.messages import Msisdn


class Colour(Enum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


class Size(StrEnum):
    LARGE = "large"


class Pair(NamedTuple):
    left: int
    right: date


class Inner(msgspec.Struct, frozen=True):
    number: Msisdn
    on: date | None = None


class Outer(msgspec.Struct, frozen=True, omit_defaults=True):
    inner: Inner
    by_day: dict[int, tuple[Inner, ...]] = {}
    sizes: frozenset[Size] = frozenset()


NUMBER = Msisdn("84912345678")
VALUES = [
    (None, Any), (1, int), ("ợ", str), (True, bool), (1.5, float), (b"\x00\xff", bytes),
    (date(2026, 3, 2), date), (datetime(2026, 3, 2, 9, tzinfo=UTC), datetime), (time(22, 30), time),
    (timedelta(days=1, seconds=2), timedelta), (Decimal("10.10"), Decimal), (UUID(int=7), UUID),
    (Colour.RED, Colour), (Level.HIGH, Level), (Size.LARGE, Size), (NUMBER, Msisdn), (Pair(1, date(2026, 3, 2)), Pair),
    ([1, 2], list[int]), ((NUMBER, NUMBER), tuple[Msisdn, ...]), ({1: NUMBER}, dict[int, Msisdn]), (None, date | None),
    (Outer(Inner(NUMBER, date(2026, 3, 2)), {3: (Inner(NUMBER),)}, frozenset({Size.LARGE})), Outer),
]  # fmt: skip


@pytest.mark.parametrize(("value", "kind"), VALUES, ids=lambda each: getattr(each, "__name__", None))
def test_a_value_comes_back_in_its_own_type(value: object, kind: Any) -> None:
    journal = Journal()
    journal.record("step", value)
    again = Journal.decode(journal.encode())
    entry = again.recorded("step")
    assert entry is not None
    back = restored(entry.value, kind)
    assert back == value
    assert type(back) is type(value)


@pytest.mark.parametrize(("value", "kind"), VALUES, ids=lambda each: getattr(each, "__name__", None))
def test_a_value_that_never_left_is_the_value_itself(value: object, kind: Any) -> None:
    assert restored(value, kind) == value


names = st.text(st.characters(codec="utf-8"), max_size=20)
entries = st.builds(
    Entry, step=names, done=st.booleans(), value=st.none() | st.integers(0, 1 << 60) | names | st.lists(names),
    shown=st.none() | st.lists(names), page=st.integers(0, 9), question=st.booleans(), secret=st.booleans(),
    refused=names,
)  # fmt: skip


@given(st.lists(entries, max_size=4))
def test_a_journal_reads_back_as_it_was_written(written: list[Entry]) -> None:
    assert Journal.decode(Journal(written).encode()).entries == written


def test_steps_are_answered_in_their_order_and_then_the_live_part_begins() -> None:
    journal = Journal.decode(Journal([Entry("a", True, 1), Entry("b", True, 2)]).encode())
    assert [entry and entry.value for entry in map(journal.recorded, "abc")] == [1, 2, None]


def test_a_step_that_does_not_fit_is_an_error_that_names_both() -> None:
    journal = Journal([Entry("a", True, 1)])
    with pytest.raises(TalkChanged, match=r"'a'.*'b'"):
        journal.recorded("b")
