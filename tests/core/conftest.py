"""What the core's tests share: a small service to try things on, and platforms that share a database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.core.nodes import Nodes, nodes_of
from tests.core.toys import Toy
from tests.engines import Engine
from vas import Service
from vas.testing import Network


@pytest.fixture
def toy(folder: Path, engine: Engine) -> Toy:
    return Toy(folder, engine)


@pytest.fixture
async def nodes(toy: Toy) -> AsyncIterator[Nodes]:
    async with nodes_of(toy) as nodes:
        yield nodes


@pytest.fixture
async def a(nodes: Nodes, service: Service) -> Network:
    """A node with the service that a module makes; `b` is another."""
    return await nodes.start(service)


@pytest.fixture
async def b(nodes: Nodes, service: Service) -> Network:
    return await nodes.start(service)
