"""What nodes write and read about one another, one function a question. All times are the database's own."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import BigInteger, bindparam, cast, delete, extract, func, insert, literal, select, text, update
from sqlalchemy.dialects.postgresql import insert as postgres_insert

from vas.cluster.assignment import Place
from vas.cluster.line import CHANNEL, Ask, Line
from vas.errors import StoreUnusable
from vas.store import schema
from vas.store.ids import first_id
from vas.store.sql import POSTGRES, compiled

NUMBERS = 128
"""How many nodes can live at a time: each has a number of its own in the ids that it makes."""
_LAST_NUMBER = "node.number"
_RANDOM_BITS = 22

_node, _lease, _meta = schema.node.c, schema.bind_lease.c, schema.meta.c


class NodeRow(NamedTuple):
    """A node as the others see it."""

    id: int
    name: str
    number: int
    address: str
    version: str
    started_ms: int
    until_ms: int
    draining: bool
    now_ms: int
    """When this was read."""

    @property
    def left_ms(self) -> int:
        """Of its lease; not above 0: it may be given up."""
        return self.until_ms - self.now_ms


class Lease(NamedTuple):
    account: str
    place: int
    node: int
    since_ms: int


class Entered(NamedTuple):
    id: int
    number: int


_NOW_MS = cast(func.floor(extract("epoch", func.clock_timestamp()) * 1000), BigInteger)
_UNTIL_MS = _NOW_MS + bindparam("lease_ms", type_=BigInteger)
_ROW = [schema.node.c[name] for name in NodeRow._fields[:-1]]

# It keeps two from joining at once, and keeps no batch of commands waiting, which only looks at its own row.
_LOCK = compiled(text("LOCK TABLE node IN SHARE ROW EXCLUSIVE MODE"), POSTGRES)
_NOW = compiled(select(_NOW_MS), POSTGRES)
_NODES = compiled(select(*_ROW, _NOW_MS.label("now_ms")).order_by(_node.name), POSTGRES)
_LEASES = compiled(select(*(schema.bind_lease.c[name] for name in Lease._fields)), POSTGRES)
_NUMBER = compiled(select(_meta.value).where(_meta.key == bindparam("given_key")), POSTGRES)
_put_number = postgres_insert(schema.meta)
_PUT_NUMBER = compiled(
    _put_number.on_conflict_do_update(index_elements=["key"], set_={"value": _put_number.excluded.value}), POSTGRES
)
_ENTER = compiled(
    insert(schema.node).values(
        id=bindparam("id"), name=bindparam("name"), number=bindparam("number"), address=bindparam("address"),
        version=bindparam("version"), started_ms=_NOW_MS, until_ms=_UNTIL_MS, draining=literal(True),
    ), POSTGRES,
)  # fmt: skip
_RENEW = compiled(
    update(schema.node)
    .where(_node.id == bindparam("given_id"))
    .values(until_ms=_UNTIL_MS, address=bindparam("given_address"))
    .returning(_node.draining),
    POSTGRES,
)
_DRAIN = compiled(
    update(schema.node)
    .where(_node.name == bindparam("given_name"))
    .values(draining=bindparam("given_draining"))
    .returning(_node.id),
    POSTGRES,
)
_GIVE_UP = compiled(delete(schema.node).where(_node.until_ms < _NOW_MS).returning(_node.id, _node.name), POSTGRES)
_GIVE_UP_ONE = compiled(delete(schema.node).where(_node.id == bindparam("given_id")), POSTGRES)
_ORPHANED = compiled(delete(schema.bind_lease).where(_lease.node.not_in(select(_node.id))), POSTGRES)
# The node's own row is held while it takes something, so that nobody gives it up in between.
_TAKE = compiled(
    postgres_insert(schema.bind_lease)
    .from_select(
        Lease._fields,
        select(
            bindparam("given_account", type_=_lease.account.type),
            bindparam("given_place", type_=_lease.place.type),
            _node.id,
            _NOW_MS,
        )
        .where(_node.id == bindparam("given_id"))
        .with_for_update(read=True, key_share=True),
    )
    .on_conflict_do_nothing()
    .returning(_lease.place),
    POSTGRES,
)
_RELEASE = compiled(
    delete(schema.bind_lease).where(
        _lease.account == bindparam("given_account"),
        _lease.place == bindparam("given_place"),
        _lease.node == bindparam("given_id"),
    ),
    POSTGRES,
)
_RELEASE_ALL = compiled(delete(schema.bind_lease).where(_lease.node == bindparam("given_id")), POSTGRES)
_TELL = compiled(select(func.pg_notify(CHANNEL, "")), POSTGRES)


async def enter(line: Line, name: str, address: str, version: str, lease_ms: int) -> Entered | NodeRow:
    """Take a row and a number, but no part of the binds yet; else the row of a node of this name whose lease stands.

    Raises StoreUnusable if as many nodes live as there are numbers.
    """
    async with line.transaction() as ask:
        await ask(_LOCK)
        rows = [NodeRow(*row) for row in await ask(_NODES)]
        for row in rows:
            if row.name == name:
                if row.left_ms > 0:
                    return row
                await ask(_GIVE_UP_ONE, given_id=row.id)
        await ask(_ORPHANED)
        number = await _free_number(ask, {row.number for row in rows if row.name != name})
        id_ = first_id(rows[0].now_ms if rows else await _now_ms(ask)) | secrets.randbits(_RANDOM_BITS)
        await ask(_ENTER, id=id_, name=name, number=number, address=address, version=version, lease_ms=lease_ms)
        await ask(_TELL)
        return Entered(id_, number)


async def _now_ms(ask: Ask) -> int:
    [(now_ms,)] = await ask(_NOW)
    return int(now_ms)


async def _free_number(ask: Ask, taken: Collection[int]) -> int:
    """The next after the one that was given last, so that one is given again as late as can be."""
    found = await ask(_NUMBER, given_key=_LAST_NUMBER)
    last = int(found[0][0]) if found else -1
    for step in range(1, NUMBERS + 1):
        number = (last + step) % NUMBERS
        if number not in taken:
            await ask(_PUT_NUMBER, key=_LAST_NUMBER, value=str(number).encode())
            return number
    raise StoreUnusable(f"{NUMBERS} nodes share this database already, and more cannot be told apart: stop one of them")


async def renew(line: Line, id_: int, lease_ms: int, address: str) -> bool:
    """Whether the node's row still stands; then its lease begins anew."""
    return bool(await line.ask(_RENEW, given_id=id_, lease_ms=lease_ms, given_address=address))


