"""Anonymising and replaying in the terminal."""

from __future__ import annotations

import asyncio
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from gateway.simulator.anonymous import Anonymiser
from gateway.simulator.decoded import to_line
from gateway.simulator.recording import Recording
from gateway.simulator.replay import Replay, Summary
from gateway.simulator.tape import read
from vas.errors import ConfigError

SHOWN_EVERY_SECONDS = 0.25


def anonymise(source: Path, target: Path, key: str) -> tuple[int, int]:
    """Frames written, and frames left out since nobody could read them. Raises ConfigError."""
    if target.suffix != ".jsonl":
        raise ConfigError(f"{target}: what is anonymised is written as JSON lines, NAME.jsonl")
    try:
        anonymiser, tapes = Anonymiser(key.encode()), read(source)
        written = 0
        with target.open("xb") as file:
            for taped in anonymiser.tapes(tapes):
                file.write(to_line(taped))
                written += 1
    except OSError as error:
        raise ConfigError(f"{error.filename}: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(f"{source}: {error}") from None
    return written, len(tapes) - written


def recording(source: Path, account: str) -> Recording:
    """Raises ConfigError."""
    try:
        return Recording.of(read(source), account)
    except OSError as error:
        raise ConfigError(f"{source}: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(f"{source}: {error}") from None


async def play(replay: Replay, binds: int, console: Console) -> Summary:
    """Wait for the binds, play, show how far it is; raises OSError for a port in use."""
    await replay.start()
    try:
        with console.status(f"SMPP on port {replay.port}; waiting for {binds} binds …"):
            await replay.bound(binds)
        running = asyncio.create_task(replay.run(binds))
        with Progress(console=console, transient=True) as bar:
            task = bar.add_task("playing", total=1.0)
            while not running.done():
                await asyncio.wait((running,), timeout=SHOWN_EVERY_SECONDS)
                bar.update(task, completed=replay.progress)
        return await running
    finally:
        await replay.stop()


def show(summary: Summary, console: Console) -> None:
    """What matched, what did not, and the first differences of each kind."""
    counts = Table(show_header=False)
    counts.add_column()
    counts.add_column(justify="right")
    for what, count in (
        ("delivered and answered as recorded", summary.delivered),
        ("answered otherwise", summary.delivered_otherwise),
        ("waited for what never came", summary.not_delivered),
        ("submitted as recorded", summary.submitted),
        ("as recorded but for a number of the text's own", summary.renumbered),
        ("submitted in other words", summary.reworded),
        ("never submitted", summary.missing),
        ("submitted, and not recorded", summary.extra),
    ):
        counts.add_row(what, f"{count:,}")
    console.print(counts)
    if summary.differences:
        table = Table("", "number", "recorded", "now")
        for difference in summary.differences:
            table.add_row(*map(escape, difference))
        console.print(table)
