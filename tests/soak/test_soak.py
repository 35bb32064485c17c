"""Everything goes wrong at once for a few seconds; `make drill` does it for ten minutes."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.crash import PROGRAM, Plan
from bench.soak import FAULTS, Soak
from gateway.simulator.faults import Fault

pytestmark = pytest.mark.timeout(180)


DROPS = (Fault(kind="drop_before", every=97, times=3), Fault(kind="silence", every=53, times=5))
"""Sooner than those of a long soak."""
TRIES = 4
"""Where a link falls is up to the machine as well: a soak that could show nothing is followed by another."""
THROTTLING = Fault(kind="status", status="RTHROTTLED", every=20, times=5)
"""Slows an account down to little more than itself."""


def soak(
    folder: Path,
    seconds: float,
    program: tuple[str, ...] = PROGRAM,
    rest_s: float = 60,
    faults: tuple[Fault, ...] = (*DROPS, *FAULTS),
) -> Soak:
    plan = Plan(kills=0, with_ids=True, subscribers=300, program=program, rest_s=rest_s)
    return Soak(plan, folder, seconds=seconds, rate=150, faults=faults)


async def test_nothing_is_lost_or_done_twice_while_everything_goes_wrong(tmp_path: Path) -> None:
    drill = soak(tmp_path, seconds=4)
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
    program = ("-m", "tests.soak.planted", bug)
    for number in range(TRIES):
        (folder := tmp_path / str(number)).mkdir()
        verdict = await soak(folder, seconds=4, program=program, rest_s=5, faults=faults).run()
        if any(what in violation for violation in verdict.violations):
            return
    raise AssertionError("the checker did not find the bug")
