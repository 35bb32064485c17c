from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from io import StringIO

import pytest
from aiohttp import ClientResponse, ClientSession
from rich.console import Console

from gateway.pdus.pdu import BindTransceiver, DeliverSm, DeliverSmResp, SubmitSm, Unbind, UnbindResp, decode, frames
from gateway.simulator import Received, Settings, Simulator
from gateway.simulator.phone_terminal import Request, draw, parse, printable, run

ME = "84987654321"


class Parrot(asyncio.Protocol):
    """A platform that texts back what it is told, and asks once in a USSD dialogue."""

    def __init__(self) -> None:
        self.buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(BindTransceiver(sequence=1, system_id=b"vas", password=b"secret").encode())

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        for frame in frames(self.buffer):
            pdu = decode(frame)
            if isinstance(pdu, DeliverSm):
                self.transport.write(DeliverSmResp(sequence=pdu.sequence).encode() + self.reply(pdu).encode())
            elif isinstance(pdu, Unbind):
                self.transport.write(UnbindResp(sequence=pdu.sequence).encode())

    def reply(self, pdu: DeliverSm) -> SubmitSm:
        reply = SubmitSm(
            sequence=pdu.sequence,
            source_addr=pdu.destination_addr,
            destination_addr=pdu.source_addr,
            short_message=b"you said " + pdu.short_message,
        )
        if op := pdu.tlv(0x0501):
            reply.tlvs = ((0x0501, b"\x02" if op == b"\x01" else b"\x11"), (0x1383, pdu.tlv(0x1383) or b""))
        return reply


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    simulator = Simulator(Settings(port=0, http_port=0, accounts={"vas": "secret"}))
    await simulator.start()
    yield simulator
    await simulator.stop()


@pytest.fixture
async def parrot(simulator: Simulator) -> None:
    await asyncio.get_running_loop().create_connection(Parrot, "127.0.0.1", simulator.port)


@pytest.fixture
async def http(simulator: Simulator) -> AsyncIterator[ClientSession]:
    async with ClientSession(f"http://127.0.0.1:{simulator.http_port}") as session:
        yield session


async def event(stream: ClientResponse) -> dict[str, object]:
    while not (line := (await asyncio.wait_for(stream.content.readline(), 5)).strip()):
        pass
    return dict(json.loads(line))


@pytest.mark.usefixtures("parrot")
async def test_a_text_and_its_reply_are_seen_over_http(http: ClientSession) -> None:
    async with http.get(f"/phones/{ME}/events") as stream:
        async with http.post(f"/phones/{ME}/sms", json={"to": "9105", "text": "hello"}) as answer:
            assert answer.status == 202
        came = await event(stream)
    assert (came["kind"], came["source"], came["text"]) == ("message", "9105", "you said hello")
    async with http.get(f"/phones/{ME}") as answer:
        phone = await answer.json()
    assert [message["text"] for message in phone["inbox"]] == ["you said hello"]


