"""GSM 03.38 against the tables of 3GPP TS 23.038; segments against 3GPP TS 23.040."""

from __future__ import annotations

import pytest

from gateway.pdus.pdu import DeliverSm
from gateway.sms.national import Shifts
from gateway.sms.segments import plan
from gateway.sms.style import Alphabet, Style
from gateway.sms.text import UDHI, Received, Segment, coding_of, decode, decode_ussd, joined, read, read_coding
from vas import alphabet
from vas.messages import Part

ACCENTED = "Bạn còn 3 lượt gọi"


@pytest.mark.parametrize(
    "text, data_coding, octets",
    [
        pytest.param("@£$_ §¿à", 0, bytes.fromhex("00010211205F607F"), id="corners of the basic table"),
        pytest.param("^{}\\[~]|€", 0, bytes.fromhex("1B141B281B291B2F1B3C1B3D1B3E1B401B65"), id="extension"),
        pytest.param("\n\f\r", 0, bytes.fromhex("0A1B0A0D"), id="line, form, carriage"),
        pytest.param("", 0, b"", id="nothing"),
        pytest.param("ế", 8, bytes.fromhex("1EBF"), id="Vietnamese"),
        pytest.param("`", 8, bytes.fromhex("0060"), id="a grave accent is not in GSM 03.38"),
        pytest.param("😀", 8, bytes.fromhex("D83DDE00"), id="beyond the BMP"),
        pytest.param("\ud83d", 8, bytes.fromhex("FFFD"), id="half a surrogate pair"),
    ],
)
def test_a_text_is_in_gsm_03_38_if_that_has_every_character_and_in_ucs_2_else(
    text: str, data_coding: int, octets: bytes
) -> None:
    assert plan(text, Style(), 7) == [Segment(data_coding, octets)]


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
        pytest.param("1EBF", 0x18, "ế", id="UCS-2 of class 0"),
        pytest.param("1EBF", 0x59, "ế", id="UCS-2 of class 1, to be deleted"),
        pytest.param("0002", 0xF0, "@$", id="GSM 03.38 of class 0"),
        pytest.param("00FF", 0xF5, "\x00ÿ", id="binary of class 1"),
        pytest.param("E9", 0x03, "é", id="Latin-1"),
        pytest.param("61E9", 0x01, "a\ufffd", id="IA5 has seven bits"),
        pytest.param("00FF", 0x04, "\x00ÿ", id="binary"),
        pytest.param("41", 0xAA, "A", id="an unknown coding"),
    ],
)
def test_octets_become_text_and_never_an_error(octets: str, data_coding: int, text: str) -> None:
    assert decode(bytes.fromhex(octets), data_coding) == text


@pytest.mark.parametrize(
    "octets, data_coding, account, text",
    [
        pytest.param("40E9", 0x00, "latin1", "@é", id="Latin-1"),
        pytest.param("4061", 0x00, "ascii", "@a", id="ASCII"),
        pytest.param("61E9", 0x00, "ascii", "a\ufffd", id="ASCII has seven bits"),
        pytest.param("0002", 0x10, "latin1", "@$", id="a data_coding that says GSM 03.38 itself"),
        pytest.param("20AC", 0x08, "latin1", "€", id="UCS-2"),
    ],
)
def test_data_coding_0_is_read_as_the_account_says(octets: str, data_coding: int, account: Alphabet, text: str) -> None:
    assert decode(bytes.fromhex(octets), data_coding, account) == text


def test_national_shifts_are_understood_whatever_the_account() -> None:
    for account in ("gsm", "gsm_packed", "latin1", "ascii"):
        assert decode(bytes.fromhex("0C1B65"), 0, account, Shifts(1, 1)) == "ğ€"


def test_every_data_coding_reads_every_octet() -> None:
    everything = bytes(range(256)) + b"\x1b"
    for data_coding in range(256):
        for account in ("gsm", "gsm_packed", "latin1", "ascii"):
            pdu = DeliverSm(data_coding=data_coding, esm_class=UDHI)
            assert isinstance(read(pdu, everything, Style(account)).text, str)
            assert isinstance(decode_ussd(everything, data_coding, account), str)


