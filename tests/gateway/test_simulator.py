from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from gateway.pdus.pdu import (
    MESSAGE_PAYLOAD,
    MESSAGE_STATE,
    RECEIPTED_MESSAGE_ID,
    BindReceiver,
    BindTransceiver,
    BindTransceiverResp,
    BindTransmitter,
    DataSm,
    DeliverSm,
    DeliverSmResp,
    EnquireLink,
    EnquireLinkResp,
    GenericNack,
    Pdu,
    SubmitSm,
    SubmitSmResp,
    Unbind,
    UnbindResp,
    decode,
    frames,
)
from gateway.simulator import NoDialogue, Outcome, PhoneState, Settings, Simulator, State
from gateway.sms.segments import plan
from gateway.sms.style import Style

FRIEND = "84912345678"
ME = "84987654321"
SOON = timedelta(milliseconds=30)


class Esme(asyncio.Protocol):
    """The other side, in the raw: keeps what comes, answers only an unbind and what a test tells it to."""

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.came: asyncio.Queue[Pdu] = asyncio.Queue()
        self.octets: list[bytes] = []
        self.lost = asyncio.Event()
        self.sequence = 1000

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        for frame in frames(self.buffer):
            pdu = decode(frame)
            if isinstance(pdu, Unbind):
                self.send(UnbindResp(sequence=pdu.sequence))
            self.octets.append(frame)
            self.came.put_nowait(pdu)

    def connection_lost(self, error: Exception | None) -> None:
        self.lost.set()

    def send(self, pdu: Pdu) -> None:
        self.transport.write(pdu.encode())

    async def ask(self, pdu: Pdu) -> Pdu:
        """The next PDU after a request."""
        self.sequence += 1
        pdu.sequence = self.sequence
        self.send(pdu)
        return await self.next()

    async def next(self) -> Pdu:
        return await asyncio.wait_for(self.came.get(), 5)

    async def delivered(self, status: int | None = 0) -> DeliverSm:
        """The next deliver_sm, answered with `status`, or with silence for None."""
        pdu = await self.next()
        assert isinstance(pdu, DeliverSm)
        if status is not None:
            self.send(DeliverSmResp(sequence=pdu.sequence, status=status))
        return pdu


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with running() as simulator:
        yield simulator


class running:
    """A simulator with settings of the test's own."""

    def __init__(self, **changed: object) -> None:
        settings = {"port": 0, "retry_delays": (SOON,), "receipt_delay": SOON, "accounts": {"vas": "secret"}}
        self.simulator = Simulator(Settings(**{**settings, **changed}))  # type: ignore[arg-type]

    async def __aenter__(self) -> Simulator:
        await self.simulator.start()
        return self.simulator

    async def __aexit__(self, *_: object) -> None:
        await self.simulator.stop()


async def connect(simulator: Simulator) -> Esme:
    _, esme = await asyncio.get_running_loop().create_connection(Esme, "127.0.0.1", simulator.port)
    return esme


async def bound(simulator: Simulator, request: type[Pdu] = BindTransceiver) -> Esme:
    esme = await connect(simulator)
    answer = await esme.ask(request(system_id=b"vas", password=b"secret"))  # type: ignore[call-arg]
    assert answer.status == 0
    return esme


async def settled(simulator: Simulator) -> None:
    await asyncio.wait_for(simulator.smsc.delivery.quiet(), 5)


# --- sessions


@pytest.mark.parametrize(
    ("system_id", "password", "status"),
    [
        pytest.param(b"vas", b"secret", 0x00, id="right"),
        pytest.param(b"vas", b"wrong", 0x0E, id="wrong password"),
        pytest.param(b"vas", b"", 0x0E, id="no password"),
        pytest.param(b"other", b"secret", 0x0F, id="unknown account"),
        pytest.param(b"other", b"", 0x0F, id="unknown account without a password"),
    ],
)
async def test_a_bind_is_answered_by_name_and_password(
    simulator: Simulator, system_id: bytes, password: bytes, status: int
) -> None:
    esme = await connect(simulator)
    answer = await esme.ask(BindTransceiver(system_id=system_id, password=password))
    assert isinstance(answer, BindTransceiverResp)
    assert answer.status == status


