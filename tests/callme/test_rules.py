"""The rules of call-me, without a platform: days, weeks, months, pauses, blocks and quiet hours."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
import pytest

from services.callme import rules
from services.callme.rules import Caller, Left
from services.callme.settings import Advert, Config, quiet_hours
from vas import Invalid, Msisdn, Refused

VIETNAM = ZoneInfo("Asia/Ho_Chi_Minh")
LAN, MINH, HOA = (Msisdn(digits) for digits in ("84912345678", "84987654321", "84905000001"))
CONFIG = Config(daily_limit=2, weekly_limit=3, monthly_limit=4, pair_pause=timedelta(0))


def at(spelled: str) -> datetime:
    return datetime.fromisoformat(spelled).replace(tzinfo=VIETNAM)


def asked(*moments: str, config: Config = CONFIG, friend: Msisdn = MINH) -> Caller:
    caller = Caller()
    for moment in moments:
        caller = rules.spend(caller, LAN, friend, at(moment), config)
    return caller


def refusal(caller: Caller, moment: str, config: Config = CONFIG, friend: Msisdn = MINH) -> str:
    with pytest.raises(Refused) as refused:
        rules.spend(caller, LAN, friend, at(moment), config)
    return refused.value.key


# Thursday 1 January 2026 is in the week that began on Monday 29 December 2025.


def test_a_day_is_full_after_its_limit_until_midnight() -> None:
    caller = asked("2026-03-02 23:58", "2026-03-02 23:59")

    assert refusal(caller, "2026-03-02 23:59:59") == "limit_day"
    assert rules.left(caller, at("2026-03-03 00:00").date(), CONFIG) == Left(2, 1, 2)


def test_a_week_is_full_until_monday_even_across_new_year() -> None:
    caller = asked("2025-12-29 10:00", "2025-12-30 10:00", "2026-01-01 10:00")

    assert refusal(caller, "2026-01-04 23:59") == "limit_week"
    assert rules.left(caller, at("2026-01-05 00:00").date(), CONFIG) == Left(2, 3, 3)


def test_a_month_is_full_until_the_first() -> None:
    caller = asked("2026-06-01 10:00", "2026-06-08 10:00", "2026-06-15 10:00", "2026-06-22 10:00")

    assert refusal(caller, "2026-06-30 10:00") == "limit_month"
    assert rules.left(caller, at("2026-07-01 00:00").date(), CONFIG).month == 4


def test_the_same_month_of_another_year_is_another_month() -> None:
    caller = asked("2026-06-01 10:00")

    assert rules.left(caller, at("2027-06-01 10:00").date(), CONFIG) == Left(2, 3, 4)


@pytest.mark.parametrize(
    ("given_back", "today", "left"),
    [
        pytest.param("2026-06-10 10:00", "2026-06-10", Left(1, 2, 3), id="the same day gets it back"),
        pytest.param("2026-06-09 10:00", "2026-06-10", Left(0, 2, 3), id="yesterday's is not given to today"),
        pytest.param("2026-06-01 10:00", "2026-06-10", Left(0, 1, 3), id="last week's only to the month"),
        pytest.param("2026-05-31 10:00", "2026-06-10", Left(0, 1, 2), id="last month's to nothing"),
    ],
)
def test_a_request_is_given_back_to_the_periods_it_was_spent_in(given_back: str, today: str, left: Left) -> None:
    caller = asked("2026-06-10 10:00", "2026-06-10 11:00")

    caller = rules.give_back(caller, MINH, at(given_back))

    assert rules.left(caller, at(today).date(), CONFIG) == left


def test_giving_back_more_than_was_spent_makes_no_credit() -> None:
    caller = asked("2026-06-10 10:00")
    for _ in range(3):
        caller = rules.give_back(caller, MINH, at("2026-06-10 10:00"))

    assert (caller.day, caller.week, caller.month) == (0, 0, 0)


PATIENT = Config(pair_pause=timedelta(minutes=15))


def test_the_same_friend_can_be_asked_again_only_after_the_pause() -> None:
    caller = asked("2026-06-10 10:00", config=PATIENT)

    with pytest.raises(Refused) as refused:
        rules.spend(caller, LAN, MINH, at("2026-06-10 10:14:30"), PATIENT)
    assert (refused.value.key, refused.value.params["minutes"]) == ("pause", 1)
    rules.spend(caller, LAN, MINH, at("2026-06-10 10:15"), PATIENT)


def test_the_pause_holds_for_one_friend_only() -> None:
    caller = asked("2026-06-10 10:00", config=PATIENT)

    rules.spend(caller, LAN, HOA, at("2026-06-10 10:01"), PATIENT)


def test_a_request_that_failed_does_not_keep_the_pair_waiting() -> None:
    caller = rules.give_back(asked("2026-06-10 10:00", config=PATIENT), MINH, at("2026-06-10 10:00"))

    rules.spend(caller, LAN, MINH, at("2026-06-10 10:01"), PATIENT)


def test_giving_back_an_old_request_leaves_the_pause_of_the_new_one() -> None:
    caller = asked("2026-06-10 10:00", "2026-06-10 10:20", config=PATIENT)

    caller = rules.give_back(caller, MINH, at("2026-06-10 10:00"))

    assert refusal(caller, "2026-06-10 10:21", PATIENT) == "pause"


def test_only_so_many_friends_are_remembered() -> None:
    config = Config(daily_limit=1000, weekly_limit=1000, monthly_limit=1000)
    caller = Caller()
    for number in range(rules.ASKED_MAX + 5):
        caller = rules.spend(caller, LAN, Msisdn(f"849100{number:05}"), at("2026-06-10 10:00"), config)

    assert len(caller.asked_ms) == rules.ASKED_MAX
    assert refusal(caller, "2026-06-10 10:01", config, Msisdn("84910000104")) == "pause"


def test_requests_of_long_ago_are_forgotten() -> None:
    caller = asked("2026-06-10 10:00", config=PATIENT)

    caller = rules.spend(caller, LAN, HOA, at("2026-06-11 10:00"), PATIENT)

    assert list(caller.asked_ms) == [HOA.digits]


def test_nobody_asks_themselves() -> None:
    assert refusal(Caller(), "2026-06-10 10:00", friend=LAN) == "self"


@pytest.mark.parametrize(
    ("raw", "key"),
    [
        ("+491511234567890", "foreign"),
        ("02438251234", "land_line"),
        ("9105", "number_short_code"),
        ("19001234", "number_premium"),
        ("091234", "number_invalid"),
        ("không số", "number_invalid"),
    ],
)
def test_a_number_that_cannot_be_reached_is_refused_by_its_kind(raw: str, key: str) -> None:
    with pytest.raises(Invalid) as refused:
        rules.Friend.parse(raw)
    assert refused.value.key == key


def test_a_number_receives_so_many_requests_a_day_whoever_they_are_from() -> None:
    today = at("2026-06-10 10:00").date()
    caller = rules.receive(rules.receive(Caller(), MINH, LAN, today, 2), MINH, HOA, today, 2)

    with pytest.raises(Refused, match="receives_no_more"):
        rules.receive(caller, MINH, LAN, today, 2)
    rules.receive(caller, MINH, LAN, today + timedelta(days=1), 2)


def test_a_request_that_was_lost_leaves_room_for_another() -> None:
    today = at("2026-06-10 10:00").date()
    caller = rules.not_received(rules.receive(Caller(), MINH, LAN, today, 1), today, True)

    assert rules.receive(caller, MINH, HOA, today, 1).received == 1


def test_how_to_block_counts_as_told_until_the_text_that_says_it_is_lost() -> None:
    today = at("2026-06-10 10:00").date()
    minh = rules.receive(Caller(), MINH, LAN, today, 10)

    assert minh.told
    assert rules.not_received(minh, today, False).told
    assert not rules.not_received(minh, today, True).told


def test_a_lost_request_of_yesterday_makes_no_room_today() -> None:
    today = at("2026-06-10 10:00").date()
    caller = rules.receive(Caller(), MINH, LAN, today, 1)

    assert rules.not_received(caller, today - timedelta(days=1), False).received == 1


def test_a_blocked_number_is_refused_and_others_are_not() -> None:
    today = at("2026-06-10 10:00").date()
    minh = rules.block(Caller(), MINH, LAN)

    with pytest.raises(Refused, match="blocked_by"):
        rules.receive(minh, MINH, LAN, today, 10)
    assert rules.receive(minh, MINH, HOA, today, 10).received == 1


def test_blocking_all_refuses_everybody_until_it_is_undone() -> None:
    today = at("2026-06-10 10:00").date()
    minh = rules.block_all(rules.block(Caller(), MINH, LAN))

    with pytest.raises(Refused, match="blocked_by"):
        rules.receive(minh, MINH, HOA, today, 10)
    assert rules.unblock_all(minh) == Caller()


def test_blocking_twice_needs_one_unblocking() -> None:
    minh = rules.block(rules.block(Caller(), MINH, LAN), MINH, LAN)

    assert rules.unblock(minh, LAN) == Caller()


def test_the_block_list_has_an_end() -> None:
    minh = Caller(blocked=tuple(str(number) for number in range(rules.BLOCKED_MAX)))

    with pytest.raises(Refused, match="block_list_full"):
        rules.block(minh, MINH, LAN)


def test_unblocking_one_number_says_when_it_would_change_nothing() -> None:
    with pytest.raises(Refused, match="not_blocked"):
        rules.unblock(Caller(), LAN)
    with pytest.raises(Refused, match="all_are_blocked"):
        rules.unblock(Caller(blocks_all=True, blocked=(LAN.digits,)), LAN)


NIGHT, NOON = "22:00-07:00", "12:00-13:30"


@pytest.mark.parametrize(
    ("quiet", "now", "until"),
    [
        (NIGHT, "2026-06-10 21:59:59", None),
        (NIGHT, "2026-06-10 22:00", "2026-06-11 07:00"),
        (NIGHT, "2026-06-11 00:00", "2026-06-11 07:00"),
        (NIGHT, "2026-06-11 06:59:59", "2026-06-11 07:00"),
        (NIGHT, "2026-06-11 07:00", None),
        (NOON, "2026-06-11 11:59", None),
        (NOON, "2026-06-11 12:00", "2026-06-11 13:30"),
        (NOON, "2026-06-11 13:30", None),
        ("", "2026-06-11 03:00", None),
    ],
)
def test_quiet_hours_end_at_their_next_end(quiet: str, now: str, until: str | None) -> None:
    assert rules.quiet_until(at(now), quiet) == (at(until) if until else None)


@pytest.mark.parametrize("spelled", ["22-7h", "22:00", "07:00-07:00", "24:00-07:00", "22:00+07:00-07:00"])
def test_quiet_hours_that_cannot_be_meant_are_refused(spelled: str) -> None:
    with pytest.raises(ValueError, match="quiet must be"):
        quiet_hours(spelled)


def test_an_advert_that_could_push_the_number_out_stops_the_start() -> None:
    Config(adverts=(Advert("ắ" * 90, "a" * 90),))
    for text in ("a" * 91, "☎", " "):
        with pytest.raises(ValueError, match="adverts"):
            Config(adverts=(Advert("được", text),))


def test_adverts_take_turns_day_by_day() -> None:
    adverts = (Advert("một", "one"), Advert("hai", "two"))
    days = [at("2026-06-10 10:00").date() + timedelta(days=day) for day in range(4)]

    turns = [rules.advert_of(adverts, day) for day in days]

    assert turns[:2] == turns[2:]
    assert set(turns) == set(adverts)


def test_the_name_stands_beside_the_number_never_in_its_place() -> None:
    assert rules.shown(LAN, "Lan") == "0912345678 (Lan)"
    assert rules.shown(LAN, "") == "0912345678"


def test_what_is_remembered_survives_its_way_through_the_store() -> None:
    caller = rules.named(rules.block(asked("2026-06-10 10:00"), LAN, MINH), "Lan")
    caller = rules.receive(caller, LAN, HOA, at("2026-06-10 10:00").date(), 10)

    assert msgspec.json.decode(msgspec.json.encode(caller), type=Caller) == caller
    assert msgspec.json.encode(Caller()) == b"{}"
