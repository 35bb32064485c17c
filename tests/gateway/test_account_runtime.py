"""An account is drained, stopped, started and changed while messages are under way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from gateway import SmppGateway
from gateway.accounts.account import Account, AccountState, Submission
from gateway.pdus import pdu as smpp
from tests.gateway.conftest import Network
from tests.gateway.peer import Core, Peer, mo, until
from vas.messages import SendOutcome


def changed(account: Account, **fields: Any) -> Any:
    return msgspec.structs.replace(account.settings, **fields)


def answer_all(peer: Peer) -> None:
    """What the peer kept waiting, and all that follows, is accepted."""
    answered = {pdu.sequence for pdu in peer.of(smpp.SubmitSm)}
    peer.answers.pop(smpp.SubmitSm)
    for connection in peer.connections:
        for pdu in connection.received:
            if isinstance(pdu, smpp.SubmitSm) and pdu.sequence in answered:
                connection.send(smpp.SubmitSmResp(pdu.sequence, message_id=b"%d" % pdu.sequence))


async def test_a_draining_account_gives_back_what_waits_and_ends_what_has_left(
    peer: Peer, core: Core, start: Network
) -> None:
    peer.answers[smpp.SubmitSm] = lambda pdu: []
    gateway, send = await start(window=1)
    account = gateway.account("main")
    connection = await peer.bound()
    left, waiting = send("left"), send("waiting")
    await until(lambda: peer.of(smpp.SubmitSm))
    draining = asyncio.create_task(account.drain())
    assert (await send.result(waiting)).outcome is SendOutcome.NOT_SENT
    assert (await send.result(send("new"))).outcome is SendOutcome.NOT_SENT
    assert (account.status.state, account.up, draining.done()) == (AccountState.DRAINING, False, False)
    answer_all(peer)
    await draining
    assert (await send.result(left)).outcome is SendOutcome.SENT
    connection.send(mo("still taken"))
    await until(lambda: peer.of(smpp.DeliverSmResp))
    assert peer.of(smpp.DeliverSmResp)[0].status == 0
    assert peer.of(smpp.Unbind) == []
    await account.start()
    assert (await send.result(send())).outcome is SendOutcome.SENT


async def test_a_dialogue_that_came_by_a_draining_account_goes_on(peer: Peer, core: Core, start: Network) -> None:
    gateway, send = await start()
    (await peer.bound()).send(mo("*105#", tlvs=((0x0501, b"\x01"),)))
    await until(lambda: core.inbound)
    await gateway.account("main").drain()
    screen = send("menu", session=core.inbound[0].session, token=b"\x01\x00")
    assert (await send.result(screen)).outcome is SendOutcome.SENT


async def test_dialogues_that_go_on_do_not_put_off_the_end_of_a_drain(peer: Peer, core: Core, start: Network) -> None:
    held: list[smpp.SubmitSm] = []

    def answer_the_one_before(pdu: smpp.SubmitSm) -> list[smpp.Pdu]:
        held.append(pdu)
        return [smpp.SubmitSmResp(before.sequence, message_id=b"1") for before in held[-2:-1]]

    peer.answers[smpp.SubmitSm] = answer_the_one_before
    gateway, send = await start(response_timer=timedelta(milliseconds=200))
    (await peer.bound()).send(mo("*105#", tlvs=((0x0501, b"\x01"),)))
    await until(lambda: core.inbound)
    show = partial(send, "menu", session=core.inbound[0].session, token=b"\x01\x00")
    show()
    await until(lambda: held)
    draining = asyncio.create_task(gateway.account("main").drain())
    await until(lambda: show() and draining.done())


async def test_what_a_draining_account_gets_back_from_a_throttling_smsc_is_handed_on(
    peer: Peer, start: Network
) -> None:
    peer.answers[smpp.SubmitSm] = lambda pdu: []
    gateway, send = await start()
    connection = await peer.bound()
    number = send()
    await until(lambda: peer.of(smpp.SubmitSm))
    draining = asyncio.create_task(gateway.account("main").drain())
    await asyncio.sleep(0)
    connection.send(smpp.SubmitSmResp(peer.of(smpp.SubmitSm)[0].sequence, 0x58))
    assert (await send.result(number)).outcome is SendOutcome.NOT_SENT
    await draining


async def test_a_stopped_account_unbinds_and_comes_back_when_it_is_started(
    peer: Peer, core: Core, start: Network
) -> None:
    gateway, send = await start()
    account = gateway.account("main")
    await until(lambda: core.sessions)
    await account.stop()
    assert len(peer.of(smpp.Unbind)) == 1
    assert (account.status.state, account.status.binds_up, account.up) == (AccountState.STOPPED, 0, False)
    assert (await send.result(send())).outcome is SendOutcome.NOT_SENT
    await account.start()
    assert (await send.result(send())).outcome is SendOutcome.SENT
    assert core.sessions == ["main", "main"]


async def test_what_operations_ordered_is_told_in_the_log_and_is_no_warning(
    peer: Peer, core: Core, start: Network
) -> None:
    gateway, _ = await start()
    account = gateway.account("main")
    await until(lambda: core.sessions)
    with capture_logs() as lines:
        await account.drain()
        await account.stop()
        await account.start()
        await until(lambda: len(core.sessions) == 2)
    orders = [line["event"] for line in lines if line["event"].startswith("account.")]
    assert orders == ["account.drained", "account.stopped", "account.started"]
    assert {line["log_level"] for line in lines} == {"info"}


async def test_a_throttled_account_says_so_in_the_log_and_does_not_flood_it(peer: Peer, start: Network) -> None:
    statuses = iter([0x58] * 5)
    peer.answers[smpp.SubmitSm] = lambda pdu: [smpp.SubmitSmResp(pdu.sequence, next(statuses, 0), message_id=b"7")]
    gateway, send = await start()
    with capture_logs() as lines:
        for number in [send() for _ in range(20)]:
            await send.result(number)
    told = [line for line in lines if line["event"] == "account.throttled"]
    assert [(line["account"], line["status"], line["count"]) for line in told] == [("main", "RTHROTTLED", 1)]
    assert gateway.account("main").status.counters.throttled == 5


async def test_an_error_has_its_time_and_is_past_once_the_account_is_bound_again(
    peer: Peer, core: Core, start: Network
) -> None:
    peer.answers[smpp.BindTransceiver] = lambda bind: [smpp.BindTransceiverResp(bind.sequence, 0x0D)]
    gateway, _ = await start()
    account = gateway.account("main")
    await until(lambda: account.status.last_error)
    assert (account.status.last_error, gateway.binds()[0].last_error) == ("RBINDFAIL", "RBINDFAIL")
    at = account.status.last_error_at
    assert at is not None
    assert timedelta(0) <= datetime.now(UTC) - at < timedelta(minutes=1)
    peer.answers.clear()
    await until(lambda: account.up)
    assert (account.status.last_error, account.status.last_error_at) == ("", None)
    assert (gateway.binds()[0].last_error, gateway.binds()[0].last_closed) == ("", "RBINDFAIL")
    await account.stop()
    assert account.status.last_error == ""


async def test_a_message_that_was_to_rest_before_another_try_is_given_back_by_a_stop(
    peer: Peer, core: Core, start: Network
) -> None:
    peer.answers[smpp.SubmitSm] = lambda pdu: []
    gateway, send = await start()
    connection = await peer.bound()
    number = send()
    await until(lambda: peer.of(smpp.SubmitSm))
    stopping = asyncio.create_task(gateway.stop())
    await asyncio.sleep(0)
    connection.send(smpp.SubmitSmResp(peer.of(smpp.SubmitSm)[0].sequence, 0x4FE))
    await stopping
    assert send.results[number].outcome is SendOutcome.NOT_SENT
    assert gateway.backlog == 0


async def test_an_account_that_is_started_while_it_stops_comes_back(peer: Peer, core: Core, start: Network) -> None:
    peer.answers[smpp.Unbind] = lambda pdu: []
    gateway, send = await start()
    account = gateway.account("main")
    connection = await peer.bound()
    stopping = asyncio.create_task(account.stop())
    await until(lambda: peer.of(smpp.Unbind))
    starting = asyncio.create_task(account.start())
    await asyncio.sleep(0)
    connection.send(smpp.UnbindResp(peer.of(smpp.Unbind)[0].sequence))
    await asyncio.gather(stopping, starting)
    assert (await send.result(send())).outcome is SendOutcome.SENT
    assert account.state is AccountState.RUNNING
    peer.answers.pop(smpp.Unbind)
    await account.stop()
    assert [task for task in asyncio.all_tasks() if task.get_name() == "bind main"] == []


async def test_what_waits_without_a_connection_is_handed_on_if_it_may_not_wait(
    peer: Peer, core: Core, start: Network
) -> None:
    peer.answers[smpp.SubmitSm] = lambda pdu: []
    gateway, send = await start(window=1, reconnect_first=timedelta(hours=1))
    account = gateway.account("main")
    await until(lambda: core.sessions)
    send("left")
    outcomes: dict[str, SendOutcome] = {}
    for waits in (True, False):
        account.submit(
            Submission(
                smpp.SubmitSm(), lambda outcome, *_, waits=waits: outcomes.update({f"{waits}": outcome}), waits=waits
            )
        )
    await asyncio.sleep(0)
    assert outcomes == {}
    peer.connections[0].transport.abort()
    await until(lambda: outcomes)
    assert outcomes == {"False": SendOutcome.NOT_SENT}
    account.submit(Submission(smpp.SubmitSm(), lambda outcome, *_: outcomes.update(later=outcome), waits=False))
    await until(lambda: "later" in outcomes)
    assert outcomes == {"False": SendOutcome.NOT_SENT, "later": SendOutcome.NOT_SENT}


async def test_a_window_a_rate_and_timers_change_without_a_new_bind(peer: Peer, core: Core, start: Network) -> None:
    peer.answers[smpp.SubmitSm] = lambda pdu: []
    gateway, send = await start(window=1)
    account = gateway.account("main")
    await until(lambda: core.sessions)
    for _ in range(5):
        send()
    await until(lambda: peer.of(smpp.SubmitSm))
    new = changed(account, window=3, rate=1_000, response_timer=timedelta(milliseconds=100), later_status=0x14)
    assert await account.change(new) == ""
    await until(lambda: len(peer.of(smpp.SubmitSm)) >= 3)
    assert (account.settings, account.status.rate, account.status.rate_now) == (new, 1_000, 1_000)
    assert account.status.window_max == 3
    await until(lambda: len(send.results) == 5)
    assert {result.outcome for result in send.results.values()} == {SendOutcome.UNANSWERED}
    assert len(peer.connections) == 1


async def test_a_lower_rate_holds_at_once(peer: Peer, core: Core, start: Network) -> None:
    gateway, send = await start()
    account = gateway.account("main")
    await until(lambda: core.sessions)
    await account.change(changed(account, rate=1))
    numbers = [send() for _ in range(3)]
    await send.result(numbers[0])
    assert len(peer.of(smpp.SubmitSm)) == 1
    account.change_rate(0)
    await send.result(numbers[2])


async def test_connections_are_added_and_taken_away_without_loss(peer: Peer, core: Core, start: Network) -> None:
    peer.answers[smpp.SubmitSm] = lambda pdu: []
    gateway, send = await start(window=2)
    account = gateway.account("main")
    await until(lambda: core.sessions)
    await account.change(changed(account, binds=3))
    await until(lambda: account.status.binds_up == 3)
    numbers = [send(f"{place}") for place in range(8)]
    await until(lambda: len(peer.of(smpp.SubmitSm)) == 6)
    changing = asyncio.create_task(account.change(changed(account, binds=1)))
    await until(lambda: sum(bind.state == "unbinding" for bind in gateway.binds()) == 2)
    answer_all(peer)
    assert await changing == ""
    assert [(await send.result(number)).outcome for number in numbers] == [SendOutcome.SENT] * 8
    assert len(peer.of(smpp.SubmitSm)) == 8
    assert (account.status.binds, account.status.binds_up, len(peer.of(smpp.Unbind))) == (1, 1, 2)


async def test_with_a_new_password_new_binds_come_up_before_the_old_ones_leave(
    peer: Peer, core: Core, start: Network
) -> None:
    peer.answers[smpp.SubmitSm] = lambda pdu: []
    gateway, send = await start(window=1)
    account = gateway.account("main")
    await until(lambda: core.sessions)
    numbers = [send(f"{place}") for place in range(3)]
    await until(lambda: peer.of(smpp.SubmitSm))
    changing = asyncio.create_task(account.change(changed(account, password="other")))
    await until(lambda: len(core.sessions) == 2)
    assert peer.of(smpp.Unbind) == []
    await until(lambda: len(peer.of(smpp.SubmitSm)) == 2)
    answer_all(peer)
    assert await changing == ""
    assert [(await send.result(number)).outcome for number in numbers] == [SendOutcome.SENT] * 3
    assert [bind.password for bind in peer.of(smpp.BindTransceiver)] == [b"secret", b"other"]
    assert (len(gateway.binds()), core.ended) == (1, [1])


async def test_where_the_smsc_allows_one_bind_the_old_one_leaves_first(peer: Peer, core: Core, start: Network) -> None:
    def one_bind(bind: smpp.BindTransceiver) -> list[smpp.Pdu]:
        taken = sum(not connection.lost for connection in peer.connections) > 1
        return [smpp.BindTransceiverResp(bind.sequence, 0x05 if taken else 0)]

    peer.answers[smpp.BindTransceiver] = one_bind
    gateway, send = await start()
    account = gateway.account("main")
    await until(lambda: core.sessions)
    assert await account.change(changed(account, system_type="VAS")) == ""
    assert (await send.result(send())).outcome is SendOutcome.SENT
    assert core.ended == [1]
    assert peer.of(smpp.BindTransceiver)[-1].system_type == b"VAS"


REFUSALS = [(0x0E, "RINVPASWD"), (0x0F, "RINVSYSID"), (0x53, "RINVSYSTYP"), (0x08, "RSYSERR")]


@pytest.mark.parametrize("status, problem", REFUSALS)
async def test_settings_that_the_smsc_refuses_are_not_taken(
    peer: Peer, core: Core, start: Network, status: int, problem: str
) -> None:
    gateway, send = await start()
    account = gateway.account("main")
    await until(lambda: core.sessions)
    before = account.settings
    peer.answers[smpp.BindTransceiver] = lambda bind: [smpp.BindTransceiverResp(bind.sequence, status)]
    assert await account.change(changed(account, password="wrong", window=7)) == problem
    assert account.settings == before
    assert (await send.result(send())).outcome is SendOutcome.SENT
    assert (core.ended, [bind.window_max for bind in gateway.binds()]) == ([], [before.window])


async def test_an_address_where_nobody_listens_is_not_taken(peer: Peer, core: Core, start: Network) -> None:
    gateway, send = await start()
    account = gateway.account("main")
    await until(lambda: core.sessions)
    problem = await account.change(changed(account, host="127.0.0.1", port=1))
    assert problem == "connection to 127.0.0.1:1 refused"
    assert (await send.result(send())).outcome is SendOutcome.SENT


def close_it(peer: Peer) -> list[smpp.Pdu]:
    peer.connections[-1].transport.close()
    return []


def reset_it(peer: Peer) -> list[smpp.Pdu]:
    peer.connections[-1].transport.abort()
    return []


NO_BIND = [
    pytest.param(close_it, "closed by the peer before the response to the bind", id="closed"),
    pytest.param(reset_it, "", id="reset"),
    pytest.param(lambda peer: [smpp.Unbind(sequence=1)], "unbind by the SMSC", id="unbind"),
    pytest.param(lambda peer: [], "no response to the bind", id="silent"),
]


@pytest.mark.parametrize("meet, problem", NO_BIND)
async def test_settings_with_which_the_smsc_does_not_answer_the_bind_are_not_taken(
    peer: Peer, core: Core, start: Network, meet: Callable[[Peer], list[smpp.Pdu]], problem: str
) -> None:
    gateway, send = await start(response_timer=timedelta(milliseconds=200))
    account = gateway.account("main")
    await until(lambda: core.sessions)
    peer.answers[smpp.BindTransceiver] = lambda bind: meet(peer)
    answer = await account.change(changed(account, system_type="VAS"))
    assert f"127.0.0.1:{peer.port}" in answer
    assert problem in answer
    assert (await send.result(send())).outcome is SendOutcome.SENT
    assert (core.ended, len(gateway.binds())) == ([], 1)


async def test_settings_of_an_account_that_is_down_are_taken_whatever_they_are(
    peer: Peer, core: Core, start: Network
) -> None:
    def check(bind: smpp.BindTransceiver) -> list[smpp.Pdu]:
        return [smpp.BindTransceiverResp(bind.sequence, 0 if bind.password == b"right" else 0x0E)]

    peer.answers[smpp.BindTransceiver] = check
    gateway, send = await start(password="wrong")
    account = gateway.account("main")
    await until(lambda: gateway.binds()[0].last_error)
    assert await account.change(changed(account, password="right")) == ""
    assert (await send.result(send())).outcome is SendOutcome.SENT


async def test_a_stopped_account_takes_settings_for_its_next_start(peer: Peer, core: Core, start: Network) -> None:
    gateway, _ = await start()
    account = gateway.account("main")
    await until(lambda: core.sessions)
    await account.stop()
    assert await account.change(changed(account, password="other", binds=2)) == ""
    assert len(peer.connections) == 1
    await account.start()
    await until(lambda: len(core.sessions) == 3)
    assert [bind.password for bind in peer.of(smpp.BindTransceiver)] == [b"secret", b"other", b"other"]


async def test_stopping_in_the_middle_of_a_change_stops_everything(peer: Peer, core: Core, start: Network) -> None:
    gateway, _ = await start()
    account = gateway.account("main")
    await until(lambda: core.sessions)
    peer.answers[smpp.BindTransceiver] = lambda bind: []
    changing = asyncio.create_task(account.change(changed(account, password="other")))
    await until(lambda: len(peer.connections) == 2)
    await gateway.stop()
    await changing
    await until(lambda: all(connection.lost for connection in peer.connections))
    assert [bind.state for bind in gateway.binds()] == ["connecting"]


def waiting(gateway: SmppGateway) -> tuple[int, int]:
    status = gateway.account("main").status
    return status.waiting_replies, status.waiting_rest


async def test_the_status_says_what_waits_and_what_the_smsc_bears(peer: Peer, core: Core, start: Network) -> None:
    peer.answers[smpp.SubmitSm] = lambda pdu: [smpp.SubmitSmResp(pdu.sequence, 0x58)]
    gateway, send = await start(rate=100, window=1)
    await until(lambda: core.sessions)
    for reply in (True, True, False):
        send(reply=reply)
    await until(lambda: gateway.account("main").status.slowed and waiting(gateway) == (2, 1))
    status = gateway.account("main").status
    assert (status.name, status.state, status.up, status.binds_up) == ("main", AccountState.RUNNING, True, 1)
    assert (status.rate, status.rate_now < 10, status.counters.throttled >= 4) == (100, True, True)
    assert (status.window_used, status.window_max) == (0, 1)


async def test_a_gateway_that_was_let_go_is_unbound_until_it_is_taken_up(
    peer: Peer, core: Core, start: Network
) -> None:
    gateway, send = await start()
    account = gateway.account("main")
    await peer.bound()
    await gateway.let_go("nowhere to write")
    assert len(peer.of(smpp.Unbind)) == 1
    assert (await send.result(send())).outcome is SendOutcome.NOT_SENT
    status = account.status
    assert (status.state, status.up, status.last_error) == (AccountState.RUNNING, False, "nowhere to write")
    await account.start()
    await gateway.take_up()
    await until(lambda: account.up)
    assert len(peer.connections) == 2
    assert (await send.result(send())).outcome is SendOutcome.SENT
    assert account.status.last_error == ""


async def test_what_operations_order_while_it_is_let_go_holds_when_it_is_taken_up(
    peer: Peer, core: Core, start: Network
) -> None:
    gateway, _ = await start()
    account = gateway.account("main")
    await peer.bound()
    await gateway.let_go("nowhere to write")
    await account.stop()
    await gateway.take_up()
    assert account.state is AccountState.STOPPED
    await account.start()
    await until(lambda: account.up)
    assert len(peer.connections) == 2
