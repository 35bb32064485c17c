"""The platform is killed while long messages come in; each is there whole, once, and nothing of it waits on."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections import Counter
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from bench.crash import MESSAGE_ID_TLV
from bench.process import PASSWORD, SHORT_CODE, SYSTEM_ID, PlatformProcess
from gateway.simulator import Settings, Simulator
from tests.crash.runs import seeded

pytestmark = pytest.mark.timeout(120)

SUBSCRIBERS, ROUNDS, KILLS = 60, 12, 3
ANSWERED_WITHIN_S = 40.0
LOOK_EVERY_S = 0.05


def long_text(subscriber: int, number: int) -> str:
    """Three parts of UCS-2; a handler knows nothing of it, so it gets the help text and leaves one inbox row."""
    return f"Chuyện dài số {number} của thuê bao {subscriber}: " + "một hai ba bốn năm " * 8


async def until_answered(simulator: Simulator) -> None:
    for _ in range(round(ANSWERED_WITHIN_S / LOOK_EVERY_S)):
        if not simulator.smsc.delivery.owed:
            return
        await asyncio.sleep(LOOK_EVERY_S)
    assert not simulator.smsc.delivery.owed


@pytest.mark.parametrize("with_ids", [True, False])
async def test_long_messages_come_in_whole_and_once_over_kills(tmp_path: Path, with_ids: bool) -> None:
    for seed, folder in seeded(tmp_path):
        if await whole_and_once(folder, with_ids, seed):
            return
    raise AssertionError("no kill made the SMSC deliver anything again, so nothing was shown")


async def whole_and_once(folder: Path, with_ids: bool, seed: int) -> bool:
    """Every long message is in the inbox once, and whole; whether the SMSC delivered any part again."""
    tlv = MESSAGE_ID_TLV if with_ids else None
    simulator = Simulator(
        Settings(
            port=0, magic=False, accounts={SYSTEM_ID: PASSWORD}, window=20, retry_delays=(timedelta(milliseconds=200),),
            message_id_tlv=tlv,
        )
    )  # fmt: skip
    await simulator.start()
    platform = PlatformProcess(
        folder, simulator.port, binds=3, account=f"message_id_tlv = {tlv}" if with_ids else ""
    )  # fmt: skip
    chance, expected = random.Random(seed), Counter[tuple[str, str]]()
    try:
        await platform.start()
        for number in range(ROUNDS):
            for subscriber in range(SUBSCRIBERS):
                phone = simulator.phone(f"849{subscriber:08}")
                text = long_text(subscriber, number)
                assert len(phone.text(text, SHORT_CODE)) == 3
                expected[f"849{subscriber:08}", text] += 1
            await simulator.smsc.delivery.receivers(1)
            await asyncio.sleep(chance.uniform(0.0, 0.06))
            if number % (ROUNDS // KILLS) == 1:
                await platform.kill()
                await platform.start()
        await until_answered(simulator)
        await platform.stop()
    finally:
        await platform.kill()
        await simulator.stop()
    with closing(sqlite3.connect(folder / "vas.db")) as database:
        assert database.execute("SELECT count(*) FROM part").fetchone() == (0,)
        assert database.execute("SELECT DISTINCT result, parts FROM inbox").fetchall() == [("unmatched", 3)]
        assert Counter(database.execute("SELECT msisdn, text FROM inbox").fetchall()) == expected
    return any(len(mo.attempts) > 1 for mo in simulator.record.mo)