@pytest.mark.parametrize(
    "octets, data_coding, account, text",
    [
        pytest.param("2A313030231B", 0x0F, "gsm", "*100# ", id="no language in particular"),
        pytest.param("AA180C3602", 0x0F, "gsm_packed", "*100#", id="packed"),
        pytest.param("766E0D48690D", 0x10, "gsm", "Hi\r", id="a language before GSM 03.38"),
        pytest.param("686900", 0x10, "gsm", "hi@", id="class 0 of a gateway that knows no language"),
        pytest.param("F6341EBF", 0x11, "gsm", "ế", id="a language before UCS-2"),
        pytest.param("486900", 0x11, "gsm", "Hi@", id="class 1 of a gateway that knows no language"),
        pytest.param("486900", 0x22, "gsm", "Hi@", id="a language by the octet"),
        pytest.param("1EBF", 0x48, "gsm", "ế", id="UCS-2"),
        pytest.param("00FF", 0x44, "gsm", "\x00ÿ", id="binary"),
        pytest.param("1EBF", 0x08, "gsm", "ế", id="UCS-2 as SMPP has it"),
    ],
)
def test_a_ussd_string_is_read_by_the_octet_of_smpp_or_of_cell_broadcast(
    octets: str, data_coding: int, account: Alphabet, text: str
) -> None:
    assert decode_ussd(bytes.fromhex(octets), data_coding, account) == text


@pytest.mark.parametrize(
    "pdu, raw, account, received",
    [
        pytest.param(DeliverSm(), "6100", "gsm", Received("a@"), id="a text"),
        pytest.param(
            DeliverSm(esm_class=UDHI),
            "050003050201611B",
            "gsm",
            Received("a ", Part("8:5", 2, 1, b"a\x1b", "0:gsm:0:0")),
            id="a part that ends inside an escape",
        ),
        pytest.param(
            DeliverSm(esm_class=UDHI),
            "050003050202D06536FB0D",
            "gsm_packed",
            Received("hello", Part("8:5", 2, 2, b"hello", "0:gsm_packed:0:0")),
            id="a packed part has fill bits of its own",
        ),
        pytest.param(
            DeliverSm(esm_class=UDHI, data_coding=8),
            "060804010502011EBF",
            "gsm",
            Received("ế", Part("16:261", 2, 1, b"\x1e\xbf", "8:gsm:0:0")),
            id="UCS-2 with a 16-bit reference",
        ),
        pytest.param(
            DeliverSm(esm_class=UDHI),
            "06240101250101041B67",
            "gsm",
            Received("€ğ"),
            id="national shifts",
        ),
        pytest.param(
            DeliverSm(tlvs=((0x020C, b"\0\x4d"), (0x020E, b"\x02"), (0x020F, b"\x01"))),
            "61",
            "latin1",
            Received("a", Part("sar:77", 2, 1, b"a", "0:latin1:0:0")),
            id="sar_* parameters",
        ),
        pytest.param(
            DeliverSm(esm_class=UDHI, data_coding=4),
            "06050423F4000001FF",
            "gsm",
            Received("\x01ÿ", port=9204),
            id="port",
        ),
    ],
)
def test_what_a_deliver_sm_says(pdu: DeliverSm, raw: str, account: Alphabet, received: Received) -> None:
    assert read(pdu, bytes.fromhex(raw), Style(account)) == received


def cut(octets: bytes, at: int, coding: str) -> list[Part]:
    return [Part("8:5", 2, 1, octets[:at], coding), Part("8:5", 2, 2, octets[at:], coding)]


@pytest.mark.parametrize(
    "octets, coding, text",
    [
        pytest.param("611B651B65", "0:gsm:0:0", "a€€", id="inside an escape"),
        pytest.param("611B671B69", "0:gsm_packed:0:1", "ağı", id="inside a national escape"),
        pytest.param("0041D83DDE001EBF", "8:gsm:0:0", "A😀ế", id="inside a surrogate pair, and inside a unit"),
        pytest.param("40E9", "0:latin1:0:0", "@é", id="Latin-1"),
    ],
)
def test_parts_say_the_same_wherever_the_text_was_cut(octets: str, coding: str, text: str) -> None:
    whole = bytes.fromhex(octets)
    for at in range(len(whole) + 1):
        assert joined(cut(whole, at, coding)) == text


def test_parts_of_different_codings_are_read_each_by_its_own() -> None:
    assert joined([Part("8:5", 2, 1, b"a", "0:gsm:0:0"), Part("8:5", 2, 2, b"\x1e\xbf", "8:gsm:0:0")]) == "aế"


def test_a_coding_says_all_that_decoding_needs() -> None:
    assert coding_of(0x18, "latin1", Shifts(3, 2)) == "24:latin1:3:2"
    assert read_coding("24:latin1:3:2") == (0x18, "latin1", Shifts(3, 2))


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
    parts = plan(text, Style(), reference=7)
    assert len(parts) == segments
    shown = ""
    for number, part in enumerate(parts, 1):
        octets = part.short_message
        if segments > 1:
            assert part.esm_class == UDHI
            assert octets[:6] == bytes((5, 0, 3, 7, segments, number))
            octets = octets[6:]
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
