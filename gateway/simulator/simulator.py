"""A mobile network in a box: an SMSC, its phones, and a record of all that happened."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import msgspec

from gateway.pdus.pdu import (
    USER_MESSAGE_REFERENCE,
    CancelSm,
    Pdu,
    QuerySm,
    ReplaceSm,
    SmeAddress,
    SubmitMulti,
    SubmitMultiResp,
    SubmitSm,
    UnsuccessSme,
)
from gateway.simulator import dialects, letters, wire
from gateway.simulator.delivery import Mo, QueueFull
from gateway.simulator.dialogues import Dialogues
from gateway.simulator.exchange import Exchange, Record
from gateway.simulator.faults import Faults
from gateway.simulator.http import Http
from gateway.simulator.messages import Messages
from gateway.simulator.numbers import international
from gateway.simulator.phone import Event, Phone
from gateway.simulator.session import Session
from gateway.simulator.settings import Settings
from gateway.simulator.smsc import Smsc, utc_now
from gateway.simulator.tape import Tape
from gateway.simulator.wire import Mt, State, Submission
from vas.errors import ConfigError, SmppError

RSYSERR = 0x08
RINVDSTADR = 0x0B
RINVDLNAME = 0x34


class Simulator:
    """`await start()`, let an ESME bind to `port`, use `phone(number)`, `await stop()`."""

    def __init__(self, settings: Settings, clock: Callable[[], datetime] = utc_now) -> None:
        self.settings = settings
        self.smsc = Smsc(settings, self._accept, clock, self._settled)
        self.faults = Faults(settings.seed, settings.faults, settings.magic)
        self.smsc.faults = self.faults
        self.smsc.mail = self._mail
        self.exchange = Exchange(settings, self.smsc, self.faults, clock)
        self._clock = clock
        self._messages = Messages(self.exchange)
        self._dialogues = Dialogues(self.exchange)
        self._http = Http(self)
        self._tape: Tape | None = None
        self.verdict: Callable[[Submission], int] = lambda pdu: 0
        """The command_status for each submission; anything but 0 refuses it."""
        self.exchange.enrol(self)

    async def start(self) -> None:
        """Raises OSError for a port in use, ConfigError for a file that cannot be used."""
        if self.settings.record is not None:
            try:
                octets_max = self.settings.record_mib << 20
                self.smsc.tape = self._tape = Tape(self.settings.record, self._clock, octets_max)
            except (OSError, ValueError) as error:
                raise ConfigError(f"record {self.settings.record}: {error}") from None
        await self.smsc.start()
        await self._http.start()

    async def stop(self) -> None:
        """Unbind the ESMEs, then close everything."""
        await self._http.stop()
        await self.smsc.stop()
        if self._tape is not None:
            self._tape.close()

    async def outbind(self, host: str, port: int) -> Session:
        """Call an ESME that waits for it; raises OSError where nobody listens."""
        return await self.smsc.outbind(host, port)

    @property
    def port(self) -> int:
        """The SMPP port that is listened on."""
        return self.smsc.port

    @property
    def http_port(self) -> int:
        """The HTTP port that is listened on; only with settings.http_port."""
        return self._http.port

    @property
    def record(self) -> Record:
        return self.exchange.record

    @property
    def phones(self) -> dict[str, Phone]:
        return self.exchange.phones

    def phone(self, number: str) -> Phone:
        """The phone with this number, in any spelling; made when first asked for. ValueError for what is no number,
        QueueFull past settings.phones."""
        return self.exchange.phone(international(number), self)

    # --- what its phones do

    def text(self, phone: Phone, text: str, to: str) -> tuple[Mo, ...]:
        return self._messages.text(phone, text, to)

    def dial(self, phone: Phone, code: str) -> Mo:
        return self._dialogues.dial(phone, code)

    def answer(self, phone: Phone, text: str) -> Mo:
        return self._dialogues.answer(phone, text)

    def hang_up(self, phone: Phone) -> Mo:
        return self._dialogues.hang_up(phone)

    def switched(self, phone: Phone) -> None:
        self._messages.switched(phone)

    def saw(self, phone: Phone, event: Event) -> None:
        self.exchange.tell(phone, event)

    # --- what its ESMEs submit

    def _settled(self, mo: Mo) -> None:
        if mo.dropped and mo.kind == "ussd":
            self._dialogues.dropped(mo)

    def _accept(self, session: Session, pdu: Submission, id: int | None = None) -> tuple[int, bytes]:
        try:
            return 0, self._take(session, pdu, self.smsc.new_id() if id is None else id)
        except SmppError as error:
            return error.status, b""

    def _take(self, session: Session, pdu: Submission, id: int) -> bytes:
        if status := self.verdict(pdu):
            raise SmppError(status)
        account = self.settings.account(session.account)
        phone = self._addressed(pdu.destination_addr)
        udh, said = wire.body(pdu, account.alphabet)
        shown = dialects.read(pdu.tlvs, pdu.source_addr, account.ussd) if pdu.tlvs else None
        mt = Mt(
            id,
            session.account,
            session.id,
            self._clock(),
            source=pdu.source_addr.decode("latin-1"),
            to=phone.number,
            text=letters.read(said, pdu.data_coding, account.alphabet, udh),
            ussd_op=shown.op if shown else None,
            registered_delivery=pdu.registered_delivery,
            reference=pdu.tlv(USER_MESSAGE_REFERENCE),
        )
        if shown is None:
            self._messages.take(phone, mt, pdu, udh, said)
        else:
            self._dialogues.take(phone, mt, shown)
            self._messages.finish(mt, State.DELIVERED)
        self.record.mt.append(mt)
        spelled = self._messages.id(mt)
        self._messages.accepted(mt, spelled)
        return spelled.encode()

    def _addressed(self, destination: bytes) -> Phone:
        try:
            return self.exchange.phone(destination.decode("latin-1").removeprefix("+"), self)
        except ValueError:
            raise SmppError(RINVDSTADR) from None
        except QueueFull:
            raise SmppError(RSYSERR) from None

    def _mail(self, session: Session, pdu: SubmitMulti | QuerySm | CancelSm | ReplaceSm) -> Pdu:
        if isinstance(pdu, SubmitMulti):
            return self._submit_multi(session, pdu)
        return self._messages.ask(session, pdu)

    def _submit_multi(self, session: Session, pdu: SubmitMulti) -> SubmitMultiResp:
        """One message for each destination, under one id; those refused are named with their statuses."""
        id, message_id, refused = self.smsc.new_id(), b"", []
        common = {name: value for name, value in msgspec.structs.asdict(pdu).items() if name != "dest_addresses"}
        for address in pdu.dest_addresses:
            if not isinstance(address, SmeAddress):
                refused.append(UnsuccessSme(0, 0, address.dl_name, RINVDLNAME))
                continue
            single = SubmitSm(**common, **msgspec.structs.asdict(address))
            status, told = self._accept(session, single, id)
            message_id = told or message_id
            if status:
                refused.append(UnsuccessSme(**msgspec.structs.asdict(address), error_status_code=status))
        return SubmitMultiResp(sequence=pdu.sequence, message_id=message_id, unsuccess_smes=tuple(refused))
