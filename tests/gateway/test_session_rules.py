"""Which PDU may come, and be sent, in which state; versions of SMPP."""

from __future__ import annotations

from datetime import timedelta

import pytest

from gateway.accounts.account import Submission
from gateway.links.requests import Requests
from gateway.links.session_rules import MAY_REQUEST, BindType, LinkState, refusal
from gateway.pdus import pdu as smpp
from tests.gateway.conftest import Network
from tests.gateway.peer import Core, Peer, mo, until
from vas.errors import SmppError
from vas.messages import SendOutcome

OK, STATE, UNKNOWN = 0, 0x04, 0x03
STATES: list[tuple[LinkState, BindType]] = [
    (LinkState.OPEN, "transceiver"),
    (LinkState.BOUND, "transmitter"),
    (LinkState.BOUND, "receiver"),
    (LinkState.BOUND, "transceiver"),
    (LinkState.UNBINDING, "transceiver"),
    (LinkState.UNBOUND, "transceiver"),
]
# SMPP 3.4 table 2-1, for what an SMSC sends.
INCOMING = [
    (smpp.EnquireLink, (OK, OK, OK, OK, OK, OK)),
    (smpp.Unbind, (OK, OK, OK, OK, OK, OK)),
    (smpp.DeliverSm, (STATE, STATE, OK, OK, OK, STATE)),
    (smpp.DataSm, (STATE, STATE, OK, OK, OK, STATE)),
    (smpp.AlertNotification, (STATE, STATE, OK, OK, OK, STATE)),
    (smpp.Outbind, (STATE,) * 6),
    (smpp.SubmitSm, (UNKNOWN,) * 6),
    (smpp.QuerySm, (UNKNOWN,) * 6),
    (smpp.BindTransceiver, (UNKNOWN,) * 6),
]


@pytest.mark.parametrize("pdu, statuses", INCOMING)
def test_what_an_smsc_may_send_in_each_state(pdu: type[smpp.Pdu], statuses: tuple[int, ...]) -> None:
    assert tuple(refusal(pdu.command_id, state, bind_type) for state, bind_type in STATES) == statuses


@pytest.mark.parametrize(
    "pdu, bind_types",
    [
        (smpp.SubmitSm, {"transmitter", "transceiver"}),
        (smpp.SubmitMulti, {"transmitter", "transceiver"}),
        (smpp.QuerySm, {"transmitter", "transceiver"}),
        (smpp.CancelSm, {"transmitter", "transceiver"}),
        (smpp.ReplaceSm, {"transmitter", "transceiver"}),
        (smpp.DataSm, {"transmitter", "receiver", "transceiver"}),
        (smpp.EnquireLink, {"transmitter", "receiver", "transceiver"}),
        (smpp.DeliverSm, set()),
    ],
)
def test_what_an_esme_may_send_by_each_bind(pdu: type[smpp.Pdu], bind_types: set[str]) -> None:
    assert {bind_type for bind_type, allowed in MAY_REQUEST.items() if pdu.command_id in allowed} == bind_types


async def test_a_request_that_the_bind_does_not_allow_is_never_written(core: Core, peer: Peer, start: Network) -> None:
    gateway, _ = await start(bind="transmitter+receiver")
    await until(lambda: len(core.sessions) == 2)
    receiving = next(iter(gateway.account("main")._departures.binds))
    assert receiving.link is not None
    with pytest.raises(SmppError, match="not for a receiver"):
        receiving.link.submit(smpp.SubmitSm(), lambda response: None)
    assert receiving.link.window_used == 0


async def test_before_the_bind_enquire_link_is_answered_and_unbind_ends_the_connection(
    peer: Peer, core: Core, start: Network
) -> None:
    peer.answers[smpp.BindTransceiver] = lambda bind: [smpp.EnquireLink(5), smpp.Unbind(6)]
    await start(reconnect_first=timedelta(hours=1))
    await until(lambda: peer.connections and peer.connections[0].lost)
    assert peer.received[1:] == [smpp.EnquireLinkResp(5), smpp.UnbindResp(6)]
    assert core.sessions == []


async def test_when_both_sides_unbind_each_is_answered(peer: Peer, start: Network) -> None:
    peer.answers[smpp.Unbind] = lambda pdu: [smpp.Unbind(9), smpp.UnbindResp(pdu.sequence)]
    gateway, _ = await start()
    connection = await peer.bound()
    await gateway.stop()
    await until(lambda: connection.lost)
    assert connection.received[-1] == smpp.UnbindResp(9)


async def test_after_an_smpp_5_unbind_the_smsc_may_still_ask_and_closes_itself(peer: Peer, start: Network) -> None:
    gateway, _ = await start(interface_version="5.0", reconnect_first=timedelta(hours=1))
    connection = await peer.bound()
    connection.send(smpp.Unbind(1))
    await until(lambda: peer.of(smpp.UnbindResp))
    assert gateway.binds()[0].state == "unbound"
    connection.send(smpp.EnquireLink(2), mo(sequence=3))
    await until(lambda: peer.of(smpp.DeliverSmResp))
    assert connection.received[-2:] == [smpp.EnquireLinkResp(2), smpp.DeliverSmResp(3, STATE)]
    connection.transport.close()
    await until(lambda: gateway.binds()[0].state == "connecting")


async def test_an_alert_notification_is_counted_and_not_answered(peer: Peer, start: Network) -> None:
    gateway, _ = await start()
    connection = await peer.bound()
    connection.send(smpp.AlertNotification(1, source_addr=b"84912345678"), smpp.EnquireLink(2))
    await until(lambda: peer.of(smpp.EnquireLinkResp))
    assert connection.received[1:] == [smpp.EnquireLinkResp(2)]
    assert gateway.binds()[0].counters.alerts_in == 1


