"""The long drills: kill -9, standstills, power cuts. `python -m bench.drill` keeps its table in bench/drill.md."""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import shutil
import sqlite3
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.progress import Progress

from bench.check import Verdict
from bench.crash import Crash, Freeze, Plan, PowerCut, Stuck
from bench.lazyfs import why_not
from bench.process import Died, scratch
from vas.assembly import event_loop

KEPT = Path(__file__).with_name("drill.md")


class Drill(NamedTuple):
    name: str
    kind: type[Crash]
    with_ids: bool


DRILLS = (
    Drill("kill -9, the SMSC gives ids", Crash, True),
    Drill("kill -9, told by the rule", Crash, False),
    Drill("standstill, told by the rule", Freeze, False),
    Drill("power cut, the SMSC gives ids", PowerCut, True),
    Drill("power cut, told by the rule", PowerCut, False),
)


class Outcome(NamedTuple):
    drill: Drill
    verdict: Verdict
    restart_s: list[float]
    took_s: float


async def run(drill: Drill, kills: int, seed: int, progress: Progress) -> Outcome:
    bar = progress.add_task(drill.name, total=kills + 1)
    folder = scratch()
    try:
        crash = drill.kind(Plan(kills, drill.with_ids, seed), folder, lambda _: progress.update(bar, advance=1))
        began = time.monotonic()
        verdict = await crash.run()
        progress.update(bar, advance=1)
        return Outcome(drill, verdict, crash.restart_s, time.monotonic() - began)
    finally:
        shutil.rmtree(folder)


def markdown(outcomes: list[Outcome], kills: int, seed: int) -> str:
    lines = [
        f"# Drill, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "",
        f"{kills} times each, at random moments (seed {seed}), under load, with a falling line before each and an SMSC",
        f"that throttles before every other. {os.cpu_count()} cores, Python {platform.python_version()}, SQLite "
        f"{sqlite3.sqlite_version}. What the columns mean: docs/durability.md.",
        "",
        "| | commands acknowledged | copies from the SMSC | messages accepted | … repeated "
        "| restart to first answer, s | lost or done twice |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for outcome in outcomes:
        verdict = outcome.verdict
        restart = f"{sorted(outcome.restart_s)[len(outcome.restart_s) // 2]:.1f} (at most {max(outcome.restart_s):.1f})"
        lines.append(
            f"| {outcome.drill.name} | {verdict.commands:,} | {verdict.copies:,} | {verdict.submissions:,} "
            f"| {verdict.repeated:,} | {restart} | **{len(verdict.violations)}** |"
        )
    lines += ["", *(f"- {outcome.drill.name}: {each}" for outcome in outcomes for each in outcome.verdict.violations)]
    return "\n".join(lines).rstrip() + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.drill", description=__doc__)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    drills = [drill for drill in DRILLS if drill.kind is not PowerCut or not why_not()]
    if len(drills) < len(DRILLS):
        print(f"no power cuts: {why_not()}", file=sys.stderr)
    with Progress(console=Console(stderr=True)) as progress, asyncio.Runner(loop_factory=event_loop()) as runner:
        try:
            outcomes = [runner.run(run(drill, options.kills, options.seed, progress)) for drill in drills]
        except (Died, Stuck) as error:
            sys.exit(f"drill: {error}")
    text = markdown(outcomes, options.kills, options.seed)
    KEPT.write_text(text)
    print(text)
    if any(outcome.verdict.violations for outcome in outcomes):
        sys.exit("drill: the promise was broken")


if __name__ == "__main__":
    main()
