"""Kannel's rate on this machine, for comparison: a fixed text for each command, under the load that measures ours.

`python -m bench.kannel` prints a table; it needs Kannel's bearerbox and smsbox. Nothing of Kannel is held back: no
throughput limit, a window as large as the load's own, as many binds, logs for panics alone. Each of its stores is
measured: in memory alone (`none`: what it has taken is gone with the process), `file` (one log) and `spool` (a file for
each message). It syncs neither to the disk; ours syncs its log before it answers.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from bench.measure import BINDS, SCENARIOS, WINDOW, Figures, free_port, measure, measure_platform
from bench.platforms import on_sqlite
from bench.process import Cpu, cpu_s, scratch
from tests.peers.kannel import INSTALLED, Kannel, Store

PANICS = 4
STORES: tuple[Store, ...] = ("none", "file", "spool")
HD = SCENARIOS[0]


class Rate(NamedTuple):
    """Of one contestant, the medians of its runs."""

    name: str
    figures: Figures


async def _kannel(store: Store, messages: int) -> Figures:
    port = await free_port()
    with scratch() as folder:
        async with Kannel(
            folder, port, reply="HD", binds=BINDS, window=WINDOW, store=store, log_level=PANICS
        ) as kannel:
            return await measure(port, HD, messages, None, lambda: _cpu(kannel.pids))


async def _ours(messages: int) -> Figures:
    port = await free_port()
    async with on_sqlite(port) as platform:
        return await measure_platform(platform, port, HD, messages, None)


def _cpu(pids: list[int]) -> Cpu:
    """Of both boxes; `loop` is bearerbox."""
    bearerbox, smsbox = (cpu_s(Path(f"/proc/{pid}")) for pid in pids)
    return Cpu(bearerbox, smsbox)


async def compare(runs: int, messages: int) -> list[Rate]:
    """Turn and turn about, so that a busy moment of the machine meets all alike."""
    found: dict[str, list[Figures]] = {}
    for _ in range(runs):
        found.setdefault("this platform, synced", []).append(await _ours(messages))
        for store in STORES:
            found.setdefault(f"Kannel, store {store}", []).append(await _kannel(store, messages))
    return [Rate(name, Figures.median(figures)) for name, figures in found.items()]


def table(rates: list[Rate]) -> Table:
    shown = Table("", "a second", "ours to it", "p50 ms", "p99 ms", "µs of CPU")
    ours = rates[0].figures.per_second
    for name, figures in rates:
        cpu = figures.loop_us + figures.rest_us
        shown.add_row(
            name, f"{figures.per_second:,.0f}", f"{ours / figures.per_second:.2f}", f"{figures.p50_ms:.1f}",
            f"{figures.p99_ms:.1f}", f"{cpu:.0f}",
        )  # fmt: skip
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.kannel", description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--messages", type=int, default=20_000)
    arguments = parser.parse_args()
    if not INSTALLED:
        raise SystemExit("bench.kannel: Kannel is not installed (Debian: apt-get install kannel)")
    Console().print(table(asyncio.run(compare(arguments.runs, arguments.messages))))


if __name__ == "__main__":
    main()
