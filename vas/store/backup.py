"""A copy of the embedded database while it is in use."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from vas.errors import StoreError


def create_private(path: Path) -> None:
    """An empty file that only its owner reads: there will be numbers of subscribers in it, and what they wrote."""
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def backup(source: Path, path: Path) -> None:
    """Copy a database that may be in use, consistent and synced; raises StoreError with what is wrong."""
    if not source.exists():
        raise StoreError(f"{source}: no such database")
    try:
        create_private(path)
    except FileExistsError:
        raise StoreError(f"{path} exists already: choose another name, or move it away") from None
    except OSError as error:
        raise StoreError(f"{path}: the backup failed: {error}") from error
    connection = sqlite3.connect(f"file:{source}?mode=ro", uri=True)
    try:
        connection.execute("VACUUM INTO ?", (str(path),))
        with path.open("rb") as copy:
            os.fsync(copy.fileno())
    except (sqlite3.Error, OSError) as error:
        path.unlink(missing_ok=True)
        raise StoreError(f"{path}: the backup failed: {error}") from error
    finally:
        connection.close()
