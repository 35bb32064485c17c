"""PDUs to messages and back: the gateway that the core sees."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from gateway import receipts, text, ussd
from gateway.account import Account, AccountSettings, Submission
from gateway.bind import BindStatus
from gateway.link import Link
from gateway.pdu import MESSAGE_PAYLOAD, DataSm, DeliverSm, SubmitSm, Tlvs
from gateway.ussd_dialects import DIALECTS
from vas.errors import SmppError
from vas.messages import Answer, Inbound, Outbound, Part, Receipt, Receiver, SendOutcome, SendResult

Sent = Callable[[SendResult], None]

_FINAL_RECEIPT = 1
_VALIDITY_DAYS_MAX = 31

# Where the segments of one message fare differently, the first of these decides.
_GRAVITY = (SendOutcome.PERMANENT, SendOutcome.UNANSWERED, SendOutcome.TEMPORARY, SendOutcome.NOT_SENT)


def utc_now() -> datetime:
    return datetime.now(UTC)


class SmppGateway:
    """A vas.messages.Gateway over any number of SMSC accounts."""

    def __init__(
        self, accounts: Sequence[AccountSettings], receiver: Receiver, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self.backlog = 0
        self._receiver = receiver
        self._clock = clock
        self._accounts = {settings.name: Account(settings, receiver, self, clock) for settings in accounts}

    async def start(self) -> None:
        """Begin to connect; the binds come up, and come back, by themselves."""
        self._loop = asyncio.get_running_loop()
        for account in self._accounts.values():
            account.start()

    async def stop(self) -> None:
        """Send nothing more, wait for the responses that are due, unbind, close."""
        await asyncio.gather(*(account.stop() for account in self._accounts.values()))

    def binds(self) -> list[BindStatus]:
        """Every connection of every account, as it is now."""
        return [status for account in self._accounts.values() for status in account.binds]

    async def ask_alive(self, session: int) -> bool:
        """Whether the peer of a session answers an enquire_link that is sent now."""
        answers = await asyncio.gather(*(account.ask_alive(session) for account in self._accounts.values()))
        return any(answers)

    def text_of(self, account: str, parts: Sequence[Part]) -> str:
        """What the parts of a long message say together."""
        return text.decode(b"".join(part.octets for part in parts), int(parts[0].coding))

    # What comes in.

    def delivered(self, link: Link, pdu: DeliverSm | DataSm, ordinal: int, answer: Answer) -> None:
        """Hand a deliver_sm or data_sm to the receiver."""
        raw = pdu.short_message if isinstance(pdu, DeliverSm) else b""
        if pdu.tlvs and not raw:
            raw = pdu.tlv(MESSAGE_PAYLOAD) or b""
        if receipts.is_receipt(pdu):
            self._receiver.receive_receipt(self._receipt(link, pdu, ordinal, raw), answer)
        else:
            self._receiver.receive(self._inbound(link, pdu, ordinal, raw), answer)

    def _inbound(self, link: Link, pdu: DeliverSm | DataSm, ordinal: int, raw: bytes) -> Inbound:
        settings = link.settings
        body = text.without_header(raw)[1] if pdu.esm_class & text.UDHI else raw
        heard = ussd.read(pdu, body, DIALECTS[settings.ussd_dialect])
        message_id = ""
        if pdu.tlvs and settings.message_id_tlv is not None:
            message_id = (pdu.tlv(settings.message_id_tlv) or b"").rstrip(b"\0").decode("latin-1")
        return Inbound(
            account=settings.name,
            session=link.session,
            ordinal=ordinal,
            received_at=self._clock() - timedelta(seconds=link.heard_at - link.arrived_at),
            sender=heard.sender if heard else pdu.source_addr.decode("latin-1"),
            to=heard.to if heard else pdu.destination_addr.decode("latin-1"),
            text=heard.text if heard else text.decode(body, pdu.data_coding),
            identity=b"%b\0%b\0%c%c%b\0%b"
            % (
                *(pdu.source_addr, pdu.destination_addr, pdu.esm_class & text.UDHI, pdu.data_coding),
                *(heard.identity if heard else b"", raw),
            ),
            ussd=heard.turn if heard else None,
            message_id=message_id,
        )

    def _receipt(self, link: Link, pdu: DeliverSm | DataSm, ordinal: int, raw: bytes) -> Receipt:
        facts = receipts.read(pdu, raw, link.settings.receipt_id)
        return Receipt(
            account=link.settings.name,
            session=link.session,
            ordinal=ordinal,
            received_at=self._clock(),
            smsc_id=facts.smsc_id,
            msisdn=pdu.source_addr.decode("latin-1"),
            state=facts.state,
            error=facts.error,
        )

    # What goes out.

    def send(self, message: Outbound, done: Sent) -> None:
        """Take a message, in order, without waiting; `done` is called exactly once, later, in the event loop."""
        self.backlog += 1
        account = self._account(message)
        if account is None:
            self._loop.call_soon(self._done, done, SendResult(SendOutcome.NOT_SENT, self._clock()))
            return
        try:
            segments = self._segments(message, account.settings)
        except SmppError as error:
            result = SendResult(SendOutcome.PERMANENT, self._clock(), account.settings.name, status=error.status)
            self._loop.call_soon(self._done, done, result)
            return
        expires_at = self._expires_at(message)
        submitted = _Message(self, account.settings, len(segments), done).submitted
        for pdu in segments:
            account.submit(Submission(pdu, submitted, message.reply, expires_at, message.session))

    def _account(self, message: Outbound) -> Account | None:
        if message.account:
            return self._accounts.get(message.account)
        if message.session:
            return next((account for account in self._accounts.values() if account.has(message.session)), None)
        return min(self._accounts.values(), key=lambda account: (not account.up, account.waiting), default=None)

    def _expires_at(self, message: Outbound) -> float:
        """In the event loop's time."""
        if message.expires_at is None:
            return float("inf")
        return self._loop.time() + (message.expires_at - self._clock()).total_seconds()

    def _segments(self, message: Outbound, settings: AccountSettings) -> list[SubmitSm]:
        if message.session:
            dialect = DIALECTS[settings.ussd_dialect]
            whole, around = ussd.encode(message.text, dialect), ussd.write(message.token, message.more, dialect)
            screen = self._submit_sm(message, settings, whole.data_coding, whole.octets, 0, around.tlvs)
            screen.service_type = around.service_type
            screen.source_addr = around.source_addr or screen.source_addr
            screen.destination_addr = around.destination_addr or screen.destination_addr
            return [screen]
        return [
            self._submit_sm(message, settings, segment.data_coding, segment.short_message, segment.esm_class, ())
            for segment in text.split(message.text, message.id)
        ]

    def _submit_sm(
        self, message: Outbound, settings: AccountSettings, data_coding: int, octets: bytes, esm_class: int, tlvs: Tlvs
    ) -> SubmitSm:
        screen = bool(message.session)
        asked = settings.registered_delivery == "all" or (settings.registered_delivery == "asked" and message.receipt)
        return SubmitSm(
            tlvs=tlvs,
            service_type=settings.service_type.encode("latin-1", "replace"),
            source_addr_ton=settings.source_ton,
            source_addr_npi=settings.source_npi,
            source_addr=message.source.encode("latin-1", "replace"),
            dest_addr_ton=settings.dest_ton,
            dest_addr_npi=settings.dest_npi,
            destination_addr=message.to.digits.encode("latin-1", "replace"),
            esm_class=esm_class,
            validity_period=b"" if screen else self._validity(message, settings),
            registered_delivery=_FINAL_RECEIPT if asked and not screen else 0,
            data_coding=data_coding,
            short_message=octets,
        )

    def _validity(self, message: Outbound, settings: AccountSettings) -> bytes:
        """As a relative time of SMPP 3.4 §7.1.1.2; the sooner of the account's and the message's own."""
        validity = settings.validity
        if message.expires_at is not None:
            left = message.expires_at - self._clock()
            validity = left if validity is None else min(left, validity)
        return b"" if validity is None else relative_time(validity)

    def _done(self, done: Sent, result: SendResult) -> None:
        self.backlog -= 1
        done(result)