@pytest.mark.usefixtures("parrot")
async def test_a_dialogue_is_held_over_http(http: ClientSession) -> None:
    async with http.get(f"/phones/{ME}/events") as stream:
        await http.post(f"/phones/{ME}/dial", json={"code": "*105#"})
        came = await event(stream)
        assert (came["kind"], came["text"], came["more"]) == ("screen", "you said *105#", True)
        await http.post(f"/phones/{ME}/answer", json={"text": "1"})
        came = await event(stream)
        assert (came["text"], came["more"]) == ("you said 1", False)
    async with http.post(f"/phones/{ME}/answer", json={"text": "1"}) as answer:
        assert answer.status == 409


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        pytest.param(f"{ME}/sms", "{", "truncated", id="no JSON"),
        pytest.param(f"{ME}/sms", '{"to": "9105"}', "text", id="no text"),
        pytest.param(f"{ME}/sms", '{"to": "9105", "text": ""}', "length", id="empty text"),
        pytest.param(f"{ME}/sms", '{"to": "9105", "text": "x", "from": "1"}', "from", id="unknown key"),
        pytest.param(f"{ME}/sms", '{"to": "mother", "text": "x"}', "mother", id="no number"),
        pytest.param(f"{ME}/sms", json.dumps({"to": "9105", "text": "x" * 10_001}), "length", id="too long"),
        pytest.param(f"{ME}/dial", '{"code": "105"}', "105", id="no code"),
        pytest.param("mother/sms", '{"to": "9105", "text": "x"}', "mother", id="no phone"),
    ],
)
async def test_a_request_that_makes_no_sense_is_told_why(http: ClientSession, path: str, body: str, said: str) -> None:
    async with http.post(f"/phones/{path}", data=body) as answer:
        assert (answer.status, answer.content_type) == (400, "application/problem+json")
        assert said in (await answer.json())["detail"]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        pytest.param(f"/phones/{ME}/sms", b"x" * 70_000, 413, id="too large"),
        pytest.param(f"/phones/{ME}/explode", b"", 404, id="unknown path"),
        pytest.param(f"/phones/{ME}", b"", 405, id="wrong method"),
    ],
)
async def test_what_http_refuses_is_a_problem_too(http: ClientSession, path: str, body: bytes, status: int) -> None:
    async with http.post(path, data=body) as answer:
        assert (answer.status, answer.content_type) == (status, "application/problem+json")
        assert (await answer.json())["status"] == status


async def test_a_phone_is_switched_off_and_on(simulator: Simulator, http: ClientSession) -> None:
    for action, state in [
        ("switch_off", "switched_off"),
        ("out_of_service", "out_of_service"),
        ("switch_on", "reachable"),
    ]:
        async with http.post(f"/phones/{ME}/{action}") as answer:
            assert answer.status == 204
        assert simulator.phone(ME).state == state


@pytest.mark.parametrize("state", ["switch_off", "out_of_service"])
@pytest.mark.parametrize(("act", "body"), [("dial", {"code": "*105#"}), ("sms", {"to": "9105", "text": "x"})])
async def test_a_phone_without_network_can_neither_dial_nor_text(
    simulator: Simulator, http: ClientSession, state: str, act: str, body: dict[str, str]
) -> None:
    await http.post(f"/phones/{ME}/{state}")
    async with http.post(f"/phones/{ME}/{act}", json=body) as answer:
        assert answer.status == 409
        assert (await answer.json())["title"] in ("The phone is switched off", "The phone is out of service")
    assert not simulator.record.mo


async def test_a_phone_whose_memory_is_full_can_dial(simulator: Simulator) -> None:
    phone = simulator.phone(ME)
    phone.fill()
    assert phone.dial("*105#").text == "*105#"


async def test_a_number_as_people_write_it_is_the_same_phone(simulator: Simulator, http: ClientSession) -> None:
    await http.post("/phones/0987654321/balance", json={"balance": 5})
    assert simulator.phone(ME).balance == simulator.phone("+84 987 654 321").balance == 5


@pytest.mark.usefixtures("parrot")
async def test_the_status_counts(simulator: Simulator, http: ClientSession) -> None:
    await http.post(f"/phones/{ME}/sms", json={"to": "9105", "text": "hello"})
    await simulator.phone(ME).next_message()
    async with http.get("/status") as answer:
        status = await answer.json()
    assert [(bind["account"], bind["mode"]) for bind in status["binds"]] == [("vas", "transceiver")]
    assert (status["owed"], status["outcomes"]["acknowledged"], status["submitted"]) == (0, 1, 1)


async def test_the_help_names_every_path(http: ClientSession) -> None:
    async with http.get("/") as answer:
        page = await answer.text()
    for path in ("/status", "/events", "/sms", "/dial", "/answer", "/hang_up", "/switch_off", "/switch_on"):
        assert path in page


