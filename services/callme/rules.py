"""The rules of call-me: functions from values to values. A rule that says no raises Refused."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from math import ceil
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from services.callme.settings import Advert, Config, quiet_hours
from vas import Invalid, Msisdn, Refused

BLOCKED_MAX = 100
"""Numbers that one subscriber may block one by one."""
ASKED_MAX = 100
"""Friends whose last request is remembered for the pause; beyond it the oldest is forgotten."""


class Caller(msgspec.Struct, frozen=True, omit_defaults=True):
    """What call-me remembers of one subscriber, as a sender and as a receiver of requests."""

    name: str = ""
    asked_on: date | None = None
    """The local day of the last request; `day`, `week` and `month` count the requests of its periods."""
    day: int = 0
    week: int = 0
    month: int = 0
    asked_ms: dict[str, int] = {}
    """Friend's digits → the last request to them, in Unix milliseconds; recent ones only, oldest first."""
    received_on: date | None = None
    received: int = 0
    """Requests that came on `received_on`."""
    blocked: tuple[str, ...] = ()
    """Digits, in the order in which they were blocked."""
    blocks_all: bool = False
    told: bool = False
    """Has got a text that says how to block."""


class Left(NamedTuple):
    """Requests that a subscriber may still make."""

    day: int
    week: int
    month: int

    @property
    def now(self) -> int:
        return min(self)


class Friend(msgspec.Struct, frozen=True):
    """The answer to "which friend?": a number that call-me can reach."""

    number: Msisdn

    @classmethod
    def parse(cls, raw: str) -> Friend:
        """Raises Invalid with the key of the text that says why."""
        return cls(reachable(Msisdn.parse(raw)))


def reachable(number: Msisdn) -> Msisdn:
    """The number, if it is a Vietnamese mobile one: others get no SMS, or cost money."""
    if not number.domestic:
        raise Invalid("foreign", friend=number)
    if not number.mobile:
        raise Invalid("land_line", friend=number)
    return number


def left(caller: Caller, today: date, config: Config) -> Left:
    """What the sender may still ask in the day, the week from Monday and the month of `today`."""
    day, week, month = _used(caller, today)
    return Left(
        max(0, config.daily_limit - day), max(0, config.weekly_limit - week), max(0, config.monthly_limit - month)
    )


def spend(caller: Caller, sender: Msisdn, friend: Msisdn, now: datetime, config: Config) -> Caller:
    """One request of the sender's quotas; refused for oneself, within the pair's pause, and when a quota is used up."""
    if friend == sender:
        raise Refused("self")
    now_ms, today = milliseconds(now), now.date()
    pause_ms = caller.asked_ms.get(friend.digits, 0) + config.pair_pause // MILLISECOND - now_ms
    if pause_ms > 0:
        raise Refused("pause", friend=friend, minutes=ceil(pause_ms / 60_000))
    rest = left(caller, today, config)
    if not rest.month:
        raise Refused("limit_month", limit=config.monthly_limit)
    if not rest.week:
        raise Refused("limit_week", limit=config.weekly_limit)
    if not rest.day:
        raise Refused("limit_day", limit=config.daily_limit)
    day, week, month = _used(caller, today)
    since_ms = now_ms - max(config.pair_pause, config.reach_within) // MILLISECOND
    recent = [(to, ms) for to, ms in caller.asked_ms.items() if ms > since_ms and to != friend.digits]
    asked_ms = dict([*recent[1 - ASKED_MAX :], (friend.digits, now_ms)])
    return replace(caller, asked_on=today, day=day + 1, week=week + 1, month=month + 1, asked_ms=asked_ms)


def give_back(caller: Caller, friend: Msisdn, asked_at: datetime) -> Caller:
    """Undo `spend` of that moment, in the periods it was spent in; those that are over have nothing to give back."""
    if caller.asked_on is None:
        return caller
    same = _same_periods(caller.asked_on, asked_at.date())
    day, week, month = (
        max(0, used - within) for used, within in zip((caller.day, caller.week, caller.month), same, strict=True)
    )
    asked_ms = caller.asked_ms
    if is_latest(caller, friend, asked_at):
        asked_ms = {to: ms for to, ms in asked_ms.items() if to != friend.digits}
    return replace(caller, day=day, week=week, month=month, asked_ms=asked_ms)


