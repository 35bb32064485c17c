"""The checker: what the SMSC knows against what the platform's database says, after everything has come to rest.

The promise: each command that got ESME_ROK has had its effect exactly once, and its reply left at least once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from bench.rows import Rows
from gateway.simulator.delivery import Mo
from gateway.simulator.simulator import Record

SHOWN = 20
"""Violations that are told of one kind."""


class Verdict(NamedTuple):
    """What was found; the promise is kept if there are no violations."""

    commands: int
    """Acknowledged: each one meant by its sender."""
    copies: int
    """Deliveries beyond the first, of commands that the SMSC was not sure of."""
    submissions: int
    """What the SMSC accepted."""
    repeated: int
    """… beyond one for each message: submit_sm whose answer a crash swallowed."""
    violations: list[str]
    moved: int = 0
    """Commands that the SMSC brought to more than one node."""


class Kept(NamedTuple):
    """The platform's side, by subscriber."""

    inbox: Counter[str]
    replies: Counter[str]
    """Rows of the outbox that answer a command of their receiver."""
    requests: Counter[str]
    """Rows that go to a friend, by who asked."""
    spent: dict[str, int]
    """The counter in the sender's document."""
    received: dict[str, int]
    """The counter in the friend's document."""
    unsent: list[str]
    """Messages that never left, and never will."""


async def check(record: Record, database: Rows, text: str) -> Verdict:
    """All commands of `record` are CM; `text` is how they begin."""
    commands = [mo for mo in record.mo if mo.kind == "sms" and mo.text.startswith(text)]
    owed = [mo for mo in commands if not mo.acknowledged]
    acknowledged = Counter(mo.sender for mo in commands if mo.acknowledged)
    friends = Counter(_friend(mo) for mo in commands if mo.acknowledged)
    kept = await read(database, {str(mt.id) for mt in record.mt})
    arrived = Counter(mt.to for mt in record.mt)
    short = [number for number in acknowledged if arrived[number] < acknowledged[number]]
    violations = [
        *_all("not acknowledged in the end", [mo.sender for mo in owed]),
        *_differences("inbox rows", acknowledged, kept.inbox),
        *_differences("replies made", acknowledged, kept.replies),
        *_differences("requests to friends made", acknowledged, kept.requests),
        *_differences("requests counted with the sender", acknowledged, kept.spent),
        *_differences("requests counted with the friend", friends, kept.received),
        *_all("message of the outbox that the SMSC never got", kept.unsent),
        *_all("sender without a reply for each command", short),
    ]
    rows = kept.replies.total() + kept.requests.total()
    copies = sum(len(mo.attempts) - 1 for mo in commands)
    return Verdict(acknowledged.total(), copies, len(record.mt), len(record.mt) - rows, violations)


def _friend(mo: Mo) -> str:
    return "84" + mo.text.split()[1][1:]


async def read(database: Rows, accepted: set[str]) -> Kept:
    """What the database says; `accepted` are the ids of all that the SMSC took."""
    inbox = Counter(row[0] for row in await database.query("SELECT msisdn FROM inbox WHERE service = 'callme'"))
    replies, requests, unsent = Counter[str](), Counter[str](), []
    for msisdn, origin, id_, state, smsc_ids in await database.query(
        "SELECT msisdn, origin, id, state, smsc_ids FROM outbox WHERE service = 'callme'"
    ):
        (replies if msisdn == origin else requests)[origin] += 1
        if state not in ("sent", "delivered") or not set(smsc_ids.split()) <= accepted:
            unsent.append(f"{id_} {state}")
    spent, received = {}, {}
    for msisdn, value in await database.query("SELECT msisdn, value FROM state WHERE service = 'callme'"):
        document = msgspec.json.decode(value)
        spent[msisdn], received[msisdn] = document.get("month", 0), document.get("received", 0)
    return Kept(inbox, replies, requests, spent, received, unsent)


def _differences(what: str, expected: Counter[str], found: dict[str, int]) -> list[str]:
    who = [number for number in sorted({*expected, *found}) if expected[number] != found.get(number, 0)]
    return _all(f"{what}: wrong number", [f"{number} {found.get(number, 0)} for {expected[number]}" for number in who])


def _all(what: str, cases: Iterable[str]) -> list[str]:
    return [f"{what}: {case}" for case in cases][:SHOWN]


async def unfinished(database: Rows) -> int:
    """How many messages have not left yet, or wait for their receipt."""
    [(count,)] = await database.query("SELECT count(*) FROM outbox WHERE due_ms IS NOT NULL")
    return int(count)


async def at_rest(database: Rows) -> bool:
    """Whether every message has left and every awaited receipt has come."""
    return not await unfinished(database)
