"""The menu of *105#, on a platform that forgets everything but its store between two key presses."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.callme.conftest import Open
from vas.testing import Network, Phone


@pytest.fixture
async def network(open_network: Open) -> AsyncIterator[Network]:
    async with open_network(fresh=True) as network:
        yield network


async def press(phone: Phone, *keys: str) -> str:
    screen = await phone.dial("*105#")
    for key in keys:
        screen = await phone.answer(key)
    return screen


async def test_the_menu_offers_all_on_one_screen(lan: Phone) -> None:
    screen = await lan.dial("*105#")

    assert [line[:2] for line in screen.split("\n")[1:]] == ["1.", "2.", "3.", "4.", "5.", "6."]


async def test_asking_a_friend_from_the_menu(lan: Phone, mai: Phone) -> None:
    screen = await press(lan, "1", "0987654321")

    assert "còn 4 lượt" in screen
    assert len(mai.texts) == 1
    assert not lan.open


@pytest.mark.parametrize("wrong", ["12", "+491711234567", "02438251234", "19001234", "alo"])
async def test_a_number_that_cannot_be_asked_is_asked_for_again(lan: Phone, mai: Phone, wrong: str) -> None:
    await press(lan, "1", wrong)
    assert lan.open

    await lan.answer("0987654321")
    assert len(mai.texts) == 1


async def test_the_whole_way_can_be_dialled_at_once(lan: Phone, mai: Phone) -> None:
    await lan.dial("*105*1*0987654321#")

    assert len(mai.texts) == 1


async def test_blocking_and_unblocking_one_number(lan: Phone, mai: Phone) -> None:
    await press(mai, "2", "1", "0905000001")
    await press(mai, "2", "1", "0912345678")
    assert "không nhận yêu cầu từ bạn" in await lan.dial("*105*0987654321#")

    assert (await press(mai, "2", "3")).endswith("2. 0912345678\n3. 0905000001")
    await mai.answer("2")
    assert "Đã nhờ" in await lan.dial("*105*0987654321#")


async def test_blocking_everybody_and_undoing_it(lan: Phone, mai: Phone) -> None:
    await press(mai, "2", "2")
    assert "không nhận yêu cầu từ bạn" in await lan.dial("*105*0987654321#")

    await press(mai, "2", "3", "1")
    assert "Đã nhờ" in await lan.dial("*105*0987654321#")


async def test_the_list_of_the_blocked(mai: Phone) -> None:
    assert "không chặn ai" in await press(mai, "2", "4")
    await press(mai, "2", "1", "0912345678")

    assert "0912345678" in await press(mai, "2", "4")


async def test_nothing_to_unblock(mai: Phone) -> None:
    assert "không chặn ai" in await press(mai, "2", "3")


async def test_a_name_is_set_refused_changed_and_removed(lan: Phone) -> None:
    await press(lan, "3", "Lan!")
    assert lan.open
    assert "Lan" in await lan.answer("Lan")
    assert "Lan Anh" in await press(lan, "3", "1", "Lan Anh")
    assert "xóa tên" in await press(lan, "3", "2")


async def test_the_language_chosen_is_the_one_of_the_next_screen(lan: Phone) -> None:
    assert "in English" in await press(lan, "4", "2")
    assert "Ask a friend" in await lan.dial("*105#")
    assert "tiếng Việt" in await press(lan, "4", "1")


async def test_state_and_help(lan: Phone) -> None:
    assert "ngay 5, tuan 15, thang 40" in await press(lan, "5")
    assert "CM" in await press(lan, "6")


async def test_a_redelivered_key_press_asks_once(network: Network, lan: Phone, mai: Phone) -> None:
    await lan.dial("*105#")
    await lan.answer("1")
    network.confirms = False
    await lan.answer("0987654321")
    lan.open = True
    await lan.answer("0987654321")

    assert len(mai.texts) == 1
