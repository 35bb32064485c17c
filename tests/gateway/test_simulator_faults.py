"""Each fault as an ESME in the raw meets it, and the seed that makes two runs equal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from gateway.pdus.pdu import (
    CONGESTION_STATE,
    MESSAGE_PAYLOAD,
    RECEIPTED_MESSAGE_ID,
    BindReceiver,
    BindTransceiver,
    DataSm,
    DataSmResp,
    DeliverSm,
    DeliverSmResp,
    EnquireLink,
    EnquireLinkResp,
    GenericNack,
    SubmitSmResp,
)
from gateway.simulator import Outcome, Simulator, State
from gateway.simulator.fault_words import described
from gateway.simulator.faults import KINDS, Fault, Faults
from gateway.simulator.magic import MAGIC
from tests.gateway.test_simulator import FRIEND, ME, Esme, bound, connect, running, settled, submit

SHORT = 0.02


async def with_fault(**fields: Any) -> tuple[running, Simulator, Esme]:
    """A simulator with one fault, and an ESME bound to it."""
    play = running(response_timer=timedelta(milliseconds=60))
    simulator = await play.__aenter__()
    esme = await bound(simulator)
    simulator.faults.add(Fault(**fields))
    return play, simulator, esme


async def silent(esme: Esme) -> None:
    """Nothing was sent before this enquire_link is answered."""
    assert isinstance(await esme.ask(EnquireLink()), EnquireLinkResp)


# --- requests


@pytest.mark.parametrize(
    ("fields", "status", "accepted"),
    [
        pytest.param({"kind": "status", "status": "RMSGQFUL"}, 0x14, 0, id="by name"),
        pytest.param({"kind": "status", "status": "0x442"}, 0x442, 0, id="a vendor's"),
        pytest.param({"kind": "throttle", "per_second": 0.001, "after": 1}, 0, 1, id="within the rate"),
    ],
)
async def test_a_submission_is_refused_with_any_status(fields: dict[str, Any], status: int, accepted: int) -> None:
    play, simulator, esme = await with_fault(**fields)
    assert (await esme.ask(submit())).status == status
    assert len(simulator.record.mt) == accepted
    await play.__aexit__()


async def test_only_the_second_of_each_two_is_struck_and_no_more_often_than_said() -> None:
    play, _, esme = await with_fault(kind="status", every=2, times=2, after=1)
    assert [(await esme.ask(submit())).status for _ in range(8)] == [0, 0, 8, 0, 8, 0, 0, 0]
    await play.__aexit__()


@pytest.mark.parametrize(
    ("fields", "statuses"),
    [
        pytest.param({"number": "678"}, [8, 0], id="one number"),
        pytest.param({"number": "9105"}, [8, 8], id="the short code"),
        pytest.param({"account": "other"}, [0, 0], id="another account"),
        pytest.param({"per": "phone", "times": 1}, [8, 8], id="once for each phone"),
        pytest.param({"per": "account", "times": 1}, [8, 0], id="once for the account"),
    ],
)
async def test_a_fault_strikes_whom_it_is_for(fields: dict[str, Any], statuses: list[int]) -> None:
    play, _, esme = await with_fault(kind="status", **fields)
    answers = [await esme.ask(submit(destination_addr=to)) for to in (b"84912345678", b"84987654321")]
    assert [answer.status for answer in answers] == statuses
    await play.__aexit__()


async def test_above_the_rate_of_its_account_an_esme_is_throttled() -> None:
    play, _, esme = await with_fault(kind="throttle", per_second=2)
    statuses = [(await esme.ask(submit())).status for _ in range(4)]
    assert statuses[:2] == [0, 0] and statuses[-1] == 0x58
    await play.__aexit__()


async def test_a_generic_nack_answers_in_the_place_of_the_response() -> None:
    play, simulator, esme = await with_fault(kind="nack", status="RINVCMDID")
    answer = await esme.ask(submit())
    assert isinstance(answer, GenericNack)
    assert (answer.status, answer.sequence) == (0x03, esme.sequence)
    assert not simulator.record.mt
    await play.__aexit__()


async def test_a_bind_is_refused_by_a_fault() -> None:
    async with running() as simulator:
        simulator.faults.add(Fault(kind="status", on="bind", status="RBINDFAIL", account="vas", times=1))
        esme = await connect(simulator)
        assert (await esme.ask(BindTransceiver(system_id=b"vas", password=b"secret"))).status == 0x0D
        assert (await esme.ask(BindTransceiver(system_id=b"vas", password=b"secret"))).status == 0


async def test_a_data_sm_is_struck_by_its_own_fault() -> None:
    play, _, esme = await with_fault(kind="status", on="data_sm")
    pdu = DataSm(source_addr=b"9105", destination_addr=FRIEND.encode(), tlvs=((MESSAGE_PAYLOAD, b"hello"),))
    assert [(await esme.ask(submit())).status, (await esme.ask(pdu)).status] == [0, 8]
    await play.__aexit__()


async def test_a_delayed_answer_is_overtaken() -> None:
    play, _, esme = await with_fault(kind="delay", seconds=SHORT, until=2 * SHORT)
    esme.send(submit(sequence=7))
    await silent(esme)
    answer = await esme.next()
    assert isinstance(answer, SubmitSmResp) and answer.sequence == 7
    await play.__aexit__()


@pytest.mark.parametrize(("kind", "accepted"), [("silence", 1), ("lost", 0)])
async def test_a_submission_is_met_with_silence(kind: Any, accepted: int) -> None:
    play, simulator, esme = await with_fault(kind=kind)
    esme.send(submit())
    await silent(esme)
    assert len(simulator.record.mt) == accepted
    await play.__aexit__()


@pytest.mark.parametrize(("kind", "answers"), [("drop_before", 0), ("drop_after", 1)])
async def test_the_link_falls_around_the_response(kind: Any, answers: int) -> None:
    play, simulator, esme = await with_fault(kind=kind)
    esme.send(submit())
    await asyncio.wait_for(esme.lost.wait(), 5)
    assert esme.came.qsize() == answers and len(simulator.record.mt) == 1
    await play.__aexit__()


async def test_the_link_falls_after_so_many_requests() -> None:
    play, _, esme = await with_fault(kind="drop_after", on="any_request", every=3)
    await silent(esme)
    await esme.ask(submit())
    await silent(esme)
    await asyncio.wait_for(esme.lost.wait(), 5)
    await play.__aexit__()


async def test_a_congested_smsc_says_so() -> None:
    play, _, esme = await with_fault(kind="congestion", congestion=95)
    assert (await esme.ask(submit())).tlv(CONGESTION_STATE) == bytes([95])
    await play.__aexit__()


async def test_a_smsc_that_does_not_read_answers_later() -> None:
    play, _, esme = await with_fault(kind="slow_reading", seconds=0.05, times=1)
    await esme.ask(submit())
    began = asyncio.get_running_loop().time()
    await silent(esme)
    assert asyncio.get_running_loop().time() - began > 0.03
    await play.__aexit__()


# --- deliver_sm


async def test_a_deliver_sm_is_written_twice_and_owed_once() -> None:
    play, simulator, esme = await with_fault(kind="duplicate")
    (mo,) = simulator.phone(ME).text("CM", to="9105")
    first, second = await esme.delivered(), await esme.delivered()
    assert first.sequence != second.sequence
    assert esme.octets[-2][16:] == esme.octets[-1][16:]
    await settled(simulator)
    await silent(esme)
    assert [attempt.outcome for attempt in mo.attempts] == [Outcome.ACKNOWLEDGED]
    assert simulator.smsc.late_answers == 0
    await play.__aexit__()


async def test_a_deliver_sm_resp_that_is_not_heard_brings_the_message_again() -> None:
    play, simulator, esme = await with_fault(kind="lost_response", times=1)
    (mo,) = simulator.phone(ME).text("CM", to="9105")
    await esme.delivered()
    await esme.delivered()
    await settled(simulator)
    assert [attempt.outcome for attempt in mo.attempts] == [Outcome.SILENCE, Outcome.ACKNOWLEDGED]
    await play.__aexit__()


@pytest.mark.parametrize(("kind", "written"), [("drop_before", 0), ("drop_after", 1)])
async def test_the_link_falls_around_a_deliver_sm(kind: Any, written: int) -> None:
    play, simulator, esme = await with_fault(kind=kind, on="deliver_sm", times=1)
    (mo,) = simulator.phone(ME).text("CM", to="9105")
    await asyncio.wait_for(esme.lost.wait(), 5)
    assert esme.came.qsize() == written
    await (await bound(simulator)).delivered()
    await settled(simulator)
    assert [attempt.outcome for attempt in mo.attempts] == [Outcome.LINK_LOST, Outcome.ACKNOWLEDGED]
    await play.__aexit__()


class Octets(asyncio.Protocol):
    """Binds, and keeps what comes as it comes."""

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.changed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(BindTransceiver(sequence=1, system_id=b"vas", password=b"secret").encode())

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        self.changed.set()

    async def octets(self, number: int) -> bytes:
        async with asyncio.timeout(5):
            while len(self.buffer) < number:
                self.changed.clear()
                await self.changed.wait()
        return bytes(self.buffer)


BIND_RESP_OCTETS = 16 + len(b"SIMULATOR\0") + 5
DELIVERED = bytes.fromhex(
    "00000032 00000005 00000000 00000001"  # deliver_sm
    "00"  # service_type
    "01 01 3834393837363534333231 00"  # 84987654321
    "00 00 3931303500"  # 9105
    "00 00 00 00 00 00 00 00 00"
    "02 434d"  # CM
)
COPY = DELIVERED[:15] + b"\2" + DELIVERED[16:]


@pytest.mark.parametrize(
    ("shape", "spoilt"),
    [
        pytest.param("length_short", lambda whole: b"\0\0\0\4" + whole[4:], id="length of 4"),
        pytest.param("length_huge", lambda whole: b"\x7f\xff\xff\xff" + whole[4:], id="length of 2 GiB"),
        pytest.param("length_long", lambda whole: bytes([0, 0, 0, len(whole) + 8]) + whole[4:], id="length too long"),
        pytest.param("unknown_command", lambda whole: whole[:4] + b"\0\0\xab\xcd" + whole[8:], id="unknown command"),
        pytest.param(
            "truncated_tlv",
            lambda whole: bytes([0, 0, 0, len(whole) + 9]) + whole[4:] + bytes.fromhex("001e00413132333435"),
            id="a TLV cut short",
        ),
        pytest.param("sm_length", lambda whole: whole[:-3] + b"\xff" + whole[-2:], id="sm_length beyond the end"),
        pytest.param(
            "unterminated",
            lambda whole: b"\0\0\0\x3b" + whole[4:16] + b"\0\1\1" + b"8" * 40,
            id="a string that does not end",
        ),
    ],
)
async def test_a_spoilt_copy_goes_ahead(shape: Any, spoilt: Callable[[bytes], bytes]) -> None:
    async with running() as simulator:
        simulator.faults.add(Fault(kind="malformed", shape=shape))
        _, esme = await asyncio.get_running_loop().create_connection(Octets, "127.0.0.1", simulator.port)
        await esme.octets(BIND_RESP_OCTETS)
        simulator.phone(ME).text("CM", to="9105")
        expected = spoilt(COPY) + DELIVERED
        assert (await esme.octets(BIND_RESP_OCTETS + len(expected)))[BIND_RESP_OCTETS:] == expected


# --- receipts


async def receipts(esme: Esme, number: int = 1) -> list[DeliverSm | DataSm]:
    """The next deliver_sm and data_sm, answered; the submit_sm_resp and the like are passed over."""
    came: list[DeliverSm | DataSm] = []
    while len(came) < number:
        pdu = await esme.next()
        if isinstance(pdu, DeliverSm):
            esme.send(DeliverSmResp(sequence=pdu.sequence))
            came.append(pdu)
        elif isinstance(pdu, DataSm):
            esme.send(DataSmResp(sequence=pdu.sequence))
            came.append(pdu)
    return came


async def test_an_early_receipt_comes_before_the_response() -> None:
    play, _, esme = await with_fault(kind="receipt_early")
    esme.send(submit(registered_delivery=1))
    first, second = await esme.next(), await esme.next()
    assert isinstance(first, DeliverSm) and isinstance(second, SubmitSmResp)
    assert first.tlv(RECEIPTED_MESSAGE_ID) == second.message_id + b"\0"
    await play.__aexit__()


async def test_a_receipt_comes_twice() -> None:
    play, _, esme = await with_fault(kind="receipt_twice")
    esme.send(submit(registered_delivery=1))
    one, other = await receipts(esme, 2)
    assert isinstance(one, DeliverSm) and isinstance(other, DeliverSm)
    assert one.short_message == other.short_message
    await play.__aexit__()


async def test_a_receipt_never_comes() -> None:
    play, simulator, esme = await with_fault(kind="receipt_lost", times=1)
    await esme.ask(submit(registered_delivery=1))
    await esme.ask(submit(registered_delivery=1))
    await receipts(esme)
    assert [mo.kind for mo in simulator.record.mo] == ["receipt"]
    await play.__aexit__()


async def test_a_receipt_comes_late() -> None:
    play, simulator, esme = await with_fault(kind="receipt_late", seconds=0.3)
    await esme.ask(submit(registered_delivery=1))
    await asyncio.sleep(0.1)
    assert not simulator.record.mo
    await receipts(esme)
    await play.__aexit__()


def _is_hexadecimal(pdu: DeliverSm, id: bytes) -> bool:
    return pdu.short_message.startswith(b"id:%x " % int(id))


def _names_nothing(pdu: DeliverSm, id: bytes) -> bool:
    return b"id:" not in pdu.short_message and pdu.tlv(RECEIPTED_MESSAGE_ID) is None


def _has_no_type(pdu: DeliverSm, id: bytes) -> bool:
    return pdu.esm_class == 0 and b"stat:DELIVRD" in pdu.short_message


def _is_undelivered(pdu: DeliverSm, id: bytes) -> bool:
    return b"stat:UNDELIV err:042" in pdu.short_message and pdu.tlv(0x0423) == b"\3\0\x2a"


@pytest.mark.parametrize(
    ("fields", "seen"),
    [
        pytest.param({"kind": "receipt_id", "form": "hex"}, _is_hexadecimal, id="hex"),
        pytest.param({"kind": "receipt_without_id"}, _names_nothing, id="no id"),
        pytest.param({"kind": "receipt_esm_class"}, _has_no_type, id="esm_class 0"),
        pytest.param({"kind": "undelivered", "error": 42}, _is_undelivered, id="undelivered"),
    ],
)
async def test_a_receipt_is_written_otherwise(fields: dict[str, Any], seen: Callable[[DeliverSm, bytes], bool]) -> None:
    play, _, esme = await with_fault(**fields)
    answer = await esme.ask(submit(registered_delivery=1))
    (receipt,) = await receipts(esme)
    assert isinstance(answer, SubmitSmResp) and isinstance(receipt, DeliverSm)
    assert seen(receipt, answer.message_id), receipt
    await play.__aexit__()


async def test_a_receipt_comes_as_a_data_sm_and_is_owed_until_its_answer() -> None:
    play, simulator, esme = await with_fault(kind="receipt_data_sm")
    await esme.ask(submit(registered_delivery=1))
    (receipt,) = await receipts(esme)
    assert isinstance(receipt, DataSm) and receipt.esm_class == 0x04
    assert b"stat:DELIVRD" in (receipt.tlv(MESSAGE_PAYLOAD) or b"")
    await settled(simulator)
    await play.__aexit__()


async def test_a_receipt_comes_on_another_bind() -> None:
    play, simulator, esme = await with_fault(kind="receipt_other_bind")
    other = await bound(simulator, BindReceiver)
    for _ in range(3):
        await esme.ask(submit(registered_delivery=1))
    await receipts(other, 3)
    assert esme.came.empty()
    await play.__aexit__()


async def test_an_undelivered_message_is_on_no_phone() -> None:
    play, simulator, esme = await with_fault(kind="undelivered")
    await esme.ask(submit())
    assert simulator.record.mt[0].state is State.UNDELIVERABLE
    assert not simulator.phone(FRIEND).inbox
    await play.__aexit__()


# --- long texts


def parts(pdus: list[DeliverSm]) -> list[int]:
    return [pdu.short_message[5] for pdu in pdus]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        pytest.param("parts_shuffled", lambda came: sorted(came) == [1, 2, 3] and came != [1, 2, 3], id="shuffled"),
        pytest.param(
            "part_missing", lambda came: len(set(came) & {1, 2, 3}) == 2 and came == sorted(came), id="missing"
        ),
    ],
)
async def test_a_long_text_goes_disturbed(kind: Any, expected: Callable[[list[int]], bool]) -> None:
    play, simulator, esme = await with_fault(kind=kind)
    sent = simulator.phone(ME).text("x" * 400, to="9105")
    assert expected(parts([await esme.delivered() for _ in sent]))
    await play.__aexit__()


# --- magic numbers and seeds


async def test_a_number_tells_what_goes_wrong_and_others_are_left_alone() -> None:
    async with running() as simulator:
        esme = await bound(simulator)
        assert (await esme.ask(submit(destination_addr=b"84912900001"))).status == 0x08
        assert (await esme.ask(submit(destination_addr=b"84912900004"))).status == 0x0B
        throttled = [(await esme.ask(submit(destination_addr=b"84912900003"))).status for _ in range(4)]
        assert throttled == [0x58, 0x58, 0x58, 0]
        assert (await esme.ask(submit(destination_addr=b"84912345678"))).status == 0


async def test_a_sender_tells_what_goes_wrong_too() -> None:
    async with running() as simulator:
        esme = await bound(simulator)
        simulator.phone("84912900050").text("CM", to="9105")
        await esme.delivered()
        await esme.delivered()
        await settled(simulator)


async def test_without_magic_such_a_number_is_as_any_other() -> None:
    async with running(magic=False) as simulator:
        esme = await bound(simulator)
        assert (await esme.ask(submit(destination_addr=b"84912900001"))).status == 0


def test_every_kind_but_the_throttle_has_its_number() -> None:
    assert {fields["kind"] for fields, _ in MAGIC.values()} == set(KINDS) - {"throttle"}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"kind": "status", "on": "receipt"}, "does not go with"),
        ({"kind": "duplicate", "on": "bind"}, "does not go with"),
        ({"kind": "status", "status": "RNOSUCH"}, "no command_status"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Fault(**fields)


def decisions(seed: int, orders: list[str]) -> dict[str, list[tuple[int, float]]]:
    """What each account meets, when their PDUs come in this order."""
    faults = Faults(seed, (Fault(kind="delay", probability=0.3, seconds=0, until=9), Fault(kind="status", every=3)))
    met: dict[str, list[tuple[int, float]]] = {}
    for place, account in enumerate(orders):
        strikes = faults.meet("submit_sm", account, (FRIEND,), float(place))
        met.setdefault(account, []).append((len(strikes), round(sum(strike.seconds for strike in strikes), 6)))
    return met


def test_a_seed_decides_for_each_account_whatever_the_others_do() -> None:
    interleaved = decisions(7, ["a", "b"] * 50)
    assert interleaved == decisions(7, ["a"] * 50 + ["b"] * 50)
    assert interleaved != decisions(8, ["a", "b"] * 50)
    assert interleaved["a"] != interleaved["b"]


async def play(seed: int) -> list[tuple[str, list[Outcome | None]]]:
    """What became of twenty texts and twenty submissions among faults left to chance."""
    chancy = (
        Fault(kind="lost_response", probability=0.3),
        Fault(kind="duplicate", probability=0.3),
        Fault(kind="status", status="RSYSERR", probability=0.3),
    )
    async with running(seed=seed, faults=chancy, response_timer=timedelta(milliseconds=20), window=1) as simulator:
        esme = await bound(simulator)
        statuses = [str((await esme.ask(submit())).status) for _ in range(20)]
        for number in range(20):
            simulator.phone(ME).text(f"CM {number}", to="9105")
        answering = asyncio.create_task(_answer(esme))
        await settled(simulator)
        answering.cancel()
        outcomes = [(mo.text, [attempt.outcome for attempt in mo.attempts]) for mo in simulator.record.mo]
        return [("statuses " + " ".join(statuses), []), *outcomes]


async def _answer(esme: Esme) -> None:
    while True:
        await esme.delivered()


async def test_one_seed_plays_the_same_run_twice() -> None:
    first, again, other = await play(3), await play(3), await play(4)
    assert first == again
    assert first != other


# --- over HTTP


async def test_faults_come_and_go_over_http() -> None:
    async with running(http_port=0) as simulator, ClientSession(f"http://127.0.0.1:{simulator.http_port}") as http:
        esme = await bound(simulator)
        async with http.post("/faults", json={"kind": "status", "status": "RTHROTTLED"}) as answer:
            assert answer.status == 201
            id = (await answer.json())["id"]
        assert (await esme.ask(submit())).status == 0x58
        async with http.get("/faults") as answer:
            held = await answer.json()
        assert held["faults"] == [
            {
                "id": id,
                "fault": {"kind": "status", "status": "RTHROTTLED"},
                "struck": 1,
                "words": "submit_sm: the request is refused with RTHROTTLED",
            }
        ]
        assert held["magic"]["900003"].endswith("three times")
        async with http.delete(f"/faults/{id}") as answer:
            assert answer.status == 204
        assert (await esme.ask(submit())).status == 0
        async with http.delete(f"/faults/{id}") as answer:
            assert answer.status == 404
        async with http.post("/faults", json={"kind": "status", "on": "receipt"}) as answer:
            assert answer.status == 400 and "does not go with" in (await answer.json())["detail"]


def test_the_page_of_the_docs_lists_every_kind_and_every_number() -> None:
    page = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text()
    for kind, meaning in KINDS.items():
        assert f"| `{kind}` | {meaning} |" in page
    for digits, (_, meaning) in MAGIC.items():
        assert f"| …9000{digits} | {meaning} |" in page


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        pytest.param(
            Fault(kind="status", status="RTHROTTLED", every=3, times=2),
            "submit_sm, one in 3, 2 times: the request is refused with RTHROTTLED",
            id="status",
        ),
        pytest.param(
            Fault(kind="throttle", per_second=10),
            "submit_sm: more than 10 in a second are refused with RTHROTTLED",
            id="throttle",
        ),
        pytest.param(Fault(kind="delay", seconds=2), "submit_sm: it is answered after 2 s", id="delay"),
        pytest.param(
            Fault(kind="receipt_late", seconds=0.5, until=3, probability=0.01, account="vas"),
            "receipt, of the account vas, 1 % by chance: the receipt comes after 0.5 to 3 s",
            id="range",
        ),
        pytest.param(
            Fault(kind="drop_after", on="deliver_sm", number="678", after=10, times=1, per="phone"),
            "deliver_sm, numbers that end in 678, after the first 10, once, counted by phone: "
            "the link breaks after the response; a deliver_sm: after it is written",
            id="all that restricts it",
        ),
    ],
)
def test_a_fault_is_told_in_words(fault: Fault, words: str) -> None:
    assert described(fault) == words


def test_each_kind_is_told_with_its_own_values() -> None:
    for kind in KINDS:
        assert "`" not in described(Fault(kind=kind))
