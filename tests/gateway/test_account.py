"""What the connections of one account share: pace, lanes, throttling, coming back."""

from __future__ import annotations

from contextvars import ContextVar
from datetime import UTC, datetime, timedelta

import pytest

from gateway import AccountSettings
from gateway.accounts.account import Submission
from gateway.pdus import pdu as smpp
from tests.gateway.conftest import Network
from tests.gateway.peer import Core, Peer, mo, until
from vas.messages import SendOutcome


async def test_replies_overtake_the_rest(peer: Peer, start: Network) -> None:
    peer.answers[smpp.SubmitSm] = lambda pdu: []
    _, send = await start(window=1)
    connection = await peer.bound()
    send("first", reply=False)
    await until(lambda: peer.of(smpp.SubmitSm))
    for place in range(3):
        send(f"broadcast {place}", reply=False)
    send("reply")
    peer.answers.clear()
    connection.send(smpp.SubmitSmResp(peer.of(smpp.SubmitSm)[0].sequence, message_id=b"1"))
    await until(lambda: len(send.results) == 5)
    assert [pdu.short_message for pdu in peer.of(smpp.SubmitSm)] == [
        b"first",
        b"reply",
        b"broadcast 0",
        b"broadcast 1",
        b"broadcast 2",
    ]


async def test_a_reply_overtakes_ten_thousand_messages_of_a_broadcast(peer: Peer, start: Network) -> None:
    peer.answers[smpp.SubmitSm] = lambda pdu: []
    _, send = await start(window=10, waiting_max=20_000)
    connection = await peer.bound()
    for place in range(10_000):
        send(f"{place}", reply=False)
    await until(lambda: len(peer.of(smpp.SubmitSm)) == 10)
    send("reply")
    connection.send(smpp.SubmitSmResp(peer.of(smpp.SubmitSm)[0].sequence, message_id=b"1"))
    await until(lambda: len(peer.of(smpp.SubmitSm)) == 11)
    assert peer.of(smpp.SubmitSm)[10].short_message == b"reply"


async def test_a_broadcast_goes_on_however_many_replies_there_are(peer: Peer, start: Network) -> None:
    peer.answers[smpp.SubmitSm] = lambda pdu: []
    _, send = await start(window=1)
    connection = await peer.bound()
    send("first")
    await until(lambda: peer.of(smpp.SubmitSm))
    for place in range(5):
        send(f"broadcast {place}", reply=False)
    for _ in range(40):
        send("reply")
    peer.answers.clear()
    connection.send(smpp.SubmitSmResp(peer.of(smpp.SubmitSm)[0].sequence, message_id=b"1"))
    await until(lambda: len(send.results) == 46)
    texts = [pdu.short_message for pdu in peer.of(smpp.SubmitSm)]
    assert [texts.index(b"broadcast %d" % place) for place in range(4)] == [9, 19, 29, 39]


@pytest.mark.parametrize("status", [0x58, 0x14])
async def test_a_throttled_message_is_kept_and_sent_again(peer: Peer, start: Network, status: int) -> None:
    refused: list[bytes] = []

    def throttle_first_two(pdu: smpp.SubmitSm) -> list[smpp.Pdu]:
        if len(refused) < 2:
            refused.append(pdu.short_message)
            return [smpp.SubmitSmResp(pdu.sequence, status)]
        return [smpp.SubmitSmResp(pdu.sequence, message_id=pdu.short_message)]

    peer.answers[smpp.SubmitSm] = throttle_first_two
    gateway, send = await start()
    await peer.bound()
    numbers = [send(text) for text in ("a", "b", "c")]
    results = [await send.result(number) for number in numbers]
    assert [(result.outcome, result.smsc_ids) for result in results] == [
        (SendOutcome.SENT, ("a",)),
        (SendOutcome.SENT, ("b",)),
        (SendOutcome.SENT, ("c",)),
    ]
    assert [pdu.short_message for pdu in peer.of(smpp.SubmitSm)][-2:] == [b"a", b"b"]
    assert gateway.binds()[0].counters.throttled == 2


