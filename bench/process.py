"""The platform as a process of its own, with settings made for measuring."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import orjson

SYSTEM_ID, PASSWORD = "vas", "secret"
SHORT_CODE = "9105"
STARTED_WITHIN_S = 60.0
PROGRAM = ("-m", "vas", "run")
ROOT = Path(__file__).parents[1]
_RELOAD: dict[str, object] = {"dry_run": False, "reason": "bench"}
_AGAIN_S = 0.2
_TICKS_S = 1 / os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")

_SETTINGS = """
[store]
url = "{url}"
{store}

[admin]
listen = "127.0.0.1:0"
first_key_file = "admin.key"

[web]
listen = "127.0.0.1:0"

[log]
format = "json"
level = "info"

[accounts.main]
host = "127.0.0.1"
port = {port}
system_id = "{system_id}"
password = "{password}"
binds = {binds}
window = 200
reconnect_first = "50ms"
reconnect_max = "1s"
{account}

[services.callme]
enabled = true
short_codes = ["{short_code}"]
ussd = "*105"
daily_limit = {daily_limit}
weekly_limit = 1000
monthly_limit = 1000
pair_pause = "0s"
received_daily_limit = {received_daily_limit}
"""


class Cpu(NamedTuple):
    """Seconds of processor time since the process began."""

    loop: float
    """The event loop's thread."""
    rest: float
    """All other threads: the store's writer, and its reader."""
    database: float = 0.0
    """All processes of the database's server."""

    def __sub__(self, earlier: tuple[float, ...]) -> Cpu:
        return Cpu(*(now - before for now, before in zip(self, earlier, strict=True)))

    @property
    def all(self) -> float:
        return sum(self)


class Died(Exception):
    """The process ended before it was told to."""


