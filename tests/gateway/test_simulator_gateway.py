"""The gateway and the simulator read SMPP each in its own way; here they understand each other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from gateway import AccountSettings, SmppGateway
from gateway.dialects.receipt_ids import ReceiptId
from gateway.simulator import NoDialogue, Settings, Simulator
from gateway.simulator.settings import Account, IdForm, LongMessages, ReceiptForm
from vas.messages import Answer, Inbound, Msisdn, Outbound, Receipt, ReceiptState, SendOutcome, SendResult

ME = "84987654321"
LONG = "Một tin nhắn rất dài, với dấu. " * 6


class Echo:
    """A core that answers all with what was said, and a dialogue's first turn with a question."""

    def __init__(self) -> None:
        self.gateway: SmppGateway
        self.came: list[Inbound] = []
        self.sent: list[SendResult] = []
        self.receipts: asyncio.Queue[Receipt] = asyncio.Queue()

    def session_opened(self, account: str) -> int:
        return 1

    def session_closed(self, session: int) -> None: ...

    def session_confirmed(self, session: int, ordinal: int) -> None: ...

    def answered_late(self, session: int, ordinal: int) -> None: ...

    def receive(self, inbound: Inbound, answer: Answer) -> None:
        self.came.append(inbound)
        answer(0)
        turn = inbound.ussd
        if turn is not None and turn.ended:
            return
        reply = Outbound(
            id=len(self.came),
            to=Msisdn(inbound.sender),
            source=inbound.to,
            text=inbound.text,
            account=inbound.account,
            receipt=True,
            session=inbound.session if turn else 0,
            token=turn.token if turn else b"",
            more=turn.begin if turn else False,
        )
        self.gateway.send(reply, self.sent.append)

    def receive_receipt(self, receipt: Receipt, answer: Answer) -> None:
        self.receipts.put_nowait(receipt)
        answer(0)


class Pair:
    """`smsc` is the account as the simulator plays it, `esme` what the gateway is told of it."""

    def __init__(self, smsc: dict[str, Any] | None = None, esme: dict[str, Any] | None = None) -> None:
        self.core = Echo()
        self.esme = esme or {}
        self.simulator = Simulator(
            Settings(
                port=0,
                accounts={"vas": Account(password="secret", **smsc or {})},
                receipt_delay=timedelta(milliseconds=20),
                message_id_tlv=0x1401,
            )
        )

    async def __aenter__(self) -> Pair:
        await self.simulator.start()
        account = AccountSettings(
            name="main",
            host="127.0.0.1",
            port=self.simulator.port,
            system_id="vas",
            password="secret",
            message_id_tlv=0x1401,
            **self.esme,
        )
        self.core.gateway = self.gateway = SmppGateway([account], self.core)
        await self.gateway.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.gateway.stop()
        await self.simulator.stop()


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    async with Pair() as pair:
        yield pair


@pytest.mark.parametrize(
    ("receipt_id", "message_ids", "receipt_ids"),
    [
        ("same", "decimal", "decimal"),
        ("hex_to_dec", "hex", "decimal"),
        ("dec_to_hex", "decimal", "hex"),
        ("strip0", "padded", "decimal"),
    ],
)
async def test_a_receipt_names_the_message_it_is_for(
    receipt_id: ReceiptId, message_ids: IdForm, receipt_ids: IdForm
) -> None:
    smsc = {"message_ids": message_ids, "receipt": ReceiptForm(ids=receipt_ids)}
    async with Pair(smsc, {"receipt_id": receipt_id}) as pair:
        phone = pair.simulator.phone(ME)
        phone.text("hello", to="9105")
        assert (await phone.next_message()).text == "hello"
        receipt = await asyncio.wait_for(pair.core.receipts.get(), 5)
        (sent,) = pair.core.sent
        assert sent.outcome is SendOutcome.SENT
        assert (receipt.smsc_id,) == sent.smsc_ids
        assert (receipt.msisdn, receipt.state) == (ME, ReceiptState.DELIVERED)


async def test_the_smscs_own_id_arrives(pair: Pair) -> None:
    (mo,) = pair.simulator.phone(ME).text("hello", to="9105")
    await pair.simulator.phone(ME).next_message()
    assert [inbound.message_id for inbound in pair.core.came] == [str(mo.id)]


