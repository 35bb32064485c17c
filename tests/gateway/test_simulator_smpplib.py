"""The simulator as another implementation of SMPP sees it: smpplib's own client, which blocks, in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import smpplib.client
import smpplib.exceptions

from gateway.pdus.pdu import MESSAGE_PAYLOAD, SAR_MSG_REF_NUM, USER_MESSAGE_REFERENCE, SubmitSm, decode
from gateway.simulator import Settings, Simulator

FRIEND = "84912345678"
ME = "84987654321"


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    settings = Settings(port=0, accounts={"vas": "secret"}, receipt_delay=timedelta(milliseconds=10))
    simulator = Simulator(settings)
    await simulator.start()
    yield simulator
    await simulator.stop()


def connected(port: int) -> smpplib.client.Client:
    client = smpplib.client.Client("127.0.0.1", port, timeout=5, allow_unknown_opt_params=True)
    client.connect()
    return client


async def test_a_client_binds_submits_receives_and_gets_its_receipt(simulator: Simulator) -> None:
    sent: list[bytes] = []
    came: list[tuple[int, bytes, bytes, bytes]] = []

    def talk() -> None:
        client = connected(simulator.port)
        client.bind_transceiver(system_id="vas", password="secret")
        client.set_message_sent_handler(lambda pdu: sent.append(pdu.message_id))
        client.set_message_received_handler(
            lambda pdu: came.append((pdu.esm_class, pdu.source_addr, pdu.short_message, pdu.receipted_message_id))
        )
        client.send_message(
            source_addr="9105", destination_addr=FRIEND, short_message=b"hello", registered_delivery=True
        )
        while len(sent) < 1 or len(came) < 2:
            client.read_once()
        client.unbind()
        client.disconnect()

    (mo,) = simulator.phone(ME).text("CM 0912345678", to="9105")
    await asyncio.to_thread(talk)
    assert mo.acknowledged
    assert (await simulator.phone(FRIEND).next_message()).text == "hello"
    text, receipt = sorted(came)
    assert text[:3] == (0, ME.encode(), b"CM 0912345678")
    assert receipt[:2] == (4, FRIEND.encode()) and b"stat:DELIVRD" in receipt[2]
    assert receipt[3] == sent[0] == str(simulator.record.mt[0].id).encode()


async def test_a_client_with_a_wrong_password_is_told_so(simulator: Simulator) -> None:
    def talk() -> None:
        client = connected(simulator.port)
        try:
            client.bind_transceiver(system_id="vas", password="wrong")
        finally:
            client.disconnect()

    with pytest.raises(smpplib.exceptions.PDUError, match="14"):
        await asyncio.to_thread(talk)


@pytest.mark.parametrize("mode", ["transmitter", "receiver", "transceiver"])
async def test_a_client_binds_in_each_mode_and_unbinds(simulator: Simulator, mode: str) -> None:
    modes: list[int] = []

    def talk() -> None:
        client = connected(simulator.port)
        getattr(client, f"bind_{mode}")(system_id="vas", password="secret")
        modes.extend(int(session.mode) for session in simulator.smsc.sessions.values())
        client.unbind()
        client.disconnect()

    await asyncio.to_thread(talk)
    assert modes == [{"transmitter": 1, "receiver": 2, "transceiver": 3}[mode]]


async def test_a_message_on_one_bind_is_reported_on_the_other(simulator: Simulator) -> None:
    reports: list[bytes] = []

    def talk() -> None:
        receiver, transmitter = connected(simulator.port), connected(simulator.port)
        receiver.bind_receiver(system_id="vas", password="secret")
        receiver.set_message_received_handler(lambda pdu: reports.append(pdu.short_message))
        transmitter.bind_transmitter(system_id="vas", password="secret")
        transmitter.send_message(
            source_addr="9105", destination_addr=FRIEND, short_message=b"hi", registered_delivery=1
        )
        transmitter.read_once()
        while not reports:
            receiver.read_once()
        for client in (transmitter, receiver):
            client.unbind()
            client.disconnect()

    await asyncio.to_thread(talk)
    assert b"stat:DELIVRD" in reports[0]


async def test_optional_parameters_arrive_as_the_client_wrote_them(simulator: Simulator) -> None:
    frames: list[bytes] = []
    simulator.smsc.tape = lambda session, direction, frame: frames.append(frame) if direction == "in" else None

    def talk() -> None:
        client = connected(simulator.port)
        client.bind_transceiver(system_id="vas", password="secret")
        client.send_message(
            source_addr="9105", destination_addr=FRIEND, short_message=b"", message_payload=b"long " * 40,
            user_message_reference=0x1234, sar_msg_ref_num=7, sar_total_segments=1, sar_segment_seqnum=1,
        )  # fmt: skip
        client.read_once()
        client.unbind()
        client.disconnect()

    await asyncio.to_thread(talk)
    (submission,) = (pdu for pdu in map(decode, frames) if isinstance(pdu, SubmitSm))
    assert submission.tlv(MESSAGE_PAYLOAD) == b"long " * 40
    assert submission.tlv(USER_MESSAGE_REFERENCE) == b"\x12\x34"
    assert submission.tlv(SAR_MSG_REF_NUM) == b"\x00\x07"
    assert (await simulator.phone(FRIEND).next_message()).text == "long " * 40


async def test_a_client_asks_what_became_of_its_message(simulator: Simulator) -> None:
    states: list[int] = []

    def talk() -> None:
        client = connected(simulator.port)
        client.bind_transceiver(system_id="vas", password="secret")
        ids: list[bytes] = []
        client.set_message_sent_handler(lambda pdu: ids.append(pdu.message_id))
        client.set_query_resp_handler(lambda pdu: states.append(pdu.message_state))
        client.send_message(source_addr="9105", destination_addr=FRIEND, short_message=b"hi")
        client.read_once()
        client.query_message(message_id=ids[0].decode(), source_addr="9105", source_addr_ton=0, source_addr_npi=0)
        client.read_once()
        client.unbind()
        client.disconnect()

    await asyncio.to_thread(talk)
    assert states == [2]
