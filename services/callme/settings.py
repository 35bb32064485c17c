"""The keys of [services.callme]."""

from __future__ import annotations

from datetime import time, timedelta
from functools import lru_cache
from typing import Annotated, NamedTuple

import msgspec

from vas import fits_sms, fold

ADVERT_SEPTETS = 90
"""An advert is at most this long without accents: the longest sender's number and name fit before it."""
SMS_SEPTETS = 160

Limit = Annotated[int, msgspec.Meta(ge=1, le=1000)]


class Advert(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A line in both languages, without the label."""

    vi: str
    en: str


class QuietHours(NamedTuple):
    """Local times; they may span midnight."""

    start: time
    end: time


class Config(msgspec.Struct, frozen=True):
    """What the operator decides; raises ValueError for values that cannot be meant."""

    daily_limit: Limit = 5
    weekly_limit: Limit = 15
    monthly_limit: Limit = 40
    pair_pause: timedelta = timedelta(minutes=15)
    """Between two requests of one sender to the same friend."""
    received_daily_limit: Limit = 10
    """Requests that one number gets in a day, whoever they are from."""
    reach_within: timedelta = timedelta(hours=12)
    """How long a request is tried; then it is repeated once, for as long again."""
    quiet: str = ""
    """`22:00-07:00`: requests wait for the end; empty: none."""
    adverts: tuple[Advert, ...] = ()
    """One a day, in turn."""

    def __post_init__(self) -> None:
        quiet_hours(self.quiet)
        if self.reach_within < timedelta(minutes=1):
            raise ValueError("reach_within must be at least a minute")
        for advert in self.adverts:
            for text in (advert.vi, advert.en):
                if not text.strip() or not fits_sms(fold(text) + " " * (SMS_SEPTETS - ADVERT_SEPTETS)):
                    raise ValueError(f"adverts must be 1 to {ADVERT_SEPTETS} characters of an SMS: {text!r}")


@lru_cache
def quiet_hours(spelled: str) -> QuietHours | None:
    """From `22:00-07:00`; None if empty. Raises ValueError."""
    if not spelled:
        return None
    start, dash, end = spelled.partition("-")
    try:
        hours = QuietHours(time.fromisoformat(start.strip()), time.fromisoformat(end.strip()))
    except ValueError:
        dash = ""
    if not dash or hours.start == hours.end or hours.start.tzinfo or hours.end.tzinfo:
        raise ValueError('quiet must be two local times, as in "22:00-07:00", or empty')
    return hours