async def test_a_second_bind_on_one_connection_is_refused(simulator: Simulator) -> None:
    esme = await bound(simulator)
    answer = await esme.ask(BindTransceiver(system_id=b"vas", password=b"secret"))
    assert answer.status == 0x05


async def test_only_who_may_submit_submits(simulator: Simulator) -> None:
    for esme, status in [
        (await connect(simulator), 0x04),
        (await bound(simulator, BindReceiver), 0x04),
        (await bound(simulator, BindTransmitter), 0x00),
    ]:
        answer = await esme.ask(SubmitSm(source_addr=b"9105", destination_addr=b"84912345678", short_message=b"hi"))
        assert isinstance(answer, SubmitSmResp)
        assert answer.status == status


async def test_a_transmitter_is_never_delivered_to(simulator: Simulator) -> None:
    transmitter = await bound(simulator, BindTransmitter)
    simulator.phone(ME).text("CM", to="9105")
    receiver = await bound(simulator, BindReceiver)
    assert (await receiver.delivered()).short_message == b"CM"
    await settled(simulator)
    assert transmitter.came.empty()


async def test_enquire_link_is_answered_before_and_after_the_bind(simulator: Simulator) -> None:
    for esme in (await connect(simulator), await bound(simulator)):
        answer = await esme.ask(EnquireLink())
        assert isinstance(answer, EnquireLinkResp)
        assert answer.sequence == esme.sequence


async def test_a_silent_esme_is_asked_and_then_dropped() -> None:
    async with running(enquire_every=timedelta(milliseconds=50)) as simulator:
        esme = await bound(simulator)
        assert isinstance(await esme.next(), EnquireLink)
        await asyncio.wait_for(esme.lost.wait(), 5)


async def test_a_connection_that_does_not_bind_is_closed() -> None:
    async with running(bind_within=SOON) as simulator:
        esme = await connect(simulator)
        await asyncio.wait_for(esme.lost.wait(), 5)


async def test_past_the_limit_connections_are_closed() -> None:
    async with running(connections=1) as simulator:
        first = await bound(simulator)
        second = await connect(simulator)
        await asyncio.wait_for(second.lost.wait(), 5)
        assert isinstance(await first.ask(EnquireLink()), EnquireLinkResp)


async def test_unbind_is_answered_and_closes(simulator: Simulator) -> None:
    esme = await bound(simulator)
    assert isinstance(await esme.ask(Unbind()), UnbindResp)
    await asyncio.wait_for(esme.lost.wait(), 5)


async def test_stopping_unbinds() -> None:
    async with running() as simulator:
        esme = await bound(simulator)
        await simulator.stop()
        assert isinstance(await esme.next(), Unbind)
        await asyncio.wait_for(esme.lost.wait(), 5)


@pytest.mark.parametrize(
    ("wire", "answer"),
    [
        pytest.param(
            "00000010 0000abcd 00000000 00000007", "00000010 80000000 00000003 00000007", id="unknown command"
        ),
        pytest.param(
            "00000010 00000004 00000000 00000008", "00000010 80000004 000000c2 00000008", id="empty submit_sm"
        ),
        pytest.param("0000000f 00000004", "00000010 80000000 00000002 00000000", id="length below a header"),
    ],
)
async def test_what_cannot_be_read_is_answered(simulator: Simulator, wire: str, answer: str) -> None:
    esme = await bound(simulator)
    await esme.ask(EnquireLink())
    esme.transport.write(bytes.fromhex(wire))
    await esme.next()
    assert esme.octets[-1] == bytes.fromhex(answer)


# --- from a phone to the ESME


