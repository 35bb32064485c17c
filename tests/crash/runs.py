"""One run after another, until chance has put a fault where it shows something."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

from bench.check import Verdict
from bench.crash import Crash, Plan

SEEDS = (1, 2, 3, 4)
"""Where a fault falls is up to the machine as well: one that hit nothing is followed by another."""


def seeded(folder: Path) -> Iterator[tuple[int, Path]]:
    """A seed, and an empty folder, for one run after the other."""
    for seed in SEEDS:
        (own := folder / str(seed)).mkdir()
        yield seed, own


async def verdicts(make: Callable[[Plan, Path], Crash], plan: Plan, folder: Path) -> AsyncIterator[Verdict]:
    """What came of the plan, with one seed after the other, for as long as the caller wants more."""
    for seed, own in seeded(folder):
        yield await make(plan._replace(seed=seed), own).run()


async def nothing_lost_or_doubled(make: Callable[[Plan, Path], Crash], plan: Plan, folder: Path, commands: int) -> None:
    """Every run keeps the promise, and in one of them the SMSC delivered something again."""
    async for found in verdicts(make, plan, folder):
        assert found.violations == []
        assert found.commands > commands
        if found.copies:
            return
    raise AssertionError("no fault made the SMSC deliver anything again, so nothing was shown")


async def found_out(make: Callable[[Plan, Path], Crash], plan: Plan, folder: Path, what: str) -> None:
    """The checker finds the bug that the plan's program has planted."""
    async for found in verdicts(make, plan, folder):
        if any(what in violation for violation in found.violations):
            return
    raise AssertionError("the checker did not find the bug")