async def test_a_message_that_is_throttled_again_and_again_holds_up_no_other(peer: Peer, start: Network) -> None:
    peer.answers[smpp.SubmitSm] = lambda pdu: [
        smpp.SubmitSmResp(pdu.sequence, 0x14)
        if pdu.short_message == b"full"
        else smpp.SubmitSmResp(pdu.sequence, message_id=b"7")
    ]
    gateway, send = await start(window=1)
    full = send("full")
    numbers = [send(f"{place}") for place in range(100)]
    for number in numbers:
        assert (await send.result(number)).outcome is SendOutcome.SENT
    assert full not in send.results
    status = gateway.account("main").status
    assert (status.counters.throttled <= 3, status.slowed) == (True, False)


@pytest.mark.parametrize(
    "status, outcome",
    [
        (0x08, SendOutcome.TEMPORARY),
        (0x0B, SendOutcome.PERMANENT),
        (0x03, SendOutcome.PERMANENT),
    ],
)
async def test_a_refusal_becomes_an_outcome(peer: Peer, start: Network, status: int, outcome: SendOutcome) -> None:
    peer.answers[smpp.SubmitSm] = lambda pdu: [smpp.SubmitSmResp(pdu.sequence, status)]
    _, send = await start()
    result = await send.result(send())
    assert (result.outcome, result.status, result.smsc_ids) == (outcome, status, ())


async def test_a_status_that_is_the_vendors_own_is_given_one_more_try(peer: Peer, start: Network) -> None:
    peer.answers[smpp.SubmitSm] = lambda pdu: [smpp.SubmitSmResp(pdu.sequence, 0x4FE)]
    _, send = await start()
    result = await send.result(send())
    assert (result.outcome, result.status) == (SendOutcome.PERMANENT, 0x4FE)
    assert len(peer.of(smpp.SubmitSm)) == 2


async def test_a_message_that_rests_before_another_try_holds_up_nothing(peer: Peer, start: Network) -> None:
    statuses = iter((0x4FE, 0, 0))
    peer.answers[smpp.SubmitSm] = lambda pdu: [smpp.SubmitSmResp(pdu.sequence, next(statuses), message_id=b"7")]
    gateway, send = await start()
    first = send("first")
    await until(lambda: gateway.account("main").status.waiting_replies and peer.of(smpp.SubmitSm))
    await send.result(send("second"))
    await send.result(first)
    assert [pdu.short_message for pdu in peer.of(smpp.SubmitSm)] == [b"first", b"second", b"first"]


async def test_a_status_that_the_settings_know_is_treated_as_they_say(peer: Peer, start: Network) -> None:
    statuses = iter((0x442, 0))
    peer.answers[smpp.SubmitSm] = lambda pdu: [smpp.SubmitSmResp(pdu.sequence, next(statuses), message_id=b"7")]
    gateway, send = await start(statuses={0x442: "throttle"})
    assert (await send.result(send())).smsc_ids == ("7",)
    assert gateway.binds()[0].counters.throttled == 1


async def test_a_message_refused_for_the_session_is_sent_by_the_next_one(peer: Peer, start: Network) -> None:
    peer.answers[smpp.SubmitSm] = lambda pdu: [
        smpp.SubmitSmResp(pdu.sequence, 0x04)
        if len(peer.connections) == 1
        else smpp.SubmitSmResp(pdu.sequence, message_id=b"7")
    ]
    _, send = await start()
    assert (await send.result(send())).smsc_ids == ("7",)
    assert len(peer.connections) == 2
    assert len(peer.of(smpp.Unbind)) == 1


