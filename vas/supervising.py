"""Several processes of the platform on one machine, each a node of its own, so that all its cores are used.

The supervisor does no work of the platform's: it starts them, starts again what ends without having been told to,
passes on the signals that it gets, and ends when all have ended. They log where it logs.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import structlog

from vas.config import Settings
from vas.config_values import SQLITE_FILE, Address
from vas.errors import ConfigError

log = structlog.get_logger()
TOLD_TO_END = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
LAST_PORT = 65_535
_SET_DEATH_SIGNAL = 1
"""PR_SET_PDEATHSIG of prctl(2)."""


class Pauses(NamedTuple):
    """Before a process that ended is started again, in seconds: they double with each failure."""

    first: float = 1.0
    longest: float = 30.0
    steady: float = 60.0
    """What has run for so long has not failed at once, and its next pause is the first one."""

    def after(self, pause: float, ran: float) -> float:
        return self.first if not pause or ran >= self.steady else min(2 * pause, self.longest)


PAUSES = Pauses()


def commands(processes: int, name: str, listen: Address, settings: Settings, config: Path) -> dict[str, list[str]]:
    """The command line of each process by the name of its node: NAME-1 and up.

    Their operations' listeners have the ports from `listen` on, any free ones if that is 0. Raises ConfigError.
    """
    if SQLITE_FILE(settings.store.url):
        raise ConfigError(
            f"--processes {processes}: only one process can write a SQLite file; "
            'several share a PostgreSQL: store.url = "postgresql://USER:PASSWORD@HOST/DATABASE"'
        )
    for account, section in settings.accounts.items():
        if section.outbind is not None:
            raise ConfigError(f"--processes {processes}: only one process can wait at accounts.{account}.outbind")
    if listen.port and listen.port + processes - 1 > LAST_PORT:
        raise ConfigError(f"--processes {processes}: from port {listen.port} on there are fewer: see [admin] listen")
    return {
        f"{name}-{place + 1}": [
            *(sys.executable, "-m", "vas", "run", "--config", str(config)),
            *("--node", f"{name}-{place + 1}"),
            *("--admin", str(Address(listen.host, listen.port + place if listen.port else 0))),
        ]
        for place in range(processes)
    }


class Supervisor:
    """Keeps one process for each of `commands` running, which are named."""

    def __init__(self, commands: Mapping[str, Sequence[str]], pauses: Pauses = PAUSES) -> None:
        self._commands = commands
        self._pauses = pauses
        self._running: dict[str, asyncio.subprocess.Process] = {}
        self._ending = asyncio.Event()

    async def run(self) -> int:
        """Until a signal has told all to end, and they have; the exit status: the worst of theirs."""
        loop = asyncio.get_running_loop()
        for number in TOLD_TO_END:
            loop.add_signal_handler(number, self.end, number)
        try:
            return max(await asyncio.gather(*(self._keep(name, command) for name, command in self._commands.items())))
        finally:
            for number in TOLD_TO_END:
                loop.remove_signal_handler(number)

    def end(self, how: signal.Signals) -> None:
        """Tell all that run, and start none again; SIGINT a second time ends them at once."""
        self._ending.set()
        for process in self._running.values():
            _tell(process, how)

    async def _keep(self, name: str, command: Sequence[str]) -> int:
        loop, pause = asyncio.get_running_loop(), 0.0
        while True:
            began = loop.time()
            status = await self._run(name, command)
            if self._ending.is_set():
                return status
            pause = self._pauses.after(pause, loop.time() - began)
            log.error("process.ended", node=name, status=status, again_in_s=pause)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._ending.wait()
                return status

    async def _run(self, name: str, command: Sequence[str]) -> int:
        # In a session of its own, so that Ctrl-C in a terminal reaches it once: from here.
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, start_new_session=True, preexec_fn=_dies_with_us()
        )
        self._running[name] = process
        log.info("process.started", node=name, pid=process.pid)
        if self._ending.is_set():
            _tell(process, signal.SIGTERM)
        status = await process.wait()
        del self._running[name]
        # As shells have it; one that is told before it can hear ends by the signal itself, and has lost nothing.
        return 0 if self._ending.is_set() and -status in TOLD_TO_END else status if status >= 0 else 128 - status


def _tell(process: asyncio.subprocess.Process, how: signal.Signals) -> None:
    # Its own send_signal looks first whether it has ended, and takes its exit status away from who waits for it.
    with suppress(ProcessLookupError):
        os.kill(process.pid, how)


def _dies_with_us() -> Callable[[], None] | None:
    """Nothing is left behind by a supervisor that is killed: its processes drain, as if it had told them to."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)  # Loaded here: between fork and exec little may be done.
    return lambda: libc.prctl(_SET_DEATH_SIGNAL, signal.SIGTERM)
