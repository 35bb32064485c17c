"""What becomes of a request after it was taken: quiet hours, receipts, reminders, and what is given back."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.callme.conftest import Open
from vas import recalling
from vas.messages import Outbound, ReceiptState, SendOutcome
from vas.testing import Network, Phone


def requests(network: Network) -> list[Outbound]:
    """What was sent to Mai."""
    return [message for message in network.sent if message.to.digits == "84987654321"]


async def left_today(phone: Phone) -> int:
    state = await phone.text("TC", "9105")
    return int(state.split("ngay ")[1].split(",")[0])


async def test_a_delivered_request_stays_spent(network: Network, lan: Phone) -> None:
    await lan.text("CM 0987654321", "9105")

    assert await left_today(lan) == 4
    assert len(requests(network)) == 1


async def test_a_request_that_the_network_refused_is_given_back_and_told(network: Network, lan: Phone) -> None:
    network.outcome = lambda m: SendOutcome.PERMANENT if m.to.digits == "84987654321" else SendOutcome.SENT

    await lan.text("CM 0987654321", "9105")

    assert "Không nhắn được tới 0987654321" in lan.texts[-1]
    assert await left_today(lan) == 5


@pytest.mark.parametrize("state", [ReceiptState.UNDELIVERABLE, ReceiptState.REJECTED])
async def test_a_failed_request_is_given_back_once(
    network: Network, lan: Phone, mai: Phone, state: ReceiptState
) -> None:
    mai.reachable = False
    await lan.text("CM 0987654321", "9105")
    await lan.text("CM 0905000001", "9105")

    for _ in range(2):
        await network.receipt(requests(network)[0], state)

    assert await left_today(lan) == 4
    assert len(requests(network)) == 1


async def cancel(network: Network, message: Outbound) -> None:
    """As operations do, when the SMSC has cancelled it."""
    row = await recalling.sent_row(network.node, message.to.digits, message.id)
    await recalling.settle_cancelled(network.node, row, "linh", "sent")
    await network.settled()


async def test_a_request_that_operations_cancelled_is_given_back_and_told(
    network: Network, lan: Phone, mai: Phone
) -> None:
    mai.reachable = False
    await lan.text("CM 0987654321", "9105")
    await cancel(network, requests(network)[0])

    assert "Không nhắn được tới 0987654321" in lan.texts[-1]
    assert await left_today(lan) == 5


async def test_a_reminder_that_operations_cancelled_is_given_back(network: Network, lan: Phone, mai: Phone) -> None:
    mai.reachable = False
    await lan.text("CM 0987654321", "9105")
    await network.receipt(requests(network)[0], ReceiptState.EXPIRED)
    await cancel(network, requests(network)[1])

    assert await left_today(lan) == 5


async def test_a_request_of_yesterday_is_not_given_back_to_today(network: Network, lan: Phone, mai: Phone) -> None:
    mai.reachable = False
    await lan.text("CM 0987654321", "9105")
    await network.pass_time(timedelta(hours=16))
    await lan.text("CM 0905000001", "9105")

    await network.receipt(requests(network)[0], ReceiptState.UNDELIVERABLE)

    state = await lan.text("TC", "9105")
    assert "ngay 4, tuan 14, thang 39" in state


async def test_an_expired_request_is_repeated_once_and_given_back_if_that_is_lost_too(
    network: Network, lan: Phone, mai: Phone
) -> None:
    mai.reachable = False
    await lan.text("CM 0987654321", "9105")
    await network.receipt(requests(network)[0], ReceiptState.EXPIRED)

    assert "09:00 02/03" in mai.texts[-1]
    assert await left_today(lan) == 4
    await network.receipt(requests(network)[1], ReceiptState.EXPIRED)
    assert await left_today(lan) == 5
    assert len(requests(network)) == 2


async def test_a_reminder_that_arrives_keeps_the_request_spent(network: Network, lan: Phone, mai: Phone) -> None:
    mai.reachable = False
    await lan.text("CM 0987654321", "9105")
    mai.reachable = True
    await network.receipt(requests(network)[0], ReceiptState.EXPIRED)

    assert await left_today(lan) == 4
    assert len(requests(network)) == 2


async def test_a_request_whose_fate_is_unknown_counts_as_received(network: Network, lan: Phone, mai: Phone) -> None:
    mai.reachable = False
    await lan.text("CM 0987654321", "9105")
    await network.receipt(requests(network)[0], ReceiptState.UNKNOWN)

    assert len(requests(network)) == 1
    assert await left_today(lan) == 4


async def test_a_lost_reminder_gives_back_to_the_day_of_the_request(network: Network, lan: Phone, mai: Phone) -> None:
    mai.reachable = False
    await lan.text("CM 0987654321", "9105")
    await network.pass_time(timedelta(hours=16))
    await network.receipt(requests(network)[0], ReceiptState.EXPIRED)
    await lan.text("CM 0905000001", "9105")
    await network.receipt(requests(network)[1], ReceiptState.EXPIRED)

    assert "ngay 4, tuan 14, thang 39" in await lan.text("TC", "9105")


async def test_only_the_last_of_several_requests_to_a_friend_is_repeated(
    network: Network, lan: Phone, mai: Phone
) -> None:
    mai.reachable = False
    await lan.text("CM 0987654321", "9105")
    await network.pass_time(timedelta(hours=1))
    await lan.text("CM 0987654321", "9105")

    for message in requests(network):
        await network.receipt(message, ReceiptState.EXPIRED)

    assert [text.startswith("Nhắc") for text in mai.texts] == [False, False, True]
    assert "10:00" in mai.texts[-1]


async def test_who_blocked_the_sender_meanwhile_is_not_reminded(network: Network, lan: Phone, mai: Phone) -> None:
    mai.reachable = False
    await lan.text("CM 0987654321", "9105")
    [request] = requests(network)
    await mai.text("CHAN 0912345678", "9105")
    await network.receipt(request, ReceiptState.EXPIRED)

    assert not any("Nhắc" in text for text in mai.texts)
    assert await left_today(lan) == 5


async def test_how_to_block_is_said_again_when_the_text_that_said_it_was_lost(
    network: Network, lan: Phone, mai: Phone, hoa: Phone
) -> None:
    mai.reachable = False
    await lan.text("CM 0987654321", "9105")
    await network.receipt(requests(network)[0], ReceiptState.UNDELIVERABLE)
    await hoa.text("CM 0987654321", "9105")

    assert "CHAN 0905000001" in mai.texts[-1]


async def test_a_request_in_quiet_hours_waits_for_their_end(open_network: Open) -> None:
    async with open_network(quiet="22:00-07:00") as network:
        lan, mai = network.phone("0912345678"), network.phone("0987654321")
        await network.pass_time(timedelta(hours=14))  # It is 23:00.

        assert "lúc 07:00" in await lan.text("CM 0987654321", "9105")
        await network.pass_time(timedelta(hours=7, minutes=59))
        assert mai.texts == []
        await network.pass_time(timedelta(minutes=1))
        assert len(mai.texts) == 1


async def test_a_request_that_was_cancelled_before_quiet_hours_ended_is_given_back(open_network: Open) -> None:
    async with open_network(quiet="22:00-07:00") as network:
        lan, mai = network.phone("0912345678"), network.phone("0987654321")
        await network.pass_time(timedelta(hours=14))
        await lan.text("CM 0987654321", "9105")
        [(id_,)] = await network.node.store.read("SELECT id FROM outbox WHERE msisdn = '84987654321'")
        row = await recalling.sent_row(network.node, "84987654321", id_)
        await recalling.cancel_queued(network.node, row, "linh")
        await network.pass_time(timedelta(hours=8))

        assert "Không nhắn được tới 0987654321" in lan.texts[-1]
        assert mai.texts == []
        assert await left_today(lan) == 5


async def test_a_waiting_request_was_spent_on_the_day_it_was_made(open_network: Open) -> None:
    async with open_network(quiet="22:00-07:00") as network:
        lan = network.phone("0912345678")
        await network.pass_time(timedelta(hours=14))
        await lan.text("CM 0987654321", "9105")
        await network.pass_time(timedelta(hours=9))

        assert "ngay 5, tuan 14, thang 39" in await lan.text("TC", "9105")


async def test_a_redelivered_text_asks_once(network: Network, lan: Phone, mai: Phone) -> None:
    network.confirms = False
    await lan.text("CM 0987654321", "9105")
    await network.pass_time(timedelta(seconds=10))  # The SMSC's response timer.
    await lan.text("CM 0987654321", "9105")

    assert len(mai.texts) == 1
    assert await left_today(lan) == 4
