"""A real PostgreSQL, and nodes that share a database of it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Protocol

import pytest

from tests.postgres import Databases, database_server
from vas.cluster.membership import Membership
from vas.store.migrate_postgres import upgrade

LEASE = timedelta(seconds=2)


@pytest.fixture(scope="session")
def databases() -> Iterator[Databases]:
    with database_server() as server:
        yield server


@pytest.fixture(scope="session")
def template(databases: Databases) -> Iterator[str]:
    """A database with all tables to which nobody is connected."""
    name = f"nodes_{secrets.token_hex(6)}"
    asyncio.run(upgrade(databases.create(name)))
    yield name
    databases.drop(name)


@pytest.fixture
def database(databases: Databases, template: str) -> Iterator[str]:
    """The name of a database of the test's own."""
    name = f"test_{secrets.token_hex(6)}"
    databases.create(name, template)
    yield name
    databases.drop(name)


@pytest.fixture
def url(databases: Databases, database: str) -> str:
    return databases.url(database)


class Join(Protocol):
    async def __call__(self, name: str, lease: timedelta = LEASE) -> Membership: ...


@pytest.fixture
async def join(url: str) -> AsyncIterator[Join]:
    """Makes members that have joined; they leave in the end."""
    members: list[Membership] = []

    async def joined(name: str, lease: timedelta = LEASE) -> Membership:
        member = Membership(url, name, lease, address="127.0.0.1:8080", version="1.0")
        members.append(member)
        await member.join()
        return member

    yield joined
    await asyncio.gather(*(member.leave() for member in members))
