"""Several processes on one machine: started, kept, told, ended."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.platforms import upgrade
from bench.process import PlatformProcess
from tests.postgres import Server
from vas.__main__ import app
from vas.config import load
from vas.config_values import Address
from vas.errors import ConfigError
from vas.supervising import Pauses, Supervisor, commands

ROOT = Path(__file__).parents[1]
EVERY_S = 0.01
QUICK = Pauses(first=0.01, longest=0.02, steady=60)
SHARED = {"VAS_STORE__URL": "postgresql://vas@db/vas"}

NOTE = "open(sys.argv[1], 'a').write(f'{sys.argv[2]} {os.getpid()}\\n')"
"""A line in the file that is its first argument: the second one, and who it is."""
DIES = f"import os, sys; {NOTE}; sys.exit(3)"
DRAINS = f"""
import os, signal, sys
def end(number, frame):
    sys.argv[2] = f"{{sys.argv[2]}} got {{signal.Signals(number).name}},"
    {NOTE}
    sys.exit(0)
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, end)
{NOTE}
while True:
    signal.pause()
"""


class Notes:
    """What the processes of a test wrote down."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "notes"
        self.file.touch()

    def command(self, program: str, name: str) -> list[str]:
        return [sys.executable, "-c", program, str(self.file), name]

    @property
    def lines(self) -> list[str]:
        return self.file.read_text().splitlines()

    def said(self) -> list[str]:
        """Without the ids of processes."""
        return sorted(line.rpartition(" ")[0] for line in self.lines)

    def pids(self) -> list[int]:
        return [int(line.rpartition(" ")[2]) for line in self.lines]


@pytest.fixture
def notes(tmp_path: Path) -> Notes:
    return Notes(tmp_path)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - other processes do it
        await asyncio.sleep(EVERY_S)


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False


@asynccontextmanager
async def supervised(commands: Mapping[str, Sequence[str]]) -> AsyncIterator[tuple[Supervisor, asyncio.Task[int]]]:
    supervisor = Supervisor(commands, QUICK)
    running = asyncio.create_task(supervisor.run())
    yield supervisor, running
    supervisor.end(signal.SIGTERM)
    await running


async def test_each_process_is_told_and_all_have_ended_when_it_ends(notes: Notes) -> None:
    async with supervised({name: notes.command(DRAINS, name) for name in ("a-1", "a-2")}) as (supervisor, running):
        await until(lambda: len(notes.lines) == 2)
        supervisor.end(signal.SIGINT)
        assert await running == 0
    assert notes.said() == ["a-1", "a-1 got SIGINT,", "a-2", "a-2 got SIGINT,"]


async def test_a_process_that_dies_is_started_again_and_its_neighbour_is_left_alone(notes: Notes) -> None:
    both = {"a-1": notes.command(DIES, "a-1"), "a-2": notes.command(DRAINS, "a-2")}
    async with supervised(both):
        await until(lambda: notes.said().count("a-1") >= 3 and "a-2" in notes.said())
        assert notes.said().count("a-2") == 1


async def test_a_process_that_is_killed_is_started_again(notes: Notes) -> None:
    async with supervised({"a-1": notes.command(DRAINS, "a-1")}):
        await until(lambda: len(notes.lines) == 1)
        os.kill(notes.pids()[0], signal.SIGKILL)
        await until(lambda: len(notes.lines) == 2)


async def test_nothing_is_started_again_after_the_end_was_ordered(notes: Notes) -> None:
    supervisor = Supervisor({"a-1": notes.command(DIES, "a-1")}, Pauses(first=3600, longest=3600))
    running = asyncio.create_task(supervisor.run())
    await until(lambda: len(notes.lines) == 1 and not lives(notes.pids()[0]))
    supervisor.end(signal.SIGTERM)
    assert await running == 3
    assert len(notes.lines) == 1


