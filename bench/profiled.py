"""`vas run` under cProfile: python -m bench.profiled FOLDER -c config.toml

The event loop's thread goes to FOLDER/loop.prof, the store's writer to FOLDER/writer.prof, when it is told to stop.
"""

from __future__ import annotations

import cProfile
import pstats
import sys
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

from vas.__main__ import app
from vas.store.protocol import Work
from vas.store.sqlite import SqliteStore

SHOWN = 25


def run(folder: Path) -> None:
    loop, writer = cProfile.Profile(), cProfile.Profile()
    commit = SqliteStore._commit

    def profiled(self: SqliteStore, works: Sequence[Work]) -> list[Exception | None]:
        return writer.runcall(commit, self, works)

    SqliteStore._commit = profiled  # type: ignore[method-assign]
    try:
        loop.runcall(app, standalone_mode=False)
    finally:
        loop.dump_stats(folder / "loop.prof")
        writer.dump_stats(folder / "writer.prof")


def shown(folder: Path) -> str:
    """Where the time went in each thread, the costliest functions first."""
    text = StringIO()
    for name in ("loop", "writer"):
        text.write(f"--- {name}\n")
        stats = pstats.Stats(str(folder / f"{name}.prof"), stream=text).strip_dirs()
        stats.sort_stats("tottime").print_stats(SHOWN)
    return text.getvalue()


if __name__ == "__main__":
    to = Path(sys.argv[1])
    sys.argv[1:2] = ["run"]
    run(to)
