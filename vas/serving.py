"""Run until told to stop: the platform, or the simulator."""

from __future__ import annotations

import asyncio
import gc
import signal
from typing import Any

import structlog
from rich.console import Console

from gateway.simulator import Settings as SimulatorSettings
from gateway.simulator import Simulator
from vas.accounts import configure_logs
from vas.assembly import Installation
from vas.commands import SIMULATOR_HTTP
from vas.config import Settings
from vas.config_values import Address
from vas.errors import ConfigError

log = structlog.get_logger()


async def serve(settings: Settings, node: str = "", listen: Address | None = None) -> None:
    """The platform, until SIGINT or SIGTERM; `node` and `listen` as vas.assembly.Installation has them."""
    configure_logs(settings)
    installation = Installation(settings, node=node, listen=listen)
    configure_logs(settings, installation.node.member.name)  # Again, now that it has one.
    stopping = stop_signal()
    await installation.start()
    collect_seldom()
    try:
        log.info("platform.started", admin=installation.admin_address, accounts=list(settings.accounts))
        assert installation.over is not None
        ends: list[asyncio.Future[Any]] = [asyncio.ensure_future(stopping.wait()), installation.over]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        log.info("platform.stopping")
        if installation.over.done():
            installation.over.result()
    finally:
        await installation.stop()
    log.info("platform.stopped")


def collect_seldom() -> None:
    """Look for cyclic garbage seldom: at 10,000 commands a second the default does it 30 times a second, over all
    that is in flight, which cost a quarter of the event loop's time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)


async def serve_simulator(settings: SimulatorSettings) -> None:
    """The simulator, until SIGINT or SIGTERM."""
    simulator = Simulator(settings)
    stopping = stop_signal()
    await start_simulator(simulator, settings)
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"SMPP on [bold]{settings.host}:{simulator.port}[/]")
    if settings.http_port is not None:
        url, command = ways_to_phones(settings.http_host, simulator.http_port)
        console.print(f"Phones: [bold]{url}[/] in a browser, or\n[bold]{command}[/] in another terminal. Ctrl-C ends.")
    try:
        await stopping.wait()
    finally:
        await simulator.stop()


def ways_to_phones(host: str, port: int) -> tuple[str, str]:
    """The phones' page, and the command that takes one; a listener at all addresses is reached at 127.0.0.1."""
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - read, not bound
    url = f"http://{f'[{reached}]' if ':' in reached else reached}:{port}"
    return url, "vas phone 0912345678" + ("" if url == SIMULATOR_HTTP else f" --url {url}")


async def start_simulator(simulator: Simulator, settings: SimulatorSettings) -> None:
    """Raises ConfigError if a port is in use."""
    try:
        await simulator.start()
    except OSError as error:
        await simulator.stop()
        raise ConfigError(
            f"the simulator cannot listen on {settings.host}, ports {settings.port} and {settings.http_port}: "
            f"{error.strerror}: end what uses them, or name others with --port and --http-port"
        ) from error


def stop_signal() -> asyncio.Event:
    """Set by the first SIGINT, SIGTERM or SIGHUP; a second SIGINT ends at once."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop() -> None:
        stopping.set()
        loop.remove_signal_handler(signal.SIGINT)

    loop.add_signal_handler(signal.SIGINT, stop)
    loop.add_signal_handler(signal.SIGTERM, stop)
    loop.add_signal_handler(signal.SIGHUP, stop)
    return stopping
