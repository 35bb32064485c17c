"""What the core's tests share: a folder with an empty database, and a small service to try things on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.core.toys import Toy
from vas.store import migrate


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("empty") / "vas.db"
    migrate.upgrade(path)
    return path


@pytest.fixture
def folder(tmp_path: Path, empty_database: Path) -> Path:
    """Where a network keeps its database; the tables are there already, which saves each test the migrations."""
    shutil.copy(empty_database, tmp_path / "vas.db")
    return tmp_path


@pytest.fixture
def toy(folder: Path) -> Toy:
    return Toy(folder)
