"""USSD dialects of the simulator by their octets, and pushes; the octets are written from the sources by hand."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.pdus.pdu import DeliverSm, SubmitSm
from gateway.simulator import NoDialogue, Simulator
from gateway.simulator.dialects import Dialect, Shown, Turn, What, deliver, read
from gateway.simulator.settings import Account
from tests.gateway.test_simulator import ME, SOON, Esme, bound, running, submit

SESSION = 0x1234


@pytest.mark.parametrize(
    ("dialect", "what", "session", "destination", "tlvs"),
    [
        pytest.param("spec", "dial", 0x12, "105", "0501 0001 01  1383 0002 12 00", id="spec dials"),
        pytest.param("spec", "answer", 0x12, "105", "0501 0001 12  1383 0002 12 06", id="spec answers"),
        pytest.param("spec", "abort", 0x12, "105", "0501 0001 12  1383 0002 12 07", id="spec hangs up"),
        pytest.param("spec", "noticed", 0x12, "105", "0501 0001 13  1383 0002 12 06", id="spec has shown a notice"),
        pytest.param("6d", "dial", SESSION, "105", "0501 0001 01  1383 0002 2468", id="6d dials"),
        pytest.param("6d", "answer", SESSION, "105", "0501 0001 12  1383 0002 2468", id="6d answers"),
        pytest.param("6d", "abort", SESSION, "105", "0501 0001 81  1383 0002 2469", id="6d hangs up: 129"),
        pytest.param("tata", "dial", SESSION, "105", "0501 0001 01  1383 0002 2468", id="tata dials"),
        pytest.param("tata", "abort", SESSION, "105", "0501 0001 12  1383 0002 2469", id="tata hangs up"),
        pytest.param("mica", "dial", SESSION, "105", "0501 0001 01  0204 0002 1234", id="mica dials"),
        pytest.param("mica", "abort", SESSION, "105", "0501 0001 81  0204 0002 1234", id="mica hangs up: 129"),
        pytest.param("scag", "answer", SESSION, "105", "0501 0001 12  0204 0002 1234", id="scag answers"),
        pytest.param("scag", "abort", SESSION, "105", "0501 0001 23  0204 0002 1234", id="scag hangs up: 35"),
        pytest.param("bercut", "dial", SESSION, "*105#4660", "0501 0001 01", id="bercut dials"),
        pytest.param("bercut_hex", "answer", SESSION, "*105#1234", "0501 0001 12", id="bercut answers, hexadecimal"),
        pytest.param("nowsms", "answer", SESSION, "105", "0501 0001 12  1383 0002 1234", id="nowsms answers"),
        pytest.param("msisdn", "answer", SESSION, "105", "0501 0001 12", id="no session at all"),
    ],
)
def test_a_turn_is_written_as_its_gateway_writes_it(
    dialect: Dialect, what: What, session: int, destination: str, tlvs: str
) -> None:
    pdu = deliver(Turn(what, ME, "105", "1", session, 3 if what != "dial" else 0), dialect)
    assert (pdu.service_type, pdu.destination_addr, pdu.short_message) == (b"USSD", destination.encode(), b"1")
    assert pdu.encode().endswith(b"\x011" + bytes.fromhex(tlvs))


def optional(octets: str) -> tuple[tuple[int, bytes], ...]:
    """Tag and value of parameters written as tag, length, value."""
    data, found = bytes.fromhex(octets), []
    while data:
        end = 4 + int.from_bytes(data[2:4], "big")
        found.append((int.from_bytes(data[:2], "big"), data[4:end]))
        data = data[end:]
    return tuple(found)


@pytest.mark.parametrize(
    ("dialect", "tlvs", "source", "shown"),
    [
        pytest.param("spec", "0501000102 1383000212 06", "105", Shown(2, 0x12, False), id="spec asks"),
        pytest.param("spec", "0501000111 1383000212 07", "105", Shown(17, 0x12, True), id="spec closes"),
        pytest.param("spec", "0501000102 1383000212 07", "105", Shown(2, 0x12, True), id="spec closes by the bit"),
        pytest.param("spec", "0501000103", "105", Shown(3, None, True), id="spec pushes a notice"),
        pytest.param("6d", "0501000102 138300022468", "105", Shown(2, SESSION, False), id="6d asks"),
        pytest.param("6d", "0501000111 138300022469", "105", Shown(17, SESSION, True), id="6d closes"),
        pytest.param("tata", "0501000102 138300022468", "105", Shown(2, SESSION, False), id="tata asks"),
        pytest.param("tata", "0501000102 138300022469", "105", Shown(2, SESSION, True), id="tata closes with op 2"),
        pytest.param("mica", "0501000111 020400021234", "105", Shown(17, SESSION, True), id="mica closes"),
        pytest.param("scag", "0501000102 020400021234", "105", Shown(2, SESSION, False), id="scag asks"),
        pytest.param("scag", "0501000102", "105", Shown(2, None, False), id="scag pushes"),
        pytest.param("bercut", "0501000102", "*105#4660", Shown(2, SESSION, False), id="bercut asks"),
        pytest.param(
            "bercut_hex", "0501000111", "*105#1234", Shown(17, SESSION, True), id="bercut closes, hexadecimal"
        ),
        pytest.param("bercut", "0501000102", "105", Shown(2, None, False), id="bercut without a session"),
        pytest.param("nowsms", "0501000102 138300021235", "105", Shown(2, 0x1235, False), id="nowsms has no end bit"),
        pytest.param("msisdn", "0501000111", "105", Shown(17, None, True), id="no session at all"),
        pytest.param("spec", "020400021234", "105", None, id="no USSD"),
    ],
)
def test_a_screen_is_read_as_its_gateway_reads_it(
    dialect: Dialect, tlvs: str, source: str, shown: Shown | None
) -> None:
    assert read(optional(tlvs), source.encode(), dialect) == shown


async def speaking(dialect: Dialect) -> tuple[running, Simulator, Esme]:
    play = running(accounts={"vas": Account(password="secret", ussd=dialect)})
    simulator = await play.__aenter__()
    return play, simulator, await bound(simulator)


def reply(turn: DeliverSm, op: int, text: bytes, ends: bool, dialect: Dialect) -> SubmitSm:
    """What an ESME sends into the dialogue of a turn, by the rules of its gateway."""
    session = tuple((tag, value) for tag, value in turn.tlvs if tag != 0x0501)
    if dialect in ("spec", "6d", "tata") and ends:
        session = tuple((tag, value[:1] + bytes([value[1] | 1])) for tag, value in session)
    source = turn.destination_addr if dialect.startswith("bercut") else b"105"
    return submit(text, source_addr=source, destination_addr=turn.source_addr, tlvs=((0x0501, bytes([op])), *session))


@pytest.mark.parametrize("dialect", ["spec", "6d", "mica", "tata", "scag", "bercut", "bercut_hex", "nowsms", "msisdn"])
async def test_a_dialogue_goes_there_and_back_in_every_dialect(dialect: Dialect) -> None:
    play, simulator, esme = await speaking(dialect)
    phone = simulator.phone(ME)
    dialled = phone.dial("*105#")
    turn = await esme.delivered()
    assert (await esme.ask(reply(turn, 2, b"1 yes", False, dialect))).status == 0
    shown = await phone.screen_after(dialled)
    assert (shown.text, shown.more) == ("1 yes", True)
    answered = phone.answer("1")
    turn = await esme.delivered()
    assert turn.tlv(0x0501) == b"\x12" and turn.short_message == b"1"
    closing = reply(turn, 2 if dialect == "tata" else 17, b"done", True, dialect)
    assert (await esme.ask(closing)).status == 0
    shown = await phone.screen_after(answered)
    assert (shown.text, shown.more, phone.dialogue) == ("done", False, None)
    await play.__aexit__()


# --- pushes


def push(op: int, text: bytes = b"Top up? 1 yes", **fields: Any) -> SubmitSm:
    tlvs = ((0x0501, bytes([op])), *fields.pop("tlvs", ()))
    return submit(text, source_addr=b"105", destination_addr=ME.encode(), tlvs=tlvs, **fields)


async def until_screen(simulator: Simulator, text: str) -> None:
    async with asyncio.timeout(5):
        while (screen := simulator.phone(ME).screen) is None or screen.text != text:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_a_pushed_question_is_answered_into_its_session() -> None:
    play, simulator, esme = await speaking("spec")
    assert (await esme.ask(push(2, tlvs=((0x1383, b"\x2a\x00"),)))).status == 0
    phone = simulator.phone(ME)
    assert phone.screen is not None and phone.screen.more
    answered = phone.answer("1")
    turn = await esme.delivered()
    assert (turn.tlv(0x0501), turn.tlv(0x1383), turn.destination_addr) == (b"\x12", b"\x2a\x02", b"105")
    await esme.ask(push(17, b"thanks", tlvs=((0x1383, b"\x2a\x03"),)))
    assert (await phone.screen_after(answered)).text == "thanks"
    with pytest.raises(NoDialogue):
        phone.answer("1")
    await play.__aexit__()


async def test_a_pushed_notice_is_confirmed_by_the_phone_itself() -> None:
    play, simulator, esme = await speaking("spec")
    esme.send(push(3, b"Your balance is low"))
    await until_screen(simulator, "Your balance is low")
    came = [await esme.next(), await esme.next()]
    (turn,) = [pdu for pdu in came if isinstance(pdu, DeliverSm)]
    assert turn.tlv(0x0501) == b"\x13" and turn.short_message == b""
    assert simulator.phone(ME).dialogue is None
    await play.__aexit__()


async def test_a_push_without_a_session_gets_one_from_the_smsc() -> None:
    play, simulator, esme = await speaking("scag")
    assert (await esme.ask(push(2))).status == 0
    simulator.phone(ME).answer("1")
    turn = await esme.delivered()
    assert turn.tlv(0x0501) == b"\x12" and len(turn.tlv(0x0204) or b"") == 2
    await play.__aexit__()


@pytest.mark.parametrize(
    ("tlvs", "status"),
    [pytest.param((), 0x45, id="no session"), pytest.param(((0x1383, b"\x63\0"),), 0xC4, id="another")],
)
async def test_a_phone_that_is_busy_refuses_a_push(tlvs: tuple[tuple[int, bytes], ...], status: int) -> None:
    play, simulator, esme = await speaking("spec")
    simulator.phone(ME).dial("*105#")
    await esme.delivered()
    assert (await esme.ask(push(2, tlvs=tlvs))).status == status
    await play.__aexit__()


async def test_a_phone_that_is_off_refuses_a_push() -> None:
    play, simulator, esme = await speaking("spec")
    simulator.phone(ME).switch_off()
    assert (await esme.ask(push(3))).status == 0x45
    await play.__aexit__()


async def test_a_menu_that_comes_after_the_end_opens_nothing() -> None:
    play, simulator, esme = await speaking("spec")
    phone = simulator.phone(ME)
    phone.dial("*105#")
    turn = await esme.delivered()
    phone.hang_up()
    await esme.delivered()
    assert (await esme.ask(reply(turn, 2, b"1 yes", False, "spec"))).status == 0xC4
    assert phone.dialogue is None
    await play.__aexit__()


@pytest.mark.parametrize(
    ("text", "data_coding", "status"),
    [
        pytest.param(b"x" * 182, 0, 0, id="182 septets"),
        pytest.param(b"x" * 183, 0, 1, id="183 septets"),
        pytest.param(b"\0x" * 80, 8, 0, id="80 UCS-2 characters"),
        pytest.param(b"\0x" * 81, 0x48, 1, id="81 UCS-2 characters, by the cell broadcast scheme"),
    ],
)
async def test_a_pushed_screen_has_its_limits(text: bytes, data_coding: int, status: int) -> None:
    play, _, esme = await speaking("spec")
    assert (await esme.ask(push(2, text, data_coding=data_coding))).status == status
    await play.__aexit__()


async def test_switching_off_hangs_up() -> None:
    play, simulator, esme = await speaking("6d")
    simulator.phone(ME).dial("*105#")
    await esme.delivered()
    simulator.phone(ME).switch_off()
    assert (await esme.delivered()).tlv(0x0501) == b"\x81"
    await play.__aexit__()


async def test_a_screen_that_its_subscriber_forgets_ends_the_dialogue() -> None:
    async with running(answer_timer=SOON) as simulator:
        esme = await bound(simulator)
        phone = simulator.phone(ME)
        phone.dial("*105#")
        turn = await esme.delivered()
        await esme.ask(reply(turn, 2, b"1 yes", False, "spec"))
        assert (await esme.delivered()).tlv(0x1383) == bytes([(turn.tlv(0x1383) or b"")[0], 3])
        assert phone.dialogue is None
