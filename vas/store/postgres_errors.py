"""What an error of PostgreSQL means: a statement is wrong, another node was quicker, or the engine is in trouble."""

from __future__ import annotations

from enum import Enum, auto

import asyncpg

from vas.errors import StoreError, StoreUnusable

DRIVER_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
"""All that asyncpg raises; a timeout is an OSError."""


class Fault(Enum):
    """Whose fault an error is."""

    HANDLER = auto()
    """The statement's, or what was to be written: it fails whenever it is run."""
    OTHERS = auto()
    """Nobody's: another transaction was in the way, and the same again may succeed."""
    ENGINE = auto()


_OTHERS = frozenset({"40001", "40P01", "55P03"})
_READ_ONLY, _IDLE = "25006", "25P03"
_ENGINE_CLASSES = frozenset({"08", "28", "3D", "53", "54", "55", "57", "58", "F0", "XX"})

_WHAT_TO_DO = {
    "53100": "its disk is full: free some space; messages wait at the SMSC meanwhile",
    "53200": "it is out of memory: look at its log",
    "53300": "it has no connection left: raise max_connections, or stop who has them",
    "28P01": "check the password in store.url",
    "28000": "check the user in store.url, and the server's pg_hba.conf",
    "42501": "GRANT it, or run `vas db upgrade` as the role of store.url; see docs/operations.md",
    "3D000": "make the database, or correct store.url",
    "25006": "it is a standby, or read only: name the primary in store.url, or all servers",
    "57014": "it was too slow, or something held a lock for too long: look at pg_stat_activity",
    "25P03": "this node was too slow between two statements of a batch: look at its load",
    "57P01": "it is being stopped",
    "57P02": "it crashed and starts again",
    "57P03": "it is starting or stopping",
}
_LASTING_CLASSES = frozenset({"28", "3D"})
UNREACHABLE = "check that it runs, and host and port in store.url"


def fault_of(error: BaseException, *, broken: bool = False) -> Fault:
    """`broken`: its connection is closed."""
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or "XX000"
        if state in _OTHERS:
            return Fault.OTHERS
        engine = state in (_READ_ONLY, _IDLE) or state[:2] in _ENGINE_CLASSES
        return Fault.ENGINE if engine else Fault.HANDLER
    # On a connection that is well the driver itself refuses only parameters: too many, or of a wrong type. What it
    # calls its own fault is the server's farewell, read before the end of the connection.
    engine = broken or isinstance(error, OSError | asyncpg.InternalClientError)
    return Fault.ENGINE if engine else Fault.HANDLER


def explained(error: BaseException, where: str) -> StoreError:
    """With plain advice; `where`: the database, without any secret."""
    state = getattr(error, "sqlstate", None) or ""
    if isinstance(error, TimeoutError):
        what, advice = "no answer in time", "look at its load and at the network"
    elif isinstance(error, OSError):
        what, advice = str(error) or type(error).__name__, UNREACHABLE
    else:
        advice = UNREACHABLE if state.startswith("08") else _WHAT_TO_DO.get(state, "")
        what = str(error) or type(error).__name__
    message = f"{where}: {what}" + (f": {advice}" if advice else "")
    return StoreUnusable(message) if state[:2] in _LASTING_CLASSES else StoreError(message)


def keeps_session(error: BaseException) -> bool:
    """Whether the connection is well all the same: the server has said that its disk or its memory is full."""
    return isinstance(error, asyncpg.PostgresError) and (error.sqlstate or "")[:2] in ("53", "54", "55")