class PlatformProcess:
    """`vas run` over a folder; it may be started again after it was stopped or killed."""

    def __init__(
        self,
        folder: Path,
        smpp_port: int,
        *,
        binds: int = 2,
        account: str = "",
        program: Sequence[str] = PROGRAM,
        database: Path | None = None,
        url: str = "",
        node: str = "",
        store: str = "",
        daily_limit: int = 1000,
        received_daily_limit: int = 1000,
    ) -> None:
        """`account` and `store` are more TOML for the SMSC account and the store; `program` takes the place of
        `vas run`. With `url`, it is a `node` on a database that others may share, whose SMSC sees its name as
        system_type; without, it is alone on a file."""
        self.database = database or folder / "vas.db"
        self.log: list[dict[str, object]] = []
        """What it logged, of this start and those before."""
        self.unparsed: list[str] = []
        """What came on standard error and was no log event."""
        self._config = folder / f"{node or 'config'}.toml"
        self._options = ("--node", node) if node else ()
        self._program = program
        self._key_file = folder / "admin.key"
        self._config.write_text(
            _SETTINGS.format(
                url=url or f"sqlite:///{self.database}", store=store, port=smpp_port, system_id=SYSTEM_ID,
                password=PASSWORD, binds=binds, account=f'system_type = "{node}"\n{account}', short_code=SHORT_CODE,
                daily_limit=daily_limit, received_daily_limit=received_daily_limit,
            )
        )  # fmt: skip
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._admin = ""

    async def start(self) -> None:
        """Return once it runs; its binds may come up later. Raises Died."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, *self._program, "-c", str(self._config), *self._options, stderr=asyncio.subprocess.PIPE,
            cwd=ROOT,
        )  # fmt: skip
        self._admin = ""
        running = asyncio.Event()
        self._reading = asyncio.create_task(self._read(running))
        ended = asyncio.create_task(self._process.wait())
        started = asyncio.create_task(running.wait())
        async with asyncio.timeout(STARTED_WITHIN_S):
            await asyncio.wait((started, ended), return_when=asyncio.FIRST_COMPLETED)
        started.cancel()
        if not self._admin:
            await self._reading
            raise Died("\n".join([*self.unparsed[-20:], *(str(event) for event in self.log[-5:])]))

    async def _read(self, running: asyncio.Event) -> None:
        assert self._process is not None and self._process.stderr is not None
        async for line in self._process.stderr:
            try:
                event = orjson.loads(line)
            except ValueError:
                self.unparsed.append(line.decode(errors="replace").rstrip())
                continue
            self.log.append(event)
            if event.get("event") == "platform.started":
                self._admin = str(event["admin"])
                running.set()

    async def kill(self) -> None:
        """SIGKILL, as a crash is."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """SIGTERM, and wait until it has left in order."""
        await self._end(signal.SIGTERM)

    async def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        if self._process.returncode is None:
            self._process.send_signal(how)
        await self._process.wait()
        if self._reading is not None:
            await self._reading
        self._process = None

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """SIGSTOP, and SIGCONT in the end."""
        os.kill(self._pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self._pid, signal.SIGCONT)

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    def cpu(self) -> Cpu:
        pid = self._pid
        loop = all_ = 0.0
        for task in Path(f"/proc/{pid}/task").iterdir():
            seconds = cpu_s(task)
            all_ += seconds
            if task.name == str(pid):
                loop = seconds
        return Cpu(loop, all_ - loop)

    def rss_octets(self) -> int:
        """Resident memory."""
        return int(Path(f"/proc/{self._pid}/statm").read_text().split()[1]) * _PAGE

    @property
    def _pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def metrics(self) -> dict[str, float]:
        """What /metrics tells, by name and labels as they stand there."""
        lines = (await self.exposition()).splitlines()
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines) if name[:1] != "#"}

    async def ask(self, path: str, order: dict[str, object] | None = None) -> tuple[int, Any]:
        """Status and JSON of an answer of the operations' listener; an `order` is posted."""
        headers = {"Authorization": f"Bearer {self._key_file.read_text().strip()}"}
        method, url = "POST" if order else "GET", f"{self._admin}{path}"
        session = aiohttp.ClientSession(headers=headers)
        async with session as http, http.request(method, url, json=order) as response:
            return response.status, await response.json(content_type=None)

    async def change(self, before: str, after: str) -> None:
        """Something in its settings, which it follows while it runs, once its database lets it."""
        self._config.write_text(self._config.read_text().replace(before, after))
        async with asyncio.timeout(STARTED_WITHIN_S):
            status, answer = await self.ask("/admin/v1/reload", _RELOAD)
            while status == HTTPStatus.SERVICE_UNAVAILABLE:
                await asyncio.sleep(_AGAIN_S)
                status, answer = await self.ask("/admin/v1/reload", _RELOAD)
        assert status == HTTPStatus.OK and answer["changes"], answer

    async def exposition(self) -> str:
        """/metrics, as Prometheus reads it."""
        async with aiohttp.ClientSession() as http, http.get(f"{self._admin}/metrics") as response:
            response.raise_for_status()
            return await response.text()


def cpu_s(task: Path) -> float:
    """Seconds of processor time of a process or a thread, by its folder in /proc."""
    return _ticks(task, 11) * _TICKS_S


def reaped_s(task: Path) -> float:
    """Of the children of a process that have ended."""
    return _ticks(task, 13) * _TICKS_S


def _ticks(task: Path, field: int) -> int:
    """A time in user mode, and behind it the one in the kernel: proc_pid_stat(5), counted from the state on."""
    fields = (task / "stat").read_text().rpartition(")")[2].split()
    return int(fields[field]) + int(fields[field + 1])


def _on_disk(folder: Path) -> bool:
    """Whether a folder is on a file system that keeps what it is told to, rather than in memory."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    under = [fields for fields in mounts if folder.resolve().is_relative_to(fields[1])]
    return max(under, key=lambda fields: len(fields[1]))[2] not in ("tmpfs", "ramfs")


@contextmanager
def scratch() -> Iterator[Path]:
    """A new folder on a disk, gone in the end; raises SystemExit where there is only memory."""
    folder = ROOT / "var"
    folder.mkdir(exist_ok=True)
    if not _on_disk(folder):
        raise SystemExit("bench: this folder is in memory, where nothing is ever synced: run it from a disk")
    with tempfile.TemporaryDirectory(prefix="bench-", dir=folder) as made:
        yield Path(made)
