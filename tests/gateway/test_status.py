"""What a command_status is called, what it means, and what is done about it."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.status import StatusClass, status_class
from gateway.settings import StatusKind
from vas.statuses import status_name, status_words

STANDARD = {
    *(0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x0A, 0x0B, 0x0C, 0x0D, 0x0E, 0x0F, 0x11, 0x13, 0x14, 0x15),
    *(0x33, 0x34, 0x40, 0x42, 0x43, 0x44, 0x45, 0x48, 0x49, 0x50, 0x51, 0x53, 0x54, 0x55, 0x58, 0x61, 0x62, 0x63),
    *(0x64, 0x65, 0x66, 0x67, 0xC0, 0xC1, 0xC2, 0xC3, 0xC4, 0xFE, 0xFF),
}
"""SMPP 3.4 §5.1.3."""
THROTTLE = {0x58, 0x14}
TRANSIENT = {0x08, 0x64, 0xFE, 0xFF, 0x45}
SESSION = {0x04, 0x05, 0x0D, 0x0E, 0x0F, 0x53}
OURS = {0x02, 0x03}
VENDOR = {*range(0x400, 0x443), *range(0x448, 0x500), *range(0x100, 0x113), 0x09, 0x12345678, 0xFFFFFFFF}


@pytest.mark.parametrize(
    ("statuses", "kind"),
    [
        pytest.param({0x00}, StatusClass.OK, id="accepted"),
        pytest.param(THROTTLE, StatusClass.THROTTLE, id="too fast"),
        pytest.param(TRANSIENT, StatusClass.TRANSIENT, id="later"),
        pytest.param(SESSION, StatusClass.SESSION, id="the bind's fault"),
        pytest.param(OURS, StatusClass.OUR_BUG, id="our bug"),
        pytest.param(VENDOR, StatusClass.VENDOR, id="the vendor's, of SMPP 5.0, of nobody"),
        pytest.param({*range(0x443, 0x448)}, StatusClass.PERMANENT, id="service and charging errors"),
        pytest.param(
            STANDARD - {0} - THROTTLE - TRANSIENT - SESSION - OURS,
            StatusClass.PERMANENT,
            id="all else of the standard, cancel, replace and query failed too",
        ),
    ],
)
def test_a_status_says_what_to_do(statuses: set[int], kind: StatusClass) -> None:
    assert {status: status_class(status) for status in statuses} == dict.fromkeys(statuses, kind)


def test_an_account_may_mean_something_of_its_own_by_a_status() -> None:
    own: dict[int, StatusKind] = {0x442: "throttle", 0x0B: "transient"}
    assert status_class(0x442, own) is StatusClass.THROTTLE
    assert status_class(0x0B, own) is StatusClass.TRANSIENT
    assert status_class(0x0A, own) is StatusClass.PERMANENT


def test_an_accepted_message_stays_accepted_whatever_an_account_says() -> None:
    assert status_class(0, {0: "permanent"}) is StatusClass.OK


def test_every_kind_that_can_be_set_is_a_class() -> None:
    assert {StatusClass(kind).value for kind in get_args(StatusKind)} == set(get_args(StatusKind))


@pytest.mark.parametrize(
    ("status", "name", "words"),
    [
        (0x58, "RTHROTTLED", "Throttling error (RTHROTTLED)"),
        (0x14, "RMSGQFUL", "Message Queue is full (RMSGQFUL)"),
        (0x0B, "RINVDSTADR", "Invalid Destination Address (RINVDSTADR)"),
        (0x07, "RINVREGDLVFLG", "Invalid Registered Delivery Flag (RINVREGDLVFLG)"),
        (0x67, "RQUERYFAIL", "query_sm request failed (RQUERYFAIL)"),
        (0x100, "RSERTYPUNAUTH", "Not authorised to use the service_type (RSERTYPUNAUTH)"),
        (0x112, "RINVBCASTCHANIND", "Invalid Broadcast Channel Indicator (RINVBCASTCHANIND)"),
        (0x440, "0x00000440", "System error of the SMSC vendor's own (0x00000440)"),
        (0x4FF, "0x000004FF", "Error of the SMSC vendor's own (0x000004FF)"),
        (0x09, "0x00000009", "Unknown status (0x00000009)"),
    ],
)
def test_a_status_has_a_name_and_words(status: int, name: str, words: str) -> None:
    assert (status_name(status), status_words(status)) == (name, words)


def test_every_status_of_both_standards_has_a_name_and_a_meaning() -> None:
    nameless = {status for status in {*STANDARD, *range(0x100, 0x113)} if status_name(status).startswith("0x")}
    meaningless = {status for status in {*STANDARD, *range(0x100, 0x113)} if "nknown status" in status_words(status)}
    assert (nameless, meaningless) == (set(), set())


@given(st.integers(min_value=0, max_value=0xFFFFFFFF))
def test_any_status_that_a_peer_may_send_has_a_class_and_words(status: int) -> None:
    assert isinstance(status_class(status), StatusClass)
    assert status_words(status).endswith(f"({status_name(status)})")