def is_latest(caller: Caller, friend: Msisdn, asked_at: datetime) -> bool:
    """Whether nothing was asked of this friend after that moment."""
    return caller.asked_ms.get(friend.digits) == milliseconds(asked_at)


def receive(caller: Caller, me: Msisdn, sender: Msisdn, today: date, limit: int) -> Caller:
    """One request more for this subscriber; refused if they block the sender or have had `limit` today."""
    if blocks(caller, sender):
        raise Refused("blocked_by", friend=me)
    received = caller.received if caller.received_on == today else 0
    if received >= limit:
        raise Refused("receives_no_more", friend=me)
    return replace(caller, received_on=today, received=received + 1, told=True)


def not_received(caller: Caller, asked_on: date, first: bool) -> Caller:
    """Undo `receive` of that day; `first`: the text that got lost was the one that says how to block."""
    received = caller.received - (caller.received_on == asked_on)
    return replace(caller, received=max(0, received), told=caller.told and not first)


def blocks(caller: Caller, sender: Msisdn) -> bool:
    """Whether this subscriber takes no requests from the sender."""
    return caller.blocks_all or sender.digits in caller.blocked


def block(caller: Caller, me: Msisdn, number: Msisdn) -> Caller:
    """Blocking a number twice is blocking it once."""
    if number == me:
        raise Refused("self")
    if number.digits in caller.blocked:
        return caller
    if len(caller.blocked) >= BLOCKED_MAX:
        raise Refused("block_list_full", limit=BLOCKED_MAX)
    return replace(caller, blocked=(*caller.blocked, number.digits))


def block_all(caller: Caller) -> Caller:
    return replace(caller, blocks_all=True)


def unblock(caller: Caller, number: Msisdn) -> Caller:
    """Take one number off the list; while everybody is blocked, that alone would change nothing."""
    if caller.blocks_all:
        raise Refused("all_are_blocked")
    if number.digits not in caller.blocked:
        raise Refused("not_blocked", friend=number)
    return replace(caller, blocked=tuple(digits for digits in caller.blocked if digits != number.digits))


def unblock_all(caller: Caller) -> Caller:
    return replace(caller, blocked=(), blocks_all=False)


def named(caller: Caller, name: str) -> Caller:
    return replace(caller, name=name)


def shown(sender: Msisdn, name: str) -> str:
    """The sender as the friend reads it: the number always, the name beside it if there is one."""
    return f"{sender} ({name})" if name else str(sender)


def advert_of(adverts: tuple[Advert, ...], today: date) -> Advert:
    """Each day the next one."""
    return adverts[today.toordinal() % len(adverts)]


def quiet_until(now: datetime, quiet: str) -> datetime | None:
    """When the quiet hours that `now` lies in will end, or None outside them; `now` is local."""
    hours = quiet_hours(quiet)
    if hours is None:
        return None
    start, end = hours
    clock = now.time()
    inside = start <= clock < end if start < end else clock >= start or clock < end
    if not inside:
        return None
    day = now.date() if clock < end else now.date() + timedelta(days=1)
    return datetime.combine(day, end, now.tzinfo)


MILLISECOND = timedelta(milliseconds=1)


def milliseconds(moment: datetime) -> int:
    """Since 1970, UTC."""
    return round(moment.timestamp() * 1000)


def _used(caller: Caller, today: date) -> tuple[int, int, int]:
    if caller.asked_on is None:
        return 0, 0, 0
    day, week, month = _same_periods(caller.asked_on, today)
    return caller.day * day, caller.week * week, caller.month * month


def _same_periods(one: date, other: date) -> tuple[bool, bool, bool]:
    """Whether two days are the same day, in the same week from Monday, and in the same month."""
    return one == other, one.isocalendar()[:2] == other.isocalendar()[:2], one.replace(day=1) == other.replace(day=1)
