"""Asking a friend: by text and by code, what each reads, and what is refused."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from services.callme.settings import Advert
from tests.callme.conftest import Open
from vas import Context, Service, Subscriber
from vas.subscribers import Status
from vas.testing import Network, Phone, mount


async def test_dialling_the_code_with_a_number_asks_at_once(lan: Phone, mai: Phone) -> None:
    screen = await lan.dial("*105*0987654321#")

    assert "0987654321" in screen
    assert not lan.open
    assert "0912345678" in mai.texts[-1]


@pytest.mark.parametrize(
    "text",
    [
        "CM 0987654321", "cm 84987654321", "Cm +84987654321", "CALLME 0987 654 321", "Gọi 0987.654.321",
        "GOI 0084987654321", "CM0987654321", "CM 0987654321.",
    ],
)  # fmt: skip
async def test_a_text_asks_in_every_spelling_of_a_number(lan: Phone, mai: Phone, text: str) -> None:
    answer = await lan.text(text, "9105")

    assert "0987654321" in answer
    assert len(mai.texts) == 1


async def test_an_eleven_digit_number_of_before_2018_reaches_its_new_number(network: Network, lan: Phone) -> None:
    await lan.text("CM 01689123456", "9105")

    assert len(network.phone("0389123456").texts) == 1


async def test_the_friend_sees_the_short_code_as_sender(lan: Phone, mai: Phone) -> None:
    await lan.dial("*105*0987654321#")

    assert mai.received[-1].source == "9105"


@pytest.mark.parametrize(
    ("number", "says"),
    [
        pytest.param("0912345678", "chính bạn", id="oneself"),
        pytest.param("9105", "đầu số dịch vụ", id="short code"),
        pytest.param("19001234", "tính cước", id="premium"),
        pytest.param("+491711234567", "nước ngoài", id="foreign"),
        pytest.param("02438251234", "số cố định", id="land line"),
        pytest.param("abc", "không đúng", id="no number"),
    ],
)
async def test_what_cannot_be_asked_is_refused_with_its_own_reason(
    network: Network, lan: Phone, number: str, says: str
) -> None:
    answer = await lan.text(f"CM {number}", "9105")

    assert says in answer
    assert [message.to for message in network.sent] == [lan.number]


async def test_a_refused_request_costs_nothing(lan: Phone, mai: Phone) -> None:
    await mai.text("CHAN 0912345678", "9105")
    await lan.text("CM 0987654321", "9105")
    await lan.text("CM 9105", "9105")

    assert "ngay 5, tuan 15, thang 40" in await lan.text("TC", "9105")


async def test_each_answer_says_what_is_left_until_nothing_is(open_network: Open) -> None:
    async with open_network(daily_limit=2) as network:
        lan = network.phone("0912345678")
        assert "còn 1 lượt" in await lan.text("CM 0987654321", "9105")
        assert "còn 0 lượt" in await lan.text("CM 0905000001", "9105")
        assert "hết 2 lượt hôm nay" in await lan.text("CM 0905000002", "9105")


async def test_the_tightest_quota_is_what_is_left(open_network: Open) -> None:
    async with open_network(daily_limit=5, weekly_limit=3) as network:
        assert "còn 2 lượt" in await network.phone("0912345678").text("CM 0987654321", "9105")


async def test_new_requests_come_at_midnight(open_network: Open) -> None:
    async with open_network(daily_limit=1) as network:  # It is 9:00.
        lan = network.phone("0912345678")
        await lan.text("CM 0987654321", "9105")
        await network.pass_time(timedelta(hours=14, minutes=59))
        assert "hết" in await lan.text("CM 0905000001", "9105")
        await network.pass_time(timedelta(minutes=1))
        assert "Đã nhờ" in await lan.text("CM 0905000001", "9105")


async def test_the_same_friend_is_asked_again_only_after_the_pause(open_network: Open) -> None:
    async with open_network(pair_pause=timedelta(minutes=15)) as network:
        lan, mai = network.phone("0912345678"), network.phone("0987654321")
        await lan.text("CM 0987654321", "9105")
        assert "đợi 15 phút" in await lan.dial("*105*0987654321#")
        await network.pass_time(timedelta(minutes=15))
        await lan.dial("*105*0987654321#")
        assert len(mai.texts) == 2


async def test_many_senders_cannot_flood_one_number(open_network: Open) -> None:
    async with open_network(received_daily_limit=2) as network:
        for number in ("0912345678", "0905000001"):
            await network.phone(number).text("CM 0987654321", "9105")
        assert "nhận đủ" in await network.phone("0905000002").text("CM 0987654321", "9105")
        assert len(network.phone("0987654321").texts) == 2


async def test_only_the_first_text_that_a_number_gets_says_how_to_block(lan: Phone, mai: Phone, hoa: Phone) -> None:
    await lan.text("CM 0987654321", "9105")
    await hoa.text("CM 0987654321", "9105")

    assert "CHAN 0912345678" in mai.texts[0]
    assert "CHAN" not in mai.texts[1]


async def test_the_name_stands_beside_the_number(lan: Phone, mai: Phone) -> None:
    await lan.text("TEN Lân", "9105")
    await lan.text("CM 0987654321", "9105")
    await lan.text("XOA TEN", "9105")
    await lan.text("CM 0987654321", "9105")

    assert "0912345678 (Lan)" in mai.texts[0]
    assert "(" not in mai.texts[1]


async def test_friends_read_their_own_language(lan: Phone, mai: Phone) -> None:
    await mai.text("LANG EN", "9105")
    await lan.text("CM 0987654321", "9105")

    assert "asks you to call back" in mai.texts[-1]
    assert "Đã nhờ" in lan.texts[-1]


ADVERTS = (Advert("Nạp thẻ tặng 50%.", "Top up and get 50%."),)


async def test_an_advert_follows_the_number_in_the_friends_language(open_network: Open) -> None:
    async with open_network(adverts=ADVERTS) as network:
        lan, mai = network.phone("0912345678"), network.phone("0987654321")
        for _ in range(2):
            await lan.text("CM 0987654321", "9105")
        await mai.text("NGON NGU EN", "9105")
        await lan.text("CM 0987654321", "9105")

        first, second, _, third = mai.texts
        assert "[QC]" not in first
        assert second == "0912345678 nhờ bạn gọi lại.\n[QC] Nạp thẻ tặng 50%."
        assert third == "0912345678 asks you to call back.\n[AD] Top up and get 50%."


async def test_adverts_never_go_to_who_refused_them(open_network: Open) -> None:
    async with open_network(adverts=ADVERTS) as network:
        lan, mai = network.phone("0912345678"), network.phone("0987654321")
        await mai.text("QC TAT", "9105")
        for _ in range(2):
            await lan.text("CM 0987654321", "9105")
        assert "[QC]" not in mai.texts[-1]


async def test_help_says_the_same_to_everybody(lan: Phone, mai: Phone) -> None:
    await mai.text("CM 0912345678", "9105")

    assert await lan.text("HD", "9105") == await mai.text("HELP", "9105") == await mai.text("CM", "9105")


@pytest.mark.parametrize(
    ("status", "asked"), [(Status.ACTIVE, True), (Status.ONE_WAY_LOCKED, True), (Status.LOCKED, False)]
)
async def test_only_a_number_that_is_locked_both_ways_cannot_ask(
    open_network: Open, folder: Path, status: Status, asked: bool
) -> None:
    async with open_network() as network:
        lan, mai = network.phone("0912345678"), network.phone("0987654321")
        await network.restart(*network.node.setup.mounted, mount(operator(folder), short_codes=["9000"]))
        await lan.text(f"STATUS {status}", "9000")
        await lan.text("CM 0987654321", "9105")
        assert len(mai.texts) == asked


def operator(folder: Path) -> Service:
    """A service that sets a subscriber's status, as the operator's systems would."""
    texts = folder / "texts.toml"
    texts.write_text("", "utf-8")
    service = Service("tests.operator", texts=texts)

    def set_status(subscriber: Subscriber, status: Status) -> Subscriber:
        return msgspec.structs.replace(subscriber, status=status)

    @service.sms("STATUS {status}")
    async def change(ctx: Context, status: Status) -> None:
        await ctx.change_subscriber(ctx.sender, set_status, status)

    return service


async def test_the_state_tells_what_is_kept(lan: Phone, hoa: Phone) -> None:
    await lan.text("TEN Lan", "9105")
    await lan.text("QC TAT", "9105")
    await lan.text("CHAN 0987654321", "9105")
    await lan.text("CM 0905000001", "9105")

    state = await lan.text("TC", "9105")

    assert state == "Con luot: ngay 4, tuan 14, thang 39. Ten: Lan. Chan: 1. Quang cao: khong. Ngon ngu: Viet."
