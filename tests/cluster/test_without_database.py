"""A whole platform under load whose real PostgreSQL is killed, stopped, cut off, filled up or replaced.

Each time: nothing acknowledged is lost, nothing is done or sent twice, no command waits for its answer in silence, and
all goes on by itself.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import random
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from bench.check import Verdict
from bench.outage import COMMIT_TIMEOUT_S, DURABLE, Scene, both_hosts
from gateway.simulator.delivery import Outcome
from tests.postgres import Server
from vas.messages import RTHROTTLED, RX_T_APPN
from vas.store import migrate_postgres

pytestmark = pytest.mark.timeout(150)
FOREVER = 'db_grace = "10m"\n'
"""For links that stay whatever happens."""


@pytest.fixture(scope="module")
def postgres() -> Iterator[Server]:
    """A server that tests may do anything to, as long as it runs in the end."""
    with Server(options=DURABLE) as server:
        asyncio.run(migrate_postgres.upgrade(server.create("empty")))
        server.sql("CREATE ROLE vas LOGIN PASSWORD 'old'")
        yield server


@pytest.fixture
def database(postgres: Server) -> Iterator[str]:
    """An empty one on it, which is the role vas's."""
    postgres.create("vas", "empty")
    postgres.sql("ALTER DATABASE vas OWNER TO vas", "GRANT ALL ON ALL TABLES IN SCHEMA public TO vas", database="vas")
    yield "vas"
    postgres.drop("vas")


@pytest.fixture
async def scene(tmp_path: Path, postgres: Server, database: str) -> AsyncIterator[Scene]:
    async with Scene(tmp_path, server=postgres, database=database, store=FOREVER) as scene:
        yield scene


def kept(scene: Scene, verdict: Verdict) -> None:
    """The promise is kept, and nothing that left was sent again, since the platform lived through it all."""
    assert verdict.violations == []
    assert verdict.repeated == 0
    assert scene.outcomes[Outcome.SILENCE] == 0
    assert scene.outcomes[Outcome.PERMANENT] == 0
    assert scene.statuses() <= {RX_T_APPN, RTHROTTLED}


def heard_of_it(scene: Scene, times: int = 1) -> None:
    """The log says so often at least that the store went, each time that it came back, and nothing else went wrong.

    More often where a batch finds room on a full disk, or a machine is too busy for a transaction.
    """
    assert len(scene.logged("store.gone")) == len(scene.logged("store.back")) >= times
    bad = {str(line["event"]) for line in scene.platform.log if line.get("level") in ("error", "critical")}
    assert bad <= {"store.gone", "store.commit_failed"}


async def test_a_server_that_is_killed_and_started_again(scene: Scene) -> None:
    for _ in range(2):
        await asyncio.to_thread(scene.server.kill)
        await scene.more(Outcome.TEMPORARY)
        scene.server.start()
        await scene.more(Outcome.ACKNOWLEDGED, 100)
    assert scene.outcomes[Outcome.LINK_LOST] == 0
    kept(scene, await scene.verdict())
    heard_of_it(scene, 2)


async def test_a_server_that_is_restarted_in_order(scene: Scene) -> None:
    scene.server.restart()
    await scene.more(Outcome.ACKNOWLEDGED, 200)
    kept(scene, await scene.verdict())


async def test_a_server_that_hangs_for_less_than_a_transaction_may_take_is_waited_for(scene: Scene) -> None:
    scene.server.freeze()
    await asyncio.sleep(COMMIT_TIMEOUT_S / 2)
    scene.server.thaw()
    await scene.more(Outcome.ACKNOWLEDGED, 100)
    kept(scene, await scene.verdict())


async def test_a_server_that_hangs_for_longer_is_given_up_and_found_again(scene: Scene) -> None:
    scene.server.freeze()
    await scene.more(Outcome.TEMPORARY, 200)
    scene.server.thaw()
    await scene.more(Outcome.ACKNOWLEDGED, 100)
    kept(scene, await scene.verdict())
    heard_of_it(scene)


class CutCommit:
    """Breaks the connections once, while a COMMIT is under way: before the server has it, or when it has answered."""

    def __init__(self, scene: Scene, *, arrives: bool) -> None:
        self._scene = scene
        self._arrives = arrives
        self._under_way = False
        self._done = False
        scene.proxy.passes = self.passes

    def is_done(self) -> bool:
        return self._done

    def passes(self, piece: bytes, onward: bool) -> bool:
        if self._done or b"COMMIT" not in piece:
            return True
        if onward and self._arrives:
            self._under_way = True
            return True
        if not onward and not self._under_way:
            return True
        self._done = True
        self._scene.proxy.cut()
        asyncio.get_running_loop().call_later(0.1, self._scene.proxy.heal)
        return False