async def test_a_long_reply_is_one_message_on_the_phone(pair: Pair) -> None:
    message = Outbound(id=1, to=Msisdn(ME), source="9105", text=LONG, account="main", receipt=False)
    pair.simulator.phone(ME).text("hello", to="9105")
    await pair.simulator.phone(ME).next_message()
    pair.gateway.send(message, pair.core.sent.append)
    assert (await pair.simulator.phone(ME).next_message()).text == LONG


@pytest.mark.parametrize("dialect", ["spec", "6d", "mica", "tata", "scag", "bercut", "nowsms", "msisdn"])
async def test_a_dialogue_goes_its_way_in_every_dialect(dialect: str) -> None:
    async with Pair({"ussd": dialect}, {"ussd_dialect": dialect}) as pair:
        await _a_dialogue(pair)


async def _a_dialogue(pair: Pair) -> None:
    phone = pair.simulator.phone(ME)
    shown = await phone.screen_after(phone.dial("*105*0912345678#"))
    assert (shown.text, shown.more) == ("*105*0912345678#", True)
    shown = await phone.screen_after(phone.answer("1"))
    assert (shown.text, shown.more) == ("1", False)
    with pytest.raises(NoDialogue):
        phone.hang_up()
    begun, answered = (inbound.ussd for inbound in pair.core.came)
    assert begun is not None and answered is not None
    assert (begun.begin, answered.begin, begun.dialogue) == (True, False, answered.dialogue)


@pytest.mark.parametrize("dialect", ["spec", "6d", "mica", "tata", "scag", "bercut", "nowsms", "msisdn"])
async def test_hanging_up_ends_the_turn_in_every_dialect(dialect: str) -> None:
    async with Pair({"ussd": dialect}, {"ussd_dialect": dialect}) as pair:
        phone = pair.simulator.phone(ME)
        await phone.screen_after(phone.dial("*105#"))
        phone.hang_up()
        await asyncio.wait_for(pair.simulator.smsc.delivery.quiet(), 5)
        begun, last = pair.core.came[0].ussd, pair.core.came[-1].ussd
        assert begun is not None and last is not None
        assert last.ended and last.dialogue == begun.dialogue


@pytest.mark.parametrize("alphabet", ["gsm", "gsm_packed", "latin1", "ascii"])
@pytest.mark.parametrize("text", ["hello", "1234567", "12345678", "[€] ~ é", "gọi lại", "x" * 400, LONG])
async def test_a_text_is_the_same_on_the_phone_in_every_alphabet(alphabet: str, text: str) -> None:
    async with Pair({"alphabet": alphabet}, {"alphabet": alphabet}) as pair:
        message = Outbound(id=1, to=Msisdn(ME), source="9105", text=text, account="main", receipt=False)
        pair.gateway.send(message, pair.core.sent.append)
        assert (await pair.simulator.phone(ME).next_message()).text == text


@pytest.mark.parametrize("marks", ["udh", "udh16", "sar", "payload"])
@pytest.mark.parametrize("text", [LONG, "x" * 400, "€" * 200])
async def test_a_long_text_is_whole_by_every_mark(marks: LongMessages, text: str) -> None:
    async with Pair({}, {"long_messages": marks}) as pair:
        message = Outbound(id=1, to=Msisdn(ME), source="9105", text=text, account="main", receipt=False)
        pair.gateway.send(message, pair.core.sent.append)
        assert (await pair.simulator.phone(ME).next_message()).text == text


@pytest.mark.parametrize(
    ("nation", "text"),
    [
        ("turkish", "İyi akşamlar, yağmur yağıyor. " * 8),
        ("spanish", "Mañana será otro día, ¿quién sabrá cuál? " * 5),
        ("portuguese", "Não há ninguém à espera, João. " * 8),
    ],
)
async def test_a_text_by_a_national_table_is_the_same_on_the_phone(nation: str, text: str) -> None:
    async with Pair({}, {"national": (nation,)}) as pair:
        message = Outbound(id=1, to=Msisdn(ME), source="9105", text=text, account="main", receipt=False)
        pair.gateway.send(message, pair.core.sent.append)
        assert (await pair.simulator.phone(ME).next_message()).text == text
        assert all(mt.data_coding == 0 for mt in pair.simulator.record.mt)


async def test_a_fallen_line_comes_back_and_nothing_is_lost(pair: Pair) -> None:
    phone = pair.simulator.phone(ME)
    phone.text("before", to="9105")
    await phone.next_message()
    pair.simulator.smsc.drop_links()
    phone.text("after", to="9105")
    assert (await phone.next_message()).text == "after"
