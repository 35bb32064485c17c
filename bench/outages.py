"""How long the platform takes to refuse without its database, and to go on with it: `python -m bench.outages`.

The table is kept in bench/outages.md.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.progress import Progress

from bench.outage import COMMIT_TIMEOUT_S, DURABLE, TIMER_S, Scene, both_hosts
from bench.process import Died, scratch
from gateway.simulator.delivery import Outcome
from tests.postgres import Server
from vas.assembly import event_loop

KEPT = Path(__file__).with_name("outages.md")
AWAY_S = 3.0
SETTLED = 300
"""Commands acknowledged between two faults."""


class Fault(NamedTuple):
    """What is done to the database, and undone; both are over when they return."""

    name: str
    strike: Callable[[Scene], Awaitable[None]]
    mend: Callable[[Scene], Awaitable[None]]


async def _in_thread(do: Callable[[], None]) -> None:
    await asyncio.to_thread(do)


async def _at_once(do: Callable[[], None]) -> None:
    do()


FAULTS = (
    Fault("killed (kill -9), started", lambda at: _in_thread(at.server.kill), lambda at: _in_thread(at.server.start)),
    Fault("stopped (SIGSTOP), woken", lambda at: _at_once(at.server.freeze), lambda at: _at_once(at.server.thaw)),
    Fault("cut off in silence, healed", lambda at: _at_once(at.proxy.stall), lambda at: _at_once(at.proxy.heal)),
)
FAILED_OVER = "failed over to a standby"


class Took(NamedTuple):
    """One kind of fault, several times."""

    name: str
    refusing_s: list[float]
    """From the fault to the first refusal."""
    answering_s: list[float]
    """From the mended database to the first ESME_ROK."""
    silent: int
    """Commands for whose answer the SMSC waited too long."""
    repeated: int
    violations: list[str]


async def repeated(fault: Fault, runs: int, told: Callable[[], None]) -> Took:
    """Strike and mend so often, on one platform."""
    refusing, answering = [], []
    with scratch() as folder:
        async with Scene(folder) as scene:
            for _ in range(runs):
                struck_at = datetime.now(UTC)
                await fault.strike(scene)
                await scene.more(Outcome.TEMPORARY)
                await asyncio.sleep(AWAY_S)
                await fault.mend(scene)
                mended_at = datetime.now(UTC)
                await scene.more(Outcome.ACKNOWLEDGED, SETTLED)
                refusing.append(scene.first(Outcome.TEMPORARY, struck_at))
                answering.append(scene.first(Outcome.ACKNOWLEDGED, mended_at))
                told()
            return await _judged(fault.name, scene, scene.server, refusing, answering)


async def failed_over(told: Callable[[], None]) -> Took:
    """Once, since the primary does not come back."""
    with scratch() as folder, Server(options=DURABLE) as primary:
        standby = await asyncio.to_thread(primary.standby, synchronous=True)
        try:
            async with Scene(folder, server=primary, url=both_hosts(standby)) as scene:
                struck_at = datetime.now(UTC)
                await asyncio.to_thread(primary.kill)
                await scene.more(Outcome.TEMPORARY)
                await asyncio.sleep(AWAY_S)
                await asyncio.to_thread(standby.promote)
                promoted_at = datetime.now(UTC)
                await scene.more(Outcome.ACKNOWLEDGED, SETTLED)
                told()
                refusing = [scene.first(Outcome.TEMPORARY, struck_at)]
                answering = [scene.first(Outcome.ACKNOWLEDGED, promoted_at)]
                return await _judged(FAILED_OVER, scene, standby, refusing, answering)
        finally:
            await asyncio.to_thread(standby.close)


async def _judged(name: str, scene: Scene, server: Server, refusing: list[float], answering: list[float]) -> Took:
    verdict = await scene.verdict(server)
    return Took(name, refusing, answering, scene.outcomes[Outcome.SILENCE], verdict.repeated, verdict.violations)


async def _failed_over_often(runs: int, told: Callable[[], None]) -> Took:
    each = [await failed_over(told) for _ in range(runs)]
    return Took(
        FAILED_OVER,
        [took for one in each for took in one.refusing_s],
        [took for one in each for took in one.answering_s],
        sum(one.silent for one in each),
        sum(one.repeated for one in each),
        [violation for one in each for violation in one.violations],
    )


def markdown(all_took: list[Took], runs: int) -> str:
    lines = [
        f"# Without the database, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "",
        f"{runs} times each, under load, away for {AWAY_S:g} s; commit_timeout {COMMIT_TIMEOUT_S} s, "
        f"smsc_response_timer {TIMER_S} s.",
        f"{os.cpu_count()} cores for all, Python {platform.python_version()}. Seconds: the middle one (the longest).",
        "",
        "| the database is | until the first refusal | from when it is back to the first ESME_ROK "
        "| commands left without an answer | messages sent twice | lost or done twice |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for took in all_took:
        lines.append(
            f"| {took.name} | {_middle(took.refusing_s)} | {_middle(took.answering_s)} | {took.silent} "
            f"| {took.repeated} | **{len(took.violations)}** |"
        )
    lines += ["", *(f"- {took.name}: {each}" for took in all_took for each in took.violations)]
    return "\n".join(lines).rstrip() + "\n"


def _middle(seconds: list[float]) -> str:
    ordered = sorted(seconds)
    return f"{ordered[len(ordered) // 2]:.2f} ({ordered[-1]:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.outages", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="of each kind")
    options = parser.parse_args()
    with Progress(console=Console(stderr=True)) as progress, asyncio.Runner(loop_factory=event_loop()) as runner:
        bar = progress.add_task("outages", total=options.runs * (len(FAULTS) + 1))

        def told() -> None:
            progress.update(bar, advance=1)

        try:
            took = [runner.run(repeated(fault, options.runs, told)) for fault in FAULTS]
            took.append(runner.run(_failed_over_often(options.runs, told)))
        except (Died, TimeoutError) as error:
            sys.exit(f"outages: {error}")
    text = markdown(took, options.runs)
    KEPT.write_text(text)
    print(text)
    if any(each.violations for each in took):
        sys.exit("outages: the promise was broken")


if __name__ == "__main__":
    main()
