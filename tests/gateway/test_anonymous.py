"""What anonymising keeps, what it changes, and that it never makes one subscriber of two."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gateway.pdus.pdu import (
    BindTransceiver,
    DataSm,
    DeliverSm,
    Pdu,
    SmeAddress,
    SubmitMulti,
    SubmitMultiResp,
    SubmitSm,
    UnsuccessSme,
    decode,
)
from gateway.simulator.anonymous import Anonymiser
from gateway.simulator.decoded import Taped

KEY = b"sixteen octets.."
anonymous = Anonymiser(KEY)
OTHER = anonymous.number(b"84912345678")


def changed(pdu: Pdu) -> Pdu:
    frame = anonymous.frame(pdu.encode())
    assert frame is not None
    return decode(frame)


def text(body: bytes, **fields: object) -> bytes:
    pdu = changed(DeliverSm(short_message=body, **fields))  # type: ignore[arg-type]
    assert isinstance(pdu, DeliverSm)
    return pdu.short_message


def test_a_number_keeps_its_length_country_and_operator_and_nothing_else() -> None:
    assert OTHER.startswith(b"8491") and len(OTHER) == 11 and OTHER.isdigit()
    others = [(number, anonymous.number(number)) for number in (b"8491%07d" % (n * 9_973) for n in range(1_000))]
    for half in (slice(4, 7), slice(7, 11)):
        assert sum(number[half] == other[half] for number, other in others) < 20


def test_every_spelling_of_a_number_stays_one_subscriber() -> None:
    assert anonymous.number(b"0912345678") == b"0" + OTHER[2:]
    assert anonymous.octets(b"+84912345678") == b"+" + OTHER
    assert anonymous.octets(b"0912.345.678").replace(b".", b"") == b"0" + OTHER[2:]
    assert anonymous.octets(b"0912 345-678")[4:5] == b" "


def test_two_subscribers_never_become_one() -> None:
    numbers = {b"8491%07d" % n for n in range(0, 10_000_000, 997)}
    assert len({anonymous.number(number) for number in numbers}) == len(numbers)


def test_a_key_makes_the_same_of_the_same_and_another_key_something_else() -> None:
    assert Anonymiser(KEY).number(b"84912345678") == OTHER
    assert Anonymiser(KEY[::-1]).number(b"84912345678") != OTHER


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="16"):
        Anonymiser(b"secret")


@pytest.mark.parametrize(
    "pdu",
    [
        pytest.param(DeliverSm(source_addr=b"9105", destination_addr=b"1900123"), id="short codes"),
        pytest.param(SubmitSm(source_addr_ton=5, source_addr=b"MobiFone"), id="alphanumeric sender"),
        pytest.param(DeliverSm(short_message=b"OTP 123456, 50.000d"), id="code and amount"),
        pytest.param(SubmitSm(tlvs=((0x001E, b"1234567890\0"), (0x1383, b"\x07\x03"))), id="message id"),
        pytest.param(SubmitSm(tlvs=((0x1403, b"ab\x01"),)), id="short TLV of a vendor"),
        pytest.param(
            DeliverSm(esm_class=4, short_message=b"id:1234567890 submit date:2611221200 stat:DELIVRD err:000"),
            id="receipt without text",
        ),
    ],
)
def test_what_names_nobody_stays(pdu: Pdu) -> None:
    assert changed(pdu) == pdu


def test_both_addresses_are_changed() -> None:
    pdu = changed(SubmitSm(source_addr=b"84912345678", destination_addr=b"0912345678"))
    assert isinstance(pdu, SubmitSm)
    assert (pdu.source_addr, pdu.destination_addr) == (OTHER, b"0" + OTHER[2:])


def test_the_numbers_of_lists_are_changed() -> None:
    multi = changed(SubmitMulti(dest_addresses=(SmeAddress(1, 1, b"84912345678"),)))
    failed = changed(SubmitMultiResp(message_id=b"1", unsuccess_smes=(UnsuccessSme(1, 1, b"84912345678", 8),)))
    assert isinstance(multi, SubmitMulti) and isinstance(failed, SubmitMultiResp)
    assert multi.dest_addresses == (SmeAddress(1, 1, OTHER),)
    assert failed.unsuccess_smes == (UnsuccessSme(1, 1, OTHER, 8),)


def test_numbers_within_texts_are_changed_in_each_coding() -> None:
    assert text(b"*105*84912345678#") == b"*105*" + OTHER + b"#"
    ucs2 = text("Gọi 84912345678 ngay".encode("utf-16-be"), data_coding=8)
    assert ucs2.decode("utf-16-be") == f"Gọi {OTHER.decode()} ngay"


def test_a_receipt_keeps_its_id_and_dates_and_loses_the_number_in_its_text() -> None:
    head = b"id:1234567890 submit date:2611221200 stat:DELIVRD text:"
    assert text(head + b"CM 84912345678", esm_class=4) == head + b"CM " + OTHER


def test_a_number_that_two_parts_share_is_scrambled_in_both() -> None:
    udh = b"\x05\0\x03\x07\x02\x01"
    first = text(udh + b"call 091234", esm_class=0x40)
    second = text(udh + b"5678 now", esm_class=0x40)
    assert first.startswith(udh + b"call ") and not first.endswith(b"091234") and len(first) == len(udh) + 11
    assert second.endswith(b" now") and b"5678" not in second


def test_a_number_in_an_optional_parameter_is_changed() -> None:
    pdu = changed(
        DataSm(
            tlvs=((0x0424, b"CM 84912345678"), (0x0381, b"\x01\x01\x0184912345678"), (0x1403, b"84912345678\0"),
                  (0x1404, b"\x91\x48\x19\x32\x54\x76\xf8"), (0x0202, b"\xa0\x19\x21\x43\x65\x87")),
        )
    )  # fmt: skip
    assert [value for _, value in pdu.tlvs] == [
        b"CM " + OTHER, b"\x01\x01\x01" + OTHER, OTHER + b"\0", b"\0" * 7, b"\0" * 6,
    ]  # fmt: skip


def test_a_password_is_removed() -> None:
    pdu = changed(BindTransceiver(system_id=b"vas", password=b"secret"))
    assert isinstance(pdu, BindTransceiver) and (pdu.system_id, pdu.password) == (b"vas", b"******")


def test_the_hosts_are_hidden_and_what_cannot_be_read_is_left_out() -> None:
    noon = datetime(2026, 11, 22, 12, tzinfo=UTC)
    frames = [DeliverSm(source_addr=b"84912345678").encode(), b"\0\0\0\x10\0\0\0\x99" + b"\0" * 8]
    tapes = [Taped(noon, "out", 1, "vas", ("10.1.2.3", 2775), ("10.1.2.4", 40_000), frame) for frame in frames]
    (kept,) = anonymous.tapes(tapes)
    assert (kept.smsc, kept.esme) == (("192.0.2.1", 2775), ("192.0.2.2", 40_000))
