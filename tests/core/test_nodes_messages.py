"""A message, its receipts, its parts and its USSD turns meet wherever they come."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from tests.core.nodes import died, member, rest, told
from tests.core.toys import CODE, LAN, MAI, MAI_NUMBER, Toy, inbound, noted, offer, purse, rows, sending
from tests.store.works import waits_for_a_lock
from vas import Context, Reply, Service, Talk
from vas.errors import Refused
from vas.messages import ROK, Outbound, Receipt, ReceiptState, SendOutcome, SendResult, UssdTurn
from vas.recalling import cancel_queued, sent_row
from vas.store.ids import moment
from vas.store.postgres import PostgresStore
from vas.testing import ACCOUNT, Network, cut_into

pytestmark = pytest.mark.only_on("postgres", "nodes share no file")


@pytest.fixture
def service(toy: Toy) -> Service:
    made = toy.service()

    sending(made)

    @made.sms("LATER {x}")
    async def later(ctx: Context, x: str) -> None:
        await ctx.send(MAI_NUMBER, "note", at=ctx.now + timedelta(minutes=1), x=x)

    @made.sms("LONG {x}")
    async def long(ctx: Context, x: str) -> Reply:
        await ctx.change(ctx.sender, noted, x)
        return ctx.reply("done", x=len(x))

    @made.ussd("#")
    async def menu(talk: Talk) -> Reply:
        return talk.reply("done", x=await talk.ask("first") + await talk.ask("second"))

    return made


def carrying_nothing(network: Network) -> None:
    network.carries = lambda message: False


class Waiting:
    """From now on what a network submits has no outcome, until the test gives it one."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.messages: list[Outbound] = []
        self._done: list[Any] = []
        network.node.gateway.send = self._send  # type: ignore[method-assign]

    def _send(self, message: Outbound, done: Any) -> None:
        self.messages.append(message)
        self._done.append(done)

    def end(self, outcome: SendOutcome = SendOutcome.SENT) -> None:
        for message, done in zip(self.messages, self._done, strict=True):
            ids = (str(message.id),) if outcome is SendOutcome.SENT else ()
            done(SendResult(outcome, moment(self.network.now_ms), ACCOUNT, 1, ids))

    def end_with(self, *ids: tuple[str, ...]) -> None:
        """All are sent; the SMSC's ids of the segments of each."""
        for given, done in zip(ids, self._done, strict=True):
            done(SendResult(SendOutcome.SENT, moment(self.network.now_ms), ACCOUNT, len(given), given))


async def receive(network: Network, *smsc_ids: str) -> None:
    """Receipts of messages to Mai, all in one batch: each is delivered."""
    answers = []
    for smsc_id in smsc_ids:
        answered: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        receipt = Receipt(ACCOUNT, 0, 0, moment(network.now_ms), smsc_id, MAI_NUMBER.digits, ReceiptState.DELIVERED)
        network.node.dispatch.receive_receipt(receipt, answered.set_result)
        answers.append(answered)
    assert await asyncio.gather(*answers) == [ROK] * len(smsc_ids)
    await network.settled()


async def send(network: Network, text: str) -> None:
    assert await network.deliver(network.phone(LAN), text, CODE, None) == ROK


async def test_a_command_comes_in_on_one_node_and_its_reply_leaves_by_another(a: Network, b: Network) -> None:
    carrying_nothing(a)
    await send(a, "LONG x")
    assert a.sent == []
    async with asyncio.timeout(5):
        while not b.sent:  # told by the other node, it does not wait for its next look
            await asyncio.sleep(0.01)
            b.node.outbox.tick()
    await b.settled()
    assert b.phone(LAN).texts == ["done 1"]
    assert await rows(a, "SELECT state, owner, node FROM outbox") == [("sent", None, "b")]
    assert await rows(a, "SELECT node FROM inbox") == [("a",)]


async def test_what_the_node_of_the_command_can_carry_leaves_from_there(a: Network, b: Network) -> None:
    await send(a, "LONG x")
    await rest(b, a)
    assert (len(a.sent), len(b.sent)) == (1, 0)
    assert await rows(a, "SELECT state, owner, node FROM outbox") == [("sent", None, "a")]


