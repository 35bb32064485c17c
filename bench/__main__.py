"""How many commands a second, and how fast each: the platform under the simulator's load, on this machine.

Two processes on loopback: the simulator with its phones, and `vas run` over a SQLite file on a real disk.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.progress import Progress

from bench.measure import SCENARIOS, Figures, Scenario, Wrong, free_port, measure_floor, measure_platform
from bench.process import Died, PlatformProcess, scratch
from bench.report import Row, markdown
from vas.assembly import event_loop

KEPT = Path(__file__).with_name("last.md")
FLOORS = ("codec", "gateway")


class Size(NamedTuple):
    """How much is measured."""

    runs: int
    full: int
    """Commands of one run at full speed."""
    half_s: float
    """How long one run at half of it lasts."""


SIZES = {"full": Size(3, 30_000, 5.0), "quick": Size(1, 5_000, 1.5)}


async def bench(size: Size, progress: Progress) -> list[Row]:
    rows = []
    work = progress.add_task("", total=len(SCENARIOS) * size.runs * 4)

    def step(what: str) -> None:
        progress.update(work, description=what, advance=1)

    for scenario in SCENARIOS:
        full, half = [], []
        floors: dict[str, list[Figures]] = {kind: [] for kind in FLOORS}
        for _ in range(size.runs):
            for kind in FLOORS:
                step(f"{scenario.name}: floor, {kind}")
                floors[kind].append(await measure_floor(kind, await free_port(), scenario, size.full))
            both = await _platform(scenario, size, step)
            full.append(both[0])
            half.append(both[1])
        rows.append(
            Row(
                scenario,
                Figures.median(full),
                Figures.median(half),
                {kind: Figures.median(runs) for kind, runs in floors.items()},
            )
        )
    return rows


async def _platform(scenario: Scenario, size: Size, step: Callable[[str], None]) -> tuple[Figures, Figures]:
    folder, port = scratch(), await free_port()
    platform = PlatformProcess(folder, port)
    try:
        await platform.start()
        step(f"{scenario.name}: full speed")
        full = await measure_platform(platform, port, scenario, size.full, None)
        step(f"{scenario.name}: half load")
        rate = full.per_second / 2
        half = await measure_platform(platform, port, scenario, int(rate * size.half_s), rate)
        await platform.stop()
    finally:
        await platform.kill()
        shutil.rmtree(folder)
    return full, half


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="some 20 seconds, for a first look; nothing is kept")
    options = parser.parse_args()
    console = Console(stderr=True)
    size = SIZES["quick" if options.quick else "full"]
    with Progress(console=console, transient=True) as progress, asyncio.Runner(loop_factory=event_loop()) as runner:
        try:
            rows = runner.run(bench(size, progress))
        except (Died, Wrong) as error:
            sys.exit(f"bench: {error}")
    text = markdown(rows, size.runs, size.full)
    print(text)
    if not options.quick:
        KEPT.write_text(text)


if __name__ == "__main__":
    main()
