"""USSD over SMPP, dialect by dialect: PDUs written by hand from what is known of each gateway."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects import ussd
from gateway.dialects.ussd import TOKEN_OCTETS_MAX, Heard
from gateway.dialects.ussd_dialects import DIALECTS, Dialect, derived
from gateway.pdus.pdu import DataSm, DeliverSm, decode
from vas.messages import UssdTurn

PHONE = "84912345678"
USSD = "55535344 00"
GARBAGE = "02 50 32 00"
BLANK = "00"


def deliver(
    tlvs: str,
    text: str = "",
    *,
    service_type: str = USSD,
    source: str = "3834393132333435363738",
    destination: str = "313035",
    esm_class: str = "00",
    data_coding: str = "00",
) -> DeliverSm:
    """A deliver_sm from its octets in hexadecimal, read by the codec."""
    body = bytes.fromhex(
        f"{service_type} 01 01 {source} 00 00 01 {destination} 00 {esm_class} 00 00 00 00 00 00 {data_coding} 00"
    )
    message = bytes.fromhex(text)
    tail = bytes((len(message),)) + message + bytes.fromhex(tlvs)
    header = bytes.fromhex(f"{16 + len(body) + len(tail):08x} 00000005 00000000 00000007")
    pdu = decode(header + body + tail)
    assert isinstance(pdu, DeliverSm)
    return pdu


def heard(pdu: DeliverSm, dialect: str | Dialect) -> Heard | None:
    return ussd.read(pdu, pdu.short_message, DIALECTS[dialect] if isinstance(dialect, str) else dialect)


CODE = "2a 31 30 35 23"  # *105#
ONE = "31"


@pytest.mark.parametrize(
    ("dialect", "tlvs", "text", "destination", "key", "begin", "ended"),
    [
        # its_session_info: octet 1 the session, octet 2 the sequence in bits 7-1 and the end in bit 0.
        pytest.param("spec", "0501 0001 01  1383 0002 4d00", CODE, "313035", "4d", True, False, id="spec dials"),
        pytest.param("spec", "0501 0001 00  1383 0002 4d00", CODE, "313035", "4d", True, False, id="spec PSSD"),
        pytest.param("spec", "0501 0001 12  1383 0002 4d02", ONE, "313035", "4d", False, False, id="spec answers"),
        pytest.param("spec", "0501 0001 12  1383 0002 4d05", "", "313035", "4d", False, True, id="spec end bit"),
        pytest.param("spec", "0501 0001 13  1383 0002 4d02", "", "313035", "4d", False, True, id="spec notice shown"),
        pytest.param("spec", "0501 0001 01", CODE, "313035", "", True, False, id="spec without a session"),
        pytest.param("spec", "0501 0001 12  1383 0001 4d", ONE, "313035", "", False, False, id="spec cut short"),
        # The upper fifteen bits are the session, the lowest is its end.
        pytest.param("6d", "0501 0001 01  1383 0002 9234", CODE, "313035", "9234", True, False, id="6d dials"),
        pytest.param("6d", "0501 0001 12  1383 0002 9234", ONE, "313035", "9234", False, False, id="6d answers"),
        pytest.param("6d", "0501 0001 81  1383 0002 9234", "", "313035", "9234", False, True, id="6d aborts"),
        pytest.param("6d", "0501 0001 12  1383 0002 9235", "", "313035", "9234", False, True, id="6d ends"),
        pytest.param("6d", "0501 0001 01  1383 0002 9235", CODE, "313035", "9234", False, True, id="6d end beats op"),
        # user_message_reference; as in the log of vumi's pull request 738.
        pytest.param("mica", "0204 0002 3235 0501 0001 01", CODE, "313035", "3235", True, False, id="mica dials"),
        pytest.param("mica", "0204 0002 3235 0501 0001 12", ONE, "313035", "3235", False, False, id="mica answers"),
        pytest.param("mica", "0204 0002 3235 0501 0001 81", "", "313035", "3235", False, True, id="mica aborts"),
        pytest.param("mica", "0204 0002 3235 0501 0001 11", "", "313035", "3235", False, True, id="mica ends"),
        pytest.param("mica", "0204 0002 3235 0501 0001 17", "", "313035", "3235", False, True, id="mica ends as 0x17"),
        pytest.param("tata", "0501 0001 01  1383 0002 9234", CODE, "313035", "9234", True, False, id="tata dials"),
        pytest.param("tata", "0501 0001 12  1383 0002 9234", ONE, "313035", "9234", False, False, id="tata answers"),
        pytest.param("tata", "0501 0001 12  1383 0002 9235", "", "313035", "9234", False, True, id="tata ends"),
        pytest.param("scag", "0204 0002 1a2b 0501 0001 01", CODE, "313035", "1a2b", True, False, id="scag dials"),
        pytest.param("scag", "0204 0002 1a2b 0501 0001 12", ONE, "313035", "1a2b", False, False, id="scag answers"),
        pytest.param("scag", "0204 0002 1a2b 0501 0001 13", "", "313035", "1a2b", False, True, id="scag closes"),
        pytest.param(
            "scag", "0204 0002 1a2b 0501 0001 23 4901 0001 01", "", "313035", "1a2b", False, True, id="scag's op 35"
        ),
        # *105#1234 in destination_addr.
        pytest.param("bercut", "0501 0001 01", "", "2a3130352331323334", "1234", True, False, id="bercut dials"),
        pytest.param("bercut", "0501 0001 12", ONE, "2a3130352331323334", "1234", False, False, id="bercut answers"),
        pytest.param("bercut", "0501 0001 81", "", "2a3130352331323334", "1234", False, True, id="bercut aborts"),
        pytest.param("nowsms", "0501 0001 01  1383 0002 4d01", CODE, "313035", "4d01", True, False, id="nowsms dials"),
        pytest.param("nowsms", "0501 0001 12  1383 0002 4d01", ONE, "313035", "4d01", False, False, id="nowsms next"),
        pytest.param("nowsms", "0501 0001 13  1383 0002 4d01", "", "313035", "4d01", False, True, id="nowsms ends"),
        pytest.param("msisdn", "0501 0001 01  1383 0002 4d00", CODE, "313035", "", True, False, id="msisdn dials"),
        pytest.param("msisdn", "0501 0001 12", ONE, "313035", "", False, False, id="msisdn answers"),
        pytest.param("msisdn", "0501 0001 81", "", "313035", "", False, True, id="msisdn aborts"),
    ],
)  # fmt: skip
def test_a_turn_is_read_as_its_dialect_says(
    dialect: str, tlvs: str, text: str, destination: str, key: str, begin: bool, ended: bool
) -> None:
    found = heard(deliver(tlvs, text, destination=destination), dialect)
    assert found is not None
    turn = found.turn
    assert turn == UssdTurn(f"{PHONE}/{key}", begin, ended, turn.token, shown="0501 0001 13" in tlvs)
    assert found.sender == PHONE
    assert found.text == ("*105#" if begin else "1" if text == ONE else bytes.fromhex(text).decode())


@pytest.mark.parametrize(
    ("dialect", "tlvs", "destination", "screen", "last"),
    [
        pytest.param(
            "spec", "0501 0001 12 1383 0002 4d06", "313035",
            ((0x0501, b"\x02"), (0x1383, b"\x4d\x06")), ((0x0501, b"\x11"), (0x1383, b"\x4d\x07")), id="spec",
        ),
        pytest.param("spec", "0501 0001 01", "313035", ((0x0501, b"\x02"),), ((0x0501, b"\x11"),), id="no session"),
        pytest.param(
            "6d", "0501 0001 12 1383 0002 9234", "313035",
            ((0x0501, b"\x02"), (0x1383, b"\x92\x34")), ((0x0501, b"\x11"), (0x1383, b"\x92\x35")), id="6d",
        ),
        pytest.param(
            "mica", "0204 0002 3235 0501 0001 01", "313035",
            ((0x0501, b"\x02"), (0x0204, b"25")), ((0x0501, b"\x11"), (0x0204, b"25")), id="mica",
        ),
        pytest.param(
            "tata", "0501 0001 12 1383 0002 9234", "313035",
            ((0x0501, b"\x02"), (0x1383, b"\x92\x34")), ((0x0501, b"\x02"), (0x1383, b"\x92\x35")), id="tata",
        ),
        pytest.param(
            "scag", "0204 0002 1a2b 0501 0001 12", "313035",
            ((0x0501, b"\x02"), (0x0204, b"\x1a\x2b")), ((0x0501, b"\x11"), (0x0204, b"\x1a\x2b")), id="scag",
        ),
        pytest.param(
            "bercut", "0501 0001 12", "2a3130352331323334", ((0x0501, b"\x02"),), ((0x0501, b"\x11"),), id="bercut"
        ),
        pytest.param(
            "nowsms", "0501 0001 12 1383 0002 4d01", "313035",
            ((0x0501, b"\x02"), (0x1383, b"\x4d\x01")), ((0x0501, b"\x11"), (0x1383, b"\x4d\x01")), id="nowsms",
        ),
        pytest.param("msisdn", "0501 0001 12", "313035", ((0x0501, b"\x02"),), ((0x0501, b"\x11"),), id="msisdn"),
    ],
)  # fmt: skip
def test_a_screen_goes_into_its_dialogue_and_waits_or_ends_it(
    dialect: str, tlvs: str, destination: str,
    screen: tuple[tuple[int, bytes], ...], last: tuple[tuple[int, bytes], ...],
) -> None:  # fmt: skip
    found = heard(deliver(tlvs, ONE, destination=destination), dialect)
    assert found is not None
    waits = ussd.write(found.turn.token, True, DIALECTS[dialect])
    ends = ussd.write(found.turn.token, False, DIALECTS[dialect])
    assert (waits.tlvs, ends.tlvs) == (screen, last)
    assert {waits.service_type, ends.service_type} == {b"USSD"}


def test_what_stands_at_an_address_goes_back_at_the_address() -> None:
    found = heard(deliver("0501 0001 12", ONE, destination="2a3130352331323334"), "bercut")
    assert found is not None
    answer = ussd.write(found.turn.token, True, DIALECTS["bercut"])
    assert (found.to, answer.source_addr, answer.destination_addr) == ("*105#", b"*105#1234", b"")


@pytest.mark.parametrize(
    ("changes", "source", "sender", "key"),
    [
        pytest.param({}, "383439313233343536373823 3939", PHONE, "99", id="behind a #"),
        pytest.param({"suffix_digits": 4}, "3834393132333435363738 30303939", PHONE, "99", id="in four digits"),
        pytest.param({"suffix_form": "hex"}, "383439313233343536373823 3030314146", PHONE, "1af", id="in hexadecimal"),
        pytest.param({}, "383439313233343536373823 314146", f"{PHONE}#1AF", "", id="hexadecimal where none may be"),
        pytest.param({}, "3834393132333435363738", PHONE, "", id="absent"),
    ],
)
def test_a_session_may_stand_at_the_subscribers_number(
    changes: dict[str, object], source: str, sender: str, key: str
) -> None:
    dialect = derived("bercut", {"suffix_of": "msisdn", "dialled_in": "short_message", **changes})
    pdu = deliver("0501 0001 01", CODE, source=source)
    found = heard(pdu, dialect)
    assert found is not None
    assert (found.sender, found.turn.dialogue) == (sender, f"{sender}/{key}")
    assert ussd.write(found.turn.token, True, dialect).destination_addr == (pdu.source_addr if key else b"")


def test_a_session_in_any_parameter_comes_back_in_it() -> None:
    dialect = derived("spec", {"session": "tlv", "session_tag": 0x1500})
    found = heard(deliver("0501 0001 01 1500 0004 0a0b0c0d", CODE), dialect)
    assert found is not None
    assert found.turn.dialogue == f"{PHONE}/0a0b0c0d"
    assert ussd.write(found.turn.token, False, dialect).tlvs == ((0x0501, b"\x11"), (0x1500, b"\x0a\x0b\x0c\x0d"))


def test_parameters_are_echoed_and_added_as_the_dialect_says() -> None:
    dialect = derived("scag", {"echo": (0x4901, 0x4903), "add": {0x4902: b"\x02"}})
    found = heard(deliver("0204 0002 1a2b 0501 0001 12 4901 0002 0107 4903 0000", ONE), dialect)
    assert found is not None
    assert ussd.write(found.turn.token, True, dialect).tlvs[2:] == (
        (0x4901, b"\x01\x07"),
        (0x4903, b""),
        (0x4902, b"\x02"),
    )
    assert ussd.push(1, True, dialect).tlvs[1:] == ((0x4902, b"\x02"),)


def test_a_token_has_no_room_for_endless_parameters() -> None:
    dialect = derived("scag", {"echo": (0x4901, 0x4903)})
    found = heard(deliver("0204 0002 1a2b 0501 0001 12 4901 0001 01 4903 0100" + "00" * 256, ONE), dialect)
    assert found is not None
    assert len(found.turn.token) <= TOKEN_OCTETS_MAX
    assert ussd.write(found.turn.token, True, dialect).tlvs[1:] == ((0x0204, b"\x1a\x2b"), (0x4901, b"\x01"))


def test_an_endless_session_is_none() -> None:
    found = heard(deliver("0501 0001 12 1383 0200" + "4d" * 512, ONE), "nowsms")
    assert found is not None
    assert found.turn.dialogue == f"{PHONE}/"
    assert ussd.write(found.turn.token, True, DIALECTS["nowsms"]).tlvs == ((0x0501, b"\x02"),)


# What begins with us.


@pytest.mark.parametrize(
    ("dialect", "question", "notice"),
    [
        ("spec", ((0x0501, b"\x02"), (0x1383, b"\x07\x00")), ((0x0501, b"\x03"), (0x1383, b"\x07\x01"))),
        ("6d", ((0x0501, b"\x02"), (0x1383, b"\x00\x0e")), ((0x0501, b"\x03"), (0x1383, b"\x00\x0f"))),
        ("tata", ((0x0501, b"\x02"), (0x1383, b"\x00\x0e")), ((0x0501, b"\x03"), (0x1383, b"\x00\x0f"))),
        ("mica", ((0x0501, b"\x02"), (0x0204, b"\x00\x07")), ((0x0501, b"\x03"), (0x0204, b"\x00\x07"))),
        ("nowsms", ((0x0501, b"\x02"), (0x1383, b"\x00\x07")), ((0x0501, b"\x03"), (0x1383, b"\x00\x07"))),
        ("scag", ((0x0501, b"\x02"),), ((0x0501, b"\x03"),)),
        ("bercut", ((0x0501, b"\x02"),), ((0x0501, b"\x03"),)),
        ("msisdn", ((0x0501, b"\x02"),), ((0x0501, b"\x03"),)),
    ],
)
def test_the_network_begins_a_dialogue(
    dialect: str, question: tuple[tuple[int, bytes], ...], notice: tuple[tuple[int, bytes], ...]
) -> None:
    assert ussd.push(6, True, DIALECTS[dialect]).tlvs == question
    assert ussd.push(6, False, DIALECTS[dialect]).tlvs == notice


@given(st.integers(min_value=0, max_value=2**63), st.sampled_from(sorted(DIALECTS)))
def test_any_number_begins_a_dialogue_and_its_session_is_never_zero(number: int, dialect: str) -> None:
    for tag, octets in ussd.push(number, True, DIALECTS[dialect]).tlvs:
        assert tag == 0x0501 or any(octets)


def test_the_answer_to_a_push_is_a_turn_of_the_dialogue_that_we_numbered() -> None:
    for dialect in ("spec", "6d", "mica", "nowsms"):
        (_, (tag, session)) = ussd.push(6, True, DIALECTS[dialect]).tlvs
        found = heard(deliver(f"0501 0001 12 {tag:04x} {len(session):04x} {session.hex()}", ONE), dialect)
        assert found is not None
        assert (found.turn.begin, found.turn.ended, found.text) == (False, False, "1")
        assert ussd.write(found.turn.token, True, DIALECTS[dialect]).tlvs[1] == (tag, session)


# What is USSD at all, and what was dialled.


def test_an_sms_is_no_turn() -> None:
    assert heard(deliver("", CODE, service_type=BLANK), "spec") is None
    assert heard(deliver("0204 0002 0001", CODE, service_type=BLANK), "mica") is None


def test_the_operation_says_ussd_whatever_the_service_type_is() -> None:
    for service_type in (BLANK, GARBAGE):
        found = heard(deliver("0501 0001 01", CODE, service_type=service_type, data_coding="0f"), "spec")
        assert found is not None
        assert found.text == "*105#"


def test_the_service_type_says_ussd_where_the_operation_is_missing() -> None:
    dials, answers = heard(deliver("", CODE), "msisdn"), heard(deliver("", ONE), "msisdn")
    assert dials is not None
    assert answers is not None
    assert (dials.turn.begin, answers.turn.begin) == (True, False)
    dials = heard(deliver("", destination="2a31303523"), derived("msisdn", {"dialled_in": "either"}))
    assert dials is not None
    assert (dials.turn.begin, dials.text) == (True, "*105#")
    assert heard(deliver("", CODE), derived("msisdn", {"service_type_in": b""})) is None


@pytest.mark.parametrize(
    ("changes", "text", "destination", "dialled"),
    [
        pytest.param({}, CODE, "313035", "*105#", id="in the text"),
        pytest.param({}, CODE + "00", "313035", "*105#", id="with a NUL"),
        pytest.param({"dialled_in": "destination_addr"}, "00", "2a31303523", "*105#", id="in the destination"),
        pytest.param({"dialled_in": "either"}, CODE, "2a31303623", "*105#", id="in both"),
        pytest.param({"dialled_in": "either"}, "", "2a31303523", "*105#", id="in the destination alone"),
        pytest.param({"dialled_in": "either"}, "6869", "2a31303523", "*105#", id="beside another text"),
        pytest.param({"dialled_in": "either"}, "", "313035", "105", id="a bare code as it came"),
        pytest.param({"dialled_in": "either", "complete": True}, "", "313035", "*105#", id="a bare code completed"),
        pytest.param({"complete": True}, "3130352a31", "313035", "*105*1#", id="without its ends"),
        pytest.param({"complete": True}, "2331303523", "313035", "#105#", id="#105# stays"),
        pytest.param({"complete": True}, "", "313035", "", id="nothing stays nothing"),
    ],
)
def test_what_was_dialled_is_found(changes: dict[str, object], text: str, destination: str, dialled: str) -> None:
    found = heard(deliver("0501 0001 01", text, destination=destination), derived("spec", changes))
    assert found is not None
    assert found.text == dialled


def test_an_abort_of_the_conversation_ends_it_in_every_dialect() -> None:
    for dialect in DIALECTS:
        found = heard(deliver("0501 0001 12", esm_class="18"), dialect)
        assert found is not None
        assert found.turn.ended


# Text.


@pytest.mark.parametrize(
    ("changes", "data_coding", "octets", "text"),
    [
        pytest.param({}, "00", "64 5f", "d§", id="GSM 03.38"),
        pytest.param({}, "0f", "64 5f", "d§", id="GSM 03.38 as CBS"),
        pytest.param({}, "08", "1ea1", "ạ", id="UCS-2"),
        pytest.param({}, "48", "1ea1", "ạ", id="UCS-2 as CBS"),
        pytest.param({}, "44", "e9", "é", id="octets as CBS"),
        pytest.param({}, "10", "65 6e 0d 68 69", "hi", id="CBS with a language"),
        pytest.param({"codings": {0x0F: "ucs2"}}, "0f", "1ea1", "ạ", id="a vendor's UCS-2"),
        pytest.param({"codings": {0x0F: "gsm_packed"}}, "0f", "e8329bfd06", "hello", id="a vendor's packed septets"),
        pytest.param({"alphabet": "gsm_packed"}, "0f", "e8329bfd06", "hello", id="packed septets"),
        pytest.param({"codings": {0x00: "latin1"}}, "00", "e9", "é", id="a vendor's Latin-1"),
        pytest.param({"codings": {0x00: "ascii"}}, "00", "5f e9", "_\ufffd", id="a vendor's ASCII"),
    ],
)
def test_an_answer_is_read_as_its_data_coding_says(
    changes: dict[str, object], data_coding: str, octets: str, text: str
) -> None:
    found = heard(deliver("0501 0001 12", octets, data_coding=data_coding), derived("spec", changes))
    assert found is not None
    assert found.text == text


@pytest.mark.parametrize(
    ("changes", "text", "data_coding", "octets"),
    [
        ({}, "d§", 0x00, "64 5f"),
        ({}, "ạ", 0x08, "1ea1"),
        ({"gsm_octet": 0x0F, "ucs2_octet": 0x48}, "d§", 0x0F, "64 5f"),
        ({"gsm_octet": 0x0F, "ucs2_octet": 0x48}, "ạ", 0x48, "1ea1"),
        ({"gsm_octet": 0x0F, "alphabet": "gsm_packed"}, "hello", 0x0F, "e8329bfd06"),
        ({"alphabet": "latin1"}, "é€", 0x08, "00e9 20ac"),
        ({"alphabet": "latin1"}, "é", 0x00, "e9"),
    ],
)
def test_a_screen_is_written_as_the_dialect_says(
    changes: dict[str, object], text: str, data_coding: int, octets: str
) -> None:
    encoded = ussd.encode(text, derived("spec", changes))
    assert (encoded.data_coding, encoded.octets) == (data_coding, bytes.fromhex(octets))


# A copy, and what comes from outside.


def test_a_copy_has_the_same_identity_and_the_next_key_press_another() -> None:
    for dialect, session in (
        ("spec", "1383 0002 4d{:02x}"),
        ("6d", "1383 0002 92{:02x}"),
        ("mica", "0204 0002 32{:02x}"),
    ):
        first, copy, other = (
            heard(deliver(f"0501 0001 12 {session.format(number)}", ONE), dialect) for number in (2, 2, 4)
        )
        assert first
        assert copy
        assert other
        assert first.identity == copy.identity != other.identity


@given(
    st.sampled_from(sorted(DIALECTS)),
    st.lists(st.tuples(st.sampled_from([0x0501, 0x1383, 0x0204, 0x1500, 0x4901]), st.binary(max_size=300)), max_size=5),
    st.binary(max_size=255),
    st.binary(max_size=20),
    st.integers(min_value=0, max_value=255),
    st.sampled_from(
        ["msisdn", "its_15_1", "its_spec", "its_opaque", "user_message_reference", "address_suffix", "tlv"]
    ),
    st.sampled_from(["code", "msisdn"]),
    st.integers(min_value=0, max_value=20),
    st.booleans(),
)
def test_no_octets_are_too_odd_for_a_dialogue(
    like: str, tlvs: list[tuple[int, bytes]], octets: bytes, address: bytes, data_coding: int, session: str,
    suffix_of: str, digits: int, complete: bool,
) -> None:  # fmt: skip
    dialect = derived(
        like,
        {
            "session": session, "session_tag": 0x1500, "suffix_of": suffix_of, "suffix_digits": digits,
            "suffix_form": "hex", "complete": complete, "echo": (0x1500, 0x4901, 0x4901),
        },
    )  # fmt: skip
    for kind in (DeliverSm, DataSm):
        pdu = kind(
            tlvs=tuple(tlvs),
            service_type=b"USSD",
            source_addr=address,
            destination_addr=address,
            data_coding=data_coding,
        )
        found = ussd.read(pdu, octets, dialect)
        assert found is not None
        assert len(found.turn.token) <= TOKEN_OCTETS_MAX
        for more in (True, False):
            assert ussd.write(found.turn.token, more, dialect).tlvs[0][0] == 0x0501


@given(st.binary(max_size=300), st.sampled_from(sorted(DIALECTS)))
def test_no_token_is_too_odd_to_be_answered(token: bytes, dialect: str) -> None:
    assert ussd.write(token, True, DIALECTS[dialect]).service_type == b"USSD"
