"""Copy the write-ahead log into the database beside the writer, so that no commit waits for it.

A checkpoint that SQLite begins by itself runs inside a COMMIT: at full load the answers of a whole batch then wait
for it, several times a second. PASSIVE ones on a connection of their own hold nobody up. Only
the last of them, when the log is begun anew, is left to the writer (`wal_autocheckpoint`).
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from threading import Event, Thread

import structlog

log = structlog.get_logger()

EVERY_S = 0.05
WORTH_IT_OCTETS = 4 << 20
"""A shorter log is left alone."""


class Checkpointer:
    """A thread of its own, until `stop`. It ends when something fails; the writer's own checkpoints then do all."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._log = database.with_name(database.name + "-wal")
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="checkpoint", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        connection = sqlite3.connect(self._database, isolation_level=None)
        try:
            connection.execute("PRAGMA busy_timeout=0")
            while not self._stopping.wait(EVERY_S):
                if self._octets() >= WORTH_IT_OCTETS:
                    connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        except sqlite3.Error as error:
            log.warning("store.checkpoint_failed", error=str(error))
        finally:
            connection.close()

    def _octets(self) -> int:
        try:
            return self._log.stat().st_size
        except OSError:
            return 0
