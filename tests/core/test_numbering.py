"""Numbers in every spelling that people type."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vas import Invalid, Msisdn
from vas.numbering import RENUMBERED_2018


@pytest.mark.parametrize(
    "spelled",
    [
        "0912345678", "84912345678", "+84912345678", "0084912345678", "912345678", "+840912345678",
        "0912 345 678", "0912.345.678", "0912-345-678", "(0912) 345678", "+84 912 345 678", " 0912345678 ",
        "0912345678.",
    ],
)  # fmt: skip
def test_every_spelling_of_a_mobile_number_is_the_same_number(spelled: str) -> None:
    assert Msisdn.parse(spelled).digits == "84912345678"


@pytest.mark.parametrize(("old", "new"), RENUMBERED_2018.items())
@pytest.mark.parametrize("written", ["0{}1234567", "84{}1234567", "+84{}1234567", "0084{}1234567"])
def test_a_number_of_before_2018_is_the_one_it_became(old: str, new: str, written: str) -> None:
    assert Msisdn.parse(written.format(old)).digits == f"84{new}1234567"


def test_all_prefixes_of_the_decision_of_2018_are_known() -> None:
    assert len(RENUMBERED_2018) == 21
    for prefix in ("120", "128", "129", "162", "169", "186", "188", "199"):
        assert prefix in RENUMBERED_2018


@pytest.mark.parametrize(
    ("spelled", "why"),
    [
        pytest.param("9105", "number_short_code", id="short code"),
        pytest.param("113", "number_short_code", id="emergency"),
        pytest.param("19001234", "number_premium", id="premium"),
        pytest.param("1900545481", "number_premium", id="long premium"),
        pytest.param("18001091", "number_premium", id="free-phone"),
        pytest.param("", "number_invalid", id="nothing"),
        pytest.param("12", "number_invalid", id="two digits"),
        pytest.param("abc", "number_invalid", id="letters"),
        pytest.param("0912345", "number_invalid", id="too short"),
        pytest.param("09123456789", "number_invalid", id="too long"),
        pytest.param("0112345678", "number_invalid", id="no such prefix"),
        pytest.param("+999123", "number_invalid", id="no such country"),
        pytest.param("+1" + "2" * 40, "number_invalid", id="endless"),
        pytest.param("٠٩١٢٣٤٥٦٧٨", "number_invalid", id="digits of another script"),
        pytest.param("0912+345678", "number_invalid", id="a sign inside"),
    ],
)
def test_what_is_no_number_is_refused_with_its_reason(spelled: str, why: str) -> None:
    with pytest.raises(Invalid) as refused:
        Msisdn.parse(spelled)
    assert refused.value.key == why


@pytest.mark.parametrize("spelled", ["+491711234567", "00491711234567", "+49 171 1234567"])
def test_a_foreign_number_needs_its_sign(spelled: str) -> None:
    number = Msisdn.parse(spelled)
    assert (number.digits, number.domestic, number.mobile) == ("491711234567", False, False)
    assert str(number) == "+491711234567"


@pytest.mark.parametrize("spelled", ["02438251234", "+842438251234", "0203 382 5123"])
def test_a_land_line_is_a_number_but_no_mobile(spelled: str) -> None:
    number = Msisdn.parse(spelled)
    assert number.domestic
    assert not number.mobile


@given(st.from_regex(r"0[35789][0-9]{8}", fullmatch=True))
def test_a_number_reads_back_as_it_was_written(spelled: str) -> None:
    assert str(Msisdn.parse(spelled)) == spelled
    assert Msisdn.parse(str(Msisdn.parse(spelled))) == Msisdn.parse(spelled)


@given(st.text(max_size=40))
def test_whatever_is_typed_is_a_number_or_invalid(spelled: str) -> None:
    try:
        number = Msisdn.parse(spelled)
    except Invalid:
        return
    assert number.digits.isascii()
    assert 7 <= len(number.digits) <= 15


def test_a_number_does_not_show_itself_in_a_log() -> None:
    assert "345" not in repr(Msisdn.parse("0912345678"))