async def test_what_a_fallen_line_left_unanswered_is_told_and_not_sent_again_by_the_account(
    peer: Peer, start: Network
) -> None:
    peer.answers[smpp.SubmitSm] = lambda pdu: []
    _, send = await start(window=2)
    connection = await peer.bound()
    numbers = [send(f"{place}") for place in range(4)]
    await until(lambda: len(peer.of(smpp.SubmitSm)) == 2)
    peer.answers.clear()
    connection.transport.abort()
    outcomes = [(await send.result(number)).outcome for number in numbers]
    assert outcomes == [SendOutcome.UNANSWERED] * 2 + [SendOutcome.SENT] * 2
    assert [pdu.short_message for pdu in peer.of(smpp.SubmitSm)] == [b"0", b"1", b"2", b"3"]


async def test_a_message_for_which_every_session_is_refused_does_not_break_them_for_ever(
    peer: Peer, start: Network
) -> None:
    peer.answers[smpp.SubmitSm] = lambda pdu: [smpp.SubmitSmResp(pdu.sequence, 0x04)]
    _, send = await start()
    result = await send.result(send())
    assert (result.outcome, result.status) == (SendOutcome.TEMPORARY, 0x04)
    assert len(peer.of(smpp.SubmitSm)) == 3


async def test_messages_wait_for_the_bind_and_leave_in_order(peer: Peer, start: Network) -> None:
    _, send = await start()
    numbers = [send(f"{place}") for place in range(5)]
    assert peer.received == []
    for number in numbers:
        assert (await send.result(number)).outcome is SendOutcome.SENT
    assert [pdu.short_message for pdu in peer.of(smpp.SubmitSm)] == [b"0", b"1", b"2", b"3", b"4"]


async def test_without_a_link_messages_are_given_back_after_a_while(peer: Peer, start: Network) -> None:
    peer.answers[smpp.BindTransceiver] = lambda pdu: [smpp.BindTransceiverResp(pdu.sequence, 0x0D)]
    _, send = await start(patience=timedelta(milliseconds=100))
    assert (await send.result(send())).outcome is SendOutcome.NOT_SENT


async def test_a_message_that_expires_while_it_waits_is_not_sent(peer: Peer, start: Network) -> None:
    peer.answers[smpp.BindTransceiver] = lambda pdu: []
    _, send = await start()
    expired = send(expires_at=datetime.now(UTC) - timedelta(seconds=1))
    assert (await send.result(expired)).outcome is SendOutcome.NOT_SENT
    assert peer.of(smpp.SubmitSm) == []


async def test_a_message_whose_time_is_over_does_not_leave_however_free_the_way_is(peer: Peer, start: Network) -> None:
    gateway, send = await start()
    await send.result(send("in time"))
    outcomes: list[SendOutcome] = []
    late = smpp.SubmitSm(short_message=b"late")
    gateway.account("main").submit(Submission(late, lambda outcome, *_: outcomes.append(outcome), expires_at=0.0))
    await until(lambda: outcomes)
    assert outcomes == [SendOutcome.NOT_SENT]
    assert [pdu.short_message for pdu in peer.of(smpp.SubmitSm)] == [b"in time"]


async def test_no_more_waits_than_is_allowed(peer: Peer, start: Network) -> None:
    peer.answers[smpp.BindTransceiver] = lambda pdu: []
    gateway, send = await start(waiting_max=2)
    numbers = [send() for _ in range(3)]
    assert (await send.result(numbers[2])).outcome is SendOutcome.NOT_SENT
    assert gateway.backlog == 2


async def test_a_wrong_password_is_not_tried_again_soon(peer: Peer, start: Network) -> None:
    peer.answers[smpp.BindTransceiver] = lambda pdu: [smpp.BindTransceiverResp(pdu.sequence, 0x0E)]
    gateway, _ = await start(reconnect_first=timedelta(0), refused_every=timedelta(hours=1))
    await until(lambda: peer.connections and peer.connections[0].lost)
    await until(lambda: gateway.binds()[0].last_error == "RINVPASWD")
    assert len(peer.of(smpp.BindTransceiver)) == 1
    assert gateway.binds()[0].reconnects == 0


