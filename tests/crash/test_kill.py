"""The platform is killed under load; nothing that it acknowledged is lost, nothing happens twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.check import Verdict
from bench.crash import Crash, Plan

pytestmark = pytest.mark.timeout(120)


async def verdict(folder: Path, plan: Plan) -> Verdict:
    return await Crash(plan, folder).run()


@pytest.mark.parametrize("with_ids", [pytest.param(True, id="ids"), pytest.param(False, id="no ids")])
async def test_commands_have_their_effect_exactly_once_over_kills(tmp_path: Path, with_ids: bool) -> None:
    found = await verdict(tmp_path, Plan(kills=3, with_ids=with_ids, up_s=(0.5, 1.5)))
    assert found.violations == []
    assert found.commands > 1_000 and found.copies > 0


@pytest.mark.parametrize(
    ("bug", "with_ids", "what"),
    [
        ("no_redelivery_check", True, "inbox rows"),
        ("every_copy_a_redelivery", False, "requests counted with the sender"),
        ("answer_before_commit", True, "inbox rows"),
        ("forgotten_replies", True, "never got"),
    ],
)
async def test_the_checker_finds_a_planted_bug(tmp_path: Path, bug: str, with_ids: bool, what: str) -> None:
    plan = Plan(kills=2, with_ids=with_ids, up_s=(0.5, 1.5), program=("-m", "tests.crash.planted", bug), rest_s=8)
    found = await verdict(tmp_path, plan)
    assert any(what in violation for violation in found.violations), found