async def leave(line: Line, id_: int) -> None:
    """Give the row and all leases back."""
    async with line.transaction() as ask:
        await ask(_GIVE_UP_ONE, given_id=id_)
        await ask(_RELEASE_ALL, given_id=id_)
        await ask(_TELL)


async def give_up(line: Line) -> list[str]:
    """Take everything from the nodes whose leases are over, once nothing of theirs is being committed; their names."""
    async with line.transaction() as ask:
        gone = await ask(_GIVE_UP)
        await ask(_ORPHANED)
        if gone:
            await ask(_TELL)
        return [name for _, name in gone]


async def nodes(line: Line) -> list[NodeRow]:
    """All that have a row, by name."""
    return [NodeRow(*row) for row in await line.ask(_NODES)]


async def leases(line: Line) -> dict[Place, int]:
    """Which node has which place."""
    return {Place(lease.account, lease.place): lease.node for lease in [Lease(*row) for row in await line.ask(_LEASES)]}


async def drain(line: Line, name: str, draining: bool) -> bool:
    """Have a node give its binds to the others, or take its part again; whether there is one of this name."""
    async with line.transaction() as ask:
        found = await ask(_DRAIN, given_name=name, given_draining=draining)
        await ask(_TELL)
        return bool(found)


async def take(line: Line, id_: int, account: str, numbers: Collection[int]) -> list[int]:
    """Which of these places of an account the node has from now on: none that another has, none if it was given up."""
    async with line.transaction() as ask:
        taken = [number for number in sorted(numbers)
                 if await ask(_TAKE, given_id=id_, given_account=account, given_place=number)]  # fmt: skip
        await ask(_TELL)
        return taken


async def release(line: Line, id_: int, account: str, numbers: Collection[int]) -> None:
    """Let others have these places."""
    async with line.transaction() as ask:
        for number in sorted(numbers):
            await ask(_RELEASE, given_id=id_, given_account=account, given_place=number)
        await ask(_TELL)
