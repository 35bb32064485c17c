"""What all commands share, and those that ask the running platform over the operations' HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperOption

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


def hide_types_of_flags() -> None:
    """Leave `<bool>`, which typer shows behind a flag, out of all help pages: a flag takes no value."""
    shown = TyperOption.display_type_rich

    def display_type_rich(option: TyperOption, ctx: Any) -> str | None:
        return None if option.is_flag else shown(option, ctx)

    TyperOption.display_type_rich = display_type_rich  # type: ignore[assignment, method-assign]
