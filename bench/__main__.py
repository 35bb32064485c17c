"""How many commands a second, and how fast each: the platform under the simulator's load, on this machine.

Over loopback: the simulator with its phones, and `vas run` over a SQLite file on a real disk, then over a PostgreSQL
on the same machine, one node and two. Before that the codec alone, and the gateway without a store.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.progress import Progress

from bench.gateway import WINDOWS, measure_codec, measure_round_trips
from bench.measure import SCENARIOS, Figures, Scenario, Wrong, free_port, measure_floor, measure_platform
from bench.platforms import database, on_postgres, on_sqlite
from bench.process import Died, scratch
from bench.profiled import COUNTS_STATEMENTS, begin_to_count, counted, shown
from bench.report import Engine, Row, gateway_markdown, markdown
from tests.postgres import Server
from vas.assembly import event_loop

KEPT = Path(__file__).with_name("last.md")
SOAKED = Path(__file__).with_name("soak.md")
FLOORS = ("codec", "gateway")
SOAK = 1_000_000
PROFILED = 10_000


class Size(NamedTuple):
    """How much is measured."""

    runs: int
    full: int
    """Commands of one run at full speed."""
    half_s: float
    """How long one run at half of it lasts."""
    submissions: int
    """submit_sm of one run of the gateway without a store."""
    smpplib: int
    """… of smpplib's classes in its place."""


SIZES = {"full": Size(3, 30_000, 5.0, 60_000, 10_000), "quick": Size(1, 5_000, 1.5, 10_000, 2_000)}


async def bench(size: Size, progress: Progress) -> list[Row]:
    rows = []
    work = progress.add_task(
        "", total=sum(len(FLOORS) + 2 * len(_engines(scenario)) for scenario in SCENARIOS) * size.runs
    )

    def step(what: str) -> None:
        progress.update(work, description=what, advance=1)

    async with database() as server:
        for scenario in SCENARIOS:
            floors: dict[str, list[Figures]] = {kind: [] for kind in FLOORS}
            runs: dict[Engine, list[tuple[Figures, Figures]]] = {engine: [] for engine in _engines(scenario)}
            for _ in range(size.runs):
                for kind in FLOORS:
                    step(f"{scenario.name}: floor, {kind}")
                    floors[kind].append(await measure_floor(kind, await free_port(), scenario, size.full))
                for engine in runs:
                    runs[engine].append(await _measured(engine, server, scenario, size, step))
            rows.append(
                Row(
                    scenario,
                    {engine: (_median(pairs, 0), _median(pairs, 1)) for engine, pairs in runs.items()},
                    {kind: Figures.median(figures) for kind, figures in floors.items()},
                )
            )
    return rows


def _engines(scenario: Scenario) -> tuple[Engine, ...]:
    return (Engine.SQLITE,) if scenario.receipts else tuple(Engine)


def _median(pairs: Sequence[tuple[Figures, Figures]], place: int) -> Figures:
    return Figures.median([pair[place] for pair in pairs])


async def _measured(
    engine: Engine, server: Server, scenario: Scenario, size: Size, step: Callable[[str], None]
) -> tuple[Figures, Figures]:
    """At full speed, and at half of it."""
    port = await free_port()
    async with on_postgres(server, port, engine.nodes) if engine.nodes else on_sqlite(port) as platforms:
        step(f"{scenario.name}: {engine.value}, full speed")
        full = await measure_platform(platforms, port, scenario, size.full, None)
        step(f"{scenario.name}: {engine.value}, half load")
        rate = full.per_second / 2
        return full, await measure_platform(platforms, port, scenario, int(rate * size.half_s), rate)


async def soak(progress: Progress) -> str:
    """A million commands on one platform; its memory after each tenth."""
    scenario, step = SCENARIOS[1], SOAK // 10
    lines = ["| commands | resident MB | commands/s |", "|--:|--:|--:|"]
    work = progress.add_task("soak", total=10)
    port = await free_port()
    async with on_sqlite(port) as platforms:
        for number in range(10):
            figures = await measure_platform(platforms, port, scenario, step, None)
            megabytes = platforms.nodes[0].rss_octets() / 1_000_000
            lines.append(f"| {(number + 1) * step:,} | {megabytes:.0f} | {figures.per_second:,.0f} |")
            progress.update(work, advance=1)
    return "\n".join([f"# Soak, {scenario.name}", "", *lines, ""])


async def profile(progress: Progress) -> str:
    """Where the time goes at full speed, by scenario and engine; the profiler itself slows everything down."""
    texts = []
    async with database(**COUNTS_STATEMENTS) as server:
        for scenario, engine in product(SCENARIOS, (Engine.SQLITE, Engine.ONE_NODE)):
            progress.add_task(f"{scenario.name}: {engine.value}", total=None)
            with scratch() as folder:
                port, program = await free_port(), ("-m", "bench.profiled", str(folder))
                on = on_postgres(server, port, 1, *program) if engine.nodes else on_sqlite(port, *program)
                async with on as platforms:
                    begin_to_count(server)
                    await measure_platform(platforms, port, scenario, PROFILED, None)
                    statements = counted(server, PROFILED) if engine.nodes else ""
                texts.append(f"=== {scenario.name}, {engine.value}\n{shown(folder)}{statements}")
    return "\n".join(texts)


async def gateway(size: Size, progress: Progress) -> str:
    """The codec, and submit_sm to response."""
    work = progress.add_task("codec", total=1 + len(WINDOWS))
    codec = await asyncio.to_thread(measure_codec)
    trips = []
    for window in WINDOWS:
        progress.update(work, description=f"gateway, window {window}", advance=1)
        trips.append(await measure_round_trips(window, size.submissions, size.runs, size.smpplib))
    progress.update(work, advance=1)
    return gateway_markdown(codec, trips)


async def table(size: Size, progress: Progress) -> str:
    without_a_store = await gateway(size, progress)
    return "\n".join([markdown(await bench(size, progress), size.runs, size.full), without_a_store])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--quick", action="store_true", help="less than a minute, for a first look")
    kinds.add_argument("--soak", action="store_true", help=f"memory over {SOAK:,} commands; kept in {SOAKED.name}")
    kinds.add_argument("--gateway", action="store_true", help="only the codec, and the gateway without a store")
    kinds.add_argument("--profile", action="store_true", help="which functions the time goes to")
    options = parser.parse_args()
    with Progress(console=Console(stderr=True), transient=True) as progress:
        if options.soak:
            work, kept = soak(progress), SOAKED
        elif options.profile:
            work, kept = profile(progress), None
        elif options.gateway:
            work, kept = gateway(SIZES["full"], progress), None
        elif options.quick:
            work, kept = table(SIZES["quick"], progress), None
        else:
            work, kept = table(SIZES["full"], progress), KEPT
        with asyncio.Runner(loop_factory=event_loop()) as runner:
            try:
                text = runner.run(work)
            except (Died, Wrong) as error:
                sys.exit(f"bench: {error}")
    print(text)
    if kept:
        kept.write_text(text)


if __name__ == "__main__":
    main()
