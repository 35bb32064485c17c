"""Long messages that come in parts: each is stored before it is acknowledged, and they may come in any order.

Parts with the same account, subscriber, receiver, reference and total belong together (3GPP TS 23.040 §9.2.3.24.1).
A reference recurs, so a message that is complete frees it at once; a part that differs from the one that waits in its
place begins another message, and the one that waited is given up. What is given up is told to the subscriber, unless
all that came of it were copies of a message that had just ended, or what that one had lacked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b
from typing import NamedTuple

import msgspec
import structlog

from vas.context import Context
from vas.core import Core
from vas.messages import Msisdn, Part, mask
from vas.replies import Reply
from vas.running import Made
from vas.store.protocol import Submit
from vas.store.rows import InboxRow, PartKey
from vas.subscribers import DOCUMENT, Subscriber, helped, helped_last_hour
from vas.unit import Batch, Unit

log = structlog.get_logger()
PART_OCTETS_MAX = 254
"""What a short_message holds, SMPP 3.4 §5.2.22; what is longer is no part of a text, and stands for itself."""
AT_ONCE = 100
"""Long messages given up or forgotten in one batch."""
RANGES_SHOWN = 3
"""Stretches of missing parts that the subscriber is told."""
TOLD = "parts_missing"

_DIGESTS = msgspec.json.Decoder(dict[int, str]).decode


class Met(NamedTuple):
    """The row at which the parts of a long message meet."""

    began_ms: int
    """When the first of the parts that wait came."""
    ended: dict[int, str]
    """Number and hash of each part of the message with this key that ended a while ago; empty: there was none."""


class TooManyParts(Exception):
    """So many parts wait that no further message may begin."""


class Reassembly:
    """What one work does to long messages, inside its batch."""

    def __init__(self, core: Core, batch: Batch, made: Made) -> None:
        self._core = core
        self._batch = batch
        self._sql = batch.sql
        self._made = made
        self._limits = core.parts.limits
        self._more = 0
        self._ended: list[tuple[str, str]] = []
        self._incomplete: list[InboxRow] = []

    async def take(self, key: PartKey, part: Part) -> list[Part] | None:
        """Store a part; the whole message, in order, if this one completes it.

        Raises TooManyParts, with nothing stored, if it would begin a message and no more may wait.
        """
        if self._core.parts.count >= self._limits.in_total and not await self._stored(key):
            self._ended.append((key.account, "later"))
            raise TooManyParts
        met = await self._meet(key)
        stored = await self._stored(key)
        waits = stored.get(part.number)
        if waits is not None and waits.octets == part.octets:
            return None
        if waits is not None or (stored and self._echo(met, stored) and not self._echo(met, {part.number: part})):
            # What waits is of another message: copies of the one before would else make the new one their own.
            await self._give_up(key, stored, met)
            stored = {}
        if not stored:
            query = self._sql.long_message_began
            await self._batch.execute(query.text, query.params(new_due_ms=self._due_ms, **key.given))
        stored[part.number] = part
        if len(stored) == key.total:
            await self._end(key, stored, len(stored) - 1, "complete")
            return [stored[number] for number in sorted(stored)]
        await self._make_room(key)
        await self._batch.execute(self._sql.insert_part.text, (*key, part.number, part.octets, part.coding))
        self._more += 1
        return None

    async def look(self, key: PartKey) -> None:
        """Its time has come: give it up if parts of it wait, else forget that it was there."""
        met = await self._meet(key)
        stored = await self._stored(key)
        if stored:
            await self._give_up(key, stored, met)
        elif met.began_ms + self._limits.wait_ms <= self._batch.now_ms:
            query = self._sql.forget_long_message
            await self._batch.execute(query.text, query.params(**key.given))

    def committed(self) -> None:
        """What was done is durable, so it is counted."""
        parts = self._core.parts
        parts.count += self._more
        parts.look_by(self._due_ms)
        for account, result in self._ended:
            self._core.metrics.long_messages.labels(account, result).inc()
        for row in self._incomplete:
            log.info(
                "long_message.incomplete", id=row.id, account=row.account, sender=mask(row.msisdn), to=row.sent_to,
                why=row.why,
            )  # fmt: skip

    async def _stored(self, key: PartKey) -> dict[int, Part]:
        query = self._sql.parts_of
        rows = await self._batch.execute(query.text, query.params(**key.given))
        return {number: Part(key.reference, key.total, number, octets, coding) for number, octets, coding in rows}

    @property
    def _due_ms(self) -> int:
        return self._batch.now_ms + self._limits.wait_ms

    async def _meet(self, key: PartKey) -> Met:
        row = (*key, self._due_ms, None, b"{}")
        [(due_ms, ended)] = await self._batch.execute(self._sql.long_message_met.text, row)
        return Met(due_ms - self._limits.wait_ms, _DIGESTS(ended))

    async def _make_room(self, key: PartKey) -> None:
        """Give up the oldest other messages of a subscriber who has as many parts waiting as may wait."""
        count, oldest = self._sql.count_parts_of_one, self._sql.oldest_long_messages
        whose = {"of_shard": key.shard, "of_msisdn": key.msisdn}
        while (await self._batch.execute(count.text, count.params(**whose)))[0][0] >= self._limits.of_one:
            others = [PartKey(*row) for row in await self._batch.execute(oldest.text, oldest.params(**whose))]
            await self.look(next(other for other in others if other != key))

    async def _end(
        self, key: PartKey, parts: Mapping[int, Part], waited: int, how: str, before: Mapping[int, str] | None = None
    ) -> None:
        """Free the key; what had come, with what was known `before`, is remembered so that late copies are known."""
        delete, ended = self._sql.delete_parts, self._sql.long_message_ended
        digests = {**(before or {}), **{number: self._digest(part) for number, part in parts.items()}}
        await self._batch.execute(delete.text, delete.params(**key.given))
        await self._batch.execute(
            ended.text,
            ended.params(
                new_due_ms=self._due_ms, new_ended_ms=self._batch.now_ms,
                new_ended=msgspec.json.encode(digests), **key.given,
            ),
        )  # fmt: skip
        self._more -= waited
        self._ended.append((key.account, how))

    def _digest(self, part: Part) -> str:
        return blake2b(part.octets, key=self._core.hash_key, digest_size=8).hexdigest()

    def _echo(self, met: Met, parts: Mapping[int, Part]) -> bool:
        """Whether these may all be copies of the message that ended here, or what that one had lacked."""
        digests = {number: self._digest(part) for number, part in parts.items()}
        return bool(met.ended) and all(met.ended.get(number, digest) == digest for number, digest in digests.items())

    async def _give_up(self, key: PartKey, stored: Mapping[int, Part], met: Met) -> None:
        echo = self._echo(met, stored)
        await self._end(
            key, stored, len(stored), "copies" if echo else "incomplete", before=met.ended if echo else None
        )
        missing = spelled(number for number in range(1, key.total + 1) if number not in stored)
        unit = Unit(self._batch, self._batch.new_id())
        reply = "" if echo else await self._tell(unit, key, missing)
        why = "copies of parts of the message before it" if echo else f"part {missing} of {key.total} did not arrive"
        row = InboxRow(
            key.shard, key.msisdn, unit.id, "sms", key.account, 0, 0, met.began_ms, key.receiver, "", "", "", why,
            "ignored" if echo else "incomplete", reply, unit.steps_json(), 0, key.total, self._core.member.name,
        )  # fmt: skip
        self._batch.inbox.append(row)
        if not echo:
            self._incomplete.append(row)
        self._made.take(self._core, unit)

    async def _tell(self, unit: Unit, key: PartKey, missing: str) -> str:
        """Say by SMS what did not arrive, as seldom as what nothing matches gets the help text; the text's key."""
        core, sender = self._core, Msisdn(key.msisdn)
        subscriber = await unit.document(DOCUMENT, Subscriber, sender)
        if helped_last_hour(subscriber, self._batch.now_ms) >= core.help_per_hour:
            return ""
        context: Context = Context(
            unit, core.router.fallback, core.platform, sender, subscriber, source=key.receiver, account=key.account
        )
        unit.put(DOCUMENT, sender, helped(subscriber, self._batch.now_ms), "helped")
        unit.send(context.answer(Reply(TOLD, {"missing": missing, "total": key.total})))
        return TOLD


