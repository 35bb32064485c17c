"""`vas run` with a bug planted in what nodes share: python -m tests.crash.planted_nodes BUG -c n1.toml --node n1

Each of these lets two nodes do what only one may, and each must be found.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from gateway.adapter import SmppGateway
from tests.crash.planted import no_redelivery_check
from vas.__main__ import app
from vas.store import schema
from vas.store.postgres_statements import PostgresStatements
from vas.store.sql import Query


def no_version_check() -> None:
    """A document is written over whatever another node has made of it."""

    def put(self: PostgresStatements) -> Query:
        table = schema.state
        new = self._insert(table)
        written = {"version": new.excluded.version, "value": new.excluded.value}
        return self._compile(new.on_conflict_do_update(index_elements=["shard", "msisdn", "service"], set_=written))

    PostgresStatements.put_versions = property(put)  # type: ignore[assignment]


def socket_without_lease() -> None:
    """Whatever became of its lease, a node writes to its SMSC."""
    make = SmppGateway.__init__

    def careless(self: SmppGateway, *args: Any, may_send: object, **more: Any) -> None:
        make(self, *args, **more)

    SmppGateway.__init__ = careless  # type: ignore[method-assign,assignment]


BUGS: dict[str, Callable[[], None]] = {
    bug.__name__: bug for bug in (no_redelivery_check, no_version_check, socket_without_lease)
}

if __name__ == "__main__":
    BUGS[sys.argv[1]]()
    sys.argv[1:2] = ["run"]
    app()
