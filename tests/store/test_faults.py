"""A disk and a database that fail: the SMSC is told to come again, nothing is lost, and it goes on by itself."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.lazyfs import Mount, why_not
from services.callme import callme
from vas.errors import StoreError, StoreUnusable
from vas.messages import ROK, RX_T_APPN, Inbound
from vas.store.ids import moment
from vas.store.sqlite import SqliteStore
from vas.store.sqlite_batch import EngineFailed
from vas.testing import ACCOUNT, Network, Phone, mount
from vas.unit import Batch

needs_fuse = pytest.mark.skipif(bool(why_not()), reason=why_not() or "-")
of_the_file = pytest.mark.only_on("sqlite", "the file that the platform itself writes, and the disk under it")
LAN, MAI = "0912345678", "0987654321"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Mount]:
    disk = Mount(tmp_path / "disk", tmp_path / "backing")
    disk.mount()
    yield disk
    disk.cut()


def network(folder: Path) -> Network:
    return Network(folder, mount(callme, short_codes=["9105"]))


async def send(network: Network, phone: Phone, text: str, ordinal: int = 0) -> int:
    """The command_status; what follows from the command is waited for only if it was taken."""
    network._ordinal = ordinal or network._ordinal + 1
    digits = phone.number.digits
    answered: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    network.node.dispatch.receive(
        Inbound(
            ACCOUNT, network._session, network._ordinal, moment(network.now_ms), digits, "9105", text,
            f"{digits}\0{text}".encode(),
        ),
        answered.set_result,
    )  # fmt: skip
    status = await answered
    if status == ROK:
        await network.settled()
    return status


def names(database: Path) -> set[str]:
    """What the subscribers have set as their names."""
    connection = sqlite3.connect(database)
    try:
        rows = connection.execute("SELECT value ->> 'name' FROM state WHERE service = 'callme'").fetchall()
        return {row[0] for row in rows}
    finally:
        connection.close()


@of_the_file
@needs_fuse
async def test_a_full_disk_refuses_for_now_and_goes_on_when_there_is_room(disk: Mount) -> None:
    async with network(disk.point) as net:
        lan = net.phone(LAN)
        assert await send(net, lan, "TEN Lan") == ROK
        disk.fault("full")
        assert await send(net, lan, "TEN Hoa") == RX_T_APPN
        disk.fault("none")
        assert await send(net, lan, "TEN Hoa") == ROK
        assert len(lan.texts) == 2
    assert names(disk.point / "vas.db") == {"Hoa"}


@of_the_file
@needs_fuse
async def test_what_is_acknowledged_after_a_failed_fsync_survives_a_power_cut(disk: Mount, tmp_path: Path) -> None:
    async with network(disk.point) as net:
        acknowledged = set()
        for number, name in enumerate(("Lan", "Hoa", "Mai", "Cúc", "Tám")):
            if name == "Hoa":
                disk.fault("sync")
            if await send(net, net.phone(f"09123456{number:02}"), f"TEN {name}") == ROK:
                acknowledged.add(name)
        shutil.copytree(disk.backing, tmp_path / "after")
    assert {"Lan", "Mai", "Cúc", "Tám"} <= acknowledged
    assert names(tmp_path / "after" / "vas.db") >= acknowledged


@of_the_file
@needs_fuse
async def test_a_disk_that_dies_in_a_commit_and_comes_back_leaves_one_effect(disk: Mount) -> None:
    async with network(disk.point) as net:
        lan, mai = net.phone(LAN), net.phone(MAI)
        assert await send(net, lan, "TEN Lan") == ROK
        disk.fault("dead")
        assert await send(net, lan, f"CM {MAI}") == RX_T_APPN
        assert await send(net, lan, f"CM {MAI}") == RX_T_APPN
        disk.fault("none")
        assert await send(net, lan, f"CM {MAI}") == ROK
        assert len(mai.texts) == 1 and len(lan.texts) == 2


@of_the_file
async def test_a_database_locked_by_another_program_refuses_for_now_and_goes_on(tmp_path: Path) -> None:
    async with network(tmp_path) as net:
        lan = net.phone(LAN)
        other = sqlite3.connect(tmp_path / "vas.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        assert await send(net, lan, "TEN Lan") == RX_T_APPN
        other.execute("ROLLBACK")
        other.close()
        assert await send(net, lan, "TEN Lan") == ROK
        assert len(lan.texts) == 1


@of_the_file
async def test_a_second_platform_on_the_same_database_does_not_start(tmp_path: Path) -> None:
    async with network(tmp_path):
        second = network(tmp_path)
        with pytest.raises(StoreUnusable, match="another platform runs on this database"):
            await second.__aenter__()


class Raises:
    """A work that fails in its own way."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error

    async def run(self, batch: Batch) -> None:
        if self.error is not None:
            raise self.error


@of_the_file
async def test_an_engine_that_fails_while_works_run_apart_takes_back_none_that_was_committed(tmp_path: Path) -> None:
    async with network(tmp_path) as net:
        engine = EngineFailed(sqlite3.OperationalError("disk I/O error"))
        works = [Raises(None), Raises(ValueError("spoils the batch")), Raises(engine), Raises(None)]
        kinds = [type(outcome) for outcome in await net.node.store.commit(works)]
    assert kinds == [type(None), ValueError, StoreError, type(None)]


def not_a_database(file: Path) -> None:
    file.write_text("Dear diary, " * 1000)


def folder_in_its_place(file: Path) -> None:
    file.mkdir()


@of_the_file
@pytest.mark.parametrize(
    ("spoil", "advice"),
    [(not_a_database, "not a SQLite database"), (folder_in_its_place, "check that its folder exists")],
)
async def test_a_database_that_cannot_be_used_says_what_to_do(
    tmp_path: Path, spoil: Callable[[Path], None], advice: str
) -> None:
    spoil(tmp_path / "vas.db")
    store = SqliteStore(tmp_path / "vas.db", clock_ms=lambda: 1)
    with pytest.raises(StoreUnusable, match=advice):
        await store.open()
    await store.close()


@of_the_file
@needs_fuse
async def test_a_read_only_database_says_what_to_do(disk: Mount) -> None:
    async with network(disk.point):
        pass
    disk.fault("readonly")
    store = SqliteStore(disk.point / "vas.db", clock_ms=lambda: 1)
    with pytest.raises(StoreUnusable, match="owner and mode"):
        await store.open()
    await store.close()


@of_the_file
async def test_a_damaged_database_refuses_and_says_to_restore_a_backup(tmp_path: Path) -> None:
    async with network(tmp_path) as net:
        for number in range(200):
            assert await send(net, net.phone(f"0912345{number:03}"), "TEN Lan") == ROK
    with (tmp_path / "vas.db").open("r+b") as file:
        size = file.seek(0, 2)
        file.seek(4096 * 2)
        file.write(b"\xa5" * (size - 4096 * 2))
    store = SqliteStore(tmp_path / "vas.db", clock_ms=lambda: 1)
    with pytest.raises(StoreError, match="restore the last `vas db backup`"):
        await store.open()
        await store.read("SELECT count(*) FROM state")
    await store.close()
