"""`vas run` with a bug planted in it: python -m tests.soak.planted BUG -c config.toml"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable

from gateway.accounts.lanes import Lanes, Submission
from gateway.links.requests import Request, Requests
from vas import submissions
from vas.__main__ import app
from vas.messages import Part
from vas.parts import Reassembly
from vas.store.rows import PartKey


def lost_with_the_link() -> None:
    """What was unanswered when a link broke is forgotten."""
    abandon = Requests.abandon

    def forget(self: Requests) -> list[Request]:
        abandon(self)
        return []

    Requests.abandon = forget  # type: ignore[method-assign]


def twice_when_throttled() -> None:
    """What was refused for now is sent twice."""
    keep = Lanes.keep

    def keep_two(self: Lanes, submission: Submission, until: float) -> None:
        keep(self, submission, until)
        keep(self, submission, until)

    Lanes.keep = keep_two  # type: ignore[method-assign]


def early_receipts_forgotten() -> None:
    """A receipt that comes before its submit_sm_resp settles nothing."""

    async def forget(*args: object) -> None:
        return None

    submissions.segment_ended = forget


def references_ignored() -> None:
    """Parts of one sender that have the same total belong together."""
    take = Reassembly.take

    def mix(self: Reassembly, key: PartKey, part: Part) -> Awaitable[list[Part] | None]:
        return take(self, key._replace(reference=""), part)

    Reassembly.take = mix  # type: ignore[method-assign,assignment]


BUGS: dict[str, Callable[[], None]] = {
    bug.__name__: bug
    for bug in (lost_with_the_link, twice_when_throttled, early_receipts_forgotten, references_ignored)
}

if __name__ == "__main__":
    BUGS[sys.argv[1]]()
    sys.argv[1:2] = ["run"]
    app()
