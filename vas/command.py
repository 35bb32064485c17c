"""One Inbound → one unit of work: seen before? routed, run, written, and answered after the commit."""

from __future__ import annotations

from hashlib import blake2b

import structlog
from msgspec import structs

from vas.context import Context
from vas.conversation import MASKED, run_turn
from vas.core import Core
from vas.errors import Invalid
from vas.messages import ROK, Answer, Inbound, Msisdn, Part, mask
from vas.parts import PART_OCTETS_MAX, Reassembly, TooManyParts
from vas.replies import Reply
from vas.routing import Route, Target
from vas.running import Made, Ran, Screen, bury, run_handler
from vas.sessions import Copy, judged_by_its_row, may_be_older
from vas.settling import wait_for_outside
from vas.store.ids import milliseconds, shard_of
from vas.store.rows import Earlier, InboxRow, PartKey, SeenRow
from vas.subscribers import DOCUMENT, Subscriber, helped, helped_last_hour
from vas.unit import Batch, Unit

log = structlog.get_logger()


class Command:
    """The work of one Inbound. `committed` answers ROK; what it sends is in `made`."""

    def __init__(self, core: Core, inbound: Inbound, answer: Answer, *, pushed: bool = False) -> None:
        """`pushed`: nobody sent it, it opens a talk that the network begins."""
        self.core = core
        self.pushed = pushed
        self._came = inbound
        """Of a long message, the one part."""
        self.answer = answer
        self.answer_by_s = core.rules(inbound.account).answer_by_s()
        self._asked_about: Earlier | None = None
        self._arrived: tuple[int, int] | None = None
        """Session and ordinal of an earlier answer that has arrived, as the peer's sign of life says."""
        self.received_ms = milliseconds(inbound.received_at)
        self._read_ms = core.clock_ms()
        self._key = b""
        self._reset()

    def _reset(self) -> None:
        self.inbound = self._came
        self.result = ""
        self.service = ""
        self.doubtful: Earlier | None = None
        """Whether its answer has arrived must be known first; nothing was written."""
        self._seen: SeenRow | None = None
        self._reassembly: Reassembly | None = None
        self.made = Made()

    async def run(self, batch: Batch) -> None:
        self._reset()
        self._key = self._key or self._hash()
        earlier = await self._earlier(batch)
        if earlier is not None:
            kind = self._judge(earlier)
            if kind is Copy.ASK:
                self.doubtful = self._asked_about = earlier
                return
            if kind is Copy.REDELIVERY:
                await self._again(batch, earlier.row)
                return
        unit = Unit(batch, batch.new_id())
        try:
            sender = Msisdn.parse(self.inbound.sender)
        except Invalid:
            self._ignore(unit, "nobody answers a machine")
            return
        why = self._unwanted(sender)
        whole = not why and await self._complete(batch, sender)
        if self.result == "later":
            return
        self._mark(batch, self._seen_row(sender, unit), earlier.row if earlier is not None else None)
        if why:
            self._ignore(unit, why)
        elif not whole:
            self.result = "part"
        elif self.inbound.ussd is not None:
            await run_turn(self, unit, sender)
        else:
            await self._run_sms(unit, sender)

    def _seen_row(self, sender: Msisdn, unit: Unit) -> SeenRow:
        came = self._came
        return SeenRow(
            came.session, came.ordinal, self._key, self.received_ms, sender.digits, unit.id, came.message_id != ""
        )

    def _unwanted(self, sender: Msisdn) -> str:
        """Why this sender is not served; empty: it is."""
        if self.inbound.sender in self.core.own_numbers:
            return "our own number"
        if self.core.trial_numbers and sender not in self.core.trial_numbers:
            return "not among platform.trial_numbers"
        return ""

    async def _complete(self, batch: Batch, sender: Msisdn) -> bool:
        """Whether the message is whole; if its last part has just come, `inbound` is now the whole of it."""
        inbound, part = self._came, self._came.part
        if part is None or len(part.octets) > PART_OCTETS_MAX:
            return True
        self._reassembly = Reassembly(self.core, batch, self.made)
        key = PartKey(
            shard_of(sender.digits), sender.digits, inbound.account, inbound.to, part.reference, part.total
        )  # fmt: skip
        try:
            parts = await self._reassembly.take(key, part)
        except TooManyParts:
            self.result = "later"
            return False
        if parts is not None:
            self.inbound = structs.replace(inbound, text=self._text_of(parts))
        return parts is not None

    def _text_of(self, parts: list[Part]) -> str:
        try:
            return self.core.text_of(self._came.account, parts)
        except Exception as error:
            # Refusing it would bring it back for ever.
            log.error("parts.unreadable", account=self._came.account, error=type(error).__name__)
            return ""

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
            bury(core, "command", unit.id, sender.digits, target, ran, body, secret=route.secret)
        if ran.suspended is not None:
            self.wait(context, ran, route, "command")
        self.finish(ran.unit, sender, text, ran.result, ran.reply.key if ran.reply else "", route)

    def replayable(self) -> dict[str, str]:
        """What a replay of this command needs."""
        inbound = self.inbound
        return {"sender": inbound.sender, "to": inbound.to, "text": inbound.text, "account": inbound.account}

    def wait(self, context: Context, ran: Ran, route: Route, kind: str) -> None:
        """Write down that the handler waits for the outside world."""
        body = {"values": route.kept_values, "source": context.source, "account": self.inbound.account}
        wait_for_outside(self.core, context, ran, self.made, kind, route.handler.name, body)

    def _help(self, unit: Unit, sender: Msisdn, subscriber: Subscriber) -> None:
        """Nothing matched: never a silent ROK, but at most a few times an hour."""
        core, inbound = self.core, self.inbound
        if helped_last_hour(subscriber, unit.batch.now_ms) >= core.help_per_hour:
            self.finish(
                unit, sender, inbound.text, "unmatched", "", None, why="nothing matched; helped often enough this hour"
            )
            return
        key, params = self._help_text()
        context: Context = Context(
            unit, core.router.fallback, core.platform, sender, subscriber, source=inbound.to, account=inbound.account
        )
        unit.put(DOCUMENT, sender, helped(subscriber, unit.batch.now_ms), "helped")
        unit.send(context.answer(Reply(key, params)))
        self.finish(unit, sender, inbound.text, "unmatched", key, None, why="nothing matched")

    def _help_text(self) -> tuple[str, dict[str, object]]:
        router, code = self.core.router, self.inbound.to
        if code not in router.own_numbers:
            return "help_nothing_here", {}
        commands = router.commands(code)
        if router.sms(code, "HD") is not None or not commands:
            return "help_unmatched", {"code": code}
        return "help_commands", {"commands": commands}

    def _ignore(self, unit: Unit, why: str) -> None:
        log.info("command.ignored", sender=mask(self.inbound.sender), why=why)
        self.finish(unit, None, self.inbound.text, "ignored", "", None, why=why)

    def finish(
        self, unit: Unit, sender: Msisdn | None, text: str, result: str, reply: str, route: Route | None, why: str = ""
    ) -> None:
        """Keep the unit and write the inbox row."""
        inbound = self.inbound
        if route is None and self.core.router.may_hold_secret(inbound.to, inbound.text):
            text = MASKED
        digits = sender.digits if sender is not None else inbound.sender
        kind = "push" if self.pushed else "ussd" if inbound.ussd else "sms"
        unit.batch.inbox.append(
            InboxRow(
                shard_of(digits), digits, unit.id, kind, inbound.account, inbound.session,
                inbound.ordinal, self.received_ms, inbound.to, text, route.mounted.name if route else "",
                route.handler.name if route else "", why or (route.why if route else ""), result, reply,
                unit.steps_json(), 0, inbound.part.total if inbound.part else 1, self.core.member.name,
            )
        )  # fmt: skip
        self.made.take(self.core, unit)
        self.result = result
        self.service = route.mounted.name if route else ""

    # -- seen before?

    async def _earlier(self, batch: Batch) -> Earlier | None:
        """What this is a copy of, if anything."""
        found = await batch.seen_before(self._key, lasting=bool(self.inbound.message_id))
        if found is None and not self.core.shared and (known := self.core.sessions.earlier(self._key)) is not None:
            found = Earlier(known)
        # What it was a copy of counts, even if another copy of that was answered and confirmed meanwhile.
        return found or self._asked_about

    def learned(self, arrived: bool) -> None:
        """What was found out about the answer in doubt; the command is run again then."""
        assert self.doubtful is not None
        row = self.doubtful.row
        if arrived:
            self._arrived = row.session, row.ordinal
        else:
            self._asked_about = self.doubtful._replace(alive=False)

    def _hash(self) -> bytes:
        inbound, part = self._came, self._came.part
        if inbound.message_id:
            source = b"\0".join((b"id", inbound.account.encode(), inbound.message_id.encode()))
            if part is not None:
                # Some SMSCs give all parts of a message the one id.
                source += f"\0{part.reference}\0{part.number}".encode()
        else:
            source = b"\0".join((b"copy", inbound.account.encode(), inbound.identity))
        return blake2b(source, key=self.core.hash_key, digest_size=16).digest()

    def _judge(self, earlier: Earlier) -> Copy:
        if self.inbound.message_id:
            return Copy.REDELIVERY
        row, sessions = earlier.row, self.core.sessions
        if earlier.session is not None and not sessions.knows(row.session):
            if may_be_older(row, self.received_ms, self._read_ms):
                return Copy.REDELIVERY
            kind = judged_by_its_row(earlier)
        else:
            timer_ms = self.core.rules(self.inbound.account).smsc_response_timer.total_seconds() * 1000
            kind = sessions.judge(row, self.inbound.session, self._read_ms, int(timer_ms))
        return Copy.WISH if kind is Copy.ASK and self._arrived == (row.session, row.ordinal) else kind

    async def _again(self, batch: Batch, earlier: SeenRow) -> None:
        """A redelivery changes nothing; it gets the stored answer, whose arrival is judged afresh."""
        key = (shard_of(earlier.msisdn), earlier.msisdn, earlier.inbox_id)
        self.result = "redelivered"
        inbound = self.inbound
        self._mark(batch, earlier._replace(
            session=inbound.session, ordinal=inbound.ordinal, received_ms=self.received_ms
        ), earlier)  # fmt: skip
        stored = batch.answered_in_batch(*key)
        if stored is None:
            given = {"given_shard": key[0], "given_msisdn": key[1], "given_id": key[2]}
            await batch.execute(batch.sql.count_copy.text, batch.sql.count_copy.params(**given))
            rows = await batch.execute(batch.sql.inbox_row.text, key)
            stored = InboxRow(*rows[0]) if rows else None
        if stored is not None and self.inbound.ussd is not None:
            self.made.screen = Screen(None, stored.reply, stored.result == "asking", self.inbound)

    def _mark(self, batch: Batch, row: SeenRow, instead_of: SeenRow | None) -> None:
        self._seen = row
        batch.mark_seen(row, instead_of)

    def committed(self) -> None:
        if self._reassembly is not None:
            self._reassembly.committed()
        if self._seen is not None and not self.core.shared:
            self.core.sessions.remember(self._seen)
        self.answer(ROK if self.result != "later" else self.core.rules(self.inbound.account).later_status)

    def lost(self, error: Exception) -> None:
        self.refuse("later")

    def refuse(self, result: str) -> None:
        """Answer `later`, or `throttled` while the platform is full; nothing was written."""
        self.core.metrics.received.labels("", self.inbound.account, result).inc()
        self.answer(self.core.rules(self.inbound.account).refusing(result))
