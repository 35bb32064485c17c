"""National tables against 3GPP TS 23.038 Annex A, listed here as what differs from the default tables."""

from __future__ import annotations

import pytest

from gateway.sms.national import LOCKING, SINGLE, Shifts, combinations, table
from vas.alphabet import BASIC, EXTENSION

TURKISH, SPANISH, PORTUGUESE = 1, 2, 3


@pytest.mark.parametrize(
    "language, differences",
    [
        pytest.param(TURKISH, "04€ 07ı 0BĞ 0Cğ 1CŞ 1Dş 40İ 60ç", id="A.3.1 Turkish"),
        pytest.param(
            PORTUGUESE,
            "04ê 06ú 07í 08ó 09ç 0BÔ 0Cô 0EÁ 0Fá 12ª 13Ç 14À 15∞ 16^ 17\\ 18€ 19Ó 1A| 1CÂ 1Dâ 1EÊ 24º 40Í "
            "5BÃ 5CÕ 5DÚ 60~ 7Bã 7Cõ 7D`",
            id="A.3.3 Portuguese",
        ),
    ],
)
def test_a_locking_table_differs_from_the_default_alphabet_where_the_standard_says(
    language: int, differences: str
) -> None:
    assert len(LOCKING[language]) == 128
    found = [f"{septet:02X}{character}" for septet, character in enumerate(LOCKING[language])]
    assert [one for one, usual in zip(found, BASIC, strict=True) if one[2:] != usual] == differences.split(" ")


@pytest.mark.parametrize(
    "language, additions",
    [
        pytest.param(TURKISH, "47Ğ 49İ 53Ş 63ç 67ğ 69ı 73ş", id="A.2.1 Turkish"),
        pytest.param(SPANISH, "09ç 41Á 49Í 4FÓ 55Ú 61á 69í 6Fó 75ú", id="A.2.2 Spanish"),
        pytest.param(
            PORTUGUESE,
            "05ê 09ç 0BÔ 0Cô 0EÁ 0Fá 12Φ 13Γ 15Ω 16Π 17Ψ 18Σ 19Θ 1FÊ 41À 49Í 4FÓ 55Ú 5BÃ 5CÕ 61Â 69í 6Fó 75ú "
            "7Bã 7Cõ 7Fâ",
            id="A.2.3 Portuguese",
        ),
    ],
)
def test_a_single_shift_table_has_the_default_extension_and_what_the_standard_adds(
    language: int, additions: str
) -> None:
    added = {septet: character for septet, character in SINGLE[language].items() if septet not in EXTENSION}
    assert SINGLE[language].items() >= EXTENSION.items()
    assert " ".join(f"{septet:02X}{character}" for septet, character in sorted(added.items())) == additions


@pytest.mark.parametrize(
    "text, shifts, octets",
    [
        pytest.param("ğı", Shifts(single=TURKISH), "1B671B69", id="Turkish by single shift"),
        pytest.param("ğı€", Shifts(locking=TURKISH), "0C0704", id="Turkish by locking shift"),
        pytest.param("aí{", Shifts(single=SPANISH), "611B691B28", id="Spanish, with the default extension"),
        pytest.param("ção", Shifts(locking=PORTUGUESE), "097B6F", id="Portuguese by locking shift"),
        pytest.param("çãoΦ", Shifts(PORTUGUESE, PORTUGUESE), "097B6F1B12", id="Portuguese by both"),
        pytest.param("òΦ", Shifts(0, PORTUGUESE), "0812", id="the default alphabet stays under a single shift"),
    ],
)
def test_text_is_written_and_read_under_shifts(text: str, shifts: Shifts, octets: str) -> None:
    assert table(shifts).encode(text) == bytes.fromhex(octets)
    assert table(shifts).decode(bytes.fromhex(octets)) == text


def test_an_escape_that_the_national_table_lacks_shows_the_character_of_the_locking_table() -> None:
    assert table(Shifts(TURKISH, TURKISH)).decode(bytes.fromhex("1B0C")) == "ğ"


def test_a_language_without_tables_is_read_as_the_default() -> None:
    assert table(Shifts(200, 13)).decode(bytes.fromhex("001B65")) == "@€"
    assert table(Shifts(SPANISH, 0)).decode(bytes.fromhex("00")) == "@"


def test_every_character_of_every_pair_of_tables_survives_the_way_there_and_back() -> None:
    for shifts in combinations(("turkish", "spanish", "portuguese")):
        alphabet = LOCKING.get(shifts.locking, BASIC) + "".join(SINGLE.get(shifts.single, EXTENSION).values())
        everything = alphabet.replace("\x1b", "")
        octets = table(shifts).encode(everything)
        assert octets is not None
        assert table(shifts).decode(octets) == everything


def test_only_allowed_nations_are_tried_and_spanish_never_locks() -> None:
    assert combinations(()) == ()
    assert combinations(("spanish",)) == (Shifts(0, SPANISH),)
    assert combinations(("turkish",)) == (Shifts(0, 1), Shifts(1, 0), Shifts(1, 1))
