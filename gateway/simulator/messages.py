"""Texts, both ways: what phones send, and what becomes of what ESMEs submit."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from itertools import count
from random import Random

import msgspec

from gateway.pdus.pdu import (
    CancelSm,
    CancelSmResp,
    DeliverSm,
    Pdu,
    QuerySm,
    QuerySmResp,
    ReplaceSm,
    ReplaceSmResp,
    SubmitSm,
)
from gateway.simulator import texting, wire
from gateway.simulator.delivery import Mo, QueueFull
from gateway.simulator.exchange import Exchange, Said, spelled
from gateway.simulator.faults import Kind, Strike
from gateway.simulator.numbers import is_number
from gateway.simulator.phone import Phone, PhoneState, Received
from gateway.simulator.session import Session
from gateway.simulator.wire import Mt, Segment, State, Submission
from vas.errors import SmppError

RCANCELFAIL = 0x11
RREPLACEFAIL = 0x13
RMSGQFUL = 0x14
RQUERYFAIL = 0x67
WAITING = 1_000
"""Messages that wait for one phone; past them a submit_sm is answered RMSGQFUL."""
PHONE_FULL = 32
"""3GPP TS 29.002, SM delivery failure: the memory of the phone is full."""


class Waiting(msgspec.Struct):
    """A message that its phone could not take yet."""

    mt: Mt
    segment: Segment
    service_type: bytes


class Messages:
    """Accepts, brings, keeps and reports."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._waiting: dict[Phone, list[Waiting]] = {}
        self._accepted: dict[str, Mt] = {}
        self._references = count()

    # --- from a phone

    def text(self, phone: Phone, text: str, to: str) -> tuple[Mo, ...]:
        if not is_number(to):
            raise ValueError(f"{to!r} is no number of 3 to 15 digits")
        name, account = self._exchange.serving(to)
        reference = next(self._references)
        segments = texting.sms(phone.number, to, text, reference, account.long_messages, account.alphabet)
        if len(segments) > 1:
            segments = _disturbed(segments, self._exchange.meet("long_text", name, phone.number, to))
        self._exchange.tell(phone, Said("text", to, text, self._exchange.clock()))
        return tuple(self._exchange.owe("sms", part, pdu, name) for part, pdu in segments)

    # --- to a phone

    def take(self, phone: Phone, mt: Mt, pdu: Submission, udh: bytes, said: bytes) -> None:
        """Bring it, or keep it until its phone is back; raises SmppError."""
        exchange = self._exchange
        period = wire.validity(pdu.validity_period, mt.at) if isinstance(pdu, SubmitSm) else None
        mt.strikes = exchange.meet("message", mt.account, mt.to, mt.source)
        if exchange.settings.receipts and mt.registered_delivery & 0x03:
            mt.strikes += exchange.meet("receipt", mt.account, mt.to, mt.source)
        message = Waiting(mt, wire.segment_of(pdu, udh, said), pdu.service_type)
        if phone.state in (PhoneState.REACHABLE, PhoneState.OUT_OF_SERVICE):
            self._bring(phone, message)
            return
        waiting = self._waiting.setdefault(phone, [])
        if len(waiting) >= WAITING:
            raise SmppError(RMSGQFUL)
        waiting.append(message)
        wait = exchange.settings.validity if period is None else period
        asyncio.get_running_loop().call_later(wait.total_seconds(), self._expire, phone, message)

    def accepted(self, mt: Mt, id: str) -> None:
        """Remember it by the id that its ESME was told, as long as there are not too many."""
        self._accepted[id] = mt
        if len(self._accepted) > self._exchange.settings.records:
            del self._accepted[next(iter(self._accepted))]

    def switched(self, phone: Phone) -> None:
        if phone.state in (PhoneState.REACHABLE, PhoneState.OUT_OF_SERVICE):
            for message in self._waiting.pop(phone, []):
                self._bring(phone, message)

    def _bring(self, phone: Phone, message: Waiting) -> None:
        mt = message.mt
        undelivered = _first(mt.strikes, "undelivered")
        if undelivered or phone.state is PhoneState.OUT_OF_SERVICE:
            mt.error = undelivered.fault.error if undelivered else None
            self.finish(mt, State.UNDELIVERABLE)
            return
        parts = phone.put_together(message.segment)
        if parts is not None:
            self._show(phone, mt, parts)
        self.finish(mt, State.DELIVERED)

    def _show(self, phone: Phone, mt: Mt, parts: list[Segment]) -> None:
        first = parts[0]
        alphabet = self._exchange.settings.account(mt.account).alphabet
        binary = wire.is_binary(first)
        phone.receive(
            Received(
                mt.source,
                "" if binary else wire.shown(parts, alphabet),
                self._exchange.clock(),
                flash=wire.flashes(first),
                port=first.port,
                octets=b"".join(part.octets for part in parts) if binary else b"",
            )
        )

    def _expire(self, phone: Phone, message: Waiting) -> None:
        if message.mt.state is State.ENROUTE:
            self._waiting[phone].remove(message)
            message.mt.error = PHONE_FULL if phone.state is PhoneState.FULL else None
            self.finish(message.mt, State.EXPIRED)

    # --- receipts

    def finish(self, mt: Mt, state: State) -> None:
        mt.state = state
        mt.done_at = self._exchange.clock()
        if not self._exchange.settings.receipts or not wire.wants_receipt(mt) or _first(mt.strikes, "receipt_lost"):
            return
        late = _first(mt.strikes, "receipt_late")
        seconds = late.seconds if late else self._exchange.settings.receipt_delay.total_seconds()
        if _first(mt.strikes, "receipt_early"):
            self._report(mt, at_once=True)
        else:
            asyncio.get_running_loop().call_later(seconds, self._report, mt)
        if _first(mt.strikes, "receipt_twice"):
            asyncio.get_running_loop().call_later(seconds, self._report, mt)

    def _report(self, mt: Mt, at_once: bool = False) -> None:
        exchange = self._exchange
        account = exchange.settings.account(mt.account)
        form = account.receipt
        text_form = form.ids or exchange.settings.receipt_ids
        if strike := _first(mt.strikes, "receipt_id"):
            text_form = strike.fault.form
        if _first(mt.strikes, "receipt_without_id"):
            form = msgspec.structs.replace(form, id_in="none")
        if _first(mt.strikes, "receipt_data_sm"):
            form = msgspec.structs.replace(form, data_sm=True)
        if _first(mt.strikes, "receipt_esm_class"):
            form = msgspec.structs.replace(form, esm_class=0)
        pdu = wire.receipt(mt, self.id(mt), spelled(mt.id, text_form), form)
        text = pdu.short_message.decode("ascii") if isinstance(pdu, DeliverSm) else mt.text
        bind = None
        if _first(mt.strikes, "receipt_other_bind"):
            bind = exchange.smsc.delivery.other_than(mt.session, mt.account)
        with suppress(QueueFull):  # an SMSC that is full loses receipts first
            exchange.owe("receipt", text, pdu, mt.account, bind)
        if at_once:
            exchange.smsc.delivery.pump()

    def id(self, mt: Mt) -> str:
        """As its ESME was told it."""
        settings = self._exchange.settings
        return spelled(mt.id, settings.account(mt.account).message_ids or settings.message_ids)

    # --- what ESMEs ask about what they sent

    def ask(self, session: Session, pdu: QuerySm | CancelSm | ReplaceSm) -> Pdu:
        """SMPP 3.4 §4.8 to §4.10: the key is the id with the source address as it was submitted."""
        mt = self._accepted.get(pdu.message_id.decode("latin-1"))
        if mt is not None and (mt.account != session.account or mt.source.encode("latin-1") != pdu.source_addr):
            mt = None
        match pdu:
            case QuerySm():
                return self._query(pdu, mt) if mt else QuerySmResp(sequence=pdu.sequence, status=RQUERYFAIL)
            case CancelSm():
                return CancelSmResp(sequence=pdu.sequence, status=0 if self._cancel(session, pdu, mt) else RCANCELFAIL)
            case ReplaceSm():
                return ReplaceSmResp(sequence=pdu.sequence, status=0 if self._replace(pdu, mt) else RREPLACEFAIL)

    def _query(self, pdu: QuerySm, mt: Mt) -> QuerySmResp:
        return QuerySmResp(
            sequence=pdu.sequence,
            message_id=pdu.message_id,
            final_date=wire.absolute(mt.done_at) if mt.done_at else b"",
            message_state=mt.state,
            error_code=mt.network_error & 0xFF,
        )

    def _cancel(self, session: Session, pdu: CancelSm, mt: Mt | None) -> bool:
        """What waits by its id; without an id, all that waits from this source to this destination."""
        stopped = [
            (phone, message)
            for phone, waiting in self._waiting.items()
            for message in waiting
            if (message.mt is mt if pdu.message_id else _is_between(message, session, pdu))
        ]
        for phone, message in stopped:
            self._waiting[phone].remove(message)
            self.finish(message.mt, State.DELETED)
        return bool(stopped)

    def _replace(self, pdu: ReplaceSm, mt: Mt | None) -> bool:
        for waiting in self._waiting.values():
            for message in waiting:
                if message.mt is mt:
                    said = pdu.short_message
                    message.segment = msgspec.structs.replace(message.segment, octets=said)
                    alphabet = self._exchange.settings.account(message.mt.account).alphabet
                    message.mt.text = wire.shown([message.segment], alphabet)
                    message.mt.registered_delivery = pdu.registered_delivery
                    return True
        return False


def _is_between(message: Waiting, session: Session, pdu: CancelSm) -> bool:
    mt = message.mt
    same = mt.account == session.account and mt.source.encode("latin-1") == pdu.source_addr
    service = pdu.service_type in (b"", message.service_type)
    return same and service and mt.to.encode() == pdu.destination_addr.removeprefix(b"+")


def _first(strikes: tuple[Strike, ...], kind: Kind) -> Strike | None:
    return next((strike for strike in strikes if strike.fault.kind == kind), None) if strikes else None


def _disturbed(segments: list[tuple[str, DeliverSm]], strikes: tuple[Strike, ...]) -> list[tuple[str, DeliverSm]]:
    """Out of order, or one short, as chance decides; never in order."""
    if missing := _first(strikes, "part_missing"):
        lost = int(missing.draw * len(segments))
        segments = segments[:lost] + segments[lost + 1 :]
    if (shuffled := _first(strikes, "parts_shuffled")) and len(segments) > 1:
        ordered = list(segments)
        chance = Random(shuffled.draw)
        while segments == ordered:
            chance.shuffle(segments)
    return segments
