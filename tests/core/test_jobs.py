"""What is to happen later happens once, at its time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.core.toys import CODE, LAN, LAN_NUMBER, MAI, MAI_NUMBER, Purse, Toy, noted, purse, rows, spend, together
from vas import Context, Msisdn, Reply, Service
from vas.node import Statement
from vas.store.ids import shard_of
from vas.testing import MORNING


def reminding(service: Service) -> None:
    @service.job
    async def remind(ctx: Context, what: str) -> None:
        await ctx.change(ctx.sender, noted, what)
        if what == "fail":
            raise ValueError("a bug")
        await ctx.send(ctx.sender, "note", x=what)

    @service.sms("LATER {minutes} {what}")
    async def later(ctx: Context, minutes: int, what: str) -> None:
        await ctx.later(remind, after=timedelta(minutes=minutes), key=f"key-{what}", what=what)

    @service.sms("AT {what}")
    async def at(ctx: Context, what: str) -> None:
        await ctx.later(remind, at=datetime(2026, 3, 2, 5, 0, tzinfo=UTC), what=what)

    @service.sms("STOP {what}")
    async def stop(ctx: Context, what: str) -> Reply:
        await ctx.cancel(f"key-{what}")
        return ctx.reply("done", x=what)


async def test_a_job_runs_once_at_its_time(toy: Toy) -> None:
    service = toy.service()
    reminding(service)
    async with toy.network(service) as network:
        lan = network.phone(LAN)
        await lan.text("LATER 10 tea", CODE)
        await network.pass_time(timedelta(minutes=9, seconds=59))
        assert lan.texts == []
        await network.pass_time(timedelta(seconds=1))
        assert lan.texts == ["note tea"]
        await network.pass_time(timedelta(days=1))
        assert lan.texts == ["note tea"]
        assert await rows(network, "SELECT * FROM job") == []


async def test_a_job_may_be_given_a_moment(toy: Toy) -> None:
    service = toy.service()
    reminding(service)
    async with toy.network(service) as network:  # It is 9:00, and 2:00 UTC.
        lan = network.phone(LAN)
        await lan.text("AT noon", CODE)
        await network.pass_time(timedelta(hours=2, minutes=59))
        assert lan.texts == []
        await network.pass_time(timedelta(minutes=1))
        assert lan.texts == ["note noon"]


async def test_jobs_run_in_the_order_of_their_times(toy: Toy) -> None:
    service = toy.service()
    reminding(service)
    async with toy.network(service) as network:
        lan = network.phone(LAN)
        for minutes in (30, 10, 20):
            await lan.text(f"LATER {minutes} n{minutes}", CODE)
        await network.pass_time(timedelta(hours=1))
        assert (await purse(network)).notes == ("n10", "n20", "n30")


async def test_a_cancelled_job_never_runs_and_no_other_is_cancelled(toy: Toy) -> None:
    service = toy.service()
    reminding(service)
    async with toy.network(service) as network:
        lan, mai = network.phone(LAN), network.phone("0987654321")
        await lan.text("LATER 10 tea", CODE)
        await lan.text("LATER 10 rice", CODE)
        await mai.text("LATER 10 tea", CODE)
        await lan.text("STOP tea", CODE)
        await network.pass_time(timedelta(hours=1))
        assert lan.texts == ["done tea", "note rice"]
        assert mai.texts == ["note tea"]


async def test_a_job_is_cancelled_in_the_batch_that_made_it(toy: Toy) -> None:
    service = toy.service()
    reminding(service)
    async with toy.network(service) as network:
        lan = network.phone(LAN)
        await together(network, lan, "LATER 10 tea", "STOP tea", "LATER 10 rice")
        await network.pass_time(timedelta(hours=1))
        assert lan.texts == ["done tea", "note rice"]


async def test_a_job_is_cancelled_by_one_that_is_due_at_the_same_time(toy: Toy) -> None:
    service = toy.service()

    @service.job
    async def count(ctx: Context) -> None:
        await ctx.change(ctx.sender, spend, 1)
        await ctx.cancel("other")

    @service.sms("BOTH")
    async def both(ctx: Context) -> None:
        for key in ("one", "other"):
            await ctx.later(count, after=timedelta(minutes=1), key=key)

    async with toy.network(service) as network:
        await network.phone(LAN).text("BOTH", CODE)
        await network.pass_time(timedelta(minutes=1))
        assert await purse(network) == Purse(1)
        assert await rows(network, "SELECT * FROM job") == []


async def test_cancelling_without_a_key_is_a_fault_and_cancels_nothing(toy: Toy) -> None:
    service = toy.service()
    reminding(service)

    @service.sms("FORGET")
    async def forget(ctx: Context) -> None:
        await ctx.cancel("")

    async with toy.network(service) as network:
        await network.phone(LAN).text("AT noon", CODE)
        await network.phone(LAN).text("FORGET", CODE)
        assert len(await rows(network, "SELECT * FROM job")) == 1
        [(error,)] = await rows(network, "SELECT error FROM dead_letter")
        assert "ctx.cancel needs the key" in error


@pytest.mark.parametrize("what", ["job", "message"])
async def test_a_moment_without_a_time_zone_is_a_fault(toy: Toy, what: str) -> None:
    service = toy.service()
    naive = datetime(2026, 3, 2, 12, 0)  # noqa: DTZ001

    @service.job
    async def remind(ctx: Context) -> None: ...

    @service.sms("GO")
    async def go(ctx: Context) -> None:
        if what == "job":
            await ctx.later(remind, at=naive)
        await ctx.send(ctx.sender, "note", at=naive, x="")

    async with toy.network(service) as network:
        await network.phone(LAN).text("GO", CODE)
        [(error,)] = await rows(network, "SELECT error FROM dead_letter")
        assert "without a time zone" in error


async def test_a_job_survives_a_restart(toy: Toy) -> None:
    service = toy.service()
    reminding(service)
    async with toy.network(service) as network:
        lan = network.phone(LAN)
        await lan.text("LATER 10 tea", CODE)
        await network.restart()
        await network.pass_time(timedelta(minutes=10))
        await network.restart()
        await network.settled()
        assert lan.texts == ["note tea"]


async def test_what_was_due_while_the_platform_was_down_runs_at_its_start(toy: Toy) -> None:
    service = toy.service()
    reminding(service)
    async with toy.network(service) as network:
        lan = network.phone(LAN)
        await lan.text("LATER 10 tea", CODE)
        async with toy.crashed(network, service, now=MORNING + timedelta(days=2)) as after:
            await after.settled()
            assert after.phone(LAN).texts == ["note tea"]


async def test_a_job_of_a_service_that_is_switched_off_waits_for_it(toy: Toy) -> None:
    service, other = toy.service(), toy.service("other")
    reminding(service)
    reminding(other)
    async with toy.network(service, other) as network:
        lan = network.phone(LAN)
        await lan.text("LATER 10 tea", CODE)
        await network.restart(*toy.mounted(other))
        await network.pass_time(timedelta(hours=1))
        assert lan.texts == []
        await lan.text("LATER 1 other", CODE)
        await network.pass_time(timedelta(minutes=1))
        assert lan.texts == ["note other"]
        await network.restart(*toy.mounted(service))
        await network.pass_time(timedelta(minutes=15))
        assert lan.texts == ["note other", "note tea"]


async def test_a_job_that_fails_leaves_a_dead_letter_and_nothing_else(toy: Toy) -> None:
    service = toy.service()
    reminding(service)
    async with toy.network(service) as network:
        lan = network.phone(LAN)
        await lan.text("LATER 10 fail", CODE)
        await lan.text("LATER 10 tea", CODE)
        await network.pass_time(timedelta(hours=1))
        assert lan.texts == ["note tea"]
        assert await purse(network) == Purse(notes=("tea",))
        assert await rows(network, "SELECT kind, handler, error FROM dead_letter") == [
            ("job", "remind", "ValueError: a bug")
        ]
        assert await rows(network, "SELECT * FROM job") == []


async def test_more_jobs_than_go_into_one_batch_all_run(toy: Toy) -> None:
    service = toy.service()

    @service.job
    async def count(ctx: Context) -> None:
        await ctx.change(ctx.sender, spend, 1)

    @service.sms("MANY")
    async def many(ctx: Context) -> None:
        for _ in range(250):
            await ctx.later(count, after=timedelta(minutes=1))

    async with toy.network(service) as network:
        await network.phone(LAN).text("MANY", CODE)
        await network.pass_time(timedelta(minutes=1))
        assert (await purse(network)).spent == 250


async def test_a_jobs_arguments_come_back_in_their_own_types(toy: Toy) -> None:
    service = toy.service()
    got: list[object] = []

    @service.job
    async def show(ctx: Context, number: Msisdn, when: datetime, rest: tuple[int, ...], purse: Purse) -> None:
        got.extend([number, when, rest, purse])

    given = (MAI_NUMBER, datetime(2026, 3, 2, tzinfo=UTC), (1, 2), Purse(3, ("a",)))

    @service.sms("GO")
    async def go(ctx: Context) -> None:
        await ctx.later(show, number=given[0], when=given[1], rest=given[2], purse=given[3])

    async with toy.network(service) as network:
        await network.phone(LAN).text("GO", CODE)
        assert tuple(got) == given


async def test_only_a_job_of_the_service_can_be_scheduled(toy: Toy) -> None:
    service = toy.service()

    async def remind(ctx: Context) -> None: ...

    @service.sms("GO")
    async def go(ctx: Context) -> None:
        await ctx.later(remind)

    async with toy.network(service) as network:
        await network.phone(LAN).text("GO", CODE)
        [(error,)] = await rows(network, "SELECT error FROM dead_letter")
        assert "@toy.job" in error


# -- at set times


def every_hour(service: Service) -> None:
    @service.every("0 * * * *")
    async def hourly(ctx: Context) -> None:
        await ctx.change(MAI_NUMBER, noted, f"{ctx.now:%H:%M}")


async def notes(network: object) -> tuple[str, ...]:
    return (await purse(network, "0987654321")).notes  # type: ignore[arg-type]


async def test_a_recurring_job_runs_at_each_of_its_times_in_the_platforms_time_zone(toy: Toy) -> None:
    service = toy.service()
    every_hour(service)
    async with toy.network(service) as network:  # It is 9:00.
        await network.settled()
        for _ in range(6):
            await network.pass_time(timedelta(minutes=30))
        assert await notes(network) == ("10:00", "11:00", "12:00")
        assert await rows(network, "SELECT * FROM job") == []


@pytest.mark.parametrize("cron", ["30 7 * * *", "0 20 2 3 *"])
async def test_a_daily_job_does_not_run_before_its_time(toy: Toy, cron: str) -> None:
    service = toy.service()

    @service.every(cron)
    async def daily(ctx: Context) -> None:
        await ctx.change(MAI_NUMBER, noted, f"{ctx.now:%d %H:%M}")

    async with toy.network(service) as network:
        await network.pass_time(timedelta(hours=10))
        assert await notes(network) == ()
        for _ in range(14):
            await network.pass_time(timedelta(hours=1))
        assert len(await notes(network)) == 1


async def test_a_restart_neither_doubles_nor_forgets_a_recurring_job(toy: Toy) -> None:
    service = toy.service()
    every_hour(service)
    async with toy.network(service) as network:
        await network.pass_time(timedelta(minutes=30))
        await network.restart()
        await network.pass_time(timedelta(minutes=30))
        assert await notes(network) == ("10:00",)
        await network.restart()
        await network.settled()
        assert await notes(network) == ("10:00",)


async def test_a_time_that_comes_twice_makes_one_job(toy: Toy) -> None:
    """As after a COMMIT of which nobody knew whether it happened."""
    service = toy.service()
    every_hour(service)
    async with toy.network(service) as network:
        await network.pass_time(timedelta(hours=1))
        network.node.schedule.fire_again("toy.hourly", network.now_ms)
        await network.settled()
        assert await notes(network) == ("10:00",)


async def test_what_was_missed_while_the_platform_was_down_is_made_up_once(toy: Toy) -> None:
    service = toy.service()
    every_hour(service)
    async with toy.network(service) as network:
        await network.pass_time(timedelta(hours=1))
        async with toy.crashed(network, service, now=MORNING + timedelta(hours=9, minutes=30)) as after:
            await after.settled()
            assert await notes(after) == ("10:00", "18:30")
            await after.pass_time(timedelta(minutes=30))
            assert await notes(after) == ("10:00", "18:30", "19:00")


async def test_a_recurring_job_that_never_ran_is_made_up_once_after_a_downtime(toy: Toy) -> None:
    service = toy.service()
    every_hour(service)
    async with toy.network(service) as network:
        await network.pass_time(timedelta(minutes=30))
        async with toy.crashed(network, service, now=MORNING + timedelta(hours=9, minutes=30)) as after:
            await after.settled()
            assert await notes(after) == ("18:30",)


async def test_two_functions_of_one_name_stop_the_start(toy: Toy) -> None:
    service = toy.service()
    reminding(service)
    with pytest.raises(Exception, match="two functions are named remind"):
        reminding(service)


async def test_a_subscriber_who_cannot_be_read_holds_up_nobody_elses_jobs(toy: Toy) -> None:
    service = toy.service()
    reminding(service)
    async with toy.network(service) as network:
        lan, mai = network.phone(LAN), network.phone(MAI)
        await lan.text("LATER 10 tea", CODE)
        await mai.text("LATER 10 milk", CODE)
        query = "INSERT INTO state VALUES (?, ?, 'subscriber', 1, 'no JSON')"
        await network.node.run(Statement(query, (shard_of(LAN_NUMBER.digits), LAN_NUMBER.digits)))
        await network.restart()
        await network.pass_time(timedelta(minutes=10))
        assert (lan.texts, mai.texts) == ([], ["note milk"])
        await network.node.run(Statement("DELETE FROM state WHERE service = 'subscriber'"))
        await network.restart()
        await network.pass_time(timedelta(minutes=15))
        assert lan.texts == ["note tea"]
