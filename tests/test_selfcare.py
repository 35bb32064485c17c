"""The platform's own commands, the same behind every short code."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.callme import callme
from vas.testing import Network, Phone, mount


@pytest.fixture
async def lan(tmp_path: Path) -> AsyncIterator[Phone]:
    async with Network(tmp_path, mount(callme, short_codes=["9105"])) as network:
        yield network.phone("0912345678")


@pytest.mark.parametrize("command", ["LANG EN", "lang en", "Ngôn ngữ EN", "LANGUAGE EN"])
async def test_a_subscriber_chooses_a_language(lan: Phone, command: str) -> None:
    assert "in English" in await lan.text(command, "9105")
    assert "Everybody" in await lan.text("UNBLOCK ALL", "9105")

    assert "tiếng Việt" in await lan.text("NGON NGU VI", "9105")
    assert "Ai cũng" in await lan.text("UNBLOCK ALL", "9105")


async def test_a_language_that_we_do_not_speak_is_refused_with_those_we_do(lan: Phone) -> None:
    assert "VI, EN" in await lan.text("LANG FR", "9105")


@pytest.mark.parametrize(("off", "on"), [("QC TAT", "QC BAT"), ("QC OFF", "QC ON")])
async def test_adverts_are_refused_and_accepted(lan: Phone, off: str, on: str) -> None:
    assert "từ chối" in await lan.text(off, "9105")
    assert "khong. Ngon ngu" in await lan.text("TC", "9105")
    await lan.text(on, "9105")
    assert "co. Ngon ngu" in await lan.text("TC", "9105")


@pytest.mark.parametrize(("off", "on"), [("DAU TAT", "DAU BAT"), ("Dấu tắt", "Dấu bật"), ("DAU OFF", "DAU ON")])
async def test_accents_are_dropped_and_written_again(lan: Phone, off: str, on: str) -> None:
    await lan.text(off, "9105")
    assert (await lan.text("DS CHAN", "9105")).isascii()
    await lan.text(on, "9105")
    assert not (await lan.text("DS CHAN", "9105")).isascii()
