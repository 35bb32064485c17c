"""The simulator as another implementation of SMPP sees it: smpplib's own client, which blocks, in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import smpplib.client
import smpplib.exceptions

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