class _Message:
    """The segments of one Outbound, until the last one is done."""

    def __init__(self, gateway: SmppGateway, settings: AccountSettings, segments: int, done: Sent) -> None:
        self._gateway = gateway
        self._settings = settings
        self._segments = self._open = segments
        self._done = done
        self._smsc_ids: tuple[str, ...] = ()
        self._failures: dict[SendOutcome, int] = {}

    def submitted(self, outcome: SendOutcome, status: int, message_id: bytes) -> None:
        if outcome is SendOutcome.SENT:
            self._smsc_ids += (receipts.submitted_id(message_id, self._settings.receipt_id),)
        else:
            self._failures.setdefault(outcome, status)
        self._open -= 1
        if not self._open:
            self._gateway._done(self._done, self._result())

    def _result(self) -> SendResult:
        outcome = next((outcome for outcome in _GRAVITY if outcome in self._failures), SendOutcome.SENT)
        status = self._failures.get(outcome, 0)
        if outcome is SendOutcome.NOT_SENT and self._smsc_ids:
            outcome = SendOutcome.TEMPORARY  # a part has left, so it cannot be said that nothing did
        return SendResult(outcome, self._gateway._clock(), self._settings.name, self._segments, self._smsc_ids, status)


def relative_time(span: timedelta) -> bytes:
    """`YYMMDDhhmmss000R`: at least a second, at most 31 days."""
    seconds = min(max(int(span.total_seconds()), 1), _VALIDITY_DAYS_MAX * 86_400)
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    day, hour = divmod(hours, 24)
    return b"0000%02d%02d%02d%02d000R" % (day, hour, minute, second)
