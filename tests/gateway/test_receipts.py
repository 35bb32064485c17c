"""Receipts as they were seen in the field: PDUs transcribed by hand, in hexadecimal where no key is to be read."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects import receipts
from gateway.dialects.receipt_ids import LEAD, REMEMBERED_MAX, ReceiptId, ReceiptIds
from gateway.dialects.receipts import Kind, ReceiptFacts
from gateway.pdus.pdu import DataSm, DeliverSm, decode
from tests.gateway.fixtures import FIXTURES, Fixture
from vas.messages import ReceiptState

STANDARD = (
    b"id:0123456789 sub:001 dlvrd:001 submit date:2611221430 done date:2611221431 stat:DELIVRD err:000 text:Please call"
)
DELIVERED = ReceiptFacts("0123456789", ReceiptState.DELIVERED, "000")


def facts(body: bytes, dialect: ReceiptId = "same", tlvs: tuple[tuple[int, bytes], ...] = ()) -> ReceiptFacts:
    return receipts.read(DeliverSm(esm_class=4, tlvs=tlvs), body, ReceiptIds(dialect))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(STANDARD, DELIVERED, id="Appendix B"),
        pytest.param(STANDARD.replace(b"text:", b"Text:"), DELIVERED, id="Text:"),
        pytest.param(STANDARD.replace(b"sub:001 dlvrd:001 ", b""), DELIVERED, id="no sub and dlvrd"),
        pytest.param(STANDARD.replace(b"2611221430", b"261122143005"), DELIVERED, id="dates with seconds"),
        pytest.param(STANDARD.replace(b"id:", b"ID:").replace(b"stat:", b"Stat:"), DELIVERED, id="capitals"),
        pytest.param(STANDARD.replace(b"stat:DELIVRD err:", b"stat: DELIVRD err: "), DELIVERED, id="spaces"),
        pytest.param(STANDARD + b"\0", DELIVERED, id="a NUL too many"),
        pytest.param(STANDARD.decode().encode("utf-16-be"), DELIVERED, id="in UCS-2"),
        pytest.param(
            STANDARD.replace(b"DELIVRD err:000", b"UNDELIV err:ABSENT"),
            ReceiptFacts("0123456789", ReceiptState.UNDELIVERABLE, "ABSENT"),
            id="err in letters",
        ),
        pytest.param(
            STANDARD.replace(b"DELIVRD err:000", b"UNDELIV err:1028"),
            ReceiptFacts("0123456789", ReceiptState.UNDELIVERABLE, "1028"),
            id="err of four digits",
        ),
        pytest.param(
            STANDARD.replace(b"err:000", b"err:"), ReceiptFacts("0123456789", ReceiptState.DELIVERED, ""), id="no err"
        ),
        pytest.param(
            STANDARD.replace(b"Please call", b"id:666 stat:REJECTD err:666"), DELIVERED, id="keys inside the text"
        ),
        pytest.param(b"stat:EXPIRED id:9", ReceiptFacts("9", ReceiptState.EXPIRED, ""), id="another order"),
        pytest.param(b"id: sub:001 stat:DELIVRD", ReceiptFacts("", ReceiptState.DELIVERED, ""), id="empty id"),
        pytest.param(b"id:1 stat:DELIVERED", ReceiptFacts("1", ReceiptState.DELIVERED, ""), id="a word in full"),
        pytest.param(b"id:1 stat:WHAT", ReceiptFacts("1", ReceiptState.UNKNOWN, ""), id="a state of their own"),
        pytest.param(b"id:1 err:" + b"9" * 300, ReceiptFacts("1", ReceiptState.UNKNOWN, "9" * 20), id="endless err"),
        pytest.param(b"\xff\x00\x1b", ReceiptFacts("", ReceiptState.UNKNOWN, ""), id="noise"),
    ],
)
def test_a_receipt_is_read_in_every_spelling(body: bytes, expected: ReceiptFacts) -> None:
    assert facts(body) == expected


@pytest.mark.parametrize(
    ("word", "number", "state", "final"),
    [
        ("ENROUTE", 1, ReceiptState.ENROUTE, False),
        ("DELIVRD", 2, ReceiptState.DELIVERED, True),
        ("EXPIRED", 3, ReceiptState.EXPIRED, True),
        ("DELETED", 4, ReceiptState.DELETED, True),
        ("UNDELIV", 5, ReceiptState.UNDELIVERABLE, True),
        ("ACCEPTD", 6, ReceiptState.ACCEPTED, False),
        ("UNKNOWN", 7, ReceiptState.UNKNOWN, True),
        ("REJECTD", 8, ReceiptState.REJECTED, True),
        ("SCHEDULED", 0, ReceiptState.ENROUTE, False),
        ("SKIPPED", 9, ReceiptState.UNDELIVERABLE, True),
    ],
)
def test_a_state_is_known_by_its_word_and_by_its_number(
    word: str, number: int, state: ReceiptState, final: bool
) -> None:
    by_word = facts(f"id:1 stat:{word}".encode())
    by_number = facts(b"", tlvs=((0x001E, b"1\0"), (0x0427, bytes((number,)))))
    assert (by_word.state, by_number.state, state.final) == (state, state, final)


def test_a_state_that_no_standard_numbers_is_looked_for_in_the_text() -> None:
    assert facts(STANDARD, tlvs=((0x0427, b"\x0a"),)).state is ReceiptState.DELIVERED
    assert facts(STANDARD, tlvs=((0x0427, b""),)).state is ReceiptState.DELIVERED


def test_optional_parameters_go_before_the_text() -> None:
    tlvs = ((0x1E, b"77\0"), (0x427, b"\x05"), (0x423, b"\x03\x00\x0b"))
    assert facts(STANDARD, tlvs=tlvs) == ReceiptFacts("77", ReceiptState.UNDELIVERABLE, "000")
    assert facts(b"", tlvs=tlvs) == ReceiptFacts("77", ReceiptState.UNDELIVERABLE, "11")


def test_a_network_error_code_is_a_number_or_digits() -> None:
    assert facts(b"", tlvs=((0x423, b"\x03\x04\x0b"),)).error == "1035"
    assert facts(b"", tlvs=((0x423, b"027"),)).error == "027"
    assert facts(b"", tlvs=((0x423, b"\x03\x04"),)).error == ""


@pytest.mark.parametrize(
    ("octets", "reference"), [(b"\x12\x34", 0x1234), (b"\x07", 7), (b"", None), (b"\0\0\0\1", None)]
)
def test_a_receipt_without_an_id_gives_the_reference_back(octets: bytes, reference: int | None) -> None:
    found = facts(b"stat:DELIVRD", tlvs=((0x0204, octets),))
    assert (found.smsc_id, found.reference) == ("", reference)


@pytest.mark.parametrize("number", [b"\x02", b"\x05", b"\x03"])
def test_an_intermediate_notification_is_never_the_end(number: bytes) -> None:
    pdu = DeliverSm(esm_class=0x20, tlvs=((0x1E, b"1\0"), (0x427, number)))
    assert receipts.read(pdu, b"id:1 stat:UNDELIV", ReceiptIds()).state is ReceiptState.ENROUTE


# Whole PDUs.

CLIPPED = bytes.fromhex(
    # The last parameter says 65 octets and has five, as in a dump of cloudhopper's issues.
    "00000085 00000005 00000000 00000007"
    "00 0101 3834393132333435363738 00 0001 39313035 00 04 00 00 00 00 00 00 00 00"
    "4c"  # id:1234567890 submit date:2611221430 done date:2611221431 stat:DELIVRD err:0
    "69643a31323334353637383930207375626d697420646174653a3236313132323134333020"
    "646f6e6520646174653a3236313132323134333120737461743a44454c49565244206572723a30"
    "001e 0041 3132333435"
)
IN_DATA_SM = bytes.fromhex(
    "00000042 00000103 00000000 00000009"
    "00 0101 3834393132333435363738 00 0001 39313035 00 04 00 00"
    "001e 0009 3132333435363738 00"  # receipted_message_id 12345678
    "0427 0001 05"  # UNDELIVERABLE
    "0423 0003 030011"  # GSM, 17
)


def test_an_id_that_was_cut_short_is_taken_from_the_text() -> None:
    pdu = decode(CLIPPED)
    assert isinstance(pdu, DeliverSm)
    assert pdu.tlv(0x1E) == b"12345"
    assert receipts.read(pdu, pdu.short_message, ReceiptIds()) == ReceiptFacts(
        "1234567890", ReceiptState.DELIVERED, "0"
    )


def test_a_receipt_in_data_sm_has_parameters_alone() -> None:
    pdu = decode(IN_DATA_SM)
    assert isinstance(pdu, DataSm)
    assert receipts.kind_of(pdu, b"") is Kind.RECEIPT
    assert receipts.read(pdu, b"", ReceiptIds()) == ReceiptFacts("12345678", ReceiptState.UNDELIVERABLE, "17")


SAID = {
    "DELIVRD": ReceiptState.DELIVERED,
    "ACCEPTD": ReceiptState.ACCEPTED,
    "UNDELIV": ReceiptState.UNDELIVERABLE,
    "ENROUTE": ReceiptState.ENROUTE,
}


@pytest.mark.parametrize("fixture", [found for found in FIXTURES if "id" in found.also], ids=lambda found: found.name)
def test_a_receipt_of_the_field_says_what_its_source_says(fixture: Fixture) -> None:
    pdu = decode(fixture.wire)
    assert isinstance(pdu, DeliverSm | DataSm)
    octets = pdu.short_message if isinstance(pdu, DeliverSm) else b""
    assert receipts.kind_of(pdu, octets) in (Kind.RECEIPT, Kind.INTERMEDIATE)
    found = receipts.read(pdu, octets, ReceiptIds())
    assert found.smsc_id == fixture.also["id"]
    if "state" in fixture.also:
        assert found.state is SAID[fixture.also["state"]]


def test_a_state_of_zero_gives_way_to_the_text() -> None:
    assert facts(b"id:1 stat:UNDELIV err:255", tlvs=((0x0427, b"\0"),)).state is ReceiptState.UNDELIVERABLE
    assert facts(b"id:1", tlvs=((0x0427, b"\0"),)).state is ReceiptState.ENROUTE


# Kinds.


@pytest.mark.parametrize(
    ("esm_class", "kind"),
    [
        (0x00, Kind.MESSAGE),
        (0x40, Kind.MESSAGE),
        (0x80, Kind.MESSAGE),
        (0x04, Kind.RECEIPT),
        (0x44, Kind.RECEIPT),
        (0x07, Kind.RECEIPT),
        (0x08, Kind.DELIVERY_ACK),
        (0x10, Kind.USER_ACK),
        (0x18, Kind.CONVERSATION_ABORT),
        (0x20, Kind.INTERMEDIATE),
        (0x0C, Kind.MESSAGE),
        (0x3C, Kind.MESSAGE),
    ],
)
def test_esm_class_says_what_a_pdu_is(esm_class: int, kind: Kind) -> None:
    assert receipts.kind_of(DeliverSm(esm_class=esm_class), b"hello") is kind


def test_a_subscriber_cannot_write_a_receipt() -> None:
    assert receipts.kind_of(DeliverSm(), STANDARD) is Kind.MESSAGE
    assert receipts.kind_of(DeliverSm(tlvs=((0x1E, b"1\0"),)), b"") is Kind.RECEIPT


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        pytest.param(STANDARD, Kind.RECEIPT, id="Appendix B"),
        pytest.param(b"id:1 submit date:2611221430 stat:EXPIRED", Kind.RECEIPT, id="the least of a receipt"),
        pytest.param(b"id:1 stat:DELIVRD", Kind.MESSAGE, id="no date"),
        pytest.param(b"id:1 done date:2611221431 err:000", Kind.MESSAGE, id="no state"),
        pytest.param(b"id:1 done date:2611221431 stat:GOOD", Kind.MESSAGE, id="a state of nobody's"),
        pytest.param(b"done date:2611221431 stat:DELIVRD err:000", Kind.MESSAGE, id="no id"),
        pytest.param(b"Hello, " + STANDARD, Kind.MESSAGE, id="quoted"),
        pytest.param(b"id: stat:DELIVRD done date:2611221431", Kind.MESSAGE, id="an empty id"),
        pytest.param(b"ID 5 status?", Kind.MESSAGE, id="a question"),
    ],
)
def test_a_text_is_a_receipt_only_to_an_account_that_allows_it(body: bytes, kind: Kind) -> None:
    assert receipts.kind_of(DeliverSm(), body, by_text=True) is kind
    assert receipts.kind_of(DeliverSm(), body) is Kind.MESSAGE


def test_a_text_behind_a_user_data_header_is_no_receipt() -> None:
    assert receipts.kind_of(DeliverSm(esm_class=0x40), STANDARD, by_text=True) is Kind.MESSAGE


# Ids.


@pytest.mark.parametrize(
    ("dialect", "submitted", "receipted"),
    [
        ("same", b"00aF", b"00aF"),
        ("hex_to_dec", b"1A2B", b"6699"),
        ("hex_to_dec", b"1A2B", b"0000006699"),
        ("hex_to_dec", b"000001a2b", b"00006699"),
        ("dec_to_hex", b"6699", b"1A2B"),
        ("dec_to_hex", b"6699", b"00001a2b"),
        ("dec_to_hex", b"0000006699", b"1a2b"),
        ("strip0", b"0000123", b"123"),
        ("strip0", b"123", b"0000000123"),
        ("strip0", b"0", b"000"),
        ("strip0", b"5F0E7A31-9C4D-4B21-8AA0-1D6C2B3F4E5A", b"5f0e7a319c4d4b218aa01d6c2b3f4e5a"),
    ],
)
def test_the_id_of_a_receipt_meets_the_id_of_its_submission(
    dialect: ReceiptId, submitted: bytes, receipted: bytes
) -> None:
    expected = ReceiptIds(dialect).submitted(submitted)
    assert facts(b"id:" + receipted + b" stat:DELIVRD", dialect).smsc_id == expected
    assert facts(b"id:999 stat:DELIVRD", dialect, ((0x1E, submitted + b"\0"),)).smsc_id == expected


@pytest.mark.parametrize("dialect", ["hex_to_dec", "dec_to_hex"])
@pytest.mark.parametrize("message_id", [b"a-9-z", b"1_0", b"-1", b" 1", b"0x1f", "१२".encode()])
def test_an_id_that_is_no_number_stays_as_it_is(dialect: ReceiptId, message_id: bytes) -> None:
    assert ReceiptIds(dialect).submitted(message_id) == message_id.decode("latin-1")


@pytest.mark.parametrize("dialect", ["same", "hex_to_dec", "dec_to_hex", "strip0", "auto"])
def test_an_endless_id_is_cut(dialect: ReceiptId) -> None:
    ids = ReceiptIds(dialect)
    assert len(ids.submitted(b"9" * 60_000)) <= 80
    assert len(ids.receipted("9" * 60_000, "")) <= 80
    assert len(ids.receipted("", "9" * 60_000)) <= 80


def test_a_parameter_that_is_spelled_as_the_text_is_read_as_the_text() -> None:
    ids = ReceiptIds("hex_to_dec")
    assert ids.submitted(b"1A2B") == ids.receipted("6699", "6699") == ids.receipted("1A2B", "6699")


SPELLINGS: dict[str, tuple[Callable[[int], str], Callable[[int], str]]] = {
    "same": (lambda n: f"{n}", lambda n: f"{n}"),
    "padded to ten": (lambda n: f"{n}", lambda n: f"{n:010}"),
    "stripped": (lambda n: f"{n:08}", lambda n: f"{n}"),
    "hex to decimal": (lambda n: f"{n:X}", lambda n: f"{n:010}"),
    "decimal to hex": (lambda n: f"{n}", lambda n: f"{n:08x}"),
    "hyphens": (lambda n: f"{n:08x}-{n:04x}", lambda n: f"{n:08X}{n:04X}"),
}


@pytest.mark.parametrize("spelling", list(SPELLINGS))
@pytest.mark.parametrize("start", [1, 9_990, 1_000_000, 4_000_000_000])
def test_auto_finds_out_how_an_smsc_spells_ids(spelling: str, start: int) -> None:
    in_response, in_receipt = SPELLINGS[spelling]
    ids, order = ReceiptIds("auto"), random.Random(7)
    waiting = {number: ids.submitted(in_response(number).encode()) for number in range(start, start + 200)}
    for number in order.sample(list(waiting), 100):
        ids.receipted("", in_receipt(number))
    assert ids.found is not None
    assert {number: ids.receipted("", in_receipt(number)) for number in waiting} == waiting


def test_auto_knows_a_message_before_it_knows_the_rule() -> None:
    ids = ReceiptIds("auto")
    common = ids.submitted(b"1A2B")
    assert ids.receipted("", "0000006699") == common
    assert ids.found is None


def test_auto_decides_nothing_by_an_id_that_fits_two_messages() -> None:
    ids = ReceiptIds("auto")
    for number in range(1000, 1000 + 9 * LEAD):
        ids.submitted(str(number).encode())
        ids.submitted(f"{number:x}".encode())
    for number in range(1000, 1000 + 9 * LEAD):
        ids.receipted("", str(number))
    assert ids.found is None


def test_auto_keeps_to_its_rule_when_one_receipt_contradicts() -> None:
    ids = ReceiptIds("auto")
    for number in range(0xA000, 0xA000 + LEAD):
        ids.submitted(f"{number:x}".encode())
        ids.receipted("", str(number))
    assert ids.found == "hex_to_dec"
    ids.submitted(b"77")
    assert ids.receipted("", "119") == "77"


def test_auto_passes_an_unknown_id_on_as_it_came_while_nothing_is_known() -> None:
    assert ReceiptIds("auto").receipted("", "00-00AB") == "ab"


def test_auto_takes_the_parameter_before_a_text_that_says_something_else() -> None:
    ids = ReceiptIds("auto")
    assert ids.submitted(b"1A2B") == ids.receipted("1A2B", "0000006699")


def test_auto_remembers_no_more_ids_than_it_may() -> None:
    ids = ReceiptIds("auto")
    first, second, *_ = [f"{number:x}" for number in range(0xABCDEF, 0xABCDEF + REMEMBERED_MAX + 1)]
    for number in range(0xABCDEF, 0xABCDEF + REMEMBERED_MAX + 1):
        ids.submitted(f"{number:x}".encode())
    assert ids.receipted("", str(int(first, 16))) != first
    assert ids.receipted("", str(int(second, 16))) == second


@given(
    st.binary(max_size=200),
    st.lists(st.tuples(st.sampled_from([0x1E, 0x204, 0x423, 0x427]), st.binary(max_size=80)), max_size=4),
    st.integers(min_value=0, max_value=255),
    st.sampled_from(["same", "hex_to_dec", "dec_to_hex", "strip0", "auto"]),
)
def test_no_octets_are_too_odd_for_a_receipt(
    body: bytes, tlvs: list[tuple[int, bytes]], esm_class: int, dialect: ReceiptId
) -> None:
    pdu, ids = DeliverSm(esm_class=esm_class, tlvs=tuple(tlvs)), ReceiptIds(dialect)
    ids.submitted(body)
    assert isinstance(receipts.kind_of(pdu, body, by_text=True), Kind)
    found = receipts.read(pdu, body, ids)
    assert len(found.error) <= 20
    assert found.reference is None or 0 <= found.reference <= 0xFFFF
