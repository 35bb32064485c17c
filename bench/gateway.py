"""The codec alone, and the gateway from submit_sm to response without a store; smpplib's classes beside both.

    python -m bench.gateway peer                              an SMSC of a few lines; prints its port
    python -m bench.gateway ours PORT WINDOW MESSAGES         SmppGateway.send, one bind
    python -m bench.gateway smpplib PORT WINDOW MESSAGES      smpplib's PDU classes on the same kind of socket

Peer and client are a process each. The clients print submissions a second, and processor time in microseconds each.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from statistics import median
from typing import Any, NamedTuple, cast

from smpplib import command, command_codes

from bench.floor import Yes
from bench.process import PASSWORD, ROOT, SHORT_CODE, SYSTEM_ID
from gateway.adapter import SmppGateway
from gateway.pdus import pdu as smpp
from gateway.settings import AccountSettings
from vas import logs
from vas.assembly import event_loop
from vas.messages import ROK, Msisdn, Outbound, SendOutcome, SendResult
from vas.serving import collect_seldom

TEXT = "Da nho 0380000001 goi lai cho ban. Hom nay con 995 luot."
TO = "84912345678"
WINDOWS = (10, 50)
AIMS = {10: 30_000, 50: 60_000}
"""Submissions a second, by window."""
DECODE_AIM = 400_000
"""deliver_sm a second."""
WAITING = 500
"""Messages handed to the gateway that have no result yet."""
CODEC_RUNS = 7
CODEC_S = 0.2
READY_WITHIN_S = 20.0


class Codec(NamedTuple):
    """PDUs a second of processor time."""

    what: str
    ours: float
    smpplib: float


class RoundTrips(NamedTuple):
    """One bind with this window: medians."""

    window: int
    per_second: float
    us: float
    """Processor time of the client for each."""
    smpplib_per_second: float
    smpplib_us: float


# The codec.


def deliver_sm() -> smpp.DeliverSm:
    return smpp.DeliverSm(
        sequence=7, source_addr_ton=1, source_addr_npi=1, source_addr=TO.encode(), destination_addr=b"9105",
        short_message=b"CM 0912345678",
    )  # fmt: skip


def receipt() -> smpp.DeliverSm:
    text = (
        b"id:1234567890 sub:001 dlvrd:001 submit date:2611221700 done date:2611221701 stat:DELIVRD err:000 text:Da nho"
    )
    pdu = deliver_sm()
    pdu.esm_class, pdu.short_message = 4, text
    pdu.tlvs = ((smpp.RECEIPTED_MESSAGE_ID, b"1234567890\0"), (smpp.MESSAGE_STATE, b"\x02"))
    return pdu


def submit_sm(sequence: int) -> smpp.SubmitSm:
    return smpp.SubmitSm(
        sequence=sequence, source_addr=SHORT_CODE.encode(), dest_addr_ton=1, dest_addr_npi=1,
        destination_addr=TO.encode(), short_message=TEXT.encode(),
    )  # fmt: skip


class Client:
    """What smpplib wants of a client before it makes a PDU."""

    sequence = 1
    _sequence = 1

    def next_sequence(self) -> int:
        self.sequence += 1
        return self.sequence


def smpplib_submit_sm(client: Client) -> bytes:
    pdu = command.factory(
        "submit_sm", client=client, source_addr=SHORT_CODE, dest_addr_ton=1, dest_addr_npi=1, destination_addr=TO,
        short_message=TEXT.encode(),
    )  # fmt: skip
    return cast(bytes, pdu.generate())


def smpplib_parse(frame: bytes, client: Client) -> Any:
    name = command_codes.get_command_name(int.from_bytes(frame[4:8], "big"))
    pdu = command.factory(name, client=client)
    pdu.parse(frame)
    return pdu


def measure_codec() -> list[Codec]:
    client = Client()
    mo, dlr = deliver_sm(), receipt()
    mo_wire, dlr_wire, resp_wire = mo.encode(), dlr.encode(), smpp.SubmitSmResp(7, message_id=b"1234567890").encode()
    return [
        Codec("decode deliver_sm", _rate(smpp.decode, mo_wire), _rate(lambda w: smpplib_parse(w, client), mo_wire)),
        Codec("decode a receipt", _rate(smpp.decode, dlr_wire), _rate(lambda w: smpplib_parse(w, client), dlr_wire)),
        Codec(
            "decode submit_sm_resp",
            _rate(smpp.decode, resp_wire),
            _rate(lambda w: smpplib_parse(w, client), resp_wire),
        ),
        Codec("make and encode submit_sm", _rate(lambda n: submit_sm(n).encode(), 7), _rate(smpplib_submit_sm, client)),
        Codec("encode deliver_sm", _rate(lambda pdu: pdu.encode(), mo), _rate(_smpplib_deliver_sm, client)),
    ]


def _smpplib_deliver_sm(client: Client) -> bytes:
    pdu = command.factory(
        "deliver_sm", client=client, source_addr_ton=1, source_addr_npi=1, source_addr=TO, destination_addr="9105",
        short_message=b"CM 0912345678",
    )  # fmt: skip
    return cast(bytes, pdu.generate())


def _rate(work: Callable[[Any], object], argument: object) -> float:
    """Calls a second of processor time: the median of CODEC_RUNS."""
    calls, began = 0, time.process_time()
    while time.process_time() - began < CODEC_S / 4:
        for _ in range(100):
            work(argument)
        calls += 100
    rates = []
    for _ in range(CODEC_RUNS):
        began = time.process_time()
        for _ in range(calls):
            work(argument)
        rates.append(calls / (time.process_time() - began))
    return median(rates)


# From submit_sm to response.


class Peer(asyncio.Protocol):
    """Answers whatever it is asked, all that one read brings in one write."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._buffer = bytearray()
        self._id = 0

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        out = []
        for frame in smpp.frames(self._buffer):
            pdu = smpp.decode(frame)
            if isinstance(pdu, smpp.SubmitSm):
                self._id += 1
                out.append(smpp.SubmitSmResp(pdu.sequence, message_id=b"%d" % self._id).encode())
            elif not pdu.command_id & smpp.RESPONSE:
                out.append(smpp.response_to(pdu.command_id, pdu.sequence, ROK).encode())
        self._transport.write(b"".join(out))