async def test_a_text_arrives_with_its_numbers_and_counts_once_acknowledged(simulator: Simulator) -> None:
    esme = await bound(simulator)
    (mo,) = simulator.phone(ME).text("CM 0912345678", to="9105")
    pdu = await esme.delivered()
    assert (pdu.source_addr, pdu.destination_addr, pdu.short_message) == (ME.encode(), b"9105", b"CM 0912345678")
    await settled(simulator)
    assert mo.acknowledged
    assert list(simulator.record.mo) == [mo]
    assert [attempt.outcome for attempt in mo.attempts] == [Outcome.ACKNOWLEDGED]


async def test_a_vietnamese_text_goes_as_ucs2(simulator: Simulator) -> None:
    esme = await bound(simulator)
    simulator.phone(ME).text("gọi lại", to="9105")
    pdu = await esme.delivered()
    assert (pdu.data_coding, pdu.short_message.decode("utf-16-be")) == (8, "gọi lại")


async def test_a_long_text_goes_in_segments_with_one_reference(simulator: Simulator) -> None:
    esme = await bound(simulator)
    simulator.phone(ME).text("x" * 200, to="9105")
    first, second = await esme.delivered(), await esme.delivered()
    assert first.esm_class == second.esm_class == 0x40
    assert first.short_message[:3] == second.short_message[:3] == bytes.fromhex("050003")
    assert first.short_message[3] == second.short_message[3]
    assert (first.short_message[4:6], second.short_message[4:6]) == (b"\x02\x01", b"\x02\x02")
    assert first.short_message[6:] + second.short_message[6:] == b"x" * 200


@pytest.mark.parametrize("status", [0x08, 0x14, 0x58, 0x64])
async def test_a_temporary_refusal_is_delivered_again_with_the_same_octets(simulator: Simulator, status: int) -> None:
    esme = await bound(simulator)
    (mo,) = simulator.phone(ME).text("CM 0912345678", to="9105")
    await esme.delivered(status)
    await esme.delivered()
    first, second = esme.octets[-2:]
    assert first[16:] == second[16:] and first[12:16] != second[12:16]
    await settled(simulator)
    assert [attempt.outcome for attempt in mo.attempts] == [Outcome.TEMPORARY, Outcome.ACKNOWLEDGED]
    assert mo.attempts[0].status == status


async def test_silence_is_delivered_again_and_a_late_answer_changes_nothing() -> None:
    async with running(response_timer=timedelta(milliseconds=50)) as simulator:
        esme = await bound(simulator)
        (mo,) = simulator.phone(ME).text("CM 0912345678", to="9105")
        first = await esme.delivered(None)
        second = await esme.delivered(None)
        esme.send(DeliverSmResp(sequence=first.sequence))
        await esme.ask(EnquireLink())
        assert not mo.acknowledged and simulator.smsc.late_answers == 1
        assert esme.octets[-3][16:] == esme.octets[-2][16:]
        esme.send(DeliverSmResp(sequence=second.sequence))
        await settled(simulator)
        assert [attempt.outcome for attempt in mo.attempts] == [Outcome.SILENCE, Outcome.ACKNOWLEDGED]


async def test_each_silence_lasts_the_whole_response_timer() -> None:
    async with running(response_timer=timedelta(milliseconds=80)) as simulator:
        esme = await bound(simulator)
        for text in ("early", "late"):
            simulator.phone(ME).text(text, to="9105")
            await esme.delivered(None)
            await asyncio.sleep(0.04)
        for _ in range(2):
            await esme.delivered()
        await settled(simulator)
        for mo in simulator.record.mo:
            silence = mo.attempts[0]
            assert silence.ended_at is not None and silence.ended_at - silence.at > timedelta(milliseconds=75)


