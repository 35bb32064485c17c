"""What the platform itself knows of a subscriber, whatever the service."""

from __future__ import annotations

from enum import StrEnum

import msgspec

DOCUMENT = "subscriber"
"""The name under which a Subscriber is kept, beside the services' own documents."""


class Status(StrEnum):
    """Whether the operator serves the number; one-way locked may receive but not start what costs money."""

    ACTIVE = "active"
    ONE_WAY_LOCKED = "one_way_locked"
    LOCKED = "locked"


class Subscriber(msgspec.Struct, frozen=True, omit_defaults=True):
    """One subscriber; the defaults are what a number is before anything is known of it."""

    language: str = ""
    """`vi`, `en`, or empty: the platform's language."""
    accents: bool = True
    """Whether texts come with accents where they fit one SMS."""
    adverts: bool = True
    """False: has refused advertising, also as a line in another message."""
    status: Status = Status.ACTIVE
    helped_ms: tuple[int, ...] = ()
    """When this number was last sent the help text unasked."""


def speak(subscriber: Subscriber, language: str) -> Subscriber:
    return msgspec.structs.replace(subscriber, language=language)


def want_adverts(subscriber: Subscriber, wanted: bool) -> Subscriber:
    return msgspec.structs.replace(subscriber, adverts=wanted)


def want_accents(subscriber: Subscriber, wanted: bool) -> Subscriber:
    return msgspec.structs.replace(subscriber, accents=wanted)


HOUR_MS = 3_600_000


def helped(subscriber: Subscriber, now_ms: int) -> Subscriber:
    """Remember that the help text went out now; only the last hour is kept."""
    recent = tuple(at for at in subscriber.helped_ms if at > now_ms - HOUR_MS)
    return msgspec.structs.replace(subscriber, helped_ms=(*recent, now_ms))


def helped_last_hour(subscriber: Subscriber, now_ms: int) -> int:
    return sum(at > now_ms - HOUR_MS for at in subscriber.helped_ms)