@pytest.mark.parametrize(
    "stray",
    [
        pytest.param(smpp.GenericNack(0, 0x02), id="generic_nack without a request"),
        pytest.param(smpp.GenericNack(0x7000_0000, 0x03), id="generic_nack to an unknown request"),
        pytest.param(smpp.SubmitSmResp(0x7000_0000, message_id=b"1"), id="response to an unknown request"),
    ],
)
async def test_a_stray_response_is_counted_and_nothing_else(peer: Peer, start: Network, stray: smpp.Pdu) -> None:
    gateway, send = await start()
    connection = await peer.bound()
    connection.send(stray)
    assert (await send.result(send())).outcome is SendOutcome.SENT
    assert gateway.binds()[0].counters.unexpected_in == 1
    assert not connection.lost


@pytest.mark.parametrize("sequence", [0, 1, 0x7FFF_FFFF, 0x806A_179B, 0xFFFF_FFFF])
async def test_any_sequence_number_of_the_smsc_is_echoed(peer: Peer, start: Network, sequence: int) -> None:
    await start()
    (await peer.bound()).send(mo(sequence=sequence), smpp.EnquireLink(sequence))
    await until(lambda: peer.of(smpp.EnquireLinkResp) and peer.of(smpp.DeliverSmResp))
    assert peer.of(smpp.EnquireLinkResp)[0].sequence == sequence
    assert peer.of(smpp.DeliverSmResp)[0].sequence == sequence


def write(requests: Requests) -> int:
    pdu = smpp.EnquireLink()
    requests.write(pdu, 0, 0.0, lambda response: None, in_window=False)
    return pdu.sequence


def test_our_sequence_numbers_wrap_to_1_and_pass_over_what_is_open() -> None:
    requests = Requests(10)
    assert [write(requests) for _ in range(3)] == [1, 2, 3]
    assert requests.answered(smpp.EnquireLinkResp(1)) is not None
    requests._sequence = 0x7FFF_FFFE
    assert [write(requests) for _ in range(4)] == [0x7FFF_FFFF, 1, 4, 5]


@pytest.mark.parametrize("version, octet", [("3.3", 0x33), ("3.4", 0x34), ("5.0", 0x50)])
async def test_the_bind_says_the_version_that_is_agreed(peer: Peer, start: Network, version: str, octet: int) -> None:
    await start(interface_version=version)
    await peer.bound()
    assert peer.of(smpp.BindTransceiver)[0].interface_version == octet


UMR = (0x0204, b"\x00\x07")
USSD = (0x0501, b"\x02")
VERSIONS = [
    pytest.param("3.3", b"\x34", False, id="agreed on 3.3"),
    pytest.param("3.4", b"\x33", False, id="an older peer"),
    pytest.param("5.0", b"\x00", False, id="a much older peer"),
    pytest.param("3.4", b"\x34", True, id="both 3.4"),
    pytest.param("3.4", b"\x50", True, id="a newer peer"),
    pytest.param("5.0", b"\x34", True, id="5.0 with a 3.4 peer"),
    pytest.param("3.4", None, True, id="a peer that does not say"),
    pytest.param("3.4", b"", True, id="a peer that says nothing"),
]


@pytest.mark.parametrize("version, peer_version, taken", VERSIONS)
async def test_optional_parameters_go_to_who_understands_them(
    peer: Peer, core: Core, start: Network, version: str, peer_version: bytes | None, taken: bool
) -> None:
    tlvs = () if peer_version is None else ((0x0210, peer_version),)
    peer.answers[smpp.BindTransceiver] = lambda bind: [smpp.BindTransceiverResp(bind.sequence, tlvs=tlvs)]
    gateway, _ = await start(interface_version=version)
    await until(lambda: core.sessions)
    outcomes: list[tuple[SendOutcome, int]] = []
    for parameters in ((UMR,), (UMR, USSD)):
        gateway.account("main").submit(
            Submission(smpp.SubmitSm(tlvs=parameters), lambda outcome, status, _: outcomes.append((outcome, status)))
        )
    await until(lambda: len(outcomes) == 2)
    sent = [pdu.tlvs for pdu in peer.of(smpp.SubmitSm)]
    if taken:
        assert sent == [(UMR,), (UMR, USSD)]
    else:
        assert sent == [()]
        assert sorted(outcomes) == [(SendOutcome.PERMANENT, 0xC1), (SendOutcome.SENT, 0)]


async def test_a_congested_smsc_slows_the_account_by_any_response(peer: Peer, core: Core, start: Network) -> None:
    gateway, send = await start(rate=1_000)
    await until(lambda: core.sessions)
    account = gateway.account("main")
    await send.result(send())
    assert not account.status.slowed
    peer.answers[smpp.EnquireLink] = lambda pdu: [smpp.EnquireLinkResp(pdu.sequence, tlvs=((0x0428, b"\x64"),))]
    assert await gateway.ask_alive(1)
    assert account.status.slowed


async def test_what_smpp_5_adds_to_a_response_is_passed_over(peer: Peer, core: Core, start: Network) -> None:
    peer.answers[smpp.SubmitSm] = lambda pdu: [
        smpp.SubmitSmResp(pdu.sequence, 0, ((0x0428, b"\x20"), (0x060D, b"34"), (0x1400, b"vendor")), b"7")
    ]
    _, send = await start(interface_version="5.0")
    assert (await send.result(send())).smsc_ids == ("7",)
