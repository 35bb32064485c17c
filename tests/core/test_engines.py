"""What the tests of the core, of the services, of the operations' API and of the store stand on: both engines."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines import FOLDERS, ONLY, STORES, TESTS, Engine
from vas.testing import Network

OF_SQLITE_ALONE = {
    "core/test_housekeeping.py": 1,
    "core/test_migrations.py": 7,
    "store/test_commit_unknown.py": 1,
    "store/test_examining.py": 1,
    "store/test_faults.py": 1,
    "store/test_partitions.py": 1,
}
"""How often a file says that what follows is about this engine; why, it says there."""
OF_POSTGRES_ALONE = re.compile(
    r"core/test_nodes_\w+|store/test_(postgres_\w+|engines_agree|partitions|reaching|shared_migrations)"
)
"""The files about what only an engine that nodes share can do."""


def markers(source: str) -> Iterator[tuple[str, str]]:
    """The engine and the reason of each."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == ONLY:
            engine, reason = (str(ast.literal_eval(argument)) for argument in node.args)
            yield engine, reason


def test_what_is_about_a_single_engine_is_known() -> None:
    found = Counter[str]()
    for file in sorted(path for folder in FOLDERS for path in (TESTS / folder).glob("*.py")):
        name = str(file.relative_to(TESTS))
        for engine, reason in markers(file.read_text("utf-8")):
            assert len(reason.split()) > 1
            if engine == "sqlite":
                found[name] += 1
            else:
                assert engine == "postgres"
                assert OF_POSTGRES_ALONE.match(name), name
    assert dict(found) == OF_SQLITE_ALONE


async def test_a_network_writes_with_the_engine_of_its_test(folder: Path, engine: Engine) -> None:
    async with Network(folder) as network:
        assert type(network.node.store) is STORES[engine.name]
        [others] = STORES.keys() - {engine.name}
        with pytest.raises(AssertionError, match="let the test ask for `folder`"):
            await STORES[others].open(network.node.store)


@pytest.mark.parametrize("name", sorted(STORES))
async def test_who_asks_for_no_folder_opens_no_store(name: str) -> None:
    with pytest.raises(AssertionError, match="let the test ask for `folder`"):
        await STORES[name].open(object())