async def peer() -> None:
    server = await asyncio.get_running_loop().create_server(Peer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


async def ours(port: int, window: int, messages: int) -> None:
    settings = AccountSettings(
        name="main", host="127.0.0.1", port=port, system_id=SYSTEM_ID, password=PASSWORD, window=window,
        reconnect_first=timedelta(milliseconds=50),
    )  # fmt: skip
    gateway = SmppGateway([settings], Yes(1))
    await gateway.start()
    async with asyncio.timeout(READY_WITHIN_S):
        while not gateway.account("main").up:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    message = Outbound(1, Msisdn(TO), SHORT_CODE, TEXT, "main", False)
    finished = asyncio.Event()
    sent = done = 0

    def send() -> None:
        nonlocal sent
        if sent < messages:
            sent += 1
            gateway.send(message, answered)

    def answered(result: SendResult) -> None:
        nonlocal done
        assert result.outcome is SendOutcome.SENT
        done += 1
        if done == messages:
            finished.set()
        send()

    clock = Stopwatch()
    for _ in range(WAITING):
        send()
    await finished.wait()
    clock.tell(messages)
    await gateway.stop()


class Stopwatch:
    def __init__(self) -> None:
        self._began, self._cpu = time.perf_counter(), time.process_time()

    def tell(self, messages: int) -> None:
        spent = time.process_time() - self._cpu
        print(messages / (time.perf_counter() - self._began), spent / messages * 1_000_000, flush=True)


class Smpplib(asyncio.Protocol):
    """Keeps a window full of smpplib's PDUs, all that one read allows in one write; knows no bind."""

    def __init__(self, window: int, messages: int) -> None:
        self._window, self._messages = window, messages
        self._client = Client()
        self._buffer = bytearray()
        self._sent = self._answered = 0
        self.finished = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._clock = Stopwatch()
        self._fill()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        for frame in smpp.frames(self._buffer):
            smpplib_parse(frame, self._client)
            self._answered += 1
        if self._answered == self._messages:
            self._clock.tell(self._messages)
            self.finished.set()
        self._fill()

    def _fill(self) -> None:
        out = []
        while self._sent < self._messages and self._sent - self._answered < self._window:
            self._sent += 1
            out.append(smpplib_submit_sm(self._client))
        self._transport.write(b"".join(out))


async def smpplib(port: int, window: int, messages: int) -> None:
    _, client = await asyncio.get_running_loop().create_connection(lambda: Smpplib(window, messages), "127.0.0.1", port)
    await client.finished.wait()


# What measures them.


async def measure_round_trips(window: int, messages: int, runs: int, smpplib_messages: int) -> RoundTrips:
    """Raises AssertionError where something was not answered."""
    figures: dict[str, list[tuple[float, float]]] = {"ours": [], "smpplib": []}
    for _ in range(runs):
        for kind, count in (("ours", messages), ("smpplib", smpplib_messages)):
            figures[kind].append(await _run(kind, window, count))
    medians = [median(values) for kind in ("ours", "smpplib") for values in zip(*figures[kind], strict=True)]
    return RoundTrips(window, *medians)


async def _run(kind: str, window: int, messages: int) -> tuple[float, float]:
    smsc = await _start("peer")
    try:
        assert smsc.stdout is not None
        port = (await smsc.stdout.readline()).decode().strip()
        client = await _start(kind, port, str(window), str(messages))
        out, _ = await client.communicate()
        assert client.returncode == 0, kind
        per_second, us = out.split()
        return float(per_second), float(us)
    finally:
        smsc.kill()
        await smsc.wait()


async def _start(*arguments: str) -> asyncio.subprocess.Process:
    program = (sys.executable, "-m", "bench.gateway", *arguments)
    return await asyncio.create_subprocess_exec(*program, cwd=ROOT, stdout=asyncio.subprocess.PIPE)


if __name__ == "__main__":
    logs.configure(level="warning", json=True, bodies=False, stream=sys.stderr.buffer)
    with asyncio.Runner(loop_factory=event_loop()) as runner:
        collect_seldom()  # as the platform does
        kinds = {"peer": peer, "ours": ours, "smpplib": smpplib}
        runner.run(kinds[sys.argv[1]](*map(int, sys.argv[2:])))  # type: ignore[operator]
