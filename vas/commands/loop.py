"""An event loop around what a command does."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import typer

Outcome = TypeVar("Outcome")
INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells know it."""


def run_to_end(main: Coroutine[Any, Any, Outcome]) -> Outcome:
    """In uvloop's event loop where it is installed; Ctrl-C is an end like any other."""
    from vas.assembly import event_loop

    with asyncio.Runner(loop_factory=event_loop()) as runner:
        try:
            return runner.run(main)
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None
