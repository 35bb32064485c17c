"""Nodes on one PostgreSQL under load: killed, stopped, cut off, without it. `make drill` goes on for longer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from bench.crash import Plan
from bench.crowd import Crowd, Size
from bench.nodes import Backlog, Kind, Nodes
from tests.crash.runs import found_out, seeded

pytestmark = pytest.mark.timeout(240)

SHORT = Plan(kills=2, with_ids=True, subscribers=300, outstanding=100, up_s=(0.4, 0.6), friends=100)
FEW = Size(people=60, commands=900, outstanding=55, daily_limit=10, received_limit=9)


@pytest.mark.parametrize(
    ("with_ids", "kinds"),
    [
        pytest.param(True, (Kind.KILL, Kind.DATABASE), id="ids"),
        pytest.param(False, (Kind.SLEEP, Kind.CUT), id="no ids"),
    ],
)
async def test_three_nodes_do_everything_exactly_once_whatever_befalls_them(
    tmp_path: Path, with_ids: bool, kinds: tuple[Kind, ...]
) -> None:
    for seed, folder in seeded(tmp_path):
        found = await Nodes(SHORT._replace(with_ids=with_ids, seed=seed), folder, kinds=kinds).run()
        assert found.violations == []
        assert found.commands > 200
        if found.moved:
            return
    raise AssertionError("no fault made the SMSC bring a command to another node, so nothing was shown")


async def test_two_nodes_lose_no_update_of_a_crowd_that_asks_and_blocks_each_other(tmp_path: Path) -> None:
    found = await Crowd(tmp_path, FEW).run()
    assert found.violations == []
    assert found.commands == FEW.commands
    assert found.blocked and found.refused.keys() >= {"blocked_by", "limit_day", "receives_no_more"}
    assert min(found.nodes.values()) > FEW.commands // 10


@pytest.mark.parametrize(
    ("bug", "make", "what"),
    [
        ("no_redelivery_check", partial(Nodes, kinds=(Kind.KILL,)), "inbox rows"),
        ("socket_without_lease", partial(Backlog, kinds=(Kind.SLEEP,)), "after its lease"),
    ],
)
async def test_the_checker_finds_a_planted_bug(tmp_path: Path, bug: str, make: Callable[..., Nodes], what: str) -> None:
    program = ("-m", "tests.crash.planted_nodes", bug)
    plan = SHORT._replace(kills=1, program=program, rest_s=1)
    await found_out(partial(make, count=2), plan, tmp_path, what)


async def test_the_checker_finds_documents_written_whatever_their_version(tmp_path: Path) -> None:
    program = ("-m", "tests.crash.planted_nodes", "no_version_check")
    found = await Crowd(tmp_path, FEW, program=program).run()
    assert any("count" in violation for violation in found.violations)
