"""A load in the terminal: what it waits for, how it goes, and what came of it."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Table

from gateway.simulator.load import Load, Result
from gateway.simulator.load_plan import Mix, Plan
from gateway.simulator.settings import Settings
from gateway.status import status_name

SHOWN_EVERY_SECONDS = 0.25
WINDOW = 100
"""deliver_sm unanswered on one bind."""


def settings_of(mix: Mix, port: int, system_id: str, password: str, seed: int) -> Settings:
    return Settings(port=port, accounts={system_id: password}, window=WINDOW, faults=mix.faults, seed=seed)


def plan_of(mix: Mix, rate: float, binds: int, messages: int, outstanding: int) -> Plan:
    """`rate` 0 keeps `outstanding` commands without a reply, as fast as that goes."""
    return Plan(
        messages=messages, commands=mix.commands, first_phone=int(mix.senders.first), phones=mix.senders.count,
        outstanding=outstanding, rate=rate or None, binds=binds, receipts=mix.receipts,
    )  # fmt: skip


async def run(load: Load, duration: timedelta | None, console: Console) -> Result:
    """Wait for the plan's binds, send until its messages or `duration` are over, and show both.

    Raises OSError for a port in use.
    """
    await load.start()
    try:
        with console.status(f"SMPP on port {load.port}; waiting for {load.plan.binds} binds …"):
            await load.bound()
        running = asyncio.create_task(load.run())
        if duration is not None:
            asyncio.get_running_loop().call_later(duration.total_seconds(), load.enough)
        await _show(load, running, duration, console)
        return await running
    finally:
        await load.stop()


async def _show(load: Load, running: asyncio.Task[Result], duration: timedelta | None, console: Console) -> None:
    began = time.monotonic()
    columns = (BarColumn(), TaskProgressColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=load.plan.messages)
        while not running.done():
            await asyncio.wait((running,), timeout=SHOWN_EVERY_SECONDS)
            at, seconds = load.progress, max(time.monotonic() - began, 0.001)
            expected = load.plan.messages
            if duration is not None:
                expected = min(expected, int(at.answered / seconds * max(duration.total_seconds(), seconds)))
            words = f"{at.answered / seconds:,.0f}/s, {at.outstanding:,} outstanding, p99 {at.p99_ms:,.1f} ms"
            bar.update(task, completed=at.answered, total=max(expected, at.answered, 1), description=words)


def table(result: Result) -> Table:
    """What came back, in numbers."""
    table = Table(show_header=False)
    table.add_column()
    table.add_column(justify="right")
    rows = [
        ("sent", f"{result.sent:,}"),
        ("answered", f"{result.answered:,}"),
        ("a second", f"{result.per_second:,.0f}"),
        ("latency p50", f"{result.p50_ms:,.1f} ms"),
        ("latency p95", f"{result.p95_ms:,.1f} ms"),
        ("latency p99", f"{result.p99_ms:,.1f} ms"),
        ("latency max", f"{result.max_ms:,.1f} ms"),
        ("missing replies", f"{result.missing:,}"),
        ("extra replies", f"{result.extra:,}"),
        ("to other numbers", f"{result.others:,}"),
        ("dialogues ended early", f"{result.cut_short:,}"),
    ]
    rows += [(f"deliveries: {outcome.replace('_', ' ')}", f"{n:,}") for outcome, n in result.outcomes.items() if n]
    rows += [(f"answered {status_name(status)}", f"{n:,}") for status, n in sorted(result.statuses.items())]
    for what, value in rows:
        table.add_row(what, value)
    return table
