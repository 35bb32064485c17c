"""One bind, against an SMSC that does what the test says."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial

import pytest

from gateway.links.confirmation import Answers
from gateway.links.watch import TICK_SECONDS
from gateway.pdus import pdu as smpp
from tests.gateway.conftest import Network
from tests.gateway.peer import PATIENCE_SECONDS, Core, Peer, mo, until
from vas.messages import RTHROTTLED, RX_T_APPN, SendOutcome

QUICK = timedelta(milliseconds=150)


async def test_the_bind_says_who_we_are(peer: Peer, start: Network) -> None:
    await start(system_id="fone", password="s3cret", system_type="VAS", address_range="^91")
    await peer.bound()
    bind = peer.of(smpp.BindTransceiver)[0]
    assert (bind.system_id, bind.password, bind.system_type) == (b"fone", b"s3cret", b"VAS")
    assert (bind.interface_version, bind.address_range) == (0x34, b"^91")


async def test_a_command_that_comes_with_the_bind_response_is_taken(peer: Peer, core: Core, start: Network) -> None:
    peer.answers[smpp.BindTransceiver] = lambda bind: [smpp.BindTransceiverResp(bind.sequence), mo(sequence=77)]
    await start()
    await until(lambda: peer.of(smpp.DeliverSmResp))
    assert [response.sequence for response in peer.of(smpp.DeliverSmResp)] == [77]
    assert (core.inbound[0].session, core.inbound[0].ordinal) == (1, 1)


async def test_commands_before_the_bind_are_refused(peer: Peer, core: Core, start: Network) -> None:
    peer.answers[smpp.BindTransceiver] = lambda bind: [mo()]
    await start()
    await until(lambda: peer.of(smpp.DeliverSmResp))
    assert peer.of(smpp.DeliverSmResp)[0].status == 0x04
    assert core.inbound == []


async def test_the_answer_waits_for_the_core_and_carries_its_status(peer: Peer, core: Core, start: Network) -> None:
    core.status = None
    await start(later_status=0x14, full_status=0x45)
    connection = await peer.bound()
    connection.send(*(mo(sequence=number) for number in (1, 2, 3)), smpp.EnquireLink(9))
    await until(lambda: peer.of(smpp.EnquireLinkResp))
    assert peer.of(smpp.DeliverSmResp) == []
    for answer, status in zip(core.held, (0, RX_T_APPN, RTHROTTLED), strict=True):
        answer(status)
    await until(lambda: len(peer.of(smpp.DeliverSmResp)) == 3)
    assert [(pdu.sequence, pdu.status) for pdu in peer.of(smpp.DeliverSmResp)] == [(1, 0), (2, 0x14), (3, 0x45)]


async def test_an_answer_given_twice_is_written_once(peer: Peer, core: Core, start: Network) -> None:
    core.status = None
    await start()
    (await peer.bound()).send(mo(sequence=1), mo(sequence=2))
    await until(lambda: len(core.held) == 2)
    for answer in (core.held[1], core.held[1], core.held[0], core.held[0]):
        answer(0)
    peer.connections[0].send(smpp.EnquireLink(3))
    await until(lambda: peer.of(smpp.EnquireLinkResp))
    assert [pdu.sequence for pdu in peer.of(smpp.DeliverSmResp)] == [2, 1]


async def test_the_window_is_never_exceeded_and_always_used(peer: Peer, start: Network) -> None:
    peer.answers[smpp.SubmitSm] = lambda pdu: []
    _, send = await start(window=3)
    connection = await peer.bound()
    numbers = [send(f"{place}") for place in range(10)]
    await until(lambda: len(peer.of(smpp.SubmitSm)) == 3)
    connection.send(smpp.EnquireLink(1))
    await until(lambda: peer.of(smpp.EnquireLinkResp))
    assert len(peer.of(smpp.SubmitSm)) == 3
    for answered in range(10):
        connection.send(smpp.SubmitSmResp(peer.of(smpp.SubmitSm)[answered].sequence, message_id=b"x"))
        sent = min(4 + answered, 10)
        await until(partial(lambda sent: len(peer.of(smpp.SubmitSm)) == sent, sent))
    assert [(await send.result(number)).outcome for number in numbers] == [SendOutcome.SENT] * 10
    assert [pdu.short_message for pdu in peer.of(smpp.SubmitSm)] == [b"%d" % place for place in range(10)]


async def test_responses_may_come_in_any_order(peer: Peer, start: Network) -> None:
    peer.answers[smpp.SubmitSm] = lambda pdu: []
    _, send = await start()
    connection = await peer.bound()
    first, second = send("first"), send("second")
    await until(lambda: len(peer.of(smpp.SubmitSm)) == 2)
    for pdu in reversed(peer.of(smpp.SubmitSm)):
        connection.send(smpp.SubmitSmResp(pdu.sequence, message_id=pdu.short_message))
    assert (await send.result(first)).smsc_ids == ("first",)
    assert (await send.result(second)).smsc_ids == ("second",)


async def test_a_submission_without_response_has_an_unknown_outcome(peer: Peer, start: Network) -> None:
    peer.answers[smpp.SubmitSm] = lambda pdu: []
    _, send = await start(response_timer=QUICK)
    await peer.bound()
    assert (await send.result(send())).outcome is SendOutcome.UNANSWERED


async def test_a_lost_link_leaves_an_unknown_outcome_and_comes_back(peer: Peer, core: Core, start: Network) -> None:
    peer.answers[smpp.SubmitSm] = lambda pdu: []
    gateway, send = await start()
    connection = await peer.bound()
    number = send()
    await until(lambda: peer.of(smpp.SubmitSm))
    connection.transport.abort()
    assert (await send.result(number)).outcome is SendOutcome.UNANSWERED
    await peer.bound(2)
    await until(lambda: core.sessions == ["main", "main"])
    assert core.ended == [1]
    assert gateway.binds()[0].reconnects == 1


async def test_a_generic_nack_answers_the_request_that_it_names(peer: Peer, start: Network) -> None:
    peer.answers[smpp.SubmitSm] = lambda pdu: [smpp.GenericNack(pdu.sequence, 0x02)]
    _, send = await start()
    result = await send.result(send())
    assert (result.outcome, result.status) == (SendOutcome.PERMANENT, 0x02)


async def test_a_response_of_another_kind_does_not_answer(peer: Peer, start: Network) -> None:
    peer.answers[smpp.SubmitSm] = lambda pdu: [
        smpp.EnquireLinkResp(pdu.sequence),
        smpp.SubmitSmResp(pdu.sequence + 1000, message_id=b"wrong"),
        smpp.SubmitSmResp(pdu.sequence, message_id=b"right"),
    ]
    _, send = await start()
    assert (await send.result(send())).smsc_ids == ("right",)


MALFORMED = [
    pytest.param("00000010 00000044 00000000 00000005", smpp.GenericNack(5, 0x03), id="unknown request"),
    pytest.param("00000010 00000005 00000000 00000005", smpp.DeliverSmResp(5, 0xC2), id="deliver_sm without a body"),
    pytest.param("00000010 00000003 00000000 00000005", smpp.QuerySmResp(5, 0xC2), id="query_sm without a body"),
    pytest.param("00000014 00000003 00000000 00000005 00000000", smpp.QuerySmResp(5, 0x03), id="not for an ESME"),
]


@pytest.mark.parametrize("wire, answer", MALFORMED)
async def test_what_cannot_be_taken_is_answered_and_nothing_else_suffers(
    peer: Peer, core: Core, start: Network, wire: str, answer: smpp.Pdu
) -> None:
    await start()
    connection = await peer.bound()
    connection.send(mo("before", 1), bytes.fromhex(wire), mo("after", 2))
    await until(lambda: len(peer.of(smpp.DeliverSmResp)) >= 2 and len(core.inbound) == 2)
    assert [inbound.text for inbound in core.inbound] == ["before", "after"]
    assert answer in peer.received
    assert not connection.lost


async def test_unreadable_responses_are_passed_over(peer: Peer, start: Network) -> None:
    gateway, send = await start()
    connection = await peer.bound()
    connection.send(bytes.fromhex("00000010 80000044 00000000 00000001"))
    connection.send(bytes.fromhex("00000012 80000003 00000000 00000001 6162"))
    assert (await send.result(send())).outcome is SendOutcome.SENT
    assert gateway.binds()[0].counters.refused_in == 2
    assert peer.of(smpp.GenericNack) == []


async def test_an_impossible_length_ends_the_connection(peer: Peer, core: Core, start: Network) -> None:
    await start()
    connection = await peer.bound()
    connection.send(mo("before"), bytes.fromhex("00000003 00000005 00000000 00000005"))
    await until(lambda: connection.lost)
    assert smpp.GenericNack(0, 0x02) in connection.received
    assert smpp.DeliverSmResp(1) in connection.received
    await peer.bound(2)


async def test_a_core_that_fails_does_not_lose_the_command(peer: Peer, core: Core, start: Network) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    core.receive = fail  # type: ignore[method-assign]
    await start()
    connection = await peer.bound()
    connection.send(mo(sequence=1))
    await until(lambda: peer.of(smpp.DeliverSmResp))
    assert peer.of(smpp.DeliverSmResp)[0].status == RX_T_APPN
    assert not connection.lost


async def test_a_core_that_fails_at_the_end_of_a_session_does_not_keep_the_bind_from_coming_back(
    peer: Peer, core: Core, start: Network
) -> None:
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context["exception"]))

    def fail(session: int) -> None:
        raise RuntimeError("a bug")

    core.session_closed = fail  # type: ignore[method-assign]
    await start()
    (await peer.bound()).transport.abort()
    await until(lambda: len(core.sessions) == 2)
    assert [type(error) for error in reported] == [RuntimeError]


async def test_a_silent_link_is_asked_and_answers_are_life(peer: Peer, start: Network) -> None:
    await start(enquire_every=QUICK)
    connection = await peer.bound()
    await until(lambda: len(peer.of(smpp.EnquireLink)) >= 3)
    assert not connection.lost


async def test_a_dead_link_is_left(peer: Peer, start: Network) -> None:
    peer.answers[smpp.EnquireLink] = lambda pdu: []
    gateway, _ = await start(enquire_every=QUICK, response_timer=QUICK)
    connection = await peer.bound()
    await until(lambda: connection.lost)
    await until(lambda: gateway.binds()[0].last_error)
    assert gateway.binds()[0].last_error == "no response to enquire_link"
    await peer.bound(2)


async def test_nothing_more_is_risked_on_a_link_that_is_silent_since_a_response_is_missing(
    peer: Peer, start: Network
) -> None:
    peer.answers = {smpp.SubmitSm: lambda pdu: [], smpp.EnquireLink: lambda pdu: []}
    _, send = await start(response_timer=timedelta(milliseconds=200))
    await peer.bound()
    assert (await send.result(send("first"))).outcome is SendOutcome.UNANSWERED
    peer.answers = {smpp.EnquireLink: lambda pdu: []}
    assert (await send.result(send("second"))).outcome is SendOutcome.SENT
    texts = [
        [pdu.short_message for pdu in connection.received if isinstance(pdu, smpp.SubmitSm)]
        for connection in peer.connections
    ]
    assert texts == [[b"first"], [b"second"]]


async def test_an_smsc_that_does_not_read_is_left(peer: Peer, core: Core, start: Network) -> None:
    gateway, _ = await start()
    connection = await peer.bound()
    connection.transport.pause_reading()
    asked = smpp.EnquireLink(1).encode() * 10_000

    def left_while_it_asks() -> list[int]:
        connection.transport.write(asked)
        return core.ended

    await until(left_while_it_asks)
    await until(lambda: "the SMSC does not read" in (gateway.binds()[0].last_error, gateway.binds()[0].last_closed))


async def test_a_link_that_is_heard_lives_whatever_it_does_not_answer(peer: Peer, start: Network) -> None:
    peer.answers[smpp.EnquireLink] = lambda pdu: []
    gateway, _ = await start(enquire_every=QUICK, response_timer=QUICK)
    connection = await peer.bound()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not gateway.binds()[0].counters.timeouts:
            connection.send(mo())
            await asyncio.sleep(0.01)
    assert not connection.lost
    assert len(peer.connections) == 1


async def test_stopping_waits_for_both_sides_then_unbinds(peer: Peer, core: Core, start: Network) -> None:
    core.status = None
    peer.answers[smpp.SubmitSm] = lambda pdu: []
    gateway, send = await start()
    connection = await peer.bound()
    number = send()
    connection.send(mo(sequence=1))
    await until(lambda: peer.of(smpp.SubmitSm) and core.held)
    stopping = asyncio.create_task(gateway.stop())
    await until(lambda: gateway.binds()[0].state == "unbinding")
    connection.send(mo(sequence=2))
    await until(lambda: peer.of(smpp.DeliverSmResp))
    assert peer.of(smpp.DeliverSmResp) == [smpp.DeliverSmResp(2, RX_T_APPN)]
    assert (await send.result(send("too late"))).outcome is SendOutcome.NOT_SENT
    await asyncio.sleep(3 * TICK_SECONDS)
    assert peer.of(smpp.Unbind) == []
    core.held[0](0)
    connection.send(smpp.SubmitSmResp(peer.of(smpp.SubmitSm)[0].sequence, message_id=b"1"))
    await stopping
    assert (await send.result(number)).outcome is SendOutcome.SENT
    await until(lambda: connection.lost)
    assert connection.received[-2:] == [smpp.DeliverSmResp(1), smpp.Unbind(connection.received[-1].sequence)]
    assert gateway.backlog == 0


async def test_an_unbind_of_the_smsc_is_answered_when_both_sides_are_done(
    peer: Peer, core: Core, start: Network
) -> None:
    core.status = None
    await start()
    connection = await peer.bound()
    connection.send(mo(sequence=1), smpp.Unbind(2), mo(sequence=3))
    await until(lambda: peer.of(smpp.DeliverSmResp))
    await asyncio.sleep(3 * TICK_SECONDS)
    assert peer.of(smpp.UnbindResp) == []
    core.held[0](0)
    await until(lambda: connection.lost)
    assert [type(pdu) for pdu in connection.received[-3:]] == [smpp.DeliverSmResp, smpp.EnquireLink, smpp.UnbindResp]
    assert connection.received[-1] == smpp.UnbindResp(2)
    assert core.confirmed == [(1, 1)]
    await peer.bound(2)


async def test_an_smsc_that_unbinds_and_answers_nothing_more_is_not_waited_for_long(peer: Peer, start: Network) -> None:
    peer.answers[smpp.EnquireLink] = lambda pdu: []
    await start(response_timer=QUICK)
    connection = await peer.bound()
    connection.send(mo(sequence=1), smpp.Unbind(2))
    await until(lambda: connection.lost)
    assert connection.received[-1] == smpp.UnbindResp(2)


async def test_an_answer_that_the_core_never_gives_puts_off_no_unbind_for_ever(
    peer: Peer, core: Core, start: Network
) -> None:
    core.status = None
    await start(response_timer=QUICK)
    connection = await peer.bound()
    connection.send(mo(sequence=1), smpp.Unbind(2))
    await until(lambda: connection.lost)
    assert connection.received[-1] == smpp.UnbindResp(2)


async def test_the_response_to_our_unbind_confirms_the_last_answers(peer: Peer, core: Core, start: Network) -> None:
    core.status = None
    gateway, _ = await start()
    (await peer.bound()).send(mo(sequence=1))
    await until(lambda: core.held)
    stopping = asyncio.create_task(gateway.stop())
    await until(lambda: gateway.binds()[0].state == "unbinding")
    core.held[0](0)
    await stopping
    assert core.confirmed == [(1, 1)]
    assert peer.of(smpp.EnquireLink) == []


async def test_an_answer_is_confirmed_by_the_response_to_what_follows_it(
    peer: Peer, core: Core, start: Network
) -> None:
    held: list[smpp.SubmitSm] = []
    peer.answers[smpp.SubmitSm] = lambda pdu: held.append(pdu) or []
    peer.answers[smpp.EnquireLink] = lambda pdu: []
    core.status = None
    _, send = await start()
    connection = await peer.bound()
    before = send("before the answers")
    connection.send(*(mo(sequence=number) for number in (1, 2, 3)))
    await until(lambda: len(core.held) == 3 and held)
    core.held[0](0)
    core.held[2](0)
    after = send("after the first and the third")
    await until(lambda: len(held) == 2)
    connection.send(smpp.SubmitSmResp(held[0].sequence, message_id=b"1"))
    await send.result(before)
    assert core.confirmed == []
    connection.send(smpp.SubmitSmResp(held[1].sequence, message_id=b"2"))
    await send.result(after)
    assert core.confirmed == [(1, 1)]
    core.held[1](0)
    last = send("after all")
    await until(lambda: len(held) == 3)
    connection.send(smpp.SubmitSmResp(held[2].sequence, message_id=b"3"))
    await send.result(last)
    assert core.confirmed == [(1, 1), (1, 3)]


async def test_when_traffic_goes_quiet_an_enquire_link_confirms_the_last_answer(
    peer: Peer, core: Core, start: Network
) -> None:
    await start()
    (await peer.bound()).send(mo(sequence=1), mo(sequence=2))
    await until(lambda: core.confirmed)
    assert core.confirmed == [(1, 2)]
    assert len(peer.of(smpp.EnquireLink)) == 1


async def test_an_answer_after_the_smscs_timer_is_reported(peer: Peer, core: Core, start: Network) -> None:
    core.status = None
    await start(smsc_response_timer=timedelta(0))
    (await peer.bound()).send(mo())
    await until(lambda: core.held)
    await asyncio.sleep(0)
    core.held[0](0)
    assert core.late == [(1, 1)]


async def test_a_session_is_asked_whether_it_lives(peer: Peer, core: Core, start: Network) -> None:
    gateway, _ = await start(response_timer=QUICK)
    await peer.bound()
    await until(lambda: core.sessions)
    assert await gateway.ask_alive(1)
    assert not await gateway.ask_alive(2)
    peer.answers[smpp.EnquireLink] = lambda pdu: []
    assert not await gateway.ask_alive(1)


def test_only_an_unbroken_row_of_answers_is_confirmed() -> None:
    answers = Answers()
    assert [answers.arrive() for _ in range(4)] == [1, 2, 3, 4]
    assert answers.answer(2)
    assert answers.answered == 0
    assert not answers.answer(2)
    assert answers.answer(1)
    assert (answers.answered, answers.unasked, answers.settled) == (2, True, False)
    answers.ask()
    assert not answers.unasked
    assert answers.answer(3)
    assert answers.confirm(2)
    assert not answers.confirm(2)
    assert answers.confirmed == 2
    assert answers.answer(4)
    assert answers.settled