def test_pauses_grow_with_each_failure_and_begin_anew_after_a_steady_run() -> None:
    pauses, ran = Pauses(first=1, longest=5, steady=60), (0.1, 0.1, 0.1, 0.1, 61, 0.1)
    pause, taken = 0.0, []
    for seconds in ran:
        pause = pauses.after(pause, seconds)
        taken.append(pause)
    assert taken == [1, 2, 4, 5, 1, 2]


SCRIPT = """
import asyncio, sys
from vas.supervising import Supervisor
sys.exit(asyncio.run(Supervisor({name: [sys.executable, "-c", *sys.argv[1:3], name] for name in ("a-1", "a-2")}).run()))
"""


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_a_signal_is_passed_on(notes: Notes, how: signal.Signals) -> None:
    supervisor = await asyncio.create_subprocess_exec(sys.executable, "-c", SCRIPT, DRAINS, notes.file, cwd=ROOT)
    await until(lambda: len(notes.lines) == 2)
    supervisor.send_signal(how)
    assert await supervisor.wait() == 0
    assert notes.said()[1::2] == [f"a-1 got {how.name},", f"a-2 got {how.name},"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel tells them")
async def test_a_supervisor_that_is_killed_leaves_nothing_behind(notes: Notes) -> None:
    supervisor = await asyncio.create_subprocess_exec(sys.executable, "-c", SCRIPT, DRAINS, notes.file, cwd=ROOT)
    await until(lambda: len(notes.lines) == 2)
    pids = notes.pids()
    supervisor.kill()
    await supervisor.wait()
    await until(lambda: not any(map(lives, pids)))
    assert notes.said()[1::2] == ["a-1 got SIGTERM,", "a-2 got SIGTERM,"]


async def test_two_processes_are_two_nodes_of_one_database(tmp_path: Path) -> None:
    with Server() as server:
        await upgrade(server.url())
        program = ("-m", "vas", "run", "--processes", "2")
        both = PlatformProcess(tmp_path, smpp_port=1, url=server.url(), node="big", program=program)

        def nodes(event: str) -> set[object]:
            return {line.get("node") for line in both.log if line["event"] == event}

        try:
            await both.start()
            await until(lambda: nodes("node.joined") == {"big-1", "big-2"})
            await until(lambda: [line["event"] for line in both.log].count("platform.started") == 2)
            assert nodes("platform.started") == nodes("account.started") == {"big-1", "big-2"}
        finally:
            await both.stop()
        assert nodes("node.left") == {"big-1", "big-2"}


# -- the command


def lines(processes: int, listen: str = "127.0.0.1:8080", **environ: str) -> dict[str, list[str]]:
    settings = load(ROOT / "config.toml", {**SHARED, **environ})
    return commands(processes, "big", Address.parse(listen), settings, Path("config.toml"))


def test_each_process_is_a_node_with_a_port_of_its_own() -> None:
    made = lines(3)
    assert [(line[-3], line[-1]) for line in made.values()] == [
        ("big-1", "127.0.0.1:8080"),
        ("big-2", "127.0.0.1:8081"),
        ("big-3", "127.0.0.1:8082"),
    ]
    assert list(made) == ["big-1", "big-2", "big-3"]


def test_any_free_port_stays_any_free_port() -> None:
    assert {line[-1] for line in lines(2, "127.0.0.1:0").values()} == {"127.0.0.1:0"}


def test_ports_that_are_none_are_refused() -> None:
    with pytest.raises(ConfigError, match="65535"):
        lines(2, "127.0.0.1:65535")


def test_an_account_that_waits_for_outbind_is_for_one_process() -> None:
    with pytest.raises(ConfigError, match=r"accounts\.main\.outbind"):
        lines(2, VAS_ACCOUNTS__MAIN__OUTBIND="127.0.0.1:2776", VAS_ACCOUNTS__MAIN__OUTBIND_PASSWORD="knock")


def test_several_processes_on_a_sqlite_file_are_refused_with_what_to_do() -> None:
    result = CliRunner().invoke(app, ["run", "--processes", "2", "--config", str(ROOT / "config.toml")])
    assert result.exit_code == 2
    assert "SQLite" in result.stderr and "postgresql://" in result.stderr
