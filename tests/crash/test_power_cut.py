"""The power goes under load, and the disk forgets what was not synced: nothing acknowledged is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.crash import Plan, PowerCut
from bench.lazyfs import why_not
from tests.crash.runs import found_out, nothing_lost_or_doubled

pytestmark = [pytest.mark.timeout(120), pytest.mark.skipif(bool(why_not()), reason=why_not() or "-")]


async def test_commands_have_their_effect_exactly_once_over_power_cuts(tmp_path: Path) -> None:
    plan = Plan(kills=2, with_ids=True, up_s=(0.5, 1.2))
    await nothing_lost_or_doubled(PowerCut, plan, tmp_path, commands=300)


async def test_the_checker_finds_commits_that_are_not_synced(tmp_path: Path) -> None:
    program = ("-m", "tests.crash.planted", "synchronous_normal")
    plan = Plan(kills=1, with_ids=True, up_s=(1.0, 1.2), program=program, rest_s=4)
    await found_out(PowerCut, plan, tmp_path, "inbox rows")
