"""config.toml and simulator.toml, as they stand: what they promise of each other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.simulator import Simulator
from gateway.simulator.settings_file import load as load_simulator
from tests.engines import Engine
from tests.gateway.peer import until
from vas.assembly import Installation
from vas.config import load

FOLDER = Path(__file__).parents[2]
MINH = "84987654321"
TWICE_WRITTEN, ANSWER_NOT_HEARD = "84912900050", "84912900051"
"""Senders whose commands the simulator delivers again: gateway.simulator.magic."""


@pytest.fixture
async def simulator(folder: Path, engine: Engine) -> AsyncIterator[Simulator]:
    """The shipped SMSC with the shipped platform at it, on ports of their own."""
    smsc = Simulator(
        load_simulator(
            FOLDER / "simulator.toml", {"port": 0, "http_port": None, "response_timer": timedelta(seconds=0.3)}
        )
    )
    await smsc.start()
    environ = {
        "VAS_STORE__URL": engine.url(folder),
        "VAS_ADMIN__LISTEN": "127.0.0.1:0",
        "VAS_ADMIN__FIRST_KEY_FILE": str(folder / "admin.key"),
        "VAS_ACCOUNTS__MAIN__PORT": str(smsc.port),
        "VAS_ACCOUNTS__MAIN__RECONNECT_FIRST": "50ms",
    }
    platform = Installation(load(FOLDER / "config.toml", environ))
    await platform.start()
    yield smsc
    await platform.stop()
    await smsc.stop()


@pytest.mark.parametrize("sender", [TWICE_WRITTEN, ANSWER_NOT_HEARD])
async def test_a_command_that_the_smsc_delivers_again_runs_once(simulator: Simulator, sender: str) -> None:
    lan = simulator.phone(sender)
    lan.text(f"CM {MINH}", "9105")
    assert MINH[2:] in (await lan.next_message()).text
    if sender == ANSWER_NOT_HEARD:
        # Answered by the SMSC after the platform's answer: without an id that would confirm the answer.
        lan.text("TC", "9105")
        await lan.next_message()
    await until(lambda: len(simulator.record.mo[0].attempts) == (2 if sender == ANSWER_NOT_HEARD else 1))
    lan.text("TC", "9105")
    assert "ngay 4" in (await lan.next_message()).text
    assert len(simulator.phone(MINH).inbox) == 1
    assert len(lan.inbox) == (3 if sender == ANSWER_NOT_HEARD else 2)
