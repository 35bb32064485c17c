"""Blocking by text."""

from __future__ import annotations

import pytest

from services.callme.blocking import LISTED
from vas.testing import Phone


@pytest.mark.parametrize(
    ("block", "unblock"),
    [
        ("CHAN 0912345678", "BO CHAN 0912345678"),
        ("Chặn +84 912 345 678", "Bỏ chặn 0912.345.678"),
        ("BLOCK 0912345678", "UNBLOCK 0912345678"),
        ("CHAN HET", "BO CHAN HET"),
        ("Chặn hết", "bo chan het"),
        ("BLOCK ALL", "UNBLOCK ALL"),
    ],
)
async def test_a_blocked_sender_is_refused_until_unblocked(lan: Phone, mai: Phone, block: str, unblock: str) -> None:
    await mai.text(block, "9105")
    assert await lan.text("CM 0987654321", "9105") == "0987654321 không nhận yêu cầu từ bạn."

    await mai.text(unblock, "9105")
    assert "Đã nhờ" in await lan.text("CM 0987654321", "9105")


async def test_others_get_through(mai: Phone, hoa: Phone) -> None:
    await mai.text("CHAN 0912345678", "9105")

    assert "Đã nhờ" in await hoa.text("CM 0987654321", "9105")


async def test_the_list_shows_the_last_ones_and_counts_all(mai: Phone) -> None:
    assert await mai.text("DS CHAN", "9105") == "Bạn không chặn ai."
    for number in range(LISTED + 1):
        await mai.text(f"CHAN 090500000{number}", "9105")

    answer = await mai.text("LIST", "9105")

    assert answer.startswith(f"Ban chan {LISTED + 1} so: 0905000008, 0905000007,")
    assert answer.endswith("0905000001, ...")


async def test_the_list_says_when_everybody_is_blocked(mai: Phone) -> None:
    await mai.text("CHAN HET", "9105")

    assert "tất cả" in await mai.text("DS CHAN", "9105")


async def test_nobody_blocks_themselves(mai: Phone) -> None:
    assert "chính bạn" in await mai.text("CHAN 0987654321", "9105")