async def test_what_nobody_can_carry_waits_for_who_can_first(a: Network, b: Network) -> None:
    carrying_nothing(a)
    carrying_nothing(b)
    await send(a, "MANY 3")
    await rest(a, b)
    assert await rows(a, "SELECT DISTINCT state, owner FROM outbox") == [("queued", None)]
    a.carries = lambda message: True
    await rest(b, a)
    assert a.phone(MAI).texts == ["note 0", "note 1", "note 2"]
    assert b.sent == []


async def test_who_can_send_nothing_reads_a_part_of_much_once_a_second(
    a: Network, b: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vas.due.SCAN", 4)
    carrying_nothing(a)
    carrying_nothing(b)
    await send(a, "MANY 10")
    a.now_ms += 5_000
    asked: set[str] = set()

    def carries(message: Outbound) -> bool:
        asked.add(message.text)
        return False

    a.carries = carries
    seen = []
    for _ in range(3):
        asked.clear()
        await a.pass_time(timedelta(seconds=1))
        await a.pass_time(timedelta(milliseconds=100))
        seen.append(len(asked))
    assert sorted(seen) == [2, 4, 4]


async def test_what_becomes_due_now_leaves_though_much_waits_that_cannot(
    a: Network, b: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vas.due.SCAN", 4)
    carrying_nothing(a)
    carrying_nothing(b)
    await send(a, "MANY 30")
    await send(a, "LATER fresh")
    a.carries = lambda message: message.text == "note fresh"
    await a.pass_time(timedelta(seconds=59))
    await rest(a)
    assert [message.text for message in a.sent] == ["note fresh"]


async def test_what_waits_for_its_hour_leaves_once_whichever_node_it_is_from(a: Network, b: Network) -> None:
    for number in range(8):
        await send(a, f"LATER {number}")
    for network in (a, b):
        network.now_ms += 61_000
        network.node.outbox.tick()
    await asyncio.gather(a.settled(), b.settled())
    await rest(a, b)
    assert sorted(message.text for message in (*a.sent, *b.sent)) == [f"note {number}" for number in range(8)]


async def test_two_nodes_that_look_at_the_same_moment_send_nothing_twice(a: Network, b: Network) -> None:
    carrying_nothing(a)
    carrying_nothing(b)
    await send(a, "MANY 100")
    for network in (a, b):
        network.carries = lambda message: True
        network.now_ms += 1_000
        network.node.outbox.tick()
    await asyncio.gather(a.settled(), b.settled())
    await rest(a, b)
    assert Counter(message.text for message in (*a.sent, *b.sent)) == {f"note {number}": 1 for number in range(100)}


@pytest.mark.parametrize("outcome", [SendOutcome.TEMPORARY, SendOutcome.NOT_SENT, SendOutcome.UNANSWERED])
async def test_what_is_put_off_may_leave_by_another_node(a: Network, b: Network, outcome: SendOutcome) -> None:
    a.outcome = lambda message: outcome
    b.receipts = False
    await send(a, "SEND x")
    carrying_nothing(a)
    assert await rows(a, "SELECT state, owner FROM outbox") == [("queued", None)]
    await rest(a, b, seconds=6)
    assert b.phone(MAI).texts == ["note x"]


async def test_what_could_not_leave_goes_to_another_node_at_once_where_the_account_is_gone(
    a: Network, b: Network
) -> None:
    waiting = Waiting(a)
    await send_without_waiting(a, "SEND x")
    carrying_nothing(a)
    waiting.end(SendOutcome.NOT_SENT)
    await a.settled()
    b.node.outbox.look()
    b.node.outbox.tick()
    await b.settled()
    assert b.phone(MAI).texts == ["note x"]


async def send_without_waiting(network: Network, text: str) -> None:
    """A command of which something stays in flight."""
    session = network.node.dispatch.session_opened(ACCOUNT)
    assert await offer(network, inbound(network, text, session=session, ordinal=1)) == ROK


async def test_what_a_dead_node_had_in_hand_leaves_by_another(a: Network, b: Network) -> None:
    Waiting(a)
    await send_without_waiting(a, "MANY 3")
    await rest(b)
    assert b.sent == []
    died(a)
    await rest(b)
    assert b.phone(MAI).texts == ["note 0", "note 1", "note 2"]


async def test_what_must_not_be_doubled_and_left_a_dead_node_is_unknown(a: Network, b: Network) -> None:
    waiting = Waiting(a)
    await send_without_waiting(a, "ONCE x")
    await a.node.dispatch.drained()
    assert len(waiting.messages) == 1
    died(a)
    await rest(b)
    assert b.sent == []
    assert (await purse(b)).notes == ("x unknown",)


async def test_what_must_not_be_doubled_leaves_once_when_two_nodes_see_it(a: Network, b: Network) -> None:
    carrying_nothing(a)
    carrying_nothing(b)
    for number in range(10):
        await send(a, f"ONCE {number}")
    for network in (a, b):
        network.carries = lambda message: True
        network.now_ms += 1_000
        network.node.outbox.tick()
    await asyncio.gather(a.settled(), b.settled())
    await rest(a, b)
    assert sorted(message.text for message in (*a.sent, *b.sent)) == [f"note {number}" for number in range(10)]


async def test_a_node_that_was_given_up_writes_nothing_over_what_another_has_taken(a: Network, b: Network) -> None:
    waiting = Waiting(a)
    await send_without_waiting(a, "SEND x")
    await a.node.dispatch.drained()
    member(a).give_up()
    b.receipts = False
    await rest(b)
    assert b.phone(MAI).texts == ["note x"]
    await member(a).join()
    waiting.end(SendOutcome.PERMANENT)
    await a.settled()
    assert await rows(a, "SELECT state, node FROM outbox") == [("sent", "b")]
    assert await rows(a, "SELECT count(*) FROM dead_letter") == [(0,)]
    assert (await purse(a)).notes == ()


@pytest.mark.parametrize("outcome", [SendOutcome.SENT, SendOutcome.TEMPORARY])
async def test_a_result_that_comes_too_late_is_dropped_and_counted(
    a: Network, b: Network, outcome: SendOutcome
) -> None:
    waiting = Waiting(a)
    await send_without_waiting(a, "SEND x")
    await a.node.dispatch.drained()
    member(a).give_up()
    Waiting(b)
    b.now_ms += 1_000
    b.node.outbox.tick()
    await b.node.dispatch.drained()
    await member(a).join()
    waiting.end(outcome)
    await a.settled()
    assert await rows(a, "SELECT state, owner FROM outbox") == [("queued", member(b).id)]
    assert a.node.metrics.results_dropped._value.get() == 1


async def test_what_was_sent_before_a_node_was_given_up_is_written_down_if_nobody_took_it(
    a: Network, b: Network
) -> None:
    waiting = Waiting(a)
    await send_without_waiting(a, "SEND x")
    await a.node.dispatch.drained()
    member(a).give_up()
    await member(a).join()
    waiting.end()
    await a.settled()
    assert await rows(a, "SELECT state FROM outbox") == [("sent",)]
    await rest(b)
    assert b.sent == []


async def test_a_receipt_is_told_once_on_whichever_node_it_comes(a: Network, b: Network) -> None:
    a.receipts = False
    await send(a, "SEND x")
    [message] = a.sent
    await asyncio.gather(receive(b, str(message.id)), receive(a, str(message.id)))
    assert (await purse(a)).notes == ("x delivered",)


async def test_a_receipt_may_come_to_another_node_before_the_submit_sm_resp_is_written_down(
    a: Network, b: Network
) -> None:
    waiting = Waiting(a)
    await send_without_waiting(a, "SEND x")
    await receive(b, str(waiting.messages[0].id))
    waiting.end()
    await a.settled()
    assert (await purse(a)).notes == ("x delivered",)
    assert await rows(a, "SELECT state FROM outbox") == [("delivered",)]


async def test_receipt_and_submit_sm_resp_meet_at_the_same_moment(a: Network, b: Network) -> None:
    for number in range(10):
        waiting = Waiting(a)
        await send_without_waiting(a, f"SEND {number}")
        waiting.end()
        await asyncio.gather(receive(b, str(waiting.messages[0].id)), a.settled())
    assert sorted((await purse(a)).notes) == [f"{number} delivered" for number in range(10)]


async def test_the_last_receipts_of_a_long_message_meet_at_the_same_moment(a: Network, b: Network) -> None:
    a.receipts = False
    a.segments = lambda message: 2
    for number in range(20):
        await send(a, f"SEND {number}")
        id_ = a.sent[-1].id
        await asyncio.gather(receive(a, str(id_)), receive(b, str(id_ + 1)))
    assert (await purse(a)).notes == tuple(f"{number} delivered" for number in range(20))


async def test_receipts_without_ids_of_a_long_message_meet_at_the_same_moment(a: Network, b: Network) -> None:
    a.receipts = False
    a.segments = lambda message: 2

    async def without_id(network: Network, reference: int) -> None:
        answered: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        receipt = Receipt(
            ACCOUNT, 0, 0, moment(network.now_ms), "", MAI_NUMBER.digits, ReceiptState.DELIVERED, reference=reference
        )
        network.node.dispatch.receive_receipt(receipt, answered.set_result)
        await answered
        await network.settled()

    for number in range(20):
        await send(a, f"SEND {number}")
        reference = a.sent[-1].id & 0xFFFF
        await asyncio.gather(without_id(a, reference), without_id(b, reference))
    assert (await purse(a)).notes == tuple(f"{number} delivered" for number in range(20))


@pytest.mark.parametrize(
    ("at_a", "at_b", "held"),
    [
        pytest.param("123456", "654321", "receipt WHERE smsc_id = '2'", id="the same receipts"),
        pytest.param("123", "456", "outbox WHERE smsc_ids = '2 5'", id="receipts of the same messages"),
    ],
)
async def test_two_nodes_with_receipts_in_opposite_orders_never_wait_for_each_other(
    toy: Toy, a: Network, b: Network, at_a: str, at_b: str, held: str
) -> None:
    sending = Waiting(a)
    for number in range(3):
        await send_without_waiting(a, f"SEND {number}")
    sending.end_with(("1", "6"), ("2", "5"), ("3", "4"))
    await a.settled()
    errors: list[BaseException | None] = []
    for network in (a, b):
        store = network.node.store
        assert isinstance(store, PostgresStore) and store._session is not None
        store._session.connection.add_query_logger(lambda query: errors.append(query.exception))
    other = await asyncpg.connect(toy.engine.url(toy.folder))
    async with other.transaction():
        # Each of the two has what it could have by then, and wants the one in the middle.
        await other.execute(f"SELECT 1 FROM {held} FOR UPDATE")  # noqa: S608
        receiving = [asyncio.ensure_future(receive(a, *at_a)), asyncio.ensure_future(receive(b, *at_b))]
        await waits_for_a_lock(other, sessions=2)
    await other.close()
    await asyncio.gather(*receiving)
    assert [error for error in errors if isinstance(error, asyncpg.DeadlockDetectedError)] == []
    assert sorted((await purse(a)).notes) == [f"{number} delivered" for number in range(3)]


async def test_the_parts_of_a_long_message_meet_from_two_nodes(a: Network, b: Network) -> None:
    for number in range(10):
        text = f"LONG {number}"
        parts = cut_into(text, 3, f"8-bit {number}")
        placed = [(network, part) for network, part in zip((a, b, a), parts, strict=True)]
        commands = [
            inbound(network, "", session=network.node.dispatch.session_opened(ACCOUNT), ordinal=1, part=part)
            for network, part in placed
        ]
        answers = [told(network, command) for (network, _), command in zip(placed, commands, strict=True)]
        assert await asyncio.gather(*answers) == [ROK] * 3
        await asyncio.gather(a.settled(), b.settled())
    assert sorted((await purse(a)).notes) == [str(number) for number in range(10)]
    assert await rows(a, "SELECT count(*) FROM part") == [(0,)]


async def test_parts_whose_node_is_gone_are_given_up_by_another_once(a: Network, b: Network) -> None:
    await a.phone(LAN).text("LONG x", CODE, parts=3, order=[1, 2])
    died(a)
    await b.node.look_at_parts()
    assert b.node.core.parts.count == 2
    await b.pass_time(timedelta(minutes=11))
    assert b.phone(LAN).texts[-1].startswith("Tin nhắn")
    assert await rows(b, "SELECT result, node FROM inbox WHERE result = 'incomplete'") == [("incomplete", "b")]


async def test_two_nodes_give_up_what_is_overdue_once(a: Network, b: Network) -> None:
    for number in range(10):
        await a.phone(f"09123456{number:02d}").text("LONG x", CODE, parts=3, order=[1, 2])
    await b.node.look_at_parts()
    for network in (a, b):
        network.now_ms += 11 * 60_000
        network.node.parts.tick()
    await asyncio.gather(a.settled(), b.settled())
    await rest(a, b)
    assert len(a.sent) + len(b.sent) == 10
    assert await rows(b, "SELECT count(*), min(ended_ms) > 0 FROM long_message") == [(10, True)]


async def test_a_talk_goes_on_where_its_next_key_press_comes(a: Network, b: Network) -> None:
    assert await a.phone(LAN).dial("*100#") == "first?"
    on_b = b.phone(LAN)
    on_b.dialogues, on_b.open = 1, True
    assert await on_b.answer("1") == "second?"
    on_a = a.phone(LAN)
    on_a.open = True
    assert await on_a.answer("2") == "done 12"


async def test_a_screen_of_a_dead_node_is_never_shown_from_another(a: Network, b: Network) -> None:
    Waiting(a)
    phone = a.phone(LAN)
    turn = UssdTurn("1", begin=True, token=b"t")
    asyncio.get_running_loop().create_task(a.deliver(phone, "*100#", "105", turn))
    await asyncio.sleep(0.05)
    await a.node.dispatch.drained()
    assert await rows(b, "SELECT kind, owner FROM outbox") == [("ussd", member(a).id)]
    died(a)
    await rest(b)
    assert b.sent == []
    assert await rows(b, "SELECT state FROM outbox") == [("expired",)]


async def test_what_a_living_node_has_in_hand_cannot_be_cancelled_at_another(a: Network, b: Network) -> None:
    waiting = Waiting(a)
    await send_without_waiting(a, "SEND x")
    await a.node.dispatch.drained()
    row = await sent_row(b.node, MAI_NUMBER.digits, waiting.messages[0].id)
    with pytest.raises(Refused, match="leaving"):
        await cancel_queued(b.node, row, "ops")
    assert await rows(b, "SELECT state FROM outbox") == [("queued",)]


async def test_what_waits_for_anybody_can_be_cancelled_at_any_node(a: Network, b: Network) -> None:
    carrying_nothing(a)
    carrying_nothing(b)
    await send(a, "SEND x")
    [(id_,)] = await rows(a, "SELECT id FROM outbox")
    await cancel_queued(b.node, await sent_row(b.node, MAI_NUMBER.digits, id_), "ops")
    a.carries = b.carries = lambda message: True
    await rest(a, b)
    assert (a.sent, b.sent) == ([], [])
    assert await rows(a, "SELECT state FROM outbox") == [("cancelled",)]


async def test_a_cancellation_that_fails_leaves_the_message_to_anybody(a: Network, b: Network) -> None:
    outbox = a.node.outbox
    waiting = Waiting(a)
    carrying_nothing(b)
    await send_without_waiting(a, "LATER x")
    [(id_,)] = await rows(a, "SELECT id FROM outbox")
    assert outbox.withhold(id_)
    await rest(a, seconds=62)
    assert waiting.messages == []
    outbox.release(id_)
    carrying_nothing(a)
    b.carries = lambda message: True
    await a.pass_time(timedelta(seconds=1))
    await b.pass_time(timedelta(seconds=63))
    assert b.phone(MAI).texts == ["note x"]
