"""`vas simulator load`, `anonymise` and `replay`: much traffic, and traffic as it once was."""

from __future__ import annotations

from collections.abc import Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.markup import escape

from vas.commands import plain_errors
from vas.commands.loop import INTERRUPTED, run_to_end
from vas.errors import ConfigError

WITHOUT_END = 1_000_000_000
MESSAGES = 10_000

Port = Annotated[int, typer.Option(help="SMPP port; 0 takes any free one.")]
SystemId = Annotated[str, typer.Option(help="Who may bind.")]
Password = Annotated[str, typer.Option(help="Its password.")]
Binds = Annotated[int, typer.Option(min=1, help="Receivers to wait for before it begins.")]

Outcome = TypeVar("Outcome")


def add_to(app: typer.Typer) -> None:
    """Make these commands of the simulator."""
    for command in (load, anonymise, replay):
        app.command()(command)


def load(
    mix: Annotated[Path | None, typer.Option(help="What is sent, from whom, with which faults: TOML.")] = None,
    rate: Annotated[float, typer.Option(min=0, help="Commands a second; 0 is as fast as replies come.")] = 0,
    binds: Binds = 1,
    messages: Annotated[int | None, typer.Option(min=1, help=f"How many commands; {MESSAGES:,} by itself.")] = None,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="How long, in the place of --messages.")] = None,
    outstanding: Annotated[int, typer.Option(min=1, help="Commands without a reply at a time, without a rate.")] = 100,
    seed: Annotated[int, typer.Option(help="Of the faults.")] = 0,
    port: Port = 2775,
    system_id: SystemId = "vas",
    password: Password = "secret",  # noqa: S107 - of the simulator
) -> None:
    """Be an SMSC with thousands of phones, wait for the platform to bind, and measure how it answers.

    Exit status 1 where a command had no reply, or two. Ctrl-C ends it early with what was measured so far.
    """
    from gateway.simulator.load import Load
    from gateway.simulator.load_command import plan_of, run, settings_of, table
    from gateway.simulator.load_plan import Mix, read_mix

    with plain_errors():
        mixed = read_mix(mix) if mix else Mix()
        settings = settings_of(mixed, port, system_id, password, seed)
        plan = plan_of(mixed, rate, binds, messages or (WITHOUT_END if seconds else MESSAGES), outstanding)
        duration = timedelta(seconds=seconds) if seconds else None
        result = run_to_end(_listening(run(Load(settings, plan), duration, Console(stderr=True)), port))
        Console().print(table(result))
        raise typer.Exit(INTERRUPTED if result.interrupted else 0 if result.complete else 1)


def anonymise(
    recording: Annotated[Path, typer.Argument(help="A capture (pcap, pcapng) or a record of the simulator (jsonl).")],
    target: Annotated[Path, typer.Argument(help="A new file, NAME.jsonl.")],
    key: Annotated[
        str,
        typer.Option(
            envvar="VAS_ANONYMISE_KEY", prompt="Key, at least 16 characters", hide_input=True,
            help="The same key makes the same numbers of the same; better in the environment than in the history.",
        ),
    ],
) -> None:  # fmt: skip
    """Make other numbers of all subscribers' numbers in a recording, and take its passwords out."""
    from gateway.simulator.replay_command import anonymise as make_anonymous

    with plain_errors():
        written, left_out = make_anonymous(recording, target, key)
        left = f"; {left_out:,} left out, which nobody could read" if left_out else ""
        Console(highlight=False, soft_wrap=True).print(f"{escape(str(target))}: {written:,} PDUs{left}")


def replay(
    recording: Annotated[Path, typer.Argument(help="A capture (pcap, pcapng) or a record (jsonl).")],
    speed: Annotated[float, typer.Option(min=0.01, help="2 plays in half the time.")] = 1.0,
    account: Annotated[str, typer.Option(help="Play only what this system_id's links carried.")] = "",
    binds: Binds = 1,
    port: Port = 2775,
    system_id: SystemId = "vas",
    password: Password = "secret",  # noqa: S107 - of the simulator
) -> None:
    """Play the SMSC's side of a recording against the platform, and tell what went otherwise; exit status 1 then."""
    from gateway.simulator import Settings
    from gateway.simulator.replay import Replay
    from gateway.simulator.replay_command import play, show
    from gateway.simulator.replay_command import recording as read_recording

    with plain_errors():
        recorded = read_recording(recording, account)
        if not recorded.delivered:
            raise ConfigError(f"{recording}: there is nothing in it that an SMSC delivered")
        settings = Settings(port=port, accounts={system_id: password})
        player = Replay(recorded, settings, speed)
        summary = run_to_end(_listening(play(player, binds, Console(stderr=True)), port))
        show(summary, Console())
        raise typer.Exit(0 if summary.same else 1)


async def _listening(main: Coroutine[Any, Any, Outcome], port: int) -> Outcome:
    try:
        return await main
    except OSError as error:
        raise ConfigError(f"port {port}: {error.strerror}: end what uses it, or name another with --port") from None
