"""Receipts as they were seen in the field."""

from __future__ import annotations

import pytest

from gateway import receipts
from gateway.pdu import DeliverSm
from gateway.receipts import ReceiptFacts, ReceiptId
from vas.messages import ReceiptState

STANDARD = (
    b"id:0123456789 sub:001 dlvrd:001 submit date:2611221430 done date:2611221431 stat:DELIVRD err:000 text:Please call"
)
DELIVERED = ReceiptFacts("0123456789", ReceiptState.DELIVERED, "000")


def facts(body: bytes, dialect: ReceiptId = "same", tlvs: tuple[tuple[int, bytes], ...] = ()) -> ReceiptFacts:
    return receipts.read(DeliverSm(esm_class=4, tlvs=tlvs), body, dialect)


@pytest.mark.parametrize(
    "body, expected",
    [
        pytest.param(STANDARD, DELIVERED, id="Appendix B"),
        pytest.param(STANDARD.replace(b"text:", b"Text:"), DELIVERED, id="Text:"),
        pytest.param(STANDARD.replace(b"sub:001 dlvrd:001 ", b""), DELIVERED, id="no sub and dlvrd"),
        pytest.param(STANDARD.replace(b"2611221430", b"261122143005"), DELIVERED, id="dates with seconds"),
        pytest.param(
            STANDARD.replace(b"DELIVRD err:000", b"UNDELIV err:ABSENT"),
            ReceiptFacts("0123456789", ReceiptState.UNDELIVERABLE, "ABSENT"),
            id="err in letters",
        ),
        pytest.param(
            STANDARD.replace(b"Please call", b"id:666 stat:REJECTD err:666"), DELIVERED, id="keys inside the text"
        ),
        pytest.param(b"stat:EXPIRED id:9", ReceiptFacts("9", ReceiptState.EXPIRED, ""), id="another order"),
        pytest.param(b"id: sub:001 stat:DELIVRD", ReceiptFacts("", ReceiptState.DELIVERED, ""), id="empty id"),
        pytest.param(b"id:1 stat:WHAT", ReceiptFacts("1", ReceiptState.UNKNOWN, ""), id="a state of their own"),
        pytest.param(b"\xff\x00\x1b", ReceiptFacts("", ReceiptState.UNKNOWN, ""), id="noise"),
    ],
)
def test_a_receipt_is_read_in_every_spelling(body: bytes, expected: ReceiptFacts) -> None:
    assert facts(body) == expected


def test_optional_parameters_go_before_the_text() -> None:
    tlvs = ((0x1E, b"77\0"), (0x427, b"\x05"), (0x423, b"\x03\x00\x0b"))
    assert facts(STANDARD, tlvs=tlvs) == ReceiptFacts("77", ReceiptState.UNDELIVERABLE, "000")
    assert facts(b"", tlvs=tlvs) == ReceiptFacts("77", ReceiptState.UNDELIVERABLE, "11")


@pytest.mark.parametrize(
    "dialect, submitted, receipted",
    [
        ("same", b"00aF", b"00aF"),
        ("hex_to_dec", b"1A2B", b"6699"),
        ("hex_to_dec", b"1A2B", b"0000006699"),
        ("dec_to_hex", b"6699", b"1A2B"),
        ("dec_to_hex", b"6699", b"00001a2b"),
        ("strip0", b"0000123", b"123"),
        ("strip0", b"0", b"000"),
    ],
)
def test_the_id_of_a_receipt_meets_the_id_of_its_submission(
    dialect: ReceiptId, submitted: bytes, receipted: bytes
) -> None:
    expected = receipts.submitted_id(submitted, dialect)
    assert facts(b"id:" + receipted + b" stat:DELIVRD", dialect).smsc_id == expected
    assert facts(b"id:999 stat:DELIVRD", dialect, ((0x1E, submitted + b"\0"),)).smsc_id == expected


@pytest.mark.parametrize("dialect", ["hex_to_dec", "dec_to_hex"])
def test_an_id_that_is_no_number_stays_as_it_is(dialect: ReceiptId) -> None:
    assert receipts.submitted_id(b"a-9-z", dialect) == "a-9-z"


def test_a_subscriber_cannot_write_a_receipt() -> None:
    assert not receipts.is_receipt(DeliverSm(short_message=STANDARD))
    assert not receipts.is_receipt(DeliverSm(esm_class=0x40, short_message=STANDARD))
    assert receipts.is_receipt(DeliverSm(esm_class=0x04))
    assert receipts.is_receipt(DeliverSm(esm_class=0x20))
    assert receipts.is_receipt(DeliverSm(tlvs=((0x1E, b"1\0"),)))