async def test_a_lost_link_is_delivered_again_on_the_next_bind(simulator: Simulator) -> None:
    esme = await bound(simulator)
    (mo,) = simulator.phone(ME).text("CM 0912345678", to="9105")
    await esme.delivered(None)
    esme.transport.abort()
    other = await bound(simulator, BindReceiver)
    await other.delivered()
    assert esme.octets[-1][16:] == other.octets[-1][16:]
    await settled(simulator)
    assert [attempt.outcome for attempt in mo.attempts] == [Outcome.LINK_LOST, Outcome.ACKNOWLEDGED]


@pytest.mark.parametrize("status", [0x65, 0x66, 0x01])
async def test_a_permanent_refusal_drops_the_message(simulator: Simulator, status: int) -> None:
    esme = await bound(simulator)
    (mo,) = simulator.phone(ME).text("CM 0912345678", to="9105")
    await esme.delivered(status)
    await settled(simulator)
    assert mo.dropped and len(mo.attempts) == 1


async def test_a_generic_nack_ends_the_attempt_it_names(simulator: Simulator) -> None:
    esme = await bound(simulator)
    (mo,) = simulator.phone(ME).text("CM 0912345678", to="9105")
    pdu = await esme.delivered(None)
    esme.send(GenericNack(sequence=pdu.sequence, status=0x03))
    await settled(simulator)
    assert mo.dropped


async def test_messages_wait_while_no_bind_is_up(simulator: Simulator) -> None:
    for number in range(3):
        simulator.phone(ME).text(f"CM {number}", to="9105")
    esme = await bound(simulator)
    assert [(await esme.delivered()).short_message for _ in range(3)] == [b"CM 0", b"CM 1", b"CM 2"]


async def test_no_more_than_the_window_is_unanswered_on_a_bind() -> None:
    async with running(window=2) as simulator:
        esme = await bound(simulator)
        for _ in range(5):
            simulator.phone(ME).text("CM", to="9105")
        first = await esme.delivered(None)
        await esme.delivered(None)
        await esme.ask(EnquireLink())
        assert esme.came.empty()
        esme.send(DeliverSmResp(sequence=first.sequence))
        await esme.delivered(None)
        await esme.ask(EnquireLink())
        assert esme.came.empty()


async def test_two_binds_share_the_messages() -> None:
    async with running(window=1) as simulator:
        one, two = await bound(simulator), await bound(simulator)
        for _ in range(2):
            simulator.phone(ME).text("CM", to="9105")
        await one.delivered()
        await two.delivered()


async def test_the_smscs_own_id_travels_in_the_tlv_asked_for() -> None:
    async with running(message_id_tlv=0x1401) as simulator:
        esme = await bound(simulator)
        (mo,) = simulator.phone(ME).text("CM", to="9105")
        assert (await esme.delivered()).tlvs == ((0x1401, b"%d\0" % mo.id),)


# --- from the ESME to a phone


def submit(text: bytes = b"hello", **fields: object) -> SubmitSm:
    given = {"source_addr": b"9105", "destination_addr": FRIEND.encode(), "short_message": text, **fields}
    return SubmitSm(**given)  # type: ignore[arg-type]


async def test_a_submission_arrives_in_the_inbox(simulator: Simulator) -> None:
    esme = await bound(simulator)
    answer = await esme.ask(submit())
    message = await simulator.phone(FRIEND).next_message()
    assert (message.source, message.text) == ("9105", "hello")
    (mt,) = simulator.record.mt
    assert isinstance(answer, SubmitSmResp)
    assert answer.message_id == str(mt.id).encode()
    assert (mt.to, mt.text, mt.state) == (FRIEND, "hello", State.DELIVERED)


async def test_segments_are_shown_as_one_message_in_any_order(simulator: Simulator) -> None:
    esme = await bound(simulator)
    text = "Một tin nhắn dài 😀 " * 10
    parts = plan(text, Style(), 7)
    for part in reversed(parts):
        await esme.ask(submit(part.short_message, esm_class=part.esm_class, data_coding=part.data_coding))
    assert len(parts) == 3
    assert [message.text for message in simulator.phone(FRIEND).inbox] == [text]


