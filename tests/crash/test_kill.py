"""The platform is killed under load; nothing that it acknowledged is lost, nothing happens twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.crash import Crash, Plan
from tests.crash.runs import found_out, nothing_lost_or_doubled

pytestmark = pytest.mark.timeout(120)


@pytest.mark.parametrize(("with_ids", "kills"), [pytest.param(True, 3, id="ids"), pytest.param(False, 2, id="no ids")])
async def test_commands_have_their_effect_exactly_once_over_kills(tmp_path: Path, with_ids: bool, kills: int) -> None:
    plan = Plan(kills=kills, with_ids=with_ids, up_s=(0.5, 1.2))
    await nothing_lost_or_doubled(Crash, plan, tmp_path, commands=500)


@pytest.mark.parametrize(
    ("bug", "with_ids", "kills", "what"),
    [
        ("no_redelivery_check", True, 1, "inbox rows"),
        ("every_copy_a_redelivery", False, 0, "requests counted with the sender"),
        ("answer_before_commit", True, 1, "inbox rows"),
        ("forgotten_replies", True, 1, "never got"),
    ],
)
async def test_the_checker_finds_a_planted_bug(tmp_path: Path, bug: str, with_ids: bool, kills: int, what: str) -> None:
    program = ("-m", "tests.crash.planted", bug)
    plan = Plan(kills=kills, with_ids=with_ids, up_s=(1.0, 1.2), program=program, rest_s=4)
    await found_out(Crash, plan, tmp_path, what)
