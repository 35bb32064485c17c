"""Everything goes wrong at once for a few seconds; `make drill` does it for ten minutes."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from bench.crash import Plan
from bench.soak import FAULTS, Soak
from gateway.simulator.faults import Fault
from tests.crash.runs import found_out

pytestmark = pytest.mark.timeout(180)


DROPS = (Fault(kind="drop_before", every=97, times=3), Fault(kind="silence", every=53, times=5))
"""Sooner than those of a long soak."""
THROTTLING = Fault(kind="status", status="RTHROTTLED", every=20, times=5)
"""Slows an account down to little more than itself."""
PLAN = Plan(kills=0, with_ids=True, subscribers=300)
SHORT = partial(Soak, seconds=4, rate=150)


async def test_nothing_is_lost_or_done_twice_while_everything_goes_wrong(tmp_path: Path) -> None:
    drill = SHORT(PLAN, tmp_path, faults=(*DROPS, *FAULTS))
    verdict = await drill.run()
    assert verdict.violations == []
    assert verdict.commands > 300
    assert verdict.copies and verdict.repeated and drill.falls and drill.struck > 100


@pytest.mark.parametrize(
    ("bug", "faults", "what"),
    [
        ("lost_with_the_link", (*DROPS, *FAULTS), "never got"),
        ("twice_when_throttled", (THROTTLING,), "accepted twice though it was answered"),
        ("early_receipts_forgotten", FAULTS, "receipt that settled nothing"),
    ],
)
async def test_the_checker_finds_a_planted_bug(tmp_path: Path, bug: str, faults: tuple[Fault, ...], what: str) -> None:
    plan = PLAN._replace(program=("-m", "tests.soak.planted", bug), rest_s=5)
    await found_out(partial(SHORT, faults=faults), plan, tmp_path, what)
