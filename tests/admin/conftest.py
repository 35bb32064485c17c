"""The operations' listener over a real store and a platform that is only told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
import sqlalchemy
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import CollectorRegistry
from sqlalchemy import insert

from tests.engines import Engine
from vas.admin import (
    BOUND,
    AccountOrder,
    Cut,
    Desk,
    Difference,
    Overview,
    Reloaded,
    ReplayedChange,
    ReplayedReply,
    ReplayResult,
    SegmentState,
    create_app,
    store,
)
from vas.admin.authentication import digest, new_key
from vas.admin.roles import Role
from vas.cluster.nodes import NodeNow
from vas.errors import Refused, StoreError
from vas.metrics import Metrics
from vas.node import Statement
from vas.store import schema
from vas.store.ids import Ids, milliseconds, shard_of
from vas.store.protocol import Store
from vas.store.sql import Portable

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
ANN, BOB = "84912345678", "84987654321"
SECRET = "meet me at nine"
KEYS = {role: new_key() for role in get_args(Role)}

REPLAYED = ReplayResult(
    "answered", (ReplayedReply(BOB, "please_call"),), (ReplayedChange(ANN, "spend"),), "has since succeeded"
)


class FakeCounters(msgspec.Struct, frozen=True):
    pdus_in: int = 10
    pdus_out: int = 9
    refused_in: int = 0
    throttled: int = 0
    timeouts: int = 0
    late_answers: int = 0


class FakeBind(msgspec.Struct, frozen=True):
    account: str = "main"
    bind_type: str = "transceiver"
    state: str = BOUND
    since: datetime = NOW
    system_id: str = "vas"
    session: int = 912345678901234567
    window_used: int = 3
    window_max: int = 50
    last_error: str = ""
    last_error_at: datetime | None = None
    last_closed: str = ""
    reconnects: int = 0
    last_in: datetime | None = NOW
    last_out: datetime | None = None
    counters: FakeCounters = FakeCounters()


class FakeOperations:
    def __init__(self) -> None:
        self.all_binds = [FakeBind(), FakeBind(state="connecting")]
        self.writable = True
        self.replayed: list[tuple[int, bool, str]] = []
        self.refuses: str | None = None

    def binds(self) -> list[FakeBind]:
        return self.all_binds

    def overview(self) -> Overview:
        millisecond = timedelta(milliseconds=1)
        return Overview(
            "1.2.3", timedelta(hours=1), 10.5, 9.5, 7, timedelta(seconds=2), 4, 3 * millisecond, 9 * millisecond, None
        )

    async def store_writable(self) -> bool:
        return self.writable

    async def replay(self, dead_letter_id: int, *, dry_run: bool, who: str) -> ReplayResult:
        if self.refuses is not None:
            raise Refused(self.refuses)
        self.replayed.append((dead_letter_id, dry_run, who))
        return REPLAYED


class FakeAccount(msgspec.Struct, frozen=True):
    name: str = "main"
    state: str = "running"
    up: bool = True
    binds_up: int = 1
    binds: int = 2
    window_used: int = 3
    window_max: int = 100
    waiting_replies: int = 1
    waiting_rest: int = 2
    rate: float = 100.0
    rate_now: float = 50.0
    slowed: bool = True
    reconnects: int = 4
    last_error: str = "closed by the peer"
    last_error_at: datetime | None = NOW
    outbinds_refused: int = 0
    counters: FakeCounters = FakeCounters()


class FakeAccounts:
    def __init__(self) -> None:
        self.all = [FakeAccount()]
        self.routed: list[tuple[str, ...]] = []
        self.orders: list[tuple[str, AccountOrder]] = []
        self.reloaded = Reloaded((Difference("accounts.main.window", "50", "7"),))
        self.reloads: list[bool] = []
        self.segments = [SegmentState("1A", "delivered", NOW)]
        self.refuses: str | None = None
        self.recalled: list[tuple[str, str, int]] = []

    def now(self) -> list[FakeAccount]:
        return self.all

    def routes(self) -> list[tuple[str, ...]]:
        return self.routed

    async def order(self, name: str, order: AccountOrder) -> None:
        self.orders.append((name, order))
        state = {"drain": "draining", "stop": "stopped", "start": "running"}[order]
        self.all = [msgspec.structs.replace(account, state=state) for account in self.all]

    async def reload(self, *, dry_run: bool) -> Reloaded:
        self.reloads.append(dry_run)
        return self.reloaded

    def cut(self, text: str, account: str) -> Cut:
        return Cut("UCS-2", 1, len(text), 70 - len(text), ("ế",))

    async def whereabouts(self, msisdn: str, id_: int) -> list[SegmentState]:
        return self._recall("whereabouts", msisdn, id_)

    async def cancel(self, msisdn: str, id_: int, *, who: str) -> list[SegmentState]:
        return self._recall(f"cancel by {who}", msisdn, id_)

    async def replace(self, msisdn: str, id_: int, text: str, *, who: str) -> SegmentState:
        return self._recall(f"replace by {who}: {text}", msisdn, id_)[0]

    def _recall(self, what: str, msisdn: str, id_: int) -> list[SegmentState]:
        if self.refuses is not None:
            raise Refused(self.refuses)
        self.recalled.append((what, msisdn, id_))
        return self.segments


class FakeNodes:
    def __init__(self) -> None:
        self.drained: list[tuple[str, bool]] = []
        self.rows = [
            NodeNow("one", 0, "1.0", "10.0.0.1:8080", NOW, timedelta(seconds=4), False, True, {"main": 2}),
            NodeNow("two", 1, "1.0", "10.0.0.2:8080", NOW, timedelta(0), True, False, {}),
        ]

    async def all(self) -> list[NodeNow]:
        return self.rows

    async def drain(self, name: str, draining: bool) -> bool:
        self.drained.append((name, draining))
        self.rows = [msgspec.structs.replace(row, draining=draining) if row.name == name else row for row in self.rows]
        return True


class Books:
    """Reader and writer of a store, as a node has them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.sql = store.sql
        self.read = store.read
        self.broken = False

    async def write(self, statement: Portable, *rows: Mapping[str, object]) -> None:
        if self.broken:
            raise StoreError
        query = statement.on(self.sql.dialect)
        for error in await self._store.commit([Statement(query.text, query.params(**row)) for row in rows]):
            if error is not None:
                raise error


