"""What was committed is sent, once it is due, until it has ended one way or the other."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.core.toys import CODE, LAN, MAI, MAI_NUMBER, Toy, purse, rows, sending
from tests.engines import Engine
from vas import Context, Outcome, Reply, Service
from vas.messages import Outbound, ReceiptState, SendOutcome
from vas.submissions import RETRY_AFTER_S
from vas.testing import Network


def timed(service: Service) -> None:
    sending(service)

    @service.sms("BRIEF {x}")
    async def brief(ctx: Context, x: str) -> None:
        await ctx.send(MAI_NUMBER, "note", valid=timedelta(seconds=3), x=x)

    @service.sms("NOON {x}")
    async def noon(ctx: Context, x: str) -> None:
        await ctx.send(MAI_NUMBER, "note", at=datetime(2026, 3, 2, 5, tzinfo=UTC), valid=timedelta(hours=1), x=x)


@pytest.fixture
def service(toy: Toy) -> Service:
    made = toy.service()
    timed(made)
    return made


def refused(network: Network, outcome: SendOutcome) -> list[int]:
    """From now on the SMSC makes this of every submission; the moments of all of them, in seconds."""
    tries: list[int] = []

    def fate(message: Outbound) -> SendOutcome:
        tries.append(network.now_ms // 1000)
        return outcome

    network.outcome = fate
    return tries


async def test_what_was_queued_when_the_power_failed_is_sent_after_the_start(toy: Toy, service: Service) -> None:
    async with toy.network(service) as network:
        network.node.outbox.stopped = True
        await network.phone(LAN).text("MANY 3", CODE)
        assert network.sent == []
        async with toy.crashed(network, service) as after:
            await after.settled()
            assert after.phone(MAI).texts == ["note 0", "note 1", "note 2"]


async def test_what_was_sent_before_a_restart_is_not_sent_again(toy: Toy, service: Service) -> None:
    async with toy.network(service) as network:
        await network.phone(LAN).text("MANY 3", CODE)
        await network.restart()
        await network.pass_time(timedelta(hours=3))
        assert network.phone(MAI).texts == ["note 0", "note 1", "note 2"]


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_message_waits_for_its_hour(toy: Toy, service: Service, restarted: bool) -> None:
    async with toy.network(service) as network:  # It is 9:00; noon is 5:00 UTC.
        await network.phone(LAN).text("NOON tea", CODE)
        await network.pass_time(timedelta(hours=2, minutes=59))
        if restarted:
            await network.restart()
        await network.settled()
        assert network.phone(MAI).texts == []
        await network.pass_time(timedelta(minutes=1))
        assert network.phone(MAI).texts == ["note tea"]
        assert not network.phone(MAI).received[0].reply


async def test_a_message_whose_hour_has_passed_while_the_platform_was_down_expires(toy: Toy, service: Service) -> None:
    async with toy.network(service) as network:
        await network.phone(LAN).text("NOON tea", CODE)
        await network.node.stop()
        network.now_ms += 5 * 3_600_000
        await network._start()
        await network.settled()
        assert network.phone(MAI).texts == []
        assert await rows(network, "SELECT state FROM outbox") == [("expired",)]


async def test_a_temporary_refusal_is_tried_again_with_growing_waits_and_then_given_up(
    toy: Toy, service: Service
) -> None:
    async with toy.network(service) as network:
        tries = refused(network, SendOutcome.TEMPORARY)
        await network.phone(LAN).text("SEND tea", CODE)
        for _ in range(3600):
            await network.pass_time(timedelta(seconds=1))
            if not await rows(network, "SELECT 1 FROM outbox WHERE due_ms IS NOT NULL"):
                break
        assert [later - earlier for earlier, later in pairwise(tries)] == list(RETRY_AFTER_S)
        assert list(RETRY_AFTER_S) == sorted(RETRY_AFTER_S)
        assert (await purse(network)).notes == ("tea failed",)
        assert await rows(network, "SELECT state, attempts FROM outbox") == [("failed", len(tries))]


@pytest.mark.parametrize(
    ("outcome", "text", "ended"),
    [
        (SendOutcome.PERMANENT, "SEND tea", ("failed", 1, 2, "test", 0x0B)),
        (SendOutcome.TEMPORARY, "BRIEF tea", ("expired", 1, 2, "test", 0x08)),
        (SendOutcome.UNANSWERED, "ONCE tea", ("unknown", 1, 2, "test", 0)),
    ],
)
async def test_a_message_that_left_and_was_not_accepted_counts_its_attempt_and_its_segments(
    toy: Toy, service: Service, outcome: SendOutcome, text: str, ended: tuple[object, ...]
) -> None:
    async with toy.network(service) as network:
        refused(network, outcome)
        network.segments = lambda message: 2
        await network.phone(LAN).text(text, CODE)
        found = await rows(network, "SELECT state, attempts, segments, account, status, sent_ms FROM outbox")
        assert found == [(*ended, network.now_ms)]


async def test_a_message_that_never_left_counts_no_attempt(toy: Toy, service: Service) -> None:
    async with toy.network(service) as network:
        refused(network, SendOutcome.PERMANENT)
        network.segments = lambda message: 0
        await network.phone(LAN).text("SEND tea", CODE)
        assert await rows(network, "SELECT state, attempts, sent_ms FROM outbox") == [("failed", 0, None)]


async def test_a_temporary_refusal_is_tried_again_after_a_restart(toy: Toy, service: Service) -> None:
    async with toy.network(service) as network:
        refused(network, SendOutcome.TEMPORARY)
        await network.phone(LAN).text("SEND tea", CODE)
        network.outcome = lambda message: SendOutcome.SENT
        await network.restart()
        assert network.phone(MAI).texts == []
        await network.pass_time(timedelta(seconds=RETRY_AFTER_S[0]))
        assert network.phone(MAI).texts == ["note tea"]


async def test_what_could_not_leave_costs_no_attempt_and_is_sent_when_the_link_is_back(
    toy: Toy, service: Service
) -> None:
    async with toy.network(service) as network:
        tries = refused(network, SendOutcome.NOT_SENT)
        await network.phone(LAN).text("SEND tea", CODE)
        for _ in range(60):
            await network.pass_time(timedelta(minutes=1))
        assert len(tries) > 20
        network.outcome = lambda message: SendOutcome.SENT
        await network.pass_time(timedelta(minutes=1))
        assert network.phone(MAI).texts == ["note tea"]
        assert await rows(network, "SELECT state, attempts FROM outbox") == [("delivered", 1)]


async def test_what_could_not_leave_in_its_validity_expires(toy: Toy, service: Service) -> None:
    async with toy.network(service) as network:
        tries = refused(network, SendOutcome.NOT_SENT)
        await network.phone(LAN).text("SEND tea", CODE)
        for _ in range(121):
            await network.pass_time(timedelta(minutes=1))
        assert (await purse(network)).notes == ("tea expired",)
        count = len(tries)
        await network.pass_time(timedelta(days=2))
        assert len(tries) == count


async def test_a_subscriber_is_not_flooded_when_the_smsc_never_answers(toy: Toy, service: Service) -> None:
    async with toy.network(service) as network:
        tries = refused(network, SendOutcome.UNANSWERED)
        await network.phone(LAN).text("SEND tea", CODE)
        for _ in range(150):
            await network.pass_time(timedelta(minutes=1))
        assert tries[0] == tries[1]
        assert len(tries) <= 2 + len(RETRY_AFTER_S)
        assert (await purse(network)).notes == ("tea unknown",)


async def test_one_refused_message_holds_up_no_other(toy: Toy, service: Service) -> None:
    async with toy.network(service) as network:
        network.outcome = lambda message: (
            SendOutcome.PERMANENT if message.text == "note 1" else SendOutcome.TEMPORARY
            if message.text == "note 0" else SendOutcome.SENT
        )  # fmt: skip
        await network.phone(LAN).text("MANY 4", CODE)
        assert network.phone(MAI).texts == ["note 2", "note 3"]
        assert await rows(network, "SELECT state FROM outbox ORDER BY id") == [
            ("queued",), ("failed",), ("sent",), ("sent",),
        ]  # fmt: skip


async def test_messages_leave_in_the_order_in_which_they_were_made(toy: Toy, service: Service) -> None:
    async with toy.network(service) as network:
        await network.phone(LAN).text("MANY 50", CODE)
        assert network.phone(MAI).texts == [f"note {number}" for number in range(50)]


@pytest.mark.parametrize("limit", [2, 3, 7])
async def test_what_is_more_than_memory_should_hold_is_sent_later_and_none_is_skipped(
    toy: Toy, service: Service, limit: int
) -> None:
    async with toy.network(service) as network:
        network.node.outbox._memory_limit = limit
        await network.phone(LAN).text("MANY 40", CODE)
        for _ in range(60):
            await network.settled()
        assert Counter(network.phone(MAI).texts) == Counter(f"note {number}" for number in range(40))


@pytest.mark.parametrize("limit", [2, 5, 20_000])
async def test_what_comes_back_while_more_is_looked_for_is_not_skipped(toy: Toy, service: Service, limit: int) -> None:
    async with toy.network(service) as network:
        tried: set[int] = set()

        def fate(message: Outbound) -> SendOutcome:
            first = message.id not in tried
            tried.add(message.id)
            return SendOutcome.UNANSWERED if first and len(tried) % 3 == 1 else SendOutcome.SENT

        network.node.outbox._memory_limit, network.outcome = limit, fate
        await network.phone(LAN).text("MANY 40", CODE)
        for _ in range(60):
            await network.settled()
        assert Counter(network.phone(MAI).texts) == Counter(f"note {number}" for number in range(40))


async def test_what_becomes_due_during_a_look_is_found_by_the_next_one(toy: Toy, service: Service) -> None:
    async with toy.network(service) as network:
        await network.settled()
        outbox, looks = network.node.outbox, []
        outbox._submit = looks.append
        outbox.wake_at(0, 0)
        outbox.tick()
        outbox.wake_at(5, 3)
        looks[0].place, looks[0].next_due_ms = (10, 9), 1 << 62
        outbox.scanned(looks[0])
        outbox.tick()
        assert looks[1].began_at < (5, 3)


async def test_results_that_could_not_be_written_are_written_later_and_nothing_is_sent_twice(
    toy: Toy, service: Service
) -> None:
    from vas.errors import StoreError

    async with toy.network(service) as network:
        commit, faults = network.node.store.commit, [StoreError("full"), StoreError("full")]

        async def commit_or_fail(works: list[object]) -> list[Exception | None]:
            if faults and any(type(work).__name__ == "RecordSent" for work in works):
                raise faults.pop()
            return await commit(works)  # type: ignore[arg-type]

        network.node.store.commit = commit_or_fail  # type: ignore[method-assign, assignment]
        await network.phone(LAN).text("MANY 3", CODE)
        for _ in range(3):
            await network.settled()
        assert faults == []
        assert len(network.phone(MAI).texts) == 3
        assert await rows(network, "SELECT DISTINCT state FROM outbox") == [("sent",)]


# -- whatever happens, in any order

steps = st.lists(
    st.one_of(
        st.tuples(st.just("text"), st.sampled_from(["SEND", "ONCE"])),
        st.tuples(st.just("fate"), st.sampled_from(SendOutcome)),
        st.tuples(st.just("time"), st.sampled_from([1, 5, 60, 1800, 7200, 100_000])),
        st.tuples(st.just("receipt"), st.sampled_from([ReceiptState.DELIVERED, ReceiptState.EXPIRED])),
        st.tuples(st.just("restart"), st.none()),
        st.tuples(st.just("crash"), st.none()),
    ),
    max_size=12,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps, limit=st.sampled_from([2, 20_000]))
def test_whatever_happens_every_message_ends_once_and_is_told_once(
    folder: Path, engine: Engine, steps: list[tuple[str, object]], limit: int
) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as name:
        engine.prepare(own := Path(name))
        try:
            asyncio.run(_whatever(Toy(own, engine), steps, limit))
        finally:
            engine.forget()


async def _whatever(toy: Toy, steps: list[tuple[str, object]], limit: int) -> None:
    service = toy.service()
    timed(service)
    network, sent, made = toy.network(service, receipts=False), [], 0
    await network.__aenter__()
    for what, value in steps:
        network.node.outbox._memory_limit = limit
        match what:
            case "text":
                await network.phone(LAN).text(f"{value} m{made}", CODE)
                made += 1
            case "fate":
                network.outcome = lambda message, value=value: value  # type: ignore[assignment, misc]
            case "time":
                await network.pass_time(timedelta(seconds=float(str(value))))
            case "receipt" if network.sent:
                await network.receipt(network.sent[-1], ReceiptState(str(value)))
            case "restart":
                await network.restart()
            case "crash":
                after, outcome = toy.crashed(network, service, receipts=False), network.outcome
                await network.node.stop()
                sent += network.sent
                network, after.outcome = after, outcome
                await network.__aenter__()
    network.outcome = lambda message: SendOutcome.SENT
    for _ in range(8):
        await network.pass_time(timedelta(hours=12))
    try:
        ended = Counter(state for (state,) in await rows(network, "SELECT state FROM outbox"))
        assert set(ended) <= {"delivered", "failed", "expired", "unknown"}
        assert sum(ended.values()) == made
        told = [note.split() for note in (await purse(network)).notes]
        assert sorted(name for name, _ in told) == sorted(f"m{number}" for number in range(made))
        assert Counter(result for _, result in told) == ended
    finally:
        await network.node.stop()


async def test_only_what_a_subscriber_has_just_asked_for_overtakes_the_rest(toy: Toy) -> None:
    service = toy.service()

    @service.outcome
    async def settle(ctx: Context, outcome: Outcome) -> None:
        await ctx.send(MAI_NUMBER, "note", x="outcome")

    @service.job
    async def remind(ctx: Context) -> None:
        await ctx.send(MAI_NUMBER, "note", x="job")

    @service.sms("GO")
    async def go(ctx: Context) -> Reply:
        await ctx.send(MAI_NUMBER, "note", then=settle, x="command")
        await ctx.later(remind)
        return ctx.reply("done", x="")

    async with toy.network(service) as network:
        await network.phone(LAN).text("GO", CODE)
        waited_for = {message.text.strip(): message.reply for message in network.sent}
        assert waited_for == {"note command": True, "done": True, "note outcome": False, "note job": False}