async def test_who_comes_later_is_told_what_happened_before(simulator: Simulator, http: ClientSession) -> None:
    phone = simulator.phone(ME)
    for text in ("one", "two", "three"):
        phone.text(text, "9105")
    async with http.get("/events", params={"last": 2}) as stream:
        phone.text("four", "9105")
        read = [(await asyncio.wait_for(stream.content.readline(), 5)).strip() for _ in range(4)]
    assert [json.loads(line)["event"]["text"] if line else "" for line in read] == ["two", "three", "", "four"]
    async with http.get("/events", params={"last": "all"}) as answer:
        assert answer.status == 400


async def test_listeners_of_one_phone_are_bounded_and_leave(simulator: Simulator, http: ClientSession) -> None:
    streams = [await http.get(f"/phones/{ME}/events") for _ in range(16)]
    async with http.get(f"/phones/{ME}/events") as answer:
        assert answer.status == 503
    for stream in streams:
        stream.close()


# --- the phone in the terminal


@pytest.mark.parametrize(
    ("line", "answering", "request_"),
    [
        ("*105#", False, ("dial", {"code": "*105#"})),
        ("*105*0912345678#", True, ("dial", {"code": "*105*0912345678#"})),
        ("1", True, ("answer", {"text": "1"})),
        ("#", True, ("answer", {"text": "#"})),
        ("sms 9105 CM 0912345678", False, ("sms", {"to": "9105", "text": "CM 0912345678"})),
        ("9105: CM 0912345678", True, ("sms", {"to": "9105", "text": "CM 0912345678"})),
        ("+84912345678:hi", False, ("sms", {"to": "84912345678", "text": "hi"})),
        ("/off", True, ("switch_off", {})),
        ("/foo", True, None),
        ("/2", True, ("answer", {"text": "/2"})),
        ("1", False, None),
        ("", True, None),
    ],
)
def test_a_typed_line_means(line: str, answering: bool, request_: tuple[str, dict[str, str]] | None) -> None:
    understood = parse(line, answering)
    assert (understood and (understood.action, understood.body)) == request_
    assert understood is None or isinstance(understood, Request)


async def terminal(simulator: Simulator, *typed: str, number: str = ME) -> str:
    """What the console shows for a script of lines."""
    console = Console(file=StringIO(), width=80, color_system=None)
    reading, writing = os.pipe()
    os.write(writing, "".join(line + "\n" for line in typed).encode())
    os.close(writing)
    try:
        await run(f"http://127.0.0.1:{simulator.http_port}", number, reading, console)
    finally:
        os.close(reading)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


@pytest.mark.usefixtures("parrot")
async def test_a_script_holds_a_dialogue_and_texts(simulator: Simulator) -> None:
    shown = await terminal(simulator, "*105#", "1", "9105: [b]hello", "?")
    for said in ("you said *105#", "your answer?", "you said 1", "✉  9105", "you said [b]hello", "dial a code"):
        assert said in shown


def test_a_message_cannot_steer_the_terminal() -> None:
    assert printable("\x1b[2Jgọi\nlại\r\x07") == "\ufffd[2Jgọi\nlại\ufffd\ufffd"
    console = Console(file=StringIO(), width=80, color_system=None)
    console.print(draw(Received("9105", "\x1b]0;title\x07", datetime.now(UTC))))
    assert isinstance(console.file, StringIO)
    assert "\x1b" not in console.file.getvalue()


async def test_the_terminal_says_when_nothing_waits_for_an_answer(simulator: Simulator) -> None:
    assert "No screen waits for an answer." in await terminal(simulator, "1")


async def test_the_terminal_says_which_commands_there_are(simulator: Simulator) -> None:
    shown = await terminal(simulator, "/foo")
    assert "There is no /foo: /hangup, /off, /on there are." in shown and "No screen" not in shown


async def test_a_wrong_fault_is_told_what_was_meant(http: ClientSession) -> None:
    async with http.post("/faults", json={"kind": "throtle"}) as answer:
        assert answer.status == 400
        assert (await answer.json())["detail"] == "kind: there is no 'throtle'; did you mean `throttle`?"


async def test_the_terminal_shows_why_a_phone_cannot_be_had(simulator: Simulator) -> None:
    assert "'mother' is no number of 3 to 15 digits" in await terminal(simulator, number="mother")
