"""Septets in octets, against public vectors of 3GPP TS 23.038 §6.1.2."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sms.packing import fill_bits, pack, unpack

VECTORS = [
    pytest.param(b"hello", 0, "E8329BFD06", id="five septets"),
    pytest.param(b"hellohello", 0, "E8329BFD4697D9EC37", id="ten septets"),
    pytest.param(b"*100#", 0, "AA180C3602", id="a USSD code"),
    pytest.param(b"12345678", 0, "31D98C56B3DD70", id="eight septets fill seven octets"),
    pytest.param(b"1234567", 0, "31D98C56B3DD1A", id="seven bits to spare carry a carriage return"),
    pytest.param(b"hello", 1, "D06536FB0D", id="one fill bit after a header of six octets"),
    pytest.param(b"A", 6, "4010", id="six fill bits"),
    pytest.param(b"", 1, "", id="nothing"),
]


@pytest.mark.parametrize("septets, fill, octets", VECTORS)
def test_septets_stand_in_the_bits_of_octets(septets: bytes, fill: int, octets: str) -> None:
    assert pack(septets, fill).hex().upper() == octets
    assert unpack(bytes.fromhex(octets), fill) == septets


def test_seven_spare_bits_of_a_sender_without_carriage_return_are_an_at_sign() -> None:
    assert unpack(bytes.fromhex("31D98C56B3DD00")) == b"1234567\x00"


def test_a_carriage_return_that_ends_an_octet_is_sent_twice_since_the_receiver_drops_the_last() -> None:
    assert unpack(pack(b"1234567\r")) == b"1234567\r\r"
    assert unpack(pack(b"123456\r")) == b"123456\r"


@pytest.mark.parametrize(
    "header_octets, bits", [(0, 0), (1, 6), (2, 5), (4, 3), (6, 1), (7, 0), (8, 6), (12, 2), (13, 1)]
)
def test_the_first_septet_begins_on_a_septet_boundary_of_the_header(header_octets: int, bits: int) -> None:
    assert fill_bits(header_octets) == bits
    assert (8 * header_octets + bits) % 7 == 0


@given(st.binary(max_size=300).map(lambda octets: bytes(octet & 0x7F for octet in octets)), st.integers(0, 6))
def test_what_is_packed_comes_out_but_for_carriage_returns_at_the_end(septets: bytes, fill: int) -> None:
    assert unpack(pack(septets, fill), fill).rstrip(b"\r") == septets.rstrip(b"\r")


@given(st.binary(max_size=160), st.integers(0, 6))
def test_any_octets_are_unpacked(octets: bytes, fill: int) -> None:
    assert all(septet < 0x80 for septet in unpack(octets, fill))
