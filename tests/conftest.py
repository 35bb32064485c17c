"""What every test shares: the engines under it, and logs of its own."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import structlog

from tests.engines import STORES, Engine, Postgres, Sqlite, engines_of, in_folders, refused
from tests.postgres import database_server
from vas import testing
from vas.logs import Forward
from vas.store import migrate
from vas.testing_postgres import Server


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if names := engines_of(metafunc):
        metafunc.parametrize("engine", names, indirect=True)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with all tables."""
    path = tmp_path_factory.mktemp("empty") / "vas.db"
    migrate.upgrade(path)
    return path


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """One PostgreSQL a worker, started by the first test that wants it."""

    with database_server() as running, Server(running.url()) as server:
        yield server


@pytest.fixture(autouse=True)
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine | None]:
    """What networks write with; None where a test has no store."""
    name = getattr(request, "param", None)
    if in_folders(request.path):
        for other in STORES.keys() - {name}:
            monkeypatch.setattr(STORES[other], "open", refused)
    if name is None:
        yield None
        return
    with ExitStack() as stack:
        if name == "sqlite":
            used: Engine = Sqlite(request.getfixturevalue("empty_database"))
        else:
            used = Postgres(stack.enter_context(request.getfixturevalue("server").databases()))
        monkeypatch.setattr(testing, "make_store", used.make_store)
        yield used


@pytest.fixture
def folder(tmp_path: Path, engine: Engine) -> Path:
    """Where a network lives; its database has all tables, which saves each test the migrations."""
    engine.prepare(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def logs_of_its_own() -> Iterator[None]:
    """A platform that runs in a test leads all logs to a standard error that is closed after the test."""
    # Of an exception structlog would else show all local variables, which takes long where they are a platform's.
    plain = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[structlog.processors.add_log_level, plain])
    yield
    structlog.reset_defaults()
    root = logging.getLogger()
    root.handlers[:] = [handler for handler in root.handlers if not isinstance(handler, Forward)]
    root.setLevel(logging.WARNING)
