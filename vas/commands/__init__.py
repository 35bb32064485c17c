"""What all commands share, and those that ask the running platform over the operations' HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.markup import escape

from vas.errors import VasError

SIMULATOR_HTTP = "http://127.0.0.1:8090"
"""Where the simulator's phones are if nothing else is said."""
WRONG_SETTINGS = 2
"""Exit status for what a person can mend: settings, a database, a port in use."""


@contextmanager
def plain_errors() -> Iterator[None]:
    """Say what a person can mend without a traceback."""
    try:
        yield
    except VasError as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"[bold red]vas:[/] {escape(str(error))}")
        raise typer.Exit(WRONG_SETTINGS) from None
