"""Nodes that start together on a new database make one first key."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.admin.conftest import World
from vas.admin import make_first_key, store


@pytest.fixture
def blind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each node looks for keys before another has made one."""

    async def none(reader: object) -> bool:
        return False

    monkeypatch.setattr(store, "has_keys", none)


@pytest.mark.usefixtures("blind")
async def test_the_file_of_the_node_that_was_slower_is_taken_back(world: World, tmp_path: Path) -> None:
    quicker, slower = tmp_path / "quicker.key", tmp_path / "slower.key"
    await make_first_key(world.desk, quicker)
    await make_first_key(world.desk, slower)
    assert quicker.exists()
    assert not slower.exists()


@pytest.mark.usefixtures("blind")
async def test_nodes_that_share_the_file_share_the_key(world: World, tmp_path: Path) -> None:
    file = tmp_path / "admin.key"
    await make_first_key(world.desk, file)
    made = file.read_text()
    await make_first_key(world.desk, file)
    assert file.read_text() == made
