"""The long drills: kill -9, standstills, power cuts; three nodes on one PostgreSQL; then the soak and the torture.

`python -m bench.drill` keeps its tables in bench/drill.md. Three nodes alone, seed after seed: `python -m bench.seeds`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import sqlite3
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.progress import Progress

from bench.check import Verdict
from bench.crash import Crash, Freeze, Plan, PowerCut, Stuck
from bench.crowd import FULL as CROWD
from bench.crowd import Crowd
from bench.lazyfs import why_not
from bench.nodes import Kind, Nodes
from bench.process import Died, scratch
from bench.soak import Soak
from bench.torture import FULL, Torture
from vas.assembly import event_loop

KEPT = Path(__file__).with_name("drill.md")


class Drill(NamedTuple):
    name: str
    kind: Callable[[Plan, Path, Callable[[str], None]], Crash]
    with_ids: bool
    friends: int = 0


DRILLS = (
    Drill("kill -9, the SMSC gives ids", Crash, True),
    Drill("kill -9, told by the rule", Crash, False),
    Drill("standstill, told by the rule", Freeze, False),
    Drill("power cut, the SMSC gives ids", PowerCut, True),
    Drill("power cut, told by the rule", PowerCut, False),
)

NODES = (
    *(Drill(f"{kind}, the SMSC gives ids", partial(Nodes, kinds=(kind,)), True, 100) for kind in Kind),
    Drill("all of these, told by the rule", Nodes, False, 400),
)
"""Of three nodes on one PostgreSQL."""

SOAK_RATE = 200.0
"""Commands a second."""


class Outcome(NamedTuple):
    drill: Drill
    verdict: Verdict
    restart_s: list[float]
    took_s: float


async def run(drill: Drill, kills: int, seed: int, progress: Progress) -> Outcome:
    bar = progress.add_task(drill.name, total=kills + 1)
    with scratch() as folder:
        crash = drill.kind(
            Plan(kills, drill.with_ids, seed, friends=drill.friends), folder, lambda _: progress.update(bar, advance=1)
        )
        began = time.monotonic()
        verdict = await crash.run()
        progress.update(bar, advance=1)
        return Outcome(drill, verdict, crash.restart_s, time.monotonic() - began)


async def soak(minutes: float, seed: int, progress: Progress) -> tuple[str, list[str]]:
    """What the soak showed, as Markdown; and the broken promises."""
    bar = progress.add_task(f"soak, {minutes:g} minutes", total=None)
    with scratch() as folder:
        plan = Plan(kills=0, with_ids=True, seed=seed)
        drill = Soak(plan, folder, lambda _: progress.update(bar, advance=1), seconds=minutes * 60, rate=SOAK_RATE)
        verdict = await drill.run()
    progress.update(bar, total=1, completed=1)
    first, last = drill.resident[0] / 1e6, drill.resident[-1] / 1e6
    lines = [
        f"## Soak, {minutes:g} minutes, {SOAK_RATE:.0f} commands a second offered",
        "",
        "| commands acknowledged | copies from the SMSC | messages accepted | … repeated, all of them unanswered "
        "| links broken | PDUs that a fault met | memory, MB | lost or done twice |",
        "|--:|--:|--:|--:|--:|--:|--:|--:|",
        f"| {verdict.commands:,} | {verdict.copies:,} | {verdict.submissions:,} | {verdict.repeated:,} "
        f"| {drill.falls:,} | {drill.struck:,} | {first:.0f} → {last:.0f} | **{len(verdict.violations)}** |",
    ]
    return "\n".join(lines), verdict.violations


async def torture(seed: int, progress: Progress) -> tuple[str, list[str]]:
    """What the torture showed, as Markdown; and the broken promises."""
    with scratch() as folder:
        drill = Torture(FULL, folder, lambda _: progress.update(bar, advance=1), seed=seed)
        bar = progress.add_task("torture", total=len(drill.waves))
        outcome = await drill.run()
    lines = [
        "## Long messages, shuffled over three binds",
        "",
        "| messages | parts | … that came twice | not whole, mixed or done twice |",
        "|--:|--:|--:|--:|",
        f"| {outcome.messages:,} | {outcome.parts:,} | {outcome.doubled:,} | **{len(outcome.violations)}** |",
    ]
    return "\n".join(lines), outcome.violations


async def crowd(seed: int, progress: Progress) -> tuple[str, list[str]]:
    """What the crowd on two nodes showed, as Markdown; and the lost updates."""
    bar = progress.add_task("crowd", total=1)
    with scratch() as folder:
        verdict = await Crowd(folder, CROWD, seed=seed).run()
    progress.update(bar, completed=1)
    limits = verdict.refused.get("limit_day", 0) + verdict.refused.get("receives_no_more", 0)
    lines = [
        f"## {CROWD.people} people who ask and block each other, on two nodes",
        "",
        "| commands acknowledged | … by each node | requests made | refused by a limit | refused by a block "
        "| blocks | updates lost |",
        "|--:|--:|--:|--:|--:|--:|--:|",
        f"| {verdict.commands:,} | {' + '.join(f'{each:,}' for each in verdict.nodes.values())} | {verdict.requests:,} "
        f"| {limits:,} | {verdict.refused.get('blocked_by', 0):,} | {verdict.blocked:,} "
        f"| **{len(verdict.violations)}** |",
    ]
    return "\n".join(lines), verdict.violations


def nodes_table(outcomes: list[Outcome]) -> tuple[str, list[str]]:
    """What befell three nodes, as Markdown; and the broken promises."""
    lines = [
        "## Three nodes on one PostgreSQL",
        "",
        "| | commands acknowledged | copies from the SMSC | … of commands brought to another node "
        "| messages accepted | … repeated | over to first answer, s | lost or done twice |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for outcome in outcomes:
        verdict = outcome.verdict
        lines.append(
            f"| {outcome.drill.name} | {verdict.commands:,} | {verdict.copies:,} | {verdict.moved:,} "
            f"| {verdict.submissions:,} | {verdict.repeated:,} | {_median(outcome.restart_s)} "
            f"| **{len(verdict.violations)}** |"
        )
    return "\n".join(lines), [f"{each.drill.name}: {what}" for each in outcomes for what in each.verdict.violations]


def _median(seconds: list[float]) -> str:
    ordered = sorted(seconds)
    return f"{ordered[len(ordered) // 2]:.1f} (at most {ordered[-1]:.1f})" if ordered else ""


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
        lines.append(
            f"| {outcome.drill.name} | {verdict.commands:,} | {verdict.copies:,} | {verdict.submissions:,} "
            f"| {verdict.repeated:,} | {_median(outcome.restart_s)} | **{len(verdict.violations)}** |"
        )
    lines += ["", *(f"- {outcome.drill.name}: {each}" for outcome in outcomes for each in outcome.verdict.violations)]
    return "\n".join(lines).rstrip() + "\n"


async def nodes(kills: int, seed: int, progress: Progress) -> tuple[str, list[str]]:
    """What befell three nodes, as Markdown; and the broken promises."""
    return nodes_table([await run(drill, kills, seed, progress) for drill in NODES])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.drill", description=__doc__)
    parser.add_argument("--kills", type=int, default=10, help="of each kind; 0: only the soak and the torture")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=10, help="of the soak")
    parser.add_argument("--only", choices=["nodes"], help="three nodes and the crowd, whose tables are printed alone")
    options = parser.parse_args()
    alone = options.kills and not options.only
    drills = [drill for drill in DRILLS if alone and (drill.kind is not PowerCut or not why_not())]
    if alone and len(drills) < len(DRILLS):
        print(f"no power cuts: {why_not()}", file=sys.stderr)
    more: list[tuple[str, list[str]]] = []
    with Progress(console=Console(stderr=True)) as progress, asyncio.Runner(loop_factory=event_loop()) as runner:
        try:
            outcomes = [runner.run(run(drill, options.kills, options.seed, progress)) for drill in drills]
            if options.kills:
                more.append(runner.run(nodes(options.kills, options.seed, progress)))
                more.append(runner.run(crowd(options.seed, progress)))
            if not options.only:
                more.append(runner.run(soak(options.minutes, options.seed, progress)))
                more.append(runner.run(torture(options.seed, progress)))
        except (Died, Stuck) as error:
            sys.exit(f"drill: {error}")
    text = markdown(outcomes, options.kills, options.seed) if outcomes else ""
    for part, violations in more:
        text += "\n".join(["", part, "", *(f"- {each}" for each in violations)]).rstrip() + "\n"
    if outcomes:
        KEPT.write_text(text)
    print(text)
    if any(outcome.verdict.violations for outcome in outcomes) or any(violations for _, violations in more):
        sys.exit("drill: the promise was broken")


if __name__ == "__main__":
    main()
