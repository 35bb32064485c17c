"""The platform stands still until the SMSC has delivered again: no copy is taken for a second wish."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.crash import Freeze, Plan
from tests.crash.runs import found_out, nothing_lost_or_doubled

pytestmark = pytest.mark.timeout(120)


async def test_what_was_delivered_again_during_a_standstill_happens_once(tmp_path: Path) -> None:
    await nothing_lost_or_doubled(Freeze, Plan(kills=1, with_ids=False), tmp_path, commands=500)


async def test_the_checker_finds_a_standstill_that_went_unnoticed(tmp_path: Path) -> None:
    program = ("-m", "tests.crash.planted", "standstill_unnoticed")
    await found_out(Freeze, Plan(kills=1, with_ids=False, program=program, rest_s=4), tmp_path, "inbox rows")
