"""What a text becomes on the wire: real octets by account, sizes of 3GPP TS 23.040, and every text there and back."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.pdus.pdu import RINVMSGLEN, DeliverSm
from gateway.sms.packing import unpack
from gateway.sms.segments import Cost, MessageClass, cost, plan, plan_binary
from gateway.sms.style import Style
from gateway.sms.text import UDHI, Received, Segment, joined, read
from vas.alphabet import BASIC, EXTENSION, fits_sms
from vas.errors import SmppError

Class = MessageClass | None
PAYLOAD, SAR_REFERENCE, SAR_TOTAL, SAR_NUMBER, PORT = 0x0424, 0x020C, 0x020E, 0x020F, 0x020B
EVERYWHERE = ("turkish", "spanish", "portuguese")


def octets(spelled: str) -> bytes:
    return bytes.fromhex(spelled)


def sar(number: int, total: int, reference: str = "0105") -> tuple[tuple[int, bytes], ...]:
    return (SAR_REFERENCE, octets(reference)), (SAR_TOTAL, bytes((total,))), (SAR_NUMBER, bytes((number,)))


@pytest.mark.parametrize(
    "text, style, segment",
    [
        pytest.param("a@€", Style(), Segment(0, octets("61001B65")), id="GSM 03.38"),
        pytest.param("ế", Style(), Segment(8, octets("1EBF")), id="UCS-2"),
        pytest.param("", Style(), Segment(0, b""), id="nothing"),
        pytest.param("hello", Style("gsm_packed"), Segment(0, octets("E8329BFD06")), id="packed"),
        pytest.param("1234567", Style("gsm_packed"), Segment(0, octets("31D98C56B3DD1A")), id="seven bits over"),
        pytest.param("ế", Style("gsm_packed"), Segment(8, octets("1EBF")), id="UCS-2 is never packed"),
        pytest.param("é@", Style("latin1"), Segment(0, octets("E940")), id="Latin-1 that is also in GSM 03.38"),
        pytest.param("ê@", Style("latin1"), Segment(3, octets("EA40")), id="Latin-1 that is not"),
        pytest.param("€", Style("latin1"), Segment(8, octets("20AC")), id="not in Latin-1"),
        pytest.param("$@", Style("ascii"), Segment(0, octets("2440")), id="ASCII"),
        pytest.param("é", Style("ascii"), Segment(8, octets("00E9")), id="not in ASCII"),
        pytest.param("ê@", Style(), Segment(8, octets("00EA0040")), id="Latin-1 only for an account that reads it"),
        pytest.param(
            "ğışığı", Style(national=("turkish",)), Segment(0, octets("032501010C071D070C07"), UDHI), id="locking shift"
        ),
        pytest.param(
            "ìooooğ",
            Style(national=("turkish",)),
            Segment(0, octets("03240101 076F6F6F6F1B67"), UDHI),
            id="single shift",
        ),
        pytest.param(
            "abcdefghí",
            Style(national=("spanish",)),
            Segment(0, octets("03240102 61626364656667681B69"), UDHI),
            id="es",
        ),
        pytest.param("ğ", Style(national=("turkish",)), Segment(8, octets("011F")), id="UCS-2 where that is shorter"),
        pytest.param(
            "ğışığı",
            Style("latin1", ("turkish",)),
            Segment(8, octets("011F0131015F0131011F0131")),
            id="only in GSM 03.38",
        ),
        pytest.param("ğışığı", Style(), Segment(8, octets("011F0131015F0131011F0131")), id="no table is allowed"),
        pytest.param(
            "ção do coração",
            Style("gsm_packed", ("portuguese",)),
            Segment(0, octets("03250103 48ECDF20F21B347ECBC389FD1B"), UDHI),
            id="packed after fill bits",
        ),
    ],
)
def test_a_short_text_takes_the_cheapest_encoding_that_shows_it_as_written(
    text: str, style: Style, segment: Segment
) -> None:
    assert plan(text, style, reference=7) == [segment]


@pytest.mark.parametrize(
    "text, style, data_coding, spelled",
    [
        pytest.param("a", Style(), 0x10, "61", id="GSM 03.38"),
        pytest.param("ế", Style(), 0x18, "1EBF", id="UCS-2"),
        pytest.param("@", Style("latin1"), 0x10, "00", id="the data_coding says GSM 03.38 whatever the account"),
        pytest.param("hello", Style("gsm_packed"), 0x10, "E8329BFD06", id="packed"),
    ],
)
def test_a_flash_message_is_of_class_0(text: str, style: Style, data_coding: int, spelled: str) -> None:
    assert plan(text, style, 7, message_class=0) == [Segment(data_coding, octets(spelled))]


@pytest.mark.parametrize("message_class", [0, 1, 2, 3])
def test_a_class_stands_in_the_two_low_bits(message_class: MessageClass) -> None:
    assert plan("a", Style(), 7, message_class)[0].data_coding == 0x10 | message_class
    assert plan("ế", Style(), 7, message_class)[0].data_coding == 0x18 | message_class
    assert plan_binary(b"a", Style(), 7, 0, message_class)[0].data_coding == 0xF4 | message_class


@pytest.mark.parametrize(
    "text, style, segments",
    [
        pytest.param(
            "a" * 153 + "b" * 10,
            Style(long_messages="udh"),
            [
                Segment(0, octets("050003050201") + b"a" * 153, UDHI),
                Segment(0, octets("050003050202") + b"b" * 10, UDHI),
            ],
            id="8-bit reference",
        ),
        pytest.param(
            "a" * 152 + "b" * 10,
            Style(long_messages="udh16"),
            [
                Segment(0, octets("06080401050201") + b"a" * 152, UDHI),
                Segment(0, octets("06080401050202") + b"b" * 10, UDHI),
            ],
            id="16-bit reference",
        ),
        pytest.param(
            "a" * 152 + "b" * 10,
            Style(long_messages="sar"),
            [Segment(0, b"a" * 152, tlvs=sar(1, 2)), Segment(0, b"b" * 10, tlvs=sar(2, 2))],
            id="sar",
        ),
        pytest.param(
            "a" * 161, Style(long_messages="payload"), [Segment(0, b"", tlvs=((PAYLOAD, b"a" * 161),))], id="payload"
        ),
        pytest.param("a" * 160, Style(long_messages="payload"), [Segment(0, b"a" * 160)], id="payload for long ones"),
        pytest.param("a" * 160, Style(long_messages="sar"), [Segment(0, b"a" * 160)], id="sar for long ones"),
        pytest.param(
            "ğ" * 156,
            Style(national=("turkish",), long_messages="sar"),
            [
                Segment(0, octets("09080401050201250101") + b"\x0c" * 148, UDHI),
                Segment(0, octets("09080401050202250101") + b"\x0c" * 8, UDHI),
            ],
            id="sar and a national header never together",
        ),
        pytest.param(
            "ğ" * 156,
            Style(national=("turkish",), long_messages="payload"),
            [Segment(0, b"", UDHI, ((PAYLOAD, octets("03250101") + b"\x0c" * 156),))],
            id="payload with a national header",
        ),
    ],
)
def test_a_long_text_is_marked_as_the_account_asks(text: str, style: Style, segments: list[Segment]) -> None:
    assert plan(text, style, reference=0x105) == segments


@pytest.mark.parametrize(
    "style, segments",
    [
        pytest.param(Style(), [Segment(4, octets("06050423F40000 01FF"), UDHI)], id="udh"),
        pytest.param(Style(long_messages="payload"), [Segment(4, octets("06050423F40000 01FF"), UDHI)], id="payload"),
        pytest.param(Style(long_messages="sar"), [Segment(4, octets("01FF"), tlvs=((PORT, b"\x23\xf4"),))], id="sar"),
    ],
)
def test_binary_is_addressed_to_a_port(style: Style, segments: list[Segment]) -> None:
    assert plan_binary(octets("01FF"), style, 0x105, port=9204) == segments


def test_long_binary_says_its_port_in_every_segment() -> None:
    head, tail = bytes(128), b"\x01" * 6
    assert plan_binary(head + tail, Style(), 0x105, port=9204) == [
        Segment(4, octets("0B00030502010504 23F40000") + head, UDHI),
        Segment(4, octets("0B00030502020504 23F40000") + tail, UDHI),
    ]
    assert plan_binary(head + tail, Style(long_messages="sar"), 0x105, port=9204) == [
        Segment(4, (head + tail)[:127], tlvs=(*sar(1, 2), (PORT, b"\x23\xf4"))),
        Segment(4, (head + tail)[127:], tlvs=(*sar(2, 2), (PORT, b"\x23\xf4"))),
    ]
    assert plan_binary(head + tail, Style(long_messages="payload"), 0x105, port=9204) == [
        Segment(4, b"", UDHI, ((PAYLOAD, octets("06050423F40000") + head + tail),)),
    ]


def test_binary_without_a_port_has_no_header() -> None:
    assert plan_binary(bytes(140), Style(), 7) == [Segment(4, bytes(140))]
    assert [len(segment.short_message) for segment in plan_binary(bytes(141), Style(), 7)] == [140, 13]


def test_a_text_may_have_a_port() -> None:
    assert plan("a", Style(), 7, port=9204) == [Segment(0, octets("06050423F4000061"), UDHI)]
    assert len(plan("a" * 152, Style(), 7, port=9204)) == 1
    assert len(plan("a" * 153, Style(), 7, port=9204)) == 2


@pytest.mark.parametrize(
    "style, unit, one, each",
    [
        pytest.param(Style(), "a", 160, 153, id="septets, 8-bit"),
        pytest.param(Style(long_messages="udh16"), "a", 160, 152, id="septets, 16-bit"),
        pytest.param(Style(long_messages="sar"), "a", 160, 152, id="septets, sar"),
        pytest.param(Style(long_messages="payload"), "a", 160, 153, id="septets, payload"),
        pytest.param(Style("gsm_packed"), "a", 160, 153, id="packed septets, 8-bit"),
        pytest.param(Style("gsm_packed", long_messages="udh16"), "a", 160, 152, id="packed septets, 16-bit"),
        pytest.param(Style(), "ế", 70, 67, id="UCS-2, 8-bit"),
        pytest.param(Style(long_messages="udh16"), "ế", 70, 66, id="UCS-2, 16-bit"),
        pytest.param(Style("latin1"), "a", 140, 134, id="Latin-1, 8-bit"),
        pytest.param(Style("ascii", long_messages="udh16"), "a", 140, 133, id="ASCII, 16-bit"),
        pytest.param(Style(national=("turkish",)), "ğ", 155, 149, id="locking shift, 8-bit"),
        pytest.param(Style(national=("turkish",), long_messages="udh16"), "ğ", 155, 148, id="locking shift, 16-bit"),
        pytest.param(Style(), "€", 80, 76, id="an escape is never cut"),
        pytest.param(Style(), "😀", 35, 33, id="a surrogate pair is never cut"),
    ],
)
def test_what_one_segment_holds(style: Style, unit: str, one: int, each: int) -> None:
    assert cost(unit * one, style).segments == 1
    assert cost(unit * (one + 1), style).segments == 2
    assert cost(unit * (2 * each), style).segments == 2
    assert cost(unit * (2 * each + 1), style).segments == 3


def test_more_segments_than_can_be_counted_are_refused() -> None:
    assert len(plan("a" * 255 * 153, Style(), 7)) == 255
    for long_messages in ("udh", "sar", "payload"):
        with pytest.raises(SmppError) as refused:
            plan("a" * (255 * 153 + 1), Style(long_messages=long_messages), 7)
        assert refused.value.status == RINVMSGLEN
    with pytest.raises(SmppError):
        plan_binary(bytes(255 * 134 + 1), Style(), 7)


@pytest.mark.parametrize(
    "text, style, told",
    [
        pytest.param("a€", Style(), Cost("GSM 7-bit", 0, 1, "septets", 3, 157, ()), id="GSM 03.38"),
        pytest.param("a" * 161, Style(), Cost("GSM 7-bit", 0, 2, "septets", 161, 145, ()), id="two segments"),
        pytest.param("Gọi lại", Style(), Cost("UCS-2", 8, 1, "UCS-2 units", 7, 63, ("ọ", "ạ")), id="UCS-2"),
        pytest.param("ếế😀", Style(), Cost("UCS-2", 8, 1, "UCS-2 units", 4, 66, ("ế", "😀")), id="each once"),
        pytest.param("a", Style("latin1"), Cost("Latin-1", 0, 1, "octets", 1, 139, ()), id="Latin-1"),
        pytest.param("ê", Style("latin1"), Cost("Latin-1", 3, 1, "octets", 1, 139, ()), id="Latin-1 by its name"),
        pytest.param("a", Style("ascii"), Cost("ASCII", 0, 1, "octets", 1, 139, ()), id="ASCII"),
        pytest.param(
            "ğışı",
            Style(national=("turkish",)),
            Cost("GSM 7-bit, Turkish locking shift", 0, 1, "septets", 4, 151, ("ğ", "ı", "ş")),
            id="locking shift",
        ),
        pytest.param(
            "Estás muy bien así", Style(national=("spanish",)),
            Cost("GSM 7-bit, Spanish single shift", 0, 1, "septets", 20, 135, ("á", "í")),
            id="single shift",
        ),
    ],
)  # fmt: skip
def test_what_a_text_costs_is_known_before_it_is_sent(text: str, style: Style, told: Cost) -> None:
    assert cost(text, style) == told


def test_a_character_that_was_foreign_is_so_alone_too() -> None:
    told = cost("Đi chợ, 5€ – ok?", Style())
    assert told.foreign == ("Đ", "ợ", "–")


letters = st.sampled_from(BASIC.replace("\x1b", "") + "".join(EXTENSION.values()) + "ğışİŞĞçáíóúêãõÂ€ế😀ªº∞`")
gsm_letters = st.sampled_from(BASIC.replace("\x1b", "") + "".join(EXTENSION.values()))
texts = st.one_of(
    st.text(max_size=500),
    st.text(letters, max_size=500),
    st.text(gsm_letters, max_size=500),
    st.builds(
        lambda head, character, count, tail: head + character * count + tail,
        *(st.text("aế", max_size=2), st.sampled_from("€😀ğa"), st.integers(30, 330), st.text("a\r😀ğ", max_size=3)),
    ),
)
styles = st.builds(
    Style,
    st.sampled_from(["gsm", "gsm_packed", "latin1", "ascii"]),
    st.sampled_from([(), ("turkish",), ("spanish",), ("portuguese",), EVERYWHERE]),
    st.sampled_from(["udh", "udh16", "sar", "payload"]),
)
classes = st.sampled_from([None, 0, 1, 2, 3])
ports = st.sampled_from([0, 9204])


def heard(segments: list[Segment], style: Style) -> str:
    """What the one who gets these segments reads."""
    received = [delivered(segment, style) for segment in segments]
    if received[0].part is None:
        assert len(received) == 1
        return received[0].text
    parts = [one.part for one in received if one.part]
    assert [part.number for part in parts] == list(range(1, parts[0].total + 1))
    assert len({part.reference for part in parts}) == 1
    return joined(parts)


def delivered(segment: Segment, style: Style) -> Received:
    pdu = DeliverSm(esm_class=segment.esm_class, data_coding=segment.data_coding, tlvs=segment.tlvs)
    return read(pdu, segment.short_message or pdu.tlv(PAYLOAD) or b"", style)


def octets_on_air(segment: Segment, style: Style) -> int:
    """Header and text in one SMS, where the SMSC has packed what came unpacked and written what parameters say."""
    header = 1 + segment.short_message[0] if segment.esm_class & UDHI else 0
    tags = {tag for tag, _ in segment.tlvs}
    parameters = (6 if SAR_REFERENCE in tags else 0) + (6 if PORT in tags else 0)
    body = len(segment.short_message) - header
    header += parameters and parameters + 1
    if segment.data_coding in (0, *range(0x10, 0x14)) and style.alphabet != "gsm_packed":
        if segment.data_coding == 0 and style.alphabet != "gsm":
            return header + body
        return header + -(-(-header * 8 % 7 + 7 * body) // 8)
    return header + body


@example("€" * 160, Style(), None, 0)
@example("a" * 159 + "\r", Style("gsm_packed"), None, 0)
@example("a" * 152 + "\rb" * 9, Style("gsm_packed"), None, 0)
@given(texts, styles, classes, ports)
def test_every_text_is_read_as_it_was_written(text: str, style: Style, message_class: Class, port: int) -> None:
    text = text.encode("utf-8", "ignore").decode()
    segments = plan(text, style, 0x1FF, message_class, port)
    read_again = heard(segments, style)
    if style.alphabet == "gsm_packed":  # a receiver may see a last carriage return twice, or once instead of twice
        assert read_again.rstrip("\r") == text.rstrip("\r")
    else:
        assert read_again == text


@given(texts, styles, classes, ports)
def test_no_segment_is_larger_than_an_sms(text: str, style: Style, message_class: Class, port: int) -> None:
    for segment in plan(text, style, 7, message_class, port):
        if not any(tag == PAYLOAD for tag, _ in segment.tlvs):
            assert octets_on_air(segment, style) <= 140


@given(texts, styles)
def test_the_cost_is_that_of_the_plan(text: str, style: Style) -> None:
    told, segments = cost(text, style), plan(text, style, 7)
    assert {segment.data_coding for segment in segments} == {told.data_coding}
    if style.long_messages != "payload":
        assert len(segments) == told.segments
    assert told.left >= 0


@given(texts, styles)
def test_national_tables_never_make_a_text_dearer(text: str, style: Style) -> None:
    without = Style(style.alphabet, (), style.long_messages)
    assert cost(text, style).segments <= cost(text, without).segments


@given(texts)
def test_what_the_core_says_fits_one_sms_is_one_segment(text: str) -> None:
    assert fits_sms(text) is (len(plan(text, Style(), 7)) == 1)


@given(st.binary(max_size=600), styles, ports, classes)
def test_binary_arrives_as_it_was(data: bytes, style: Style, port: int, message_class: Class) -> None:
    segments = plan_binary(data, style, 7, port, message_class)
    assert heard(segments, style) == data.decode("latin-1")
    assert {delivered(segment, style).port for segment in segments} == {port}


def test_no_escape_and_no_surrogate_pair_is_ever_cut() -> None:
    for text in ("€" * 160, "a€" * 120, "😀" * 100, "a😀" * 60, "a" * 152 + "€" * 30):
        for long_messages in ("udh", "udh16", "sar"):
            for segment in plan(text, Style(long_messages=long_messages), 7):
                assert not set(delivered(segment, Style()).text) & {"\ufffd", " "}


def test_a_packed_segment_never_ends_in_a_carriage_return_that_would_be_dropped() -> None:
    for text in ("a" * 159 + "\r", "a" * 152 + "\r" + "b" * 20, "a" * 158 + "\r\n"):
        segments = plan(text, Style("gsm_packed"), 7)
        assert heard(segments, Style("gsm_packed")) == text
        assert all(len(segment.short_message) <= 140 for segment in segments)


def test_packed_segments_hold_as_many_septets_as_unpacked_ones() -> None:
    first = plan("a" * 161, Style("gsm_packed"), 7)[0].short_message
    assert len(first) == 140
    assert unpack(first[6:], 1) == b"a" * 153
