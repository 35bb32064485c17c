"""Long messages on purpose made hard to put together; `make drill` does it with ten thousand."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.torture import SHORT, Torture

pytestmark = pytest.mark.timeout(120)


async def test_shuffled_and_doubled_parts_over_three_binds_come_out_whole_and_unmixed(tmp_path: Path) -> None:
    outcome = await Torture(SHORT, tmp_path).run()
    assert outcome.violations == []
    assert outcome.messages == SHORT.messages and outcome.doubled > 100


async def test_the_checker_finds_messages_that_were_mixed(tmp_path: Path) -> None:
    outcome = await Torture(SHORT, tmp_path, program=("-m", "tests.soak.planted", "references_ignored")).run()
    assert any("not whole" in violation for violation in outcome.violations)