@pytest.mark.parametrize("arrives", [False, True], ids=["before the server has it", "when the server has answered"])
async def test_a_connection_that_breaks_within_a_commit(scene: Scene, arrives: bool) -> None:
    for _ in range(3):
        await scene.until(CutCommit(scene, arrives=arrives).is_done, "a COMMIT")
        await scene.more(Outcome.ACKNOWLEDGED, 100)
    kept(scene, await scene.verdict())


async def test_a_network_that_swallows_everything(scene: Scene) -> None:
    scene.proxy.stall()
    await scene.more(Outcome.TEMPORARY, 200)
    scene.proxy.heal()
    await scene.more(Outcome.ACKNOWLEDGED, 100)
    kept(scene, await scene.verdict())
    heard_of_it(scene)


SEND_AWAY = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'vas'"


async def test_connections_that_are_taken_away_again_and_again(tmp_path: Path, postgres: Server, database: str) -> None:
    chance = random.Random(1)
    async with Scene(tmp_path, server=postgres, user="vas", database=database, store=FOREVER) as scene:
        for _ in range(12):
            await asyncio.to_thread(postgres.sql, SEND_AWAY)
            await asyncio.sleep(chance.uniform(0, 0.5))
        await scene.more(Outcome.ACKNOWLEDGED, 100)
        kept(scene, await scene.verdict())


async def test_a_server_that_has_no_connection_left(tmp_path: Path, postgres: Server, database: str) -> None:
    async with Scene(tmp_path, server=postgres, user="vas", database=database, store=FOREVER) as scene:
        await asyncio.to_thread(postgres.sql, "ALTER ROLE vas CONNECTION LIMIT 0", SEND_AWAY)
        await scene.more(Outcome.TEMPORARY)
        await asyncio.to_thread(postgres.sql, "ALTER ROLE vas CONNECTION LIMIT -1")
        await scene.more(Outcome.ACKNOWLEDGED, 100)
        kept(scene, await scene.verdict())
        heard_of_it(scene)


@pytest.fixture
def asks_for_password(postgres: Server) -> Iterator[None]:
    rules = postgres.data / "pg_hba.conf"
    before = rules.read_text()
    rules.write_text("host all vas 127.0.0.1/32 scram-sha-256\n" + before)
    postgres.sql("SELECT pg_reload_conf()")
    yield
    rules.write_text(before)
    postgres.sql("SELECT pg_reload_conf()")


async def test_a_password_that_was_changed_and_changed_back(
    tmp_path: Path, postgres: Server, database: str, asks_for_password: None
) -> None:
    async with Scene(tmp_path, server=postgres, user="vas:old", database=database, store=FOREVER) as scene:
        await asyncio.to_thread(postgres.sql, "ALTER ROLE vas PASSWORD 'new'", SEND_AWAY)
        await scene.more(Outcome.TEMPORARY)
        await asyncio.to_thread(postgres.sql, "ALTER ROLE vas PASSWORD 'old'")
        await scene.more(Outcome.ACKNOWLEDGED, 100)
        kept(scene, await scene.verdict())
        heard_of_it(scene)
        assert "old" not in str(scene.platform.log)


