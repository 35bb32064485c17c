"""PDUs to messages and back: the gateway that the core sees."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import msgspec
import structlog

from gateway import incoming
from gateway.accounts.account import Account, AccountSettings
from gateway.dialects import receipts
from gateway.dialects.receipt_ids import ReceiptIds
from gateway.dialects.receipts import Kind
from gateway.dialects.ussd_dialects import DIALECTS, Dialect
from gateway.links.bind import BindStatus
from gateway.links.link import Link
from gateway.outgoing import submissions
from gateway.pdus.pdu import DataSm, DeliverSm, SubmitSm
from gateway.routes import Route, way_of
from gateway.sending import Sending, Sent
from gateway.sms import text
from vas.messages import ROK, Answer, Outbound, Part, Receipt, Receiver, SendResult

_IN_PARAMETERS = ("sar", "payload")
"""Ways to mark segments that need optional parameters."""
_MESSAGE, _RECEIPTS = Kind.MESSAGE, (Kind.RECEIPT, Kind.INTERMEDIATE)

log = structlog.get_logger("gateway.adapter")


def utc_now() -> datetime:
    return datetime.now(UTC)


class SmppGateway:
    """A vas.messages.Gateway over any number of SMSC accounts.

    `dialects` are those of USSD that accounts may name besides the shipped ones. While `may_send` says no, nothing
    is submitted, and waits. `shared`: other nodes serve the same accounts, so that none has a connection here until
    `share` says which.
    """

    def __init__(
        self,
        accounts: Sequence[AccountSettings],
        receiver: Receiver,
        clock: Callable[[], datetime] = utc_now,
        dialects: Mapping[str, Dialect] = DIALECTS,
        routes: Sequence[Route] = (),
        *,
        may_send: Callable[[], bool] = lambda: True,
        shared: bool = False,
    ) -> None:
        self.may_send = may_send
        self.backlog = 0
        self.now = clock
        self._away = ""
        self.pausing: dict[Sending, asyncio.TimerHandle] = {}
        self._receiver = receiver
        self._dialects = {**DIALECTS, **dialects}
        self._routes = tuple(routes)
        self._receipt_ids: dict[str, ReceiptIds] = {}
        self._places: dict[str, frozenset[int]] | None = {} if shared else None
        self._changing: dict[str, asyncio.Lock] = {}
        self._agreed: dict[str, AccountSettings] = {}
        """Of each account, over all nodes."""
        self._accounts = {settings.name: self._account(settings) for settings in accounts}

    def _account(self, settings: AccountSettings) -> Account:
        self._receipt_ids[settings.name] = ReceiptIds(settings.receipt_id)
        self._agreed[settings.name] = settings
        self._changing[settings.name] = asyncio.Lock()
        return Account(self._here(settings), self._receiver, self, self.now)

    def _here(self, settings: AccountSettings) -> AccountSettings:
        """With this node's part of the connections, and the same part of the rate."""
        if self._places is None:
            return settings
        binds = sum(place < settings.binds for place in self._places.get(settings.name, ()))
        return msgspec.structs.replace(settings, binds=binds, rate=settings.rate * max(binds, 1) / settings.binds)

    async def start(self) -> None:
        """Begin to connect; the binds come up, and come back, by themselves."""
        self.loop = asyncio.get_running_loop()
        for account in self._accounts.values():
            await account.start()

    async def stop(self) -> None:
        """Send nothing more, wait for the responses that are due, unbind, close."""
        await asyncio.gather(*(account.stop() for account in self._accounts.values()))
        for sending in list(self.pausing):
            sending.give_up()

    async def let_go(self, why: str) -> None:
        """Unbind everywhere and stay away, until `take_up`; `why` is what operations read of every account."""
        self._away = why
        await asyncio.gather(*(account.let_go(why) for account in self._accounts.values()))

    async def take_up(self) -> None:
        """Connect again, but for the accounts that operations have stopped."""
        self._away = ""
        await asyncio.gather(*(account.take_up() for account in self._accounts.values()))

    def cut(self) -> None:
        """Give back what waits, and close every connection without a word."""
        for account in self._accounts.values():
            account.cut()

    def binds_agreed(self) -> dict[str, int]:
        """How many connections each account has over all nodes."""
        return {name: self._agreed[name].binds for name in self._accounts}

    async def share(self, name: str, places: Collection[int]) -> None:
        """Have these connections of an account, by number, and the same part of its rate.

        Returns when those that are too many are unbound, and nothing that went over them is unanswered.
        """
        assert self._places is not None
        self._places[name] = frozenset(places)
        if name in self._accounts:
            async with self._changing[name]:
                await self._accounts[name].change(self._here(self._agreed[name]))

    def account(self, name: str) -> Account:
        """One of the accounts; raises KeyError."""
        return self._accounts[name]

    @property
    def accounts(self) -> Sequence[Account]:
        """All, in the order of the settings."""
        return list(self._accounts.values())

    async def apply(
        self, accounts: Sequence[AccountSettings], dialects: Mapping[str, Dialect], routes: Sequence[Route]
    ) -> list[str]:
        """Go on with other settings: accounts come, change and go; what one of them had not sent, another may.

        A line for each account whose SMSC does not have its new settings; it goes on with the old ones.
        """
        self._dialects.update(dialects)
        self._routes = tuple(routes)
        names = [settings.name for settings in accounts]
        gone = [account for name, account in self._accounts.items() if name not in names]
        changing: list[Coroutine[None, None, str]] = []
        for settings in accounts:
            account = self._accounts.get(settings.name)
            if account is None:
                account = self._accounts[settings.name] = self._account(settings)
                if self._away:
                    await account.let_go(self._away)
                await account.start()
            elif self._agreed[settings.name] != settings:
                changing.append(self._change(account, settings))
        problems = await asyncio.gather(*changing)
        self._accounts = {name: self._accounts[name] for name in names}
        await asyncio.gather(*(account.stop() for account in gone))
        spoken = {account.settings.ussd_dialect for account in self._accounts.values()}  # some by settings of before
        self._dialects = {name: self._dialects[name] for name in spoken} | DIALECTS | dict(dialects)
        return [problem for problem in problems if problem]

    async def _change(self, account: Account, settings: AccountSettings) -> str:
        before = account.settings.receipt_id
        async with self._changing[settings.name]:
            problem = await account.change(self._here(settings))
            if problem:
                return f"accounts.{settings.name}: {problem}"
            self._agreed[settings.name] = settings
        if settings.receipt_id != before:
            self._receipt_ids[settings.name] = ReceiptIds(settings.receipt_id)
        return ""

    def binds(self) -> list[BindStatus]:
        """Every connection of every account, as it is now."""
        return [status for account in self._accounts.values() for status in account.binds]

    async def ask_alive(self, session: int) -> bool:
        """Whether the peer of a session answers an enquire_link that is sent now."""
        answers = await asyncio.gather(*(account.ask_alive(session) for account in self._accounts.values()))
        return any(answers)

    def text_of(self, account: str, parts: Sequence[Part]) -> str:
        """What the parts of a long message say together; each carries how it is read, so the account has no say."""
        return text.joined(parts)

    # What comes in.

    def delivered(self, link: Link, pdu: DeliverSm | DataSm, ordinal: int, answer: Answer) -> None:
        """Hand a deliver_sm or data_sm to the receiver. Acknowledgements of handsets and people say nothing to it."""
        raw, settings = incoming.user_data(pdu), link.settings
        kind = receipts.kind_of(pdu, raw, settings.receipt_by_text)
        if kind in _RECEIPTS:
            self._receiver.receive_receipt(self._receipt(link, pdu, ordinal, raw), answer)
            return
        received_at = self.now()
        if link.arrived_at < link.heard_at:
            received_at -= timedelta(seconds=link.heard_at - link.arrived_at)
        inbound = incoming.inbound(
            pdu, raw, settings, self._dialects[settings.ussd_dialect], link.session, ordinal, received_at
        )
        if kind is _MESSAGE or inbound.ussd is not None:
            self._receiver.receive(inbound, answer)
        else:
            log.info("smpp.acknowledgement", account=settings.name, kind=kind.name)
            answer(ROK)

    def _receipt(self, link: Link, pdu: DeliverSm | DataSm, ordinal: int, raw: bytes) -> Receipt:
        facts = receipts.read(pdu, raw, self._receipt_ids[link.settings.name])
        return Receipt(
            account=link.settings.name,
            session=link.session,
            ordinal=ordinal,
            received_at=self.now(),
            smsc_id=facts.smsc_id,
            msisdn=pdu.source_addr.decode("latin-1"),
            state=facts.state,
            error=facts.error,
            reference=facts.reference,
        )

    # What goes out.

    def send(self, message: Outbound, done: Sent) -> None:
        """Take a message, in order, without waiting; `done` is called exactly once, later, in the event loop."""
        self.backlog += 1
        accounts, reply = self._way(message)
        now = self.now()
        Sending(self, message, accounts, reply, done, now).begin(now)

    def carries(self, message: Outbound) -> bool:
        """Whether an account that may carry it could submit it now."""
        return any(account.up for account in self._way(message)[0])

    def _way(self, message: Outbound) -> tuple[list[Account], bool]:
        """The accounts that may carry a message, the preferred one first, and whether it goes with the replies."""
        reply = message.reply
        if message.session:
            accounts = [account for account in self._accounts.values() if account.has(message.session)]
        elif not self._routes and (account := self._accounts.get(message.account)):
            accounts = [account]
        else:
            way = way_of(message, self._routes)
            reply = way.reply
            accounts = [self._accounts[name] for name in way.accounts if name in self._accounts] or self._any()
        if message.push:
            accounts = [account for account in accounts if account.settings.interface_version != "3.3"]
        return accounts, reply

    def _any(self) -> list[Account]:
        """All accounts, the least loaded of those that are up first."""
        return sorted(self._accounts.values(), key=lambda account: (not account.up, account.waiting))

    def segments(self, message: Outbound, account: Account, now: datetime) -> list[SubmitSm]:
        """What leaves of a message by this account; raises SmppError if it cannot carry the message."""
        settings = account.settings
        with_tlvs = settings.interface_version != "3.3"
        if with_tlvs and settings.long_messages in _IN_PARAMETERS:
            with_tlvs = account.takes_tlvs  # the SMSC may turn out to be of 3.3
        return submissions(message, settings, self._dialects[settings.ussd_dialect], now, with_tlvs=with_tlvs)

    def submitted_id(self, account: Account, message_id: bytes) -> tuple[str, str]:
        """The id of a submit_sm_resp in the form that receipts have, and as it came."""
        return self._receipt_ids[account.settings.name].submitted(message_id), message_id.decode("latin-1")

    def finished(self, done: Sent, result: SendResult) -> None:
        """A message has its result."""
        self.backlog -= 1
        done(result)
