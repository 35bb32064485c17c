"""Which handler a text or a dialled code reaches."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vas.errors import ServiceError, TriggerClash
from vas.triggers import Kind, SmsTriggers, UssdTriggers, sms_trigger, ussd_trigger

KINDS = {
    "friend": Kind.NUMBER, "to": Kind.NUMBER, "amount": Kind.WORD, "pin": Kind.WORD, "name": Kind.REST,
    "note": Kind.REST,
}  # fmt: skip


def texted(*patterns: str) -> SmsTriggers:
    """Triggers whose target is their own pattern."""
    return SmsTriggers([sms_trigger(pattern, KINDS, pattern) for pattern in patterns])


def reached(triggers: SmsTriggers, text: str) -> tuple[str, dict[str, str]] | None:
    found = triggers.match(text)
    return (found[0].pattern, found[1]) if found else None


@pytest.mark.parametrize(
    "text",
    [
        "CM 0912345678", "cm 0912345678", "Cm  0912345678", "  CM 0912345678  ", "CM\n0912345678", "CM0912345678",
        "cm+84912345678", "CM 0912 345 678", "CM 0912.345.678", "CM 0912345678.", "CM 0912345678!", "CM (0912) 345-678",
    ],
)  # fmt: skip
def test_a_number_is_found_however_it_is_typed(text: str) -> None:
    found = reached(texted("CM {friend}", "CM"), text)
    assert found is not None
    assert found[0] == "CM {friend}"
    assert found[1]["friend"].strip(" .!").replace(" ", "").translate({ord(c): "" for c in ".-()"}) in (
        "0912345678",
        "+84912345678",
    )


@pytest.mark.parametrize("text", ["GỌI 0912345678", "gọi 0912345678", "Gọi 0912345678", "goi 0912345678",
                                  unicodedata.normalize("NFD", "gọi 0912345678")])  # fmt: skip
def test_accents_and_case_of_a_word_do_not_matter(text: str) -> None:
    assert reached(texted("GỌI {friend}"), text) == ("GỌI {friend}", {"friend": "0912345678"})


@pytest.mark.parametrize("text", ["HD", "hd", "HD.", "hd!!", "Hd?", "HD .", "\tHD\n"])
def test_punctuation_after_a_command_does_not_matter(text: str) -> None:
    assert reached(texted("HD"), text) == ("HD", {})


@pytest.mark.parametrize(
    "text", ["", "   ", "HDX", "XHD", "HD HD", "CM", "CM 0912345678 please", "912345678", "CMX0912345678"]
)
def test_a_text_must_match_as_a_whole(text: str) -> None:
    assert reached(texted("HD", "CM {friend}"), text) is None


def test_a_word_with_a_digit_may_be_glued_to_a_number_too() -> None:
    assert reached(texted("M2U {to}", "M {to}"), "M2U0912345678") == ("M2U {to}", {"to": "0912345678"})


def test_the_text_with_more_words_of_its_own_comes_first() -> None:
    triggers = texted("CHAN {friend}", "CHAN HET", "BO CHAN {friend}", "BO CHAN HET", "BO {name}")
    assert reached(triggers, "chan het") == ("CHAN HET", {})
    assert reached(triggers, "bo chan het") == ("BO CHAN HET", {})
    assert reached(triggers, "bo chan 0912345678") == ("BO CHAN {friend}", {"friend": "0912345678"})
    assert reached(triggers, "bo phieu") == ("BO {name}", {"name": "phieu"})


def test_the_last_text_takes_the_rest_with_its_accents_and_case() -> None:
    assert reached(texted("TEN {name}"), "ten  Nguyễn Thị Lan ") == ("TEN {name}", {"name": "Nguyễn Thị Lan"})


def test_a_number_and_an_amount_are_told_apart() -> None:
    found = reached(texted("CHUYEN {to} {amount} {pin:secret}"), "chuyen 0912 345 678 50000 1234")
    assert found is not None
    assert found[1] == {"to": "0912 345 678", "amount": "50000", "pin": "1234"}


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=30))
@example("ßŞΐ")
@example("ợ" * 5)
@example("…đ")
def test_folding_never_breaks_a_value(value: str) -> None:
    triggers = texted("GOI GOI GOI {name}")
    for form in ("NFC", "NFD"):
        found = reached(triggers, unicodedata.normalize(form, f"gọi gọi gọi {value}"))
        expected = unicodedata.normalize("NFC", f"gọi gọi gọi {value}").strip().removeprefix("gọi gọi gọi").strip()
        assert (found and found[1]["name"]) == (expected or None)


@pytest.mark.parametrize(
    "patterns",
    [
        ("CM {friend}", "cm {to}"),
        ("GỌI {friend}", "GOI {to}"),
        ("BO {name}", "BO {amount}"),
        ("A {amount} B", "A B {amount}"),
        ("HD", "hd"),
    ],
)
def test_triggers_for_the_same_text_stop_the_start_and_both_are_named(patterns: tuple[str, str]) -> None:
    with pytest.raises(TriggerClash) as clash:
        texted(*patterns)
    assert all(repr(pattern) in str(clash.value) for pattern in patterns)


@pytest.mark.parametrize(
    ("taken", "never"), [("BO {name}", "BO {amount} {note}"), ("BO {note}", "BO {friend} {amount} {pin}")]
)
def test_a_trigger_that_another_leaves_nothing_for_stops_the_start(taken: str, never: str) -> None:
    for patterns in ((taken, never), (never, taken)):
        with pytest.raises(TriggerClash) as clash:
            texted(*patterns)
        assert repr(taken) in str(clash.value)
        assert repr(never) in str(clash.value)


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("{friend}", "must begin with a word"),
        ("", "must begin with a word"),
        ("CM{friend}", "a word of its own"),
        ("CM {nobody}", "no parameter 'nobody'"),
        ("TEN {name} {amount}", "nothing can match after"),
    ],
)
def test_a_pattern_that_can_never_match_stops_the_start(pattern: str, why: str) -> None:
    with pytest.raises(ServiceError, match=why):
        sms_trigger(pattern, KINDS, None)


def test_an_endless_text_is_looked_at_only_in_part() -> None:
    found = reached(texted("TEN {name}"), "TEN " + "a" * 200_000)
    assert found is not None
    assert len(found[1]["name"]) < 2_000


# -- USSD


def dialled(*patterns: str, base: str = "*105") -> UssdTriggers:
    return UssdTriggers([ussd_trigger(pattern, base, KINDS, pattern) for pattern in patterns])


def opened(triggers: UssdTriggers, code: str) -> tuple[str, dict[str, str], list[str]] | None:
    found = triggers.match(code)
    return (found[0].pattern, *found[1:]) if found else None


CODES = ("#", "*{friend}#", "*9*{friend}#", "*9#")


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("*105#", ("#", {}, [])),
        ("*105", ("#", {}, [])),
        (" *105# ", ("#", {}, [])),
        ("*105*0912345678#", ("*{friend}#", {"friend": "0912345678"}, [])),
        ("*105*+84912345678#", ("*{friend}#", {"friend": "+84912345678"}, [])),
        ("*105*9#", ("*9#", {}, [])),
        ("*105*9*0912345678#", ("*9*{friend}#", {"friend": "0912345678"}, [])),
        ("*105*1#", ("#", {}, ["1"])),
        ("*105*1*0912345678#", ("#", {}, ["1", "0912345678"])),
        ("*1050912345678#", None),
        ("*1051#", None),
        ("*106#", None),
        ("", None),
        ("105", None),
    ],
)
def test_a_dialled_code_opens_what_it_names(code: str, expected: object) -> None:
    assert opened(dialled(*CODES), code) == expected


def test_a_longer_base_has_its_own_menu() -> None:
    triggers = UssdTriggers([*dialled("#", base="*105"), *dialled("#", base="*105*7")])
    assert [dialled.base for dialled, *_ in [triggers.match("*105*7*1#") or pytest.fail()]] == ["*105*7"]


@pytest.mark.parametrize("patterns", [("*{friend}#", "*{to}#"), ("#", "#"), ("*1*{friend}#", "*{to}*2#")])
def test_codes_that_match_the_same_stop_the_start(patterns: tuple[str, str]) -> None:
    with pytest.raises(TriggerClash) as clash:
        dialled(*patterns)
    assert all(f"*105{pattern}" in str(clash.value) for pattern in patterns)


def test_a_text_in_a_code_ends_at_the_next_star() -> None:
    triggers = dialled("*{name}#", "*{to}*{amount}#")
    assert opened(triggers, "*105*0912345678*500#") == ("*{to}*{amount}#", {"to": "0912345678", "amount": "500"}, [])


@pytest.mark.parametrize("pattern", ["{friend}#", "*{friend}", "*abc#", "**#", "*{friend}{to}#", ""])
def test_a_code_that_nobody_can_dial_stops_the_start(pattern: str) -> None:
    with pytest.raises(ServiceError, match=r"write \*\{name\}# or"):
        dialled(pattern)


def test_a_secret_in_a_trigger_is_known_as_one() -> None:
    assert ussd_trigger("*{to}*{pin:secret}#", "*105", KINDS, None).secrets == ("pin",)
