"""`vas run` under cProfile: python -m bench.profiled FOLDER -c config.toml

Processor time of the event loop, from when the platform has started, goes to FOLDER/loop.prof, that of SQLite's
writer to FOLDER/writer.prof, when it is told to stop. Of a PostgreSQL, its own count of statements is asked.
"""

from __future__ import annotations

import cProfile
import pstats
import sys
import time
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

from tests.postgres import Server
from vas import serving
from vas.__main__ import app
from vas.store.protocol import Work
from vas.store.sqlite import SqliteStore

SHOWN = 25


def run(folder: Path) -> None:
    loop, writer = cProfile.Profile(time.thread_time), cProfile.Profile(time.thread_time)
    commit, started = SqliteStore._commit, serving.collect_seldom

    def profiled(self: SqliteStore, works: Sequence[Work]) -> list[Exception | None]:
        return writer.runcall(commit, self, works)

    def from_now_on() -> None:
        started()
        loop.enable()

    SqliteStore._commit = profiled  # type: ignore[method-assign]
    serving.collect_seldom = from_now_on
    try:
        app(standalone_mode=False)
    finally:
        loop.dump_stats(folder / "loop.prof")
        if writer.getstats():
            writer.dump_stats(folder / "writer.prof")


def shown(folder: Path) -> str:
    """Where the time went in each thread, the costliest functions first."""
    text = StringIO()
    for file in sorted(folder.glob("*.prof")):
        text.write(f"--- {file.stem}\n")
        stats = pstats.Stats(str(file), stream=text).strip_dirs()
        stats.sort_stats("tottime").print_stats(SHOWN)
    return text.getvalue()


COUNTS_STATEMENTS = {"shared_preload_libraries": "pg_stat_statements", "pg_stat_statements.track_planning": "on"}
"""Settings of a PostgreSQL."""


def begin_to_count(server: Server) -> None:
    server.sql("CREATE EXTENSION IF NOT EXISTS pg_stat_statements", "SELECT pg_stat_statements_reset()")


def counted(server: Server, commands: int) -> str:
    """What the server's statements took since, the costliest first, in microseconds a command."""
    rows = server.sql(f"""
        SELECT format('%8s %8s %8s %8s  %s',
            round((total_exec_time * 1000 / {commands})::numeric, 1),
            round((total_plan_time * 1000 / {commands})::numeric, 1),
            calls, rows, left(regexp_replace(query, '\s+', ' ', 'g'), 150))
        FROM pg_stat_statements ORDER BY total_exec_time + total_plan_time DESC LIMIT {SHOWN}
    """)  # noqa: S608
    return f"--- statements\n{'run us':>8} {'plan us':>8} {'calls':>8} {'rows':>8}\n{rows}\n"


if __name__ == "__main__":
    to = Path(sys.argv[1])
    sys.argv[1:2] = ["run"]
    run(to)
