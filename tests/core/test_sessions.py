"""When a copy is a redelivery and when it is meant."""

from __future__ import annotations

import pytest

from vas.sessions import HELD_UP_MS, TIMER_MARGIN_MS, Copy, Sessions, may_be_older
from vas.store.rows import SeenRow, SessionRow

TIMER_MS = 10_000
EARLIER = SeenRow(session=1, ordinal=5, key=b"k", received_ms=0, msisdn="84912345678", inbox_id=1, lasting=False)


@pytest.fixture
def sessions() -> Sessions:
    sessions = Sessions()
    sessions.opened(1, "main")
    sessions.opened(2, "main")
    sessions.remember(EARLIER)
    return sessions


def test_a_confirmed_answer_leaves_nothing_to_doubt(sessions: Sessions) -> None:
    sessions.confirm(1, 5)
    assert sessions.earlier(b"k") is None
    assert sessions.judge(EARLIER, 1, 1, TIMER_MS) is Copy.WISH


def test_a_copy_after_the_line_fell_is_a_redelivery_while_the_answer_is_unconfirmed(sessions: Sessions) -> None:
    sessions.closed(1)
    assert sessions.judge(EARLIER, 2, 1, TIMER_MS) is Copy.REDELIVERY


@pytest.mark.parametrize(
    ("read_ms", "kind"),
    [
        (TIMER_MS - TIMER_MARGIN_MS - 1, Copy.WISH),
        (TIMER_MS - TIMER_MARGIN_MS, Copy.REDELIVERY),
        (TIMER_MS + 1, Copy.REDELIVERY),
    ],
)
def test_on_a_link_that_is_up_a_redelivery_comes_only_after_the_smsc_s_timer(
    sessions: Sessions, read_ms: int, kind: Copy
) -> None:
    assert sessions.judge(EARLIER, 1, read_ms, TIMER_MS) is kind


def test_a_copy_on_another_link_is_judged_by_the_first_one_s_peer(sessions: Sessions) -> None:
    assert sessions.judge(EARLIER, 2, 1, TIMER_MS) is Copy.ASK


@pytest.mark.parametrize("session", [1, 2])
@pytest.mark.parametrize("confirmed", [0, 5])
def test_an_answer_that_left_too_late_stays_doubtful(sessions: Sessions, session: int, confirmed: int) -> None:
    sessions.answered_late(1, 5)
    sessions.confirm(1, confirmed)
    assert sessions.earlier(b"k") == EARLIER
    assert sessions.judge(EARLIER, session, 1, TIMER_MS) is Copy.REDELIVERY


def test_an_answer_that_was_confirmed_before_a_restart_stays_confirmed() -> None:
    sessions = Sessions()
    sessions.restore([SessionRow(1, "main", 5, b"[]")])
    assert sessions.judge(EARLIER, 2, 1, TIMER_MS) is Copy.WISH
    sessions.restore([SessionRow(1, "main", 5, b"[5]")])
    assert sessions.judge(EARLIER, 2, 1, TIMER_MS) is Copy.REDELIVERY


def test_an_answer_of_a_session_that_nobody_remembers_is_doubtful() -> None:
    assert Sessions().judge(EARLIER, 2, 1, TIMER_MS) is Copy.REDELIVERY


@pytest.mark.parametrize(
    ("received_ms", "read_ms", "older"),
    [
        pytest.param(999, 999 + HELD_UP_MS + 1, True, id="brought elsewhere while this node stood still"),
        pytest.param(1_001, 1_001 + HELD_UP_MS + 1, False, id="brought elsewhere before"),
        pytest.param(999, 999 + HELD_UP_MS, False, id="read as it came"),
    ],
)
def test_what_a_node_reads_after_a_standstill_may_be_older_than_what_another_answered(
    received_ms: int, read_ms: int, older: bool
) -> None:
    assert may_be_older(EARLIER._replace(received_ms=1_000), received_ms, read_ms) is older
