"""User data headers and sar_* parameters, as real ones and as broken ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.pdus.pdu import DeliverSm
from gateway.sms.national import Shifts
from gateway.sms.udh import UDHI, Header, elements, part_of


def octets(spelled: str) -> bytes:
    return bytes.fromhex(spelled)


def read(header: str, *tlvs: tuple[int, str]) -> tuple[Header, bytes]:
    pdu = DeliverSm(esm_class=UDHI if header else 0, tlvs=tuple((tag, octets(value)) for tag, value in tlvs))
    return part_of(pdu, octets(header) + b"text")


@pytest.mark.parametrize(
    "header, found",
    [
        pytest.param("050003050201", Header(6, "8:5", 2, 1), id="8-bit reference"),
        pytest.param("06080401050302", Header(7, "16:261", 3, 2), id="16-bit reference"),
        pytest.param("0B05040B8423F00003CC0201", Header(12, "8:204", 2, 1, 2948), id="WAP push: ports come first"),
        pytest.param("0A240101 0003070303", Header(9, "8:7", 3, 3, shifts=Shifts(0, 1)), id="length beyond the end"),
        pytest.param("0404029C40", Header(5, port=156), id="8-bit ports"),
        pytest.param("06050423F40000", Header(7, port=9204), id="16-bit ports"),
        pytest.param("06240103250103", Header(7, shifts=Shifts(3, 3)), id="national shifts"),
        pytest.param("0A7F03AAAAAA0003070201", Header(11, "8:7", 2, 1), id="behind an unknown element"),
        pytest.param("0A0003070201 0003090202", Header(11, "8:9", 2, 2), id="of two the last counts"),
        pytest.param("0A0003070201 0003090000", Header(11, "8:7", 2, 1), id="but not one that makes no sense"),
        pytest.param("050003050101", Header(6), id="one part is none"),
        pytest.param("050003050001", Header(6), id="no parts"),
        pytest.param("050003050200", Header(6), id="part nought"),
        pytest.param("050003050203", Header(6), id="part three of two"),
        pytest.param("0400020502", Header(5), id="a concatenation that is too short"),
        pytest.param("0600030502017F", Header(7, "8:5", 2, 1), id="an octet too many in the header"),
        pytest.param("050009050201", Header(6), id="an element that reaches beyond the header"),
        pytest.param("0100", Header(2), id="an identifier without a length"),
        pytest.param("00", Header(1), id="an empty header"),
    ],
)
def test_a_header_is_read_wherever_its_elements_stand(header: str, found: Header) -> None:
    told, _ = part_of(DeliverSm(esm_class=UDHI), octets(header))
    assert told == found


def test_the_text_begins_after_the_header() -> None:
    assert read("050003050201")[1] == b"text"
    assert read("")[1] == b"text"


def test_a_header_longer_than_the_message_leaves_no_text() -> None:
    assert part_of(DeliverSm(esm_class=UDHI), b"\x0a\x00\x03") == (Header(3), b"")
    assert part_of(DeliverSm(esm_class=UDHI), b"") == (Header(), b"")


def test_without_the_indicator_there_is_no_header() -> None:
    assert part_of(DeliverSm(), octets("050003050201")) == (Header(), octets("050003050201"))


@pytest.mark.parametrize(
    "tlvs, found",
    [
        pytest.param([(0x020C, "004D"), (0x020E, "03"), (0x020F, "02")], Header(0, "sar:77", 3, 2), id="sar"),
        pytest.param([(0x020C, "4D"), (0x020E, "03"), (0x020F, "02")], Header(0, "sar:77", 3, 2), id="in one octet"),
        pytest.param([(0x020C, "004D"), (0x020E, "01"), (0x020F, "01")], Header(), id="one part is none"),
        pytest.param([(0x020C, "004D"), (0x020E, "02"), (0x020F, "03")], Header(), id="part three of two"),
        pytest.param([(0x020C, "004D"), (0x020E, "03")], Header(), id="without its place"),
        pytest.param([(0x020C, "004D"), (0x020E, ""), (0x020F, "02")], Header(), id="clipped"),
        pytest.param([(0x020B, "0B84")], Header(port=2948), id="destination_port"),
    ],
)
def test_parameters_say_what_a_header_would(tlvs: list[tuple[int, str]], found: Header) -> None:
    assert read("", *tlvs) == (found, b"text")


def test_a_header_comes_before_parameters_and_both_are_used() -> None:
    sar = [(0x020C, "004D"), (0x020E, "03"), (0x020F, "02")]
    assert read("050003050201", *sar)[0].reference == "8:5"
    assert read("03240101", *sar)[0] == Header(4, "sar:77", 3, 2, shifts=Shifts(0, 1))


@given(
    st.binary(max_size=40), st.lists(st.tuples(st.sampled_from([0x20B, 0x20C, 0x20E, 0x20F]), st.binary(max_size=4)))
)
def test_whatever_comes_the_text_is_its_end_and_a_part_has_a_place(raw: bytes, tlvs: list[tuple[int, bytes]]) -> None:
    header, body = part_of(DeliverSm(esm_class=UDHI, tlvs=tuple(tlvs)), raw)
    assert raw[header.octets :] == body
    assert 1 <= header.number <= header.total <= 255
    assert bool(header.reference) == (header.total > 1)
    assert sum(2 + len(value) for _, value in elements(raw)) < max(header.octets, 1)