async def test_a_refused_bind_is_tried_again(peer: Peer, core: Core, start: Network) -> None:
    peer.answers[smpp.BindTransceiver] = lambda pdu: [
        smpp.BindTransceiverResp(pdu.sequence, 0x0D if len(peer.connections) < 3 else 0)
    ]
    await start()
    await until(lambda: core.sessions)
    assert len(peer.connections) == 3


async def test_an_smsc_that_says_nothing_to_the_bind_is_left(peer: Peer, start: Network) -> None:
    peer.answers[smpp.BindTransceiver] = lambda pdu: []
    gateway, _ = await start(response_timer=timedelta(milliseconds=100))
    await until(lambda: len(peer.connections) >= 2)
    assert gateway.binds()[0].last_error == f"connection to 127.0.0.1:{peer.port}: no response to the bind"


async def test_what_is_no_name_of_a_host_is_told_and_tried_again(start: Network) -> None:
    gateway, _ = await start(host="smsc..example")
    await until(lambda: gateway.binds()[0].reconnects > 1)
    assert "label" in gateway.binds()[0].last_error


async def test_nothing_that_an_account_does_is_in_the_context_in_which_it_was_started(
    peer: Peer, core: Core, start: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    request_id = ContextVar("request_id", default="none")
    seen: list[str] = []
    monkeypatch.setattr(core, "session_closed", lambda session: seen.append(request_id.get()))
    request_id.set("of a reload")
    gateway, _ = await start(reconnect_first=timedelta(hours=1))
    connection = await peer.bound()
    await until(lambda: core.sessions)
    connection.transport.abort()
    await until(lambda: seen)
    # The sweep gives it back.
    pdu = smpp.SubmitSm()
    gateway.account("main").submit(Submission(pdu, lambda *_: seen.append(request_id.get()), expires_at=0.0))
    await until(lambda: len(seen) == 2)
    assert seen == ["none", "none"]


async def test_all_connections_of_an_account_share_the_work(peer: Peer, core: Core, start: Network) -> None:
    gateway, send = await start(binds=3, window=1)
    await until(lambda: len(core.sessions) == 3)
    for _ in range(9):
        send()
    await until(lambda: len(send.results) == 9)
    for connection in peer.connections:
        assert sum(isinstance(pdu, smpp.SubmitSm) for pdu in connection.received) >= 1
    assert [bind.session for bind in gateway.binds()] != [1, 1, 1]


async def test_a_pair_receives_on_one_connection_and_sends_on_the_other(peer: Peer, core: Core, start: Network) -> None:
    gateway, send = await start(bind="transmitter+receiver")
    await until(lambda: len(core.sessions) == 2)
    receiving = next(c for c in peer.connections if isinstance(c.received[0], smpp.BindReceiver))
    sending = next(c for c in peer.connections if isinstance(c.received[0], smpp.BindTransmitter))
    receiving.send(mo("in", 5))
    sending.send(mo("by the wrong door", 6))
    await until(lambda: len(peer.of(smpp.DeliverSmResp)) == 2)
    assert [inbound.text for inbound in core.inbound] == ["in"]
    assert smpp.DeliverSmResp(6, 0x04) in sending.received
    await send.result(send())
    screen = send(session=core.inbound[0].session, token=b"\x01\x00")
    assert (await send.result(screen)).outcome is SendOutcome.SENT
    assert sum(isinstance(pdu, smpp.SubmitSm) for pdu in sending.received) == 2
    assert [bind.bind_type for bind in gateway.binds()] == ["receiver", "transmitter"]


def test_a_password_is_in_no_repr() -> None:
    assert "s3cret" not in repr(AccountSettings("main", "smsc", 2775, "vas", "s3cret"))
