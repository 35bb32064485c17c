"""`vas run` with a bug planted in it: python -m tests.crash.planted BUG -c config.toml

What the checker is for: each of these breaks the promise, and each must be found.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from gateway.links import lateness
from vas.__main__ import app
from vas.command import Command
from vas.dispatch import Dispatch
from vas.messages import ROK, Answer, Inbound
from vas.outbox import Outbox
from vas.sessions import Copy, Sessions
from vas.store import checkpoint, sqlite


def no_redelivery_check() -> None:
    """Every copy is a wish."""
    Command._judge = lambda self, earlier: Copy.WISH  # type: ignore[method-assign]


def every_copy_a_redelivery() -> None:
    """Nobody may say the same thing twice."""
    Sessions.confirm = lambda self, id_, ordinal: None  # type: ignore[method-assign]
    Command._judge = lambda self, earlier: Copy.REDELIVERY  # type: ignore[method-assign]


def answer_before_commit() -> None:
    receive = Dispatch.receive

    def hasty(self: Dispatch, inbound: Inbound, answer: Answer) -> None:
        answer(ROK)
        receive(self, inbound, lambda status: None)

    Dispatch.receive = hasty  # type: ignore[method-assign]


def forgotten_replies() -> None:
    """What was committed and not sent before a crash is never looked for."""
    Outbox.tick = lambda self: self._record() if self._results else None  # type: ignore[method-assign]


def synchronous_normal() -> None:
    """A commit is not carried to the disk, and no checkpoint does it a moment later."""
    checkpoint.WORTH_IT_OCTETS = 1 << 40
    sqlite.PRAGMAS = tuple(pragma.replace("=FULL", "=NORMAL") for pragma in sqlite.PRAGMAS)  # type: ignore[assignment]


def standstill_unnoticed() -> None:
    """Whatever is read has just come."""
    lateness.HELD_UP_SECONDS = float("inf")


BUGS: dict[str, Callable[[], None]] = {
    bug.__name__: bug
    for bug in (
        no_redelivery_check,
        every_copy_a_redelivery,
        answer_before_commit,
        forgotten_replies,
        synchronous_normal,
        standstill_unnoticed,
    )
}

if __name__ == "__main__":
    BUGS[sys.argv[1]]()
    sys.argv[1:2] = ["run"]
    app()