async def test_a_data_sm_with_its_text_in_message_payload_arrives(simulator: Simulator) -> None:
    esme = await bound(simulator)
    pdu = DataSm(source_addr=b"9105", destination_addr=FRIEND.encode(), tlvs=((MESSAGE_PAYLOAD, b"hello"),))
    assert (await esme.ask(pdu)).status == 0
    assert (await simulator.phone(FRIEND).next_message()).text == "hello"


@pytest.mark.parametrize(
    ("pdu", "status"),
    [
        pytest.param(submit(b"x" * 160), 0x00, id="160 septets"),
        pytest.param(submit(b"x" * 161), 0x01, id="161 septets"),
        pytest.param(submit(b"\0x" * 70, data_coding=8), 0x00, id="70 UCS-2 units"),
        pytest.param(submit(b"\0x" * 71, data_coding=8), 0x01, id="71 UCS-2 units"),
        pytest.param(submit(b"\x05\0\x03\x01\x02\x01" + b"x" * 154, esm_class=0x40), 0x01, id="a segment too long"),
        pytest.param(submit(destination_addr=b""), 0x0B, id="no destination"),
        pytest.param(submit(destination_addr=b"friend"), 0x0B, id="no number"),
        pytest.param(submit(validity_period=b"tomorrow"), 0x62, id="no time"),
    ],
)
async def test_what_a_network_would_not_take_is_refused(simulator: Simulator, pdu: SubmitSm, status: int) -> None:
    esme = await bound(simulator)
    assert (await esme.ask(pdu)).status == status


async def test_any_status_can_be_played(simulator: Simulator) -> None:
    simulator.verdict = lambda pdu: 0x58
    esme = await bound(simulator)
    assert (await esme.ask(submit())).status == 0x58
    assert not simulator.record.mt and not simulator.phone(FRIEND).inbox


@pytest.mark.parametrize(
    ("form", "base"), [pytest.param("decimal", 10), pytest.param("hex", 16), pytest.param("padded", 10)]
)
async def test_a_receipt_tells_that_the_message_arrived(form: str, base: int) -> None:
    async with running(receipt_ids=form) as simulator:
        esme = await bound(simulator)
        answer = await esme.ask(submit(registered_delivery=1))
        pdu = await esme.delivered()
        assert isinstance(answer, SubmitSmResp)
        assert (pdu.esm_class, pdu.source_addr, pdu.destination_addr) == (0x04, FRIEND.encode(), b"9105")
        assert pdu.tlv(RECEIPTED_MESSAGE_ID) == answer.message_id + b"\0"
        id, _, rest = pdu.short_message.removeprefix(b"id:").partition(b" ")
        assert int(id, base) == int(answer.message_id)
        assert rest.startswith(b"sub:001 dlvrd:001 submit date:")
        assert b" stat:DELIVRD err:000 text:hello" in pdu.short_message
        assert pdu.tlv(MESSAGE_STATE) == b"\x02"


async def test_a_receipt_goes_to_the_account_that_submitted() -> None:
    async with running(accounts={"vas": "secret", "other": "secret"}) as simulator:
        other = await connect(simulator)
        await other.ask(BindTransceiver(system_id=b"other", password=b"secret"))
        transmitter = await bound(simulator, BindTransmitter)
        await transmitter.ask(submit(registered_delivery=1))
        receiver = await bound(simulator, BindReceiver)
        assert (await receiver.delivered()).esm_class == 0x04
        assert other.came.empty()


@pytest.mark.parametrize(
    ("registered_delivery", "receipts"),
    [pytest.param(0, 0, id="none"), pytest.param(2, 0, id="on failure"), pytest.param(3, 1, id="on success")],
)
async def test_a_receipt_comes_only_as_asked(registered_delivery: int, receipts: int) -> None:
    async with running(receipt_delay=timedelta()) as simulator:
        esme = await bound(simulator)
        await esme.ask(submit(registered_delivery=registered_delivery))
        await asyncio.sleep(0)
        assert [mo.kind for mo in simulator.record.mo] == ["receipt"] * receipts