def spelled(numbers: Iterable[int]) -> str:
    """Rising numbers as people write them: `2`, `1, 3-5`; of many stretches the first ones, and an ellipsis."""
    stretches: list[list[int]] = []
    for number in numbers:
        if stretches and number == stretches[-1][-1] + 1:
            stretches[-1][1:] = [number]
        else:
            stretches.append([number])
    shown = ["-".join(map(str, stretch)) for stretch in stretches[:RANGES_SHOWN]]
    return ", ".join(shown) + ("…" if len(stretches) > RANGES_SHOWN else "")


class PartsWatch:
    """Gives up in time what stays incomplete. `submit` puts a work into the next batch."""

    def __init__(self, core: Core, submit: Submit, follow: Callable[[Made], None]) -> None:
        self._core = core
        self._submit = submit
        self._follow = follow
        self.looking = False

    def tick(self) -> None:
        """Called a few times a second."""
        due_ms = self._core.parts.due_ms
        if not self.looking and due_ms is not None and due_ms <= self._core.clock_ms():
            self.looking = True
            self._core.parts.due_ms = None
            self._submit(Overdue(self._core, self))

    def looked(self, next_ms: int | None, made: Made) -> None:
        self.looking = False
        if next_ms is not None:
            self._core.parts.look_by(next_ms)
        self._follow(made)

    def not_looked(self) -> None:
        self.looking = False
        self._core.parts.due_ms = self._core.clock_ms()


class Overdue:
    """The work that gives up what has waited for too long, and forgets what ended a while ago."""

    def __init__(self, core: Core, watch: PartsWatch) -> None:
        self._core = core
        self._watch = watch
        self._made = Made()
        self._next_ms: int | None = None

    async def run(self, batch: Batch) -> None:
        self._made = Made()
        self._reassembly = Reassembly(self._core, batch, self._made)
        due, following = batch.sql.long_messages_due, batch.sql.next_long_message
        for key in await batch.execute(due.text, due.params(now_ms=batch.now_ms, most=AT_ONCE)):
            await self._reassembly.look(PartKey(*key))
        [(self._next_ms,)] = await batch.execute(following.text)

    def committed(self) -> None:
        self._reassembly.committed()
        self._watch.looked(self._next_ms, self._made)

    def lost(self, error: Exception) -> None:
        self._watch.not_looked()
