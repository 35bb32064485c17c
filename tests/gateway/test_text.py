"""GSM 03.38 against the tables of 3GPP TS 23.038; segments against 3GPP TS 23.040."""

from __future__ import annotations

import pytest

from gateway.text import UDHI, Encoded, decode, encode, split, without_header
from vas import alphabet

ACCENTED = "Bạn còn 3 lượt gọi"


@pytest.mark.parametrize(
    "text, encoded",
    [
        pytest.param("@£$_ §¿à", Encoded(0, bytes.fromhex("00010211205F607F")), id="corners of the basic table"),
        pytest.param("^{}\\[~]|€", Encoded(0, bytes.fromhex("1B141B281B291B2F1B3C1B3D1B3E1B401B65")), id="extension"),
        pytest.param("\n\f\r", Encoded(0, bytes.fromhex("0A1B0A0D")), id="line, form, carriage"),
        pytest.param("", Encoded(0, b""), id="nothing"),
        pytest.param("ế", Encoded(8, bytes.fromhex("1EBF")), id="Vietnamese"),
        pytest.param("`", Encoded(8, bytes.fromhex("0060")), id="a grave accent is not in GSM 03.38"),
        pytest.param("😀", Encoded(8, bytes.fromhex("D83DDE00")), id="beyond the BMP"),
        pytest.param("\ud83d", Encoded(8, bytes.fromhex("FFFD")), id="half a surrogate pair"),
    ],
)
def test_a_text_takes_the_cheapest_encoding_that_shows_it_as_written(text: str, encoded: Encoded) -> None:
    assert encode(text) == encoded


@pytest.mark.parametrize(
    "octets, data_coding, text",
    [
        pytest.param("00010211", 0x00, "@£$_", id="GSM 03.38"),
        pytest.param("1B65", 0x0F, "€", id="CBS GSM 7 bit, as USSD gateways say it"),
        pytest.param("1B61", 0x00, "a", id="an unknown escape shows the basic character"),
        pytest.param("611B", 0x00, "a ", id="an escape at the end is a space"),
        pytest.param("1B1B", 0x00, " ", id="an escape of an escape is a space"),
        pytest.param("61FF", 0x00, "a\ufffd", id="an octet above 0x7F"),
        pytest.param("1EBF", 0x08, "ế", id="UCS-2"),
        pytest.param("1EBF", 0x48, "ế", id="CBS UCS-2"),
        pytest.param("1EBF1E", 0x08, "ế\ufffd", id="half a unit"),
        pytest.param("D83D0041", 0x08, "\ufffdA", id="half a surrogate pair"),
        pytest.param("E9", 0x03, "é", id="Latin-1"),
        pytest.param("61E9", 0x01, "a\ufffd", id="IA5 has seven bits"),
        pytest.param("00FF", 0x04, "\x00ÿ", id="binary"),
        pytest.param("41", 0xAA, "A", id="an unknown coding"),
    ],
)
def test_octets_become_text_and_never_an_error(octets: str, data_coding: int, text: str) -> None:
    assert decode(bytes.fromhex(octets), data_coding) == text


def test_every_data_coding_reads_every_octet() -> None:
    for data_coding in range(256):
        assert isinstance(decode(bytes(range(256)) + b"\x1b", data_coding), str)


def test_every_character_of_gsm_03_38_survives_the_way_there_and_back() -> None:
    everything = alphabet.BASIC.replace("\x1b", "") + "".join(alphabet.EXTENSION.values())
    octets = alphabet.gsm_encode(everything)
    assert octets is not None
    assert alphabet.gsm_decode(octets) == everything


@pytest.mark.parametrize(
    "text, segments",
    [
        pytest.param("a" * 160, 1, id="160 septets"),
        pytest.param("a" * 161, 2, id="161 septets"),
        pytest.param("a" * 306, 2, id="306 septets"),
        pytest.param("a" * 307, 3, id="307 septets"),
        pytest.param("€" * 80, 1, id="80 escapes"),
        pytest.param("€" * 153, 3, id="an escape is never cut: 76 in a part, not 76 and a half"),
        pytest.param("ế" * 70, 1, id="70 units"),
        pytest.param("ế" * 71, 2, id="71 units"),
        pytest.param("ế" * 134, 2, id="134 units"),
        pytest.param("😀" * 67, 3, id="a surrogate pair is never cut: 33 in a part, not 33 and a half"),
    ],
)
def test_segments_hold_what_a_header_leaves_room_for(text: str, segments: int) -> None:
    parts = split(text, reference=7)
    assert len(parts) == segments == alphabet.sms_segments(text)
    assert all(len(part.short_message) <= (140 if part.data_coding == 8 else 159) for part in parts) or segments == 1
    shown = ""
    for number, part in enumerate(parts, 1):
        octets = part.short_message
        if segments > 1:
            header, octets = without_header(octets)
            assert part.esm_class == UDHI
            assert header == bytes((5, 0, 3, 7, segments, number))
        shown += decode(octets, part.data_coding)
    assert shown == text


@pytest.mark.parametrize(
    "text, sms, ussd",
    [
        pytest.param("a" * 160, True, True, id="160 septets"),
        pytest.param("a" * 161, False, True, id="161 septets"),
        pytest.param("a" * 182, False, True, id="182 septets"),
        pytest.param("a" * 183, False, False, id="183 septets"),
        pytest.param("€" * 91, False, True, id="182 septets of escapes"),
        pytest.param("ế" * 70, True, True, id="70 units"),
        pytest.param("ế" * 80, False, True, id="80 units"),
        pytest.param("ế" * 81, False, False, id="81 units"),
        pytest.param("😀" * 40, False, True, id="80 units of surrogates"),
    ],
)
def test_what_fits_an_sms_and_a_ussd_screen(text: str, sms: bool, ussd: bool) -> None:
    assert (alphabet.fits_sms(text), alphabet.fits_ussd(text)) == (sms, ussd)


def test_septets_are_counted_only_where_the_text_is_in_gsm_03_38() -> None:
    assert alphabet.septets("5€") == 3
    assert alphabet.septets(ACCENTED) is None
    assert alphabet.is_gsm("5€")
    assert not alphabet.is_gsm(ACCENTED)
    assert alphabet.utf16_units("a😀") == 3


def test_a_header_longer_than_the_message_leaves_no_text() -> None:
    assert without_header(b"\x0a\x00\x03") == (b"\x0a\x00\x03", b"")
    assert without_header(b"") == (b"", b"")