@pytest.mark.parametrize("hangs", [False, True], ids=["that follows", "that hung before"])
async def test_a_synchronous_standby_that_takes_over_has_all_that_was_acknowledged(tmp_path: Path, hangs: bool) -> None:
    with Server(options=DURABLE) as primary:
        standby = await asyncio.to_thread(primary.standby, synchronous=True)
        try:
            async with Scene(tmp_path, server=primary, url=both_hosts(standby), store=FOREVER) as scene:
                if hangs:
                    standby.freeze()
                    await scene.more(Outcome.TEMPORARY, 200)
                await asyncio.to_thread(primary.kill)
                standby.thaw()
                await scene.more(Outcome.TEMPORARY)
                await asyncio.to_thread(standby.promote)
                await scene.more(Outcome.ACKNOWLEDGED, 100)
                kept(scene, await scene.verdict(standby))
        finally:
            await asyncio.to_thread(standby.close)


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A folder on a disk of a few megabytes, which the server may have."""
    if os.geteuid():
        pytest.skip("only root can mount a small disk")
    point = Path(tempfile.mkdtemp(prefix="vas-small-"))  # where the server can go: nobody may enter tmp_path
    owner = pwd.getpwnam("nobody")
    options = f"size=48m,mode=0700,uid={owner.pw_uid},gid={owner.pw_gid}"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", point], capture_output=True, check=False)
    if mounted.returncode:
        point.rmdir()
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.decode().strip()}")
    yield point
    subprocess.run(["umount", "-l", point], check=True)
    point.rmdir()


@pytest.fixture
def database_on_it(postgres: Server, small_disk: Path) -> Iterator[str]:
    postgres.sql(
        f"CREATE TABLESPACE small LOCATION '{small_disk}'", "CREATE DATABASE small TEMPLATE empty TABLESPACE small"
    )
    yield "small"
    postgres.drop("small")
    postgres.sql("DROP TABLESPACE small")


async def test_a_full_disk(tmp_path: Path, postgres: Server, small_disk: Path, database_on_it: str) -> None:
    async with Scene(tmp_path, server=postgres, database=database_on_it, store=FOREVER) as scene:
        filler = small_disk / "filler"
        with filler.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))
        await scene.more(Outcome.TEMPORARY, 200)
        filler.unlink()
        await scene.more(Outcome.ACKNOWLEDGED, 100)
        kept(scene, await scene.verdict())
        heard_of_it(scene)


FULL = (
    "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
    " RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$",
    "CREATE TRIGGER full_disk BEFORE INSERT ON inbox FOR EACH STATEMENT EXECUTE FUNCTION full_disk()",
)


async def test_a_server_that_says_that_its_disk_is_full(scene: Scene, database: str) -> None:
    await asyncio.to_thread(partial(scene.server.sql, *FULL, database=database))
    await scene.more(Outcome.TEMPORARY, 200)
    await asyncio.to_thread(partial(scene.server.sql, "DROP TRIGGER full_disk ON inbox", database=database))
    await scene.more(Outcome.ACKNOWLEDGED, 100)
    kept(scene, await scene.verdict())
    assert any("No space left" in str(line["error"]) for line in scene.logged("store.gone"))


async def test_links_are_let_go_after_db_grace_and_bound_again_when_the_database_is_back(
    tmp_path: Path, postgres: Server, database: str
) -> None:
    async with Scene(tmp_path, server=postgres, database=database, store='db_grace = "1s"\n') as scene:
        bound = scene.links
        await asyncio.to_thread(scene.server.kill)
        await scene.more(Outcome.TEMPORARY)
        await scene.until(lambda: not scene.links, "unbound")
        scene.server.start()
        await scene.more(Outcome.ACKNOWLEDGED, 100)
        assert scene.links == bound
        assert len(scene.logged("links.let_go")) == len(scene.logged("links.taken_up")) == 1
        kept(scene, await scene.verdict())
        heard_of_it(scene)


async def test_a_slow_database_slows_the_smsc_down_and_is_not_given_up(scene: Scene) -> None:
    scene.proxy.latency_s = 0.005
    await scene.more(Outcome.ACKNOWLEDGED, 300)
    scene.proxy.latency_s = 0
    await scene.more(Outcome.ACKNOWLEDGED, 100)
    kept(scene, await scene.verdict())


async def test_operations_are_told_while_the_database_is_away(scene: Scene) -> None:
    assert (await scene.ask("/readyz"))[0] == 200
    assert (await scene.ask("/admin/v1/overview"))[1]["store_error"] == ""
    await asyncio.to_thread(scene.server.kill)
    await scene.more(Outcome.TEMPORARY)
    status, problem = await scene.ask("/readyz")
    assert (status, [flaw["where"] for flaw in problem["errors"]]) == (503, ["store"])
    assert (await scene.ask("/healthz"))[0] == 200
    status, overview = await scene.ask("/admin/v1/overview")
    assert status == 200
    assert overview["store_error"] and overview["store_down_seconds"] >= 0
    status, problem = await scene.ask("/admin/v1/messages?msisdn=0912345678")
    assert (status, problem["title"]) == (503, "Service Unavailable")
    metrics = await scene.platform.metrics()
    assert (metrics["vas_store_up"], metrics["vas_store_outages_total"]) == (0, 1)
    scene.server.start()
    await scene.more(Outcome.ACKNOWLEDGED)
    assert (await scene.ask("/readyz"))[0] == 200
    assert (await scene.platform.metrics())["vas_store_up"] == 1
