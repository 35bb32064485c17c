"""A recorded link played again: in order and time, with the recorded answers, and every difference told."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console

from gateway.pdus.pdu import (
    RESPONSE,
    BindTransceiver,
    DeliverSm,
    DeliverSmResp,
    Pdu,
    SubmitSm,
    SubmitSmResp,
    Unbind,
    UnbindResp,
    decode,
    frames,
)
from gateway.simulator import Settings, Simulator
from gateway.simulator.anonymous import Anonymiser
from gateway.simulator.decoded import Taped
from gateway.simulator.recording import Delivered, Recording, Submitted
from gateway.simulator.replay import Replay, Summary
from gateway.simulator.replay_command import play
from gateway.simulator.tape import Tape, read

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
LAN, MAI = b"84912345678", b"84987654321"
SETTINGS = Settings(port=0, accounts={"vas": "secret"}, receipt_delay=timedelta(milliseconds=20))
Answers = Callable[[DeliverSm], tuple[int, list[SubmitSm]]]
"""What an ESME does with a deliver_sm: its status, and what it submits."""


class Esme(asyncio.Protocol):
    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.delivered: list[DeliverSm] = []
        self.responses: list[SubmitSmResp] = []
        self.buffer = bytearray()
        self.sequence = 1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(BindTransceiver(sequence=1, system_id=b"vas", password=b"secret").encode())

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        for frame in frames(self.buffer):
            match decode(frame):
                case DeliverSm() as pdu:
                    self.take(pdu)
                case SubmitSmResp() as pdu:
                    self.responses.append(pdu)
                case Unbind() as pdu:
                    self.transport.write(UnbindResp(sequence=pdu.sequence).encode())

    def take(self, pdu: DeliverSm) -> None:
        self.delivered.append(pdu)
        status, submissions = self.answers(pdu)
        self.transport.write(DeliverSmResp(sequence=pdu.sequence, status=status).encode())
        for submission in submissions:
            self.sequence += 1
            submission.sequence = self.sequence
            self.transport.write(submission.encode())


def reply(pdu: DeliverSm, text: bytes = b"Sent.") -> SubmitSm:
    return SubmitSm(source_addr=b"9105", destination_addr=pdu.source_addr, registered_delivery=1, short_message=text)


def polite(pdu: DeliverSm) -> tuple[int, list[SubmitSm]]:
    """A platform as ours is: a text is answered, a code gets a menu, a digit the last screen, a receipt nothing."""
    if pdu.esm_class & 0x04:
        return 0, []
    answer = reply(pdu)
    if operation := pdu.tlv(0x0501):
        first = operation == b"\x01"
        session = pdu.tlv(0x1383) or b""
        answer.registered_delivery = 0
        answer.short_message = b"1 call" if first else b"Done."
        answer.tlvs = ((0x0501, b"\x02" if first else b"\x11"), (0x1383, session))
    return 0, [answer]


async def played(recording: Recording, answers: Answers, speed: float = 100.0) -> tuple[Summary, Esme]:
    replay = Replay(recording, SETTINGS, speed, patience_seconds=0.3)
    esme = Esme(answers)
    running = asyncio.create_task(play(replay, 1, Console(file=io.StringIO())))
    await asyncio.sleep(0.02)
    await asyncio.get_running_loop().create_connection(lambda: esme, "127.0.0.1", replay.port)
    return await asyncio.wait_for(running, 20), esme


@pytest.fixture
async def recorded(tmp_path: Path) -> AsyncIterator[Path]:
    """A text with its receipt, and a USSD dialogue, at the simulator."""
    simulator = Simulator(SETTINGS)
    tape = simulator.smsc.tape = Tape(tmp_path / "run.jsonl", simulator.smsc.clock)
    await simulator.start()
    esme = Esme(polite)
    await asyncio.get_running_loop().create_connection(lambda: esme, "127.0.0.1", simulator.port)
    simulator.phone(LAN.decode()).text("CM 0987654321", to="9105")
    mai = simulator.phone(MAI.decode())
    await mai.screen_after(mai.dial("*105#"))
    await mai.screen_after(mai.answer("1"))
    await simulator.phone(LAN.decode()).next_message()
    async with asyncio.timeout(5):
        while not any(pdu.esm_class & 0x04 for pdu in esme.delivered):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await simulator.stop()
    tape.close()
    yield tmp_path / "run.jsonl"


async def test_a_platform_that_does_the_same_has_no_differences(recorded: Path) -> None:
    recording = Recording.of(read(recorded))
    assert (len(recording.delivered), len(recording.submitted), recording.unreadable) == (4, 3, 0)
    summary, esme = await played(recording, polite)
    assert summary.same and (summary.delivered, summary.submitted) == (4, 3), summary
    assert [(pdu.source_addr, pdu.short_message) for pdu in esme.delivered if not pdu.esm_class] == [
        (LAN, b"CM 0987654321"), (MAI, b"*105#"), (MAI, b"1"),
    ]  # fmt: skip


async def test_an_anonymised_recording_is_played_as_well(recorded: Path) -> None:
    tapes = list(Anonymiser(b"sixteen octets..").tapes(read(recorded)))
    summary, esme = await played(Recording.of(tapes), polite)
    assert summary.same and (summary.delivered, summary.submitted) == (4, 3)
    assert LAN not in {pdu.source_addr for pdu in esme.delivered}


@pytest.mark.parametrize(
    ("recorded", "now", "as_recorded"),
    [
        pytest.param("Say CM 0933111222, not 12.", "Say CM 0912345678, not 12.", True, id="an example's number"),
        pytest.param("Say CM 0933 111.222.", "Say CM 0912 345.678.", True, id="with spaces and dots"),
        pytest.param("Asked 0933111222.", "Asked 0987654321.", False, id="another subscriber's number"),
        pytest.param("Asked 0933111222.", "Asked 84905555111.", False, id="the number that another message was about"),
        pytest.param("2 left.", "3 left.", False, id="a number that is nobody's"),
        pytest.param("CM 0933111222.", "CM 0912345678!", False, id="another word"),
    ],
)
async def test_only_a_number_of_the_texts_own_may_differ(recorded: str, now: str, as_recorded: bool) -> None:
    asked = DeliverSm(source_addr=b"84933111222", destination_addr=b"9105", short_message=b"CM 0905555111")
    other = DeliverSm(source_addr=MAI, destination_addr=b"9105", short_message=b"HD")
    sent = Submitted(NOON, b"9105", b"84933111222", recorded, ussd=False)
    recording = Recording([Delivered(NOON, asked, "CM 0905555111", 0), Delivered(NOON, other, "HD", 0)], [sent], 0)

    def answers(pdu: DeliverSm) -> tuple[int, list[SubmitSm]]:
        return 0, [reply(pdu, now.encode())] if pdu.source_addr == b"84933111222" else []

    summary, _ = await played(recording, answers)
    assert (summary.same, summary.renumbered, summary.reworded) == (as_recorded, as_recorded, not as_recorded)


async def test_other_words_another_status_too_few_and_too_many_are_told(recorded: Path) -> None:
    def changed(pdu: DeliverSm) -> tuple[int, list[SubmitSm]]:
        if pdu.short_message.startswith(b"CM"):
            return 0, [reply(pdu, b"Other words."), reply(pdu, b"One more.")]
        return 0x58, []

    summary, _ = await played(Recording.of(read(recorded)), changed)
    assert not summary.same
    assert (summary.reworded, summary.extra, summary.missing) == (1, 1, 2)
    assert (summary.delivered_otherwise, summary.not_delivered) == (2, 1), summary
    told = {(difference.what, difference.recorded, difference.now) for difference in summary.differences}
    assert ("reworded", "Sent.", "Other words.") in told
    assert ("delivered otherwise", "ROK", "RTHROTTLED: *105#") in told
    assert ("not delivered", "1", "") in told
    assert not any(LAN.decode() in difference.number for difference in summary.differences)


def link(*said: Pdu, step: timedelta = timedelta(milliseconds=10), session: int = 1) -> list[Taped]:
    """Frames on one link, one after the other; requests of the SMSC are deliver_sm alone."""
    tapes = []
    for place, pdu in enumerate(said):
        of_smsc = isinstance(pdu, DeliverSm) or bool(pdu.command_id & RESPONSE and not isinstance(pdu, DeliverSmResp))
        direction = "out" if of_smsc else "in"
        tapes.append(
            Taped(
                NOON + place * step,
                direction,
                session,
                "vas",
                ("127.0.0.1", 2775),
                ("127.0.0.1", 4),
                pdu.encode(),  # type: ignore[arg-type]
            )
        )
    return tapes


def mo(sequence: int, text: bytes = b"HD", sender: bytes = LAN) -> DeliverSm:
    return DeliverSm(sequence=sequence, source_addr=sender, destination_addr=b"9105", short_message=text)


async def test_submissions_are_answered_as_recorded() -> None:
    tapes = link(
        mo(1), DeliverSmResp(sequence=1), SubmitSm(sequence=7, source_addr=b"9105", destination_addr=LAN),
        SubmitSmResp(sequence=7, status=0x58), mo(2), DeliverSmResp(sequence=2),
        SubmitSm(sequence=8, source_addr=b"9105", destination_addr=LAN), SubmitSmResp(sequence=8, message_id=b"4d2"),
    )  # fmt: skip
    summary, esme = await played(Recording.of(tapes), lambda pdu: (0, [reply(pdu, b"")]))
    assert summary.same
    assert [(response.status, response.message_id) for response in esme.responses] == [(0x58, b""), (0, b"4d2")]


@pytest.mark.parametrize(
    ("given", "receipted"),
    [
        pytest.param(b"1234", b"1234", id="same"),
        pytest.param(b"4d2", b"1234", id="hexadecimal, then decimal"),
        pytest.param(b"1234", b"4D2", id="decimal, then hexadecimal"),
        pytest.param(b"0000001234", b"1234", id="zeros stripped"),
    ],
)
async def test_a_receipt_waits_until_its_message_was_submitted(given: bytes, receipted: bytes) -> None:
    receipt = mo(2, b"id:%s stat:DELIVRD err:000 text:" % receipted)
    receipt.esm_class = 4
    tapes = link(
        mo(1), DeliverSmResp(sequence=1), SubmitSm(sequence=7, source_addr=b"9105", destination_addr=LAN),
        SubmitSmResp(sequence=7, message_id=given), receipt, DeliverSmResp(sequence=2),
    )  # fmt: skip
    summary, _ = await played(Recording.of(tapes), lambda pdu: (0, [] if pdu.esm_class else [reply(pdu, b"")]))
    assert summary.same and summary.delivered == 2
    silent, esme = await played(Recording.of(tapes), lambda pdu: (0, []))
    assert (silent.missing, silent.not_delivered, len(esme.delivered)) == (1, 1, 1)


async def test_a_recording_is_played_in_its_time_divided_by_the_speed() -> None:
    tapes = link(*(mo(n, b"%d" % n) for n in range(1, 6)), step=timedelta(seconds=1))
    begun = asyncio.get_running_loop().time()
    _, esme = await played(Recording.of(tapes), lambda pdu: (0, []), speed=10)
    assert 0.39 < asyncio.get_running_loop().time() - begun < 3.9
    assert [pdu.short_message for pdu in esme.delivered] == [b"1", b"2", b"3", b"4", b"5"]


def test_only_one_account_is_read_where_one_is_asked_for() -> None:
    tapes = link(mo(1))
    assert len(Recording.of(tapes, "vas").delivered) == 1
    assert Recording.of(tapes, "other").delivered == []


def test_a_frame_that_cannot_be_read_is_counted() -> None:
    (tape,) = link(mo(1))
    broken = Taped(NOON, "out", 1, "vas", tape.smsc, tape.esme, tape.frame[:-1])
    assert Recording.of([broken]).unreadable == 1
