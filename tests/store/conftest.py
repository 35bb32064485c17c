"""Databases without tables, on the server that all tests share."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from tests.postgres import Databases
from vas.testing_postgres import Server


@pytest.fixture
def blank(server: Server) -> Iterator[str]:
    """The URL of an empty one."""
    databases, name = Databases(server.url("postgres")), f"blank_{secrets.token_hex(4)}"
    yield databases.create(name)
    databases.drop(name)
