"""The `vas` command. Heavy imports wait for the command that needs them, so that `--help` is quick."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from socket import gethostname
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from vas.commands import SIMULATOR_HTTP, hide_types_of_flags, plain_errors, traffic
from vas.commands.accounts import accounts_app, binds, reload
from vas.commands.db import db_app
from vas.commands.loop import run_to_end
from vas.commands.messages import messages
from vas.commands.nodes import nodes_app
from vas.errors import Refused, VasError

if TYPE_CHECKING:
    from vas.config import Settings
    from vas.config_values import Address

app = typer.Typer(
    help="A platform for a mobile operator's value-added services over SMPP.\n\n"
    "Try it: [bold]vas demo[/]. Or by hand, in three terminals: [bold]vas simulator[/], [bold]vas run[/], "
    "[bold]vas phone 0912345678[/].",
    rich_markup_mode="rich",
    no_args_is_help=True,
    add_completion=False,
)
config_app = typer.Typer(help="The settings.", no_args_is_help=True)
simulator_app = typer.Typer(rich_markup_mode="rich", invoke_without_command=True)
traffic.add_to(simulator_app)
hide_types_of_flags()
app.add_typer(simulator_app, name="simulator")
app.add_typer(accounts_app, name="accounts")
app.add_typer(nodes_app, name="nodes")
app.add_typer(config_app, name="config")
app.add_typer(db_app, name="db")
app.command()(binds)
app.command()(messages)
app.command()(reload)

ConfigFile = Annotated[Path, typer.Option("--config", "-c", envvar="VAS_CONFIG", help="The settings.")]
CONFIG = Path("config.toml")


def _settings(config: Path) -> Settings:
    from vas.config import load

    return load(config, os.environ)


@app.command()
def run(
    config: ConfigFile = CONFIG,
    processes: Annotated[
        int, typer.Option(min=1, max=64, help="So many nodes on this machine, NAME-1 and up, with a PostgreSQL.")
    ] = 1,
    node: Annotated[str, typer.Option(help="Name of this node, with a PostgreSQL.", show_default="the host's")] = "",
    listen: Annotated[
        str,
        typer.Option(
            "--admin", metavar="HOST:PORT", help="Where operations are served.", show_default="[admin] listen"
        ),
    ] = "",
) -> None:
    """Run the platform until Ctrl-C or SIGTERM; then hand over to the other nodes, finish what was begun, and leave."""
    from vas.serving import serve

    with plain_errors():
        settings = _settings(config)
        here = _address(listen) or settings.admin.listen
        if processes > 1:
            raise typer.Exit(run_to_end(_supervise(settings, processes, node or gethostname(), here, config)))
        run_to_end(serve(settings, node, here))


def _address(listen: str) -> Address | None:
    from vas.config_values import Address

    try:
        return Address.parse(listen) if listen else None
    except ValueError as error:
        raise VasError(f"--admin {listen}: {error}") from None


async def _supervise(settings: Settings, processes: int, name: str, listen: Address, config: Path) -> int:
    from vas.accounts import configure_logs
    from vas.supervising import Supervisor, commands

    configure_logs(settings)
    return await Supervisor(commands(processes, name, listen, settings, config)).run()


@simulator_app.callback()
def simulator(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="Its settings: simulator.toml; options go before them."),
    ] = None,
    port: Annotated[int | None, typer.Option(help="SMPP port; 0 takes any free one.", show_default="2775")] = None,
    http_port: Annotated[
        int | None, typer.Option(help="Port of the phones' page and HTTP.", show_default="8090")
    ] = None,
    system_id: Annotated[str | None, typer.Option(help="Who may bind.", show_default="vas")] = None,
    password: Annotated[str | None, typer.Option(help="Its password.", show_default="secret")] = None,
    receipts: Annotated[
        bool | None, typer.Option("--receipts/--no-receipts", help="Whether delivery receipts are sent.")
    ] = None,
    record: Annotated[Path | None, typer.Option(help="Write every PDU to NAME.jsonl or NAME.pcap.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of what is left to chance; one seed, one run.")] = None,
) -> None:
    """Run an SMSC with phones, to try the platform without an operator.

    Its phones: in a browser at http://127.0.0.1:8090; in the terminal, [bold]vas phone 0912345678[/]; in scripts,
    [bold]vas simulator play FILE[/].

    Faults: on the same page, in the settings, and by number: those that end in 900001 to 900065 go wrong each in a way
    of its own.
    """
    if context.invoked_subcommand is not None:
        return
    from gateway.simulator.settings_file import load
    from vas.serving import serve_simulator

    given = {"port": port, "http_port": http_port, "receipts": receipts, "record": record, "seed": seed}
    overrides: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if config is None or system_id is not None or password is not None:
        overrides["accounts"] = {system_id or "vas": password or "secret"}
    with plain_errors():
        run_to_end(serve_simulator(load(config, {"http_port": 8090, **overrides} if config is None else overrides)))


@simulator_app.command("play")
def simulator_play(
    scenario: Annotated[Path, typer.Argument(help="What the phones do, and what must come of it: TOML.")],
    url: Annotated[str, typer.Option(help="The simulator's HTTP.")] = SIMULATOR_HTTP,
) -> None:
    """Play a scenario on a simulator that runs, and print how it went; exit status 1 where a step failed."""
    import aiohttp

    from gateway.simulator.scenario import Result, Scenario

    async def play() -> Result:
        try:
            return await Scenario.load(scenario).play(url)
        except (aiohttp.ClientError, ValueError):
            raise VasError(
                f"no simulator answers at {url}: start `vas simulator`, or name another with --url"
            ) from None

    with plain_errors():
        result = run_to_end(play())
        Console(highlight=False, soft_wrap=True).print(escape(str(result)))
        raise typer.Exit(0 if result.passed else 1)


@app.command()
def phone(
    number: Annotated[str, typer.Argument(help="The subscriber's number, in any spelling.")],
    url: Annotated[str, typer.Option(help="The simulator's HTTP.")] = SIMULATOR_HTTP,
) -> None:
    """A phone in the terminal, at the simulator: dial, answer, text, and see what arrives."""
    import aiohttp

    from gateway.simulator.phone_terminal import run as run_phone
    from vas.messages import Msisdn

    with plain_errors():
        try:
            run_to_end(run_phone(url, Msisdn.parse(number).digits))
        except Refused:
            raise VasError(f"{number!r} is no phone number; try 0912345678") from None
        except (aiohttp.ClientError, ValueError):
            raise VasError(
                f"no simulator answers at {url}: start `vas simulator`, or name another with --url"
            ) from None


@app.command()
def explain(
    text: Annotated[str, typer.Argument(help="What is texted or dialled.")],
    to: Annotated[str, typer.Option("--to", help="The short code; not needed for a USSD code.")] = "",
    config: ConfigFile = CONFIG,
) -> None:
    """Say which handler a text reaches, and why."""
    from vas.assembly import router
    from vas.explaining import explanation

    with plain_errors():
        reached = explanation(router(_settings(config)), text, to)
        Console(highlight=False, soft_wrap=True).print(reached.text)
        if not reached.found:
            raise typer.Exit(1)


@app.command("text")
def text_cost(
    text: Annotated[str, typer.Argument(help="What would be sent.")],
    account: Annotated[str, typer.Option("--account", help="By which account; else the first.")] = "",
    config: ConfigFile = CONFIG,
) -> None:
    """Say in how many SMS a text leaves, in which encoding, and which characters make it dearer."""
    from vas.commands.text import cost_of, show

    with plain_errors():
        show(text, *cost_of(text, account, _settings(config)))


@app.command()
def demo(
    once: Annotated[bool, typer.Option("--once", help="End after the conversation.")] = False,
) -> None:
    """Play a conversation over real SMPP, print it, then serve until Ctrl-C."""
    from vas.demo import play

    with plain_errors():
        run_to_end(play(once=once or not sys.stdout.isatty()))


@config_app.command("check")
def config_check(config: ConfigFile = CONFIG) -> None:
    """Check the settings, services and triggers; print all that holds, secrets masked."""
    import orjson
    from rich.syntax import Syntax

    from vas.assembly import router
    from vas.config import effective

    with plain_errors():
        settings = _settings(config)
        codes = router(settings).reached_at()
        shown = orjson.dumps(effective(settings), option=orjson.OPT_INDENT_2, default=str).decode()
        console = Console(highlight=False)
        console.print(Syntax(shown, "json", background_color="default") if console.is_terminal else shown)
        said = f"its services are reached at {', '.join(codes)}" if codes else "no service is switched on"
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"[green]{escape(str(config))} is right[/]: {said}")


def main() -> None:
    """The entry point of the `vas` command."""
    app()


if __name__ == "__main__":
    main()