async def test_a_phone_that_is_off_gets_its_messages_when_it_is_back(simulator: Simulator) -> None:
    esme = await bound(simulator)
    phone = simulator.phone(FRIEND)
    phone.switch_off()
    await esme.ask(submit(registered_delivery=1))
    assert not phone.inbox and simulator.record.mt[0].state is State.ENROUTE
    phone.switch_on()
    assert (await phone.next_message()).text == "hello"
    assert b"stat:DELIVRD" in (await esme.delivered()).short_message


@pytest.mark.parametrize(
    ("settings", "period"),
    [
        pytest.param({}, b"000000000000000R", id="its own validity"),
        pytest.param({"validity": SOON}, b"", id="the network's"),
        pytest.param({}, b"200101000000000+", id="a time that is over"),
    ],
)
async def test_a_message_that_waits_too_long_expires(settings: dict[str, object], period: bytes) -> None:
    async with running(**settings) as simulator:
        esme = await bound(simulator)
        phone = simulator.phone(FRIEND)
        phone.switch_off()
        await esme.ask(submit(registered_delivery=1, validity_period=period))
        receipt = await esme.delivered()
        assert b"dlvrd:000" in receipt.short_message and b"stat:EXPIRED" in receipt.short_message
        phone.switch_on()
        assert not phone.inbox


async def test_a_message_to_a_phone_out_of_service_is_undeliverable(simulator: Simulator) -> None:
    esme = await bound(simulator)
    phone = simulator.phone(FRIEND)
    phone.out_of_service()
    await esme.ask(submit(registered_delivery=1))
    receipt = await esme.delivered()
    assert phone.state is PhoneState.OUT_OF_SERVICE and not phone.inbox
    assert b"stat:UNDELIV" in receipt.short_message and receipt.tlv(MESSAGE_STATE) == b"\x05"


# --- USSD, by the octets of the standard


def screen(text: bytes, op: int, session_info: bytes) -> SubmitSm:
    tlvs = ((0x0501, bytes([op])), (0x1383, session_info))
    return submit(text, service_type=b"USSD", destination_addr=ME.encode(), tlvs=tlvs)


async def test_a_dialogue_goes_there_and_back(simulator: Simulator) -> None:
    esme = await bound(simulator)
    phone = simulator.phone(ME)

    dialled = phone.dial("*105*0912345678#")
    pdu = await esme.delivered()
    info = pdu.tlv(0x1383) or b""
    assert (pdu.service_type, pdu.tlv(0x0501), pdu.destination_addr) == (b"USSD", b"\x01", b"105")
    assert (pdu.short_message, len(info), info[1]) == (b"*105*0912345678#", 2, 0)

    await esme.ask(screen(b"1 call\n2 block", 2, info))
    shown = await phone.screen_after(dialled)
    assert (shown.text, shown.more) == ("1 call\n2 block", True)

    answered = phone.answer("1")
    pdu = await esme.delivered()
    assert (pdu.tlv(0x0501), pdu.tlv(0x1383), pdu.short_message) == (b"\x12", bytes([info[0], 2]), b"1")

    await esme.ask(screen(b"done", 17, info))
    shown = await phone.screen_after(answered)
    assert (shown.text, shown.more, phone.dialogue) == ("done", False, None)


async def test_a_screen_is_waited_for_until_it_answers_the_turn_asked_about(simulator: Simulator) -> None:
    esme = await bound(simulator)
    phone = simulator.phone(ME)
    for text in (b"first", b"second"):
        shown = asyncio.create_task(phone.screen_after(phone.dial("*105#")))
        await asyncio.sleep(0)
        await esme.ask(screen(text, 17, (await esme.delivered()).tlv(0x1383) or b""))
        assert (await shown).text == text.decode()