class Clock:
    """Stands still, unless told how far each reading moves it."""

    def __init__(self) -> None:
        self.step = timedelta(0)
        self._now = NOW

    def __call__(self) -> datetime:
        self._now += self.step
        return self._now


class World:
    """The listener, its client, and what stands behind it."""

    def __init__(
        self, books: Books, operations: FakeOperations, accounts: FakeAccounts, nodes: FakeNodes, clock: Clock,
        desk: Desk, client: Any,
    ) -> None:  # fmt: skip
        self.books = books
        self.operations = operations
        self.accounts = accounts
        self.nodes = nodes
        self.clock = clock
        self.desk = desk
        self.client = client
        self.keys: dict[str, str] = dict(KEYS)
        self.ids = Ids(1)

    async def get(self, path: str, role: str = "admin") -> ClientResponse:
        return await self.ask("GET", path, role)

    async def post(self, path: str, body: object, role: str = "admin") -> ClientResponse:
        return await self.ask("POST", path, role, json=body)

    async def ask(self, method: str, path: str, role: str, **kwargs: Any) -> ClientResponse:
        headers = {"Authorization": f"Bearer {self.keys[role]}", **kwargs.pop("headers", {})}
        response: ClientResponse = await self.client.request(method, path, headers=headers, **kwargs)
        return response

    def new_id(self, at: datetime = NOW) -> int:
        return self.ids.next(milliseconds(at))

    async def put(self, table: sqlalchemy.Table, values: dict[str, Any], **usual: Any) -> int:
        """A row of `values`, for the rest of the usual ones; its id."""
        row = {**usual, **values}
        await self.books.write(Portable(insert(table), columns=tuple(row)), row)
        return int(row.get("id", 0))

    async def received(self, msisdn: str = ANN, at: datetime = NOW, **values: Any) -> int:
        """An inbox row; its id."""
        return await self.put(
            schema.inbox, values,
            shard=shard_of(msisdn), msisdn=msisdn, id=self.new_id(at), kind="sms", account="main", session=1,
            ordinal=1, received_ms=milliseconds(at), sent_to="9105", text=SECRET, service="callme",
            handler="call_back", why="CM {friend}", result="answered", reply="sent", steps=b"[]", copies=0,
        )  # fmt: skip

    async def sent(self, msisdn: str = BOB, at: datetime = NOW, cause: int = 0, **values: Any) -> int:
        """An outbox row; its id."""
        return await self.put(
            schema.outbox, values,
            shard=shard_of(msisdn), msisdn=msisdn, id=self.new_id(at), cause=cause, origin=ANN, service="callme",
            kind="sms", source="9105", account="main", text=SECRET, key="please_call", params=b"", settle="",
            once=False, reply=True, created_ms=milliseconds(at), expires_ms=milliseconds(at + timedelta(days=1)),
            due_ms=None, state="queued", attempts=0, segments=1, smsc_ids="", sent_ms=None, settled_ms=None,
            status=0, error="",
        )  # fmt: skip

    async def failed(self, msisdn: str = ANN, at: datetime = NOW, cause: int = 0, **values: Any) -> int:
        """A dead letter; its id."""
        return await self.put(
            schema.dead_letter, values,
            id=self.new_id(at), kind="command", cause=cause, msisdn=msisdn, service="callme", handler="call_back",
            error=f"ValueError: {msisdn}", trace="rules.py:7 spend", body=b'{"text":"meet me at nine"}',
            at_ms=milliseconds(at), replayed_ms=None, replayed_by="",
        )  # fmt: skip

    async def put_receipt(self, smsc_id: str, outbox_id: int, **values: Any) -> None:
        """A receipt row; the message went to Bob."""
        await self.put(schema.receipt, values, account="main", smsc_id=smsc_id, msisdn=BOB, outbox_id=outbox_id,
                       error="000")  # fmt: skip

    async def audit(self) -> list[store.AuditRow]:
        """Every row, oldest first."""
        found = await store.audited(self.books, store.Span(0, store.LAST_ID, 1000), None)
        return found[::-1]


@pytest.fixture
async def world(engine: Engine, folder: Path) -> AsyncIterator[World]:
    clock = Clock()
    database = engine.make_store(folder, lambda: milliseconds(NOW))
    await database.open()
    books, operations, accounts, nodes = Books(database), FakeOperations(), FakeAccounts(), FakeNodes()
    for role, key in KEYS.items():
        await store.put_key(books, role, role, digest(key), 0)
    desk = Desk(books, books, operations, accounts, nodes, Metrics(CollectorRegistry()), Ids(0), clock)
    async with TestClient(TestServer(create_app(desk))) as client:
        yield World(books, operations, accounts, nodes, clock, desk, client)
    await database.close()
