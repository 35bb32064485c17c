"""How the cost of a command grows with the subscribers that the tables hold: python -m bench.growth

One node on a PostgreSQL with synced commits. Before each measurement the table of documents is filled up, half with
senders and half with friends; then 10,000 of the senders, spread evenly over all of them, ask as many friends to call.
The figures are kept in bench/growth.md, and docs/scale.md reckons with them.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.progress import Progress

from bench.measure import PHONES, SCENARIOS, Figures, Wrong, free_port, measure_platform
from bench.platforms import Platforms, database, on_postgres
from bench.process import Died
from bench.report import machine
from gateway.simulator.load_plan import FIRST_FRIEND, FIRST_PHONE, Command, Plan
from tests.postgres import Server
from vas.assembly import event_loop

KEPT = Path(__file__).with_name("growth.md")
CALL_ME = next(scenario for scenario in SCENARIOS if "{friend}" in scenario.text)
FLAT = 1.25
"""What the last size may cost at most, in the first one's processor time."""


class Size(NamedTuple):
    """How much is measured."""

    subscribers: tuple[int, ...]
    commands: int
    """At full speed; as many go before, uncounted."""
    rate: float
    """Of the open load, which is the same for all sizes."""
    open_s: float


SIZES = {
    "full": Size((10_000, 100_000, 1_000_000, 10_000_000), 20_000, 500, 10),
    "quick": Size((10_000, 100_000), 4_000, 300, 2),
}


class Scattered(Plan, frozen=True, kw_only=True):
    """Phones that are spread evenly over a range of numbers, and so are their friends."""

    stride: int

    def scripts(self) -> dict[bytes, tuple[bytes, ...]]:
        command = Command(text=self.text, to=self.to)
        places = (index * self.stride for index in range(self.phones))
        numbers = ((str(self.first_phone + place), place) for place in places)
        return {number.encode(): command.frames(number, place) for number, place in numbers}


class Row(NamedTuple):
    """What was measured with so many subscribers in the tables."""

    subscribers: int
    full: Figures
    open: Figures
    wal_octets: float
    """Of the write-ahead log, a command."""
    kept_octets: float
    """Of the messages, in and out, with their indexes, a command."""
    state_octets: float
    """Of the table of documents and its index, a subscriber."""

    @property
    def processor_us(self) -> float:
        """Platform and PostgreSQL."""
        return self.full.loop_us + self.full.rest_us + self.full.database_us


async def growth(size: Size, progress: Progress) -> list[Row]:
    work = progress.add_task("", total=2 * len(size.subscribers))
    rows = []
    async with database() as server:
        server.create("growth", "empty")
        for before, subscribers in pairwise((0, *size.subscribers)):
            progress.update(work, description=f"{subscribers:,} subscribers: filling", advance=1)
            await asyncio.to_thread(_fill, server, before // 2, subscribers // 2)
            progress.update(work, description=f"{subscribers:,} subscribers", advance=1)
            rows.append(await _measured(server, subscribers, size))
    return rows


def _fill(server: Server, first: int, last: int) -> None:
    """In steps, so that none takes longer than the server's patience."""
    for begin in range(first, last, 100_000):
        end = min(begin + 100_000, last) - 1
        server.sql(_documents(begin, end), database="growth")
    server.sql("VACUUM ANALYZE state", "CHECKPOINT", database="growth")


def _documents(first: int, last: int) -> str:
    """Those of call-me, as it leaves them, of the senders and the friends from one place to another."""
    document = (
        '{"asked_on":"2026-01-01","day":1,"week":1,"month":1,"asked_ms":{"%s":1767225600000},'
        '"received_on":"2026-01-01","received":1,"told":true}'
    )
    return f"""
        INSERT INTO state (shard, msisdn, service, version, value)
        SELECT crc32(number::bytea) % 1024, number, 'callme', 1, convert_to(format('{document}', number), 'UTF8')
        FROM generate_series({first}::bigint, {last}) AS place,
             LATERAL (VALUES (({FIRST_PHONE} + place)::text), (({FIRST_FRIEND} + place)::text)) AS each (number)
    """  # noqa: S608


async def _measured(server: Server, subscribers: int, size: Size) -> Row:
    port = await free_port()
    phones = min(PHONES, subscribers // 2)
    plan = Scattered(messages=0, phones=phones, stride=subscribers // 2 // phones)
    async with on_postgres(server, port, 1, database="growth") as platforms:
        await _load(platforms, port, plan, size.commands, None)
        logged, kept = _wal(server), _kept(server)
        full = await _load(platforms, port, plan, size.commands, None)
        wal_octets = (_wal(server) - logged) / size.commands
        kept_octets = (_kept(server) - kept) / size.commands
        open_ = await _load(platforms, port, plan, int(size.rate * size.open_s), size.rate)
    octets = int(server.sql("SELECT pg_total_relation_size('state')", database="growth"))
    return Row(subscribers, full, open_, wal_octets, kept_octets, octets / subscribers)


async def _load(platforms: Platforms, port: int, plan: Plan, commands: int, rate: float | None) -> Figures:
    return await measure_platform(platforms, port, CALL_ME, commands, rate, plan)


def _wal(server: Server) -> int:
    return int(server.sql("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"))


def _kept(server: Server) -> int:
    logs = "(SELECT relid FROM pg_partition_tree('inbox') UNION ALL SELECT relid FROM pg_partition_tree('outbox'))"
    return int(server.sql(f"SELECT sum(pg_total_relation_size(relid)) FROM {logs}", database="growth"))  # noqa: S608


def markdown(rows: list[Row]) -> str:
    ratio = rows[-1].processor_us / rows[0].processor_us
    lines = [
        "# Growth: what a command costs with so many subscribers in the tables",
        "",
        f"{machine()}.",
        "Call-me, one node on a PostgreSQL that shares the cores with it and with the simulator; commits are synced.",
        "Processor time in microseconds a command, at full speed; the open load is the same for all rows.",
        "",
        "| subscribers | commands/s | platform µs | PostgreSQL µs | open load: p50 / p95 / p99 ms "
        "| WAL octets a command | message octets a command | document octets a subscriber |",
        "|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in rows:
        latencies = " / ".join(f"{value:.1f}" for value in (row.open.p50_ms, row.open.p95_ms, row.open.p99_ms))
        lines.append(
            f"| {row.subscribers:,} | {row.full.per_second:,.0f} | {row.full.loop_us + row.full.rest_us:.0f} "
            f"| {row.full.database_us:.0f} | {latencies} | {row.wal_octets:,.0f} | {row.kept_octets:,.0f} "
            f"| {row.state_octets:,.0f} |"
        )
    said = "met" if ratio <= FLAT else "**missed**"
    lines += ["", f"From the first to the last, processor time is × {ratio:.2f}; {said}: at most × {FLAT}.", ""]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.growth", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two sizes, for a first look; nothing is kept")
    options = parser.parse_args()
    with (
        Progress(console=Console(stderr=True), transient=True) as progress,
        asyncio.Runner(loop_factory=event_loop()) as runner,
    ):
        try:
            rows = runner.run(growth(SIZES["quick" if options.quick else "full"], progress))
        except (Died, Wrong) as error:
            sys.exit(f"bench: {error}")
    text = markdown(rows)
    print(text)
    if not options.quick:
        KEPT.write_text(text)


if __name__ == "__main__":
    main()
