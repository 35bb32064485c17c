"""One Inbound → one unit of work: seen before? routed, run, written, and answered after the commit."""

from __future__ import annotations

from hashlib import blake2b
from typing import NamedTuple

import structlog

from vas import conversation
from vas.context import Context, Reply, Suspended
from vas.core import Core
from vas.errors import Invalid
from vas.messages import ROK, Answer, Inbound, Msisdn, mask
from vas.routing import Route, Target
from vas.running import dead_letter, run_handler
from vas.sessions import Copy
from vas.store.ids import milliseconds, shard_of
from vas.store.rows import InboxRow, JobRow, OutboxRow, SeenRow
from vas.subscribers import DOCUMENT, Subscriber, helped, helped_last_hour
from vas.unit import Batch, Unit, job_row

log = structlog.get_logger()
MASKED = "•••"


class Screen(NamedTuple):
    """A USSD screen that goes out by the session its turn came in on. `row` is None when it is shown again."""

    row: OutboxRow | None
    text: str
    more: bool
    inbound: Inbound


class Call(NamedTuple):
    """A handler that waits for the outside world: what to ask, and the job that resumes it."""

    job: JobRow
    suspended: Suspended


class Command:
    """The work of one Inbound. `committed` answers ROK; what it sends is in `messages` and `screen`."""

    def __init__(self, core: Core, inbound: Inbound, answer: Answer, *, asked: bool = False) -> None:
        self.core = core
        self.inbound = inbound
        self.answer = answer
        self.asked = asked
        """The other session's peer was asked for a sign of life, so its answer counts as confirmed if it gave one."""
        self.received_ms = milliseconds(inbound.received_at)
        self._key = b""
        self._reset()

    def _reset(self) -> None:
        self.result = ""
        self.service = ""
        self.ask_session = 0
        self.messages: list[OutboxRow] = []
        self.screen: Screen | None = None
        self.call: Call | None = None

    async def run(self, batch: Batch) -> None:
        self._reset()
        self._key = self._key or self._hash()
        earlier = await batch.seen(self._key)
        if earlier is not None:
            kind = self._judge(earlier)
            if kind is Copy.ASK:
                self.ask_session = earlier.session
                return
            if kind is Copy.REDELIVERY:
                await self._again(batch, earlier)
                return
        unit = Unit(batch, batch.new_id())
        try:
            sender = Msisdn.parse(self.inbound.sender)
        except Invalid:
            self._ignore(unit, "nobody answers a machine")
            return
        batch.mark_seen(self._seen_row(sender, unit.id))
        if self.core.trial_numbers and sender not in self.core.trial_numbers:
            self._ignore(unit, "not among platform.trial_numbers")
            return
        if self.inbound.ussd is not None:
            await conversation.run_turn(self, unit, sender)
        else:
            await self._run_sms(unit, sender)

    async def _run_sms(self, unit: Unit, sender: Msisdn) -> None:
        core, inbound = self.core, self.inbound
        subscriber = await unit.document(DOCUMENT, Subscriber, sender)
        route = core.router.sms(inbound.to, inbound.text)
        if route is None:
            self._help(unit, sender, subscriber)
            return
        context: Context = Context(
            unit, route.mounted, core.platform, sender, subscriber, source=inbound.to, account=inbound.account
        )
        target = Target(route.mounted, route.handler)
        ran = await run_handler(
            core, target, context, lambda: route.handler.run(context, **route.handler.parse(route.values)), by_sms=True
        )
        text = MASKED if route.secret else inbound.text
        if ran.error is not None:
            body = None if route.secret else self.replayable()
            unit.batch.dead_letters.append(
                dead_letter("command", unit.id, sender.digits, target, ran.error, ran.unit, body)
            )
        if ran.suspended is not None:
            self.suspend(ran.unit, route, ran.suspended, context.journal_json())
        self.finish(ran.unit, sender, text, ran.result, ran.reply.key if ran.reply else "", route)

    def replayable(self) -> dict[str, str]:
        """What a replay of this command needs."""
        inbound = self.inbound
        return {"sender": inbound.sender, "to": inbound.to, "text": inbound.text, "account": inbound.account}

    def suspend(self, unit: Unit, route: Route, suspended: Suspended, journal: bytes) -> None:
        """Write down that a handler waits for the outside world, so that it goes on whatever happens."""
        job = job_row(
            unit.batch, msisdn=Msisdn.parse(self.inbound.sender).digits, due_ms=unit.batch.now_ms, kind="call",
            service=route.mounted.name, name=route.handler.name, key="", cause=unit.id,
            body={"values": route.values, "source": self._source(route), "account": self.inbound.account,
                  "journal": journal.decode()},
        )  # fmt: skip
        unit.later(job)
        self.call = Call(job, suspended)

    def _source(self, route: Route) -> str:
        if self.inbound.ussd is None:
            return self.inbound.to
        return route.mounted.short_codes[0] if route.mounted.short_codes else self.inbound.to

    def _help(self, unit: Unit, sender: Msisdn, subscriber: Subscriber) -> None:
        """Nothing matched: never a silent ROK, but at most a few times an hour."""
        core, inbound = self.core, self.inbound
        if helped_last_hour(subscriber, unit.batch.now_ms) >= core.help_per_hour:
            self.finish(unit, sender, inbound.text, "unmatched", "", None, why="nothing matched; helped often enough this hour")
            return
        key = "help_unmatched" if inbound.to in core.router.own_numbers else "help_nothing_here"
        context: Context = Context(
            unit, core.router.fallback, core.platform, sender, subscriber, source=inbound.to, account=inbound.account
        )
        unit.put(DOCUMENT, sender, helped(subscriber, unit.batch.now_ms), "helped")
        unit.send(context.answer(Reply(key, {"code": inbound.to})))
        self.finish(unit, sender, inbound.text, "unmatched", key, None, why="nothing matched")

    def _ignore(self, unit: Unit, why: str) -> None:
        log.info("command.ignored", sender=mask(self.inbound.sender), why=why)
        self.finish(unit, None, self.inbound.text, "ignored", "", None, why=why)

    def finish(
        self, unit: Unit, sender: Msisdn | None, text: str, result: str, reply: str, route: Route | None, why: str = ""
    ) -> None:
        """Keep the unit and write the inbox row."""
        inbound = self.inbound
        digits = sender.digits if sender is not None else inbound.sender
        unit.batch.inbox.append(
            InboxRow(
                shard_of(digits), digits, unit.id, "ussd" if inbound.ussd else "sms", inbound.account, inbound.session,
                inbound.ordinal, self.received_ms, inbound.to, text, route.mounted.name if route else "",
                route.handler.name if route else "", why or (route.why if route else ""), result, reply, unit.steps_json(),
            )
        )  # fmt: skip
        unit.keep()
        self.result = result
        self.service = route.mounted.name if route else ""
        self.messages = [row for row in unit.outbox if row.kind == "sms"]

    # -- seen before?

    def _hash(self) -> bytes:
        inbound = self.inbound
        if inbound.message_id:
            source = b"\0".join((b"id", inbound.account.encode(), inbound.message_id.encode()))
        else:
            source = b"\0".join((b"copy", inbound.account.encode(), inbound.identity))
        return blake2b(source, key=self.core.hash_key, digest_size=16).digest()

    def _judge(self, earlier: SeenRow) -> Copy:
        if self.inbound.message_id:
            return Copy.REDELIVERY
        timer_ms = self.core.rules(self.inbound.account).smsc_response_timer.total_seconds() * 1000
        kind = self.core.sessions.judge(earlier, self.inbound.session, self.received_ms, int(timer_ms))
        return Copy.WISH if kind is Copy.ASK and self.asked else kind

    def _seen_row(self, sender: Msisdn, inbox_id: int) -> SeenRow:
        inbound = self.inbound
        return SeenRow(self._key, inbound.session, inbound.ordinal, self.received_ms, sender.digits, inbox_id)

    async def _again(self, batch: Batch, earlier: SeenRow) -> None:
        """A redelivery changes nothing; it gets the stored answer, whose arrival is judged afresh."""
        key = (shard_of(earlier.msisdn), earlier.msisdn, earlier.inbox_id)
        self.result = "redelivered"
        batch.mark_seen(
            earlier._replace(session=self.inbound.session, ordinal=self.inbound.ordinal, received_ms=self.received_ms)
        )
        stored = next((row for row in batch.inbox if row[:3] == key), None)
        if stored is None:
            await batch.execute(batch.sql.count_copy.text, key)
            rows = await batch.execute(batch.sql.inbox_row.text, key)
            stored = InboxRow(*rows[0]) if rows else None
        if stored is not None and self.inbound.ussd is not None:
            self.screen = Screen(None, stored.reply, stored.result == "asking", self.inbound)

    def committed(self) -> None:
        self.answer(ROK)
