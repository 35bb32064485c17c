"""A load in the terminal: what it waits for, how it goes, and what came of it."""

from __future__ import annotations

import asyncio
import signal
import time
from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Table

from gateway.dialects.status import status_name
from gateway.simulator.load import Load, Result
from gateway.simulator.load_plan import Mix, Plan
from gateway.simulator.settings import Settings

SHOWN_EVERY_SECONDS = 0.25
LINE_EVERY_SECONDS = 10.0
"""Where the output is no terminal."""
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

    Ctrl-C ends the sending before its time; the result is then what was measured so far. Raises OSError for a port in
    use.
    """
    loop = asyncio.get_running_loop()
    await load.start()
    try:
        await _wait(load, console)
        running, ended = asyncio.create_task(load.run()), asyncio.create_task(asyncio.Event().wait())
        loop.add_signal_handler(signal.SIGINT, ended.cancel)
        try:
            if duration is not None:
                loop.call_later(duration.total_seconds(), load.enough)
            await _show(load, {running, ended}, duration, console)
        finally:
            loop.remove_signal_handler(signal.SIGINT)
            ended.cancel()
        if running.done():
            return await running
        running.cancel()
        return load.so_far()
    finally:
        await load.stop()


async def _wait(load: Load, console: Console) -> None:
    words = f"SMPP on port {load.port}; waiting for {load.plan.binds} binds …"
    if console.is_terminal:
        with console.status(words):
            await load.bound()
    else:
        console.print(words)
        await load.bound()


async def _show(load: Load, ends: set[asyncio.Task[Any]], duration: timedelta | None, console: Console) -> None:
    """A bar until one of `ends` is done; where nobody looks on, a line now and then."""
    began = time.monotonic()
    if not console.is_terminal:
        while not (await asyncio.wait(ends, timeout=LINE_EVERY_SECONDS, return_when=asyncio.FIRST_COMPLETED))[0]:
            console.print(_how_far(load, duration, time.monotonic() - began)[1])
        return
    columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=1.0)
        while not (await asyncio.wait(ends, timeout=SHOWN_EVERY_SECONDS, return_when=asyncio.FIRST_COMPLETED))[0]:
            share, words = _how_far(load, duration, time.monotonic() - began)
            bar.update(task, completed=share, description=words)


def _how_far(load: Load, duration: timedelta | None, seconds: float) -> tuple[float, str]:
    """The part of the way, 0 to 1, and words for it."""
    at, messages = load.progress, load.plan.messages
    share, way = at.answered / messages, f"{at.answered:,} of {messages:,} answered"
    if duration is not None:
        whole = duration.total_seconds()
        share = max(share, min(seconds / whole, 1.0))
        way = f"{min(seconds, whole):,.0f} of {whole:,.0f} s, {at.answered:,} answered"
    rate = at.answered / max(seconds, 0.001)
    return share, f"{way}, {rate:,.0f}/s, {at.outstanding:,} outstanding, p99 {at.p99_ms:,.1f} ms"


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
        ("still without a reply" if result.interrupted else "missing replies", f"{result.missing:,}"),
        ("extra replies", f"{result.extra:,}"),
        ("to other numbers", f"{result.others:,}"),
        ("dialogues ended early", f"{result.cut_short:,}"),
    ]
    rows += [(f"deliveries: {outcome.replace('_', ' ')}", f"{n:,}") for outcome, n in result.outcomes.items() if n]
    rows += [(f"answered {status_name(status)}", f"{n:,}") for status, n in sorted(result.statuses.items())]
    for what, value in rows:
        table.add_row(what, value)
    return table