async def test_a_screen_with_the_end_bit_ends_the_dialogue(simulator: Simulator) -> None:
    esme = await bound(simulator)
    phone = simulator.phone(ME)
    dialled = phone.dial("*105#")
    info = (await esme.delivered()).tlv(0x1383) or b""
    await esme.ask(screen(b"bye", 2, bytes([info[0], info[1] | 1])))
    assert not (await phone.screen_after(dialled)).more
    with pytest.raises(NoDialogue):
        phone.answer("1")


async def test_hanging_up_tells_the_esme(simulator: Simulator) -> None:
    esme = await bound(simulator)
    phone = simulator.phone(ME)
    phone.dial("*105#")
    info = (await esme.delivered()).tlv(0x1383) or b""
    phone.hang_up()
    pdu = await esme.delivered()
    assert pdu.tlv(0x1383) == bytes([info[0], 3]) and pdu.short_message == b""


async def test_a_screen_for_a_dialogue_that_is_over_is_refused(simulator: Simulator) -> None:
    esme = await bound(simulator)
    phone = simulator.phone(ME)
    phone.dial("*105#")
    info = (await esme.delivered()).tlv(0x1383) or b""
    other = bytes([(info[0] + 1) % 256, 0])
    assert (await esme.ask(screen(b"1 call", 2, other))).status == 0xC4
    assert (await esme.ask(screen(b"bye", 17, info))).status == 0
    assert (await esme.ask(screen(b"bye", 17, info))).status == 0xC4


async def test_a_screen_is_answered_once(simulator: Simulator) -> None:
    esme = await bound(simulator)
    phone = simulator.phone(ME)
    dialled = phone.dial("*105#")
    with pytest.raises(NoDialogue):
        phone.answer("1")
    info = (await esme.delivered()).tlv(0x1383) or b""
    await esme.ask(screen(b"1 call", 2, info))
    await phone.screen_after(dialled)
    phone.answer("1")
    with pytest.raises(NoDialogue):
        phone.answer("1")


async def test_a_screen_has_room_for_182_septets(simulator: Simulator) -> None:
    esme = await bound(simulator)
    simulator.phone(ME).dial("*105#")
    info = (await esme.delivered()).tlv(0x1383) or b""
    assert (await esme.ask(screen(b"x" * 183, 2, info))).status == 0x01
    assert (await esme.ask(screen(b"x" * 182, 2, info))).status == 0x00


async def test_a_refused_code_shows_what_a_phone_shows(simulator: Simulator) -> None:
    esme = await bound(simulator)
    phone = simulator.phone(ME)
    dialled = phone.dial("*105#")
    await esme.delivered(0x65)
    assert (await phone.screen_after(dialled)).text == "Connection problem or invalid MMI code."


async def test_the_network_ends_a_dialogue_that_nobody_answers() -> None:
    async with running(ussd_timer=SOON) as simulator:
        esme = await bound(simulator)
        phone = simulator.phone(ME)
        dialled = phone.dial("*105#")
        info = (await esme.delivered()).tlv(0x1383) or b""
        assert (await phone.screen_after(dialled)).text == "Connection problem or invalid MMI code."
        assert (await esme.delivered()).tlv(0x1383) == bytes([info[0], 3])
        assert (await esme.ask(screen(b"late", 17, info))).status == 0xC4


@pytest.mark.parametrize("code", ["105", "*105", "*#", "CM", "*105#" + "1" * 200 + "#"])
async def test_what_is_no_code_cannot_be_dialled(simulator: Simulator, code: str) -> None:
    with pytest.raises(ValueError, match="no USSD code"):
        simulator.phone(ME).dial(code)


async def test_the_record_is_bounded() -> None:
    async with running(records=2) as simulator:
        esme = await bound(simulator)
        for text in (b"1", b"2", b"3"):
            await esme.ask(submit(text))
        assert [mt.text for mt in simulator.record.mt] == ["2", "3"]
        assert [message.text for message in simulator.phone(FRIEND).inbox] == ["2", "3"]
