"""Which names a sender may go by."""

from __future__ import annotations

import unicodedata

import pytest

from services.callme.names import Name
from vas import Invalid


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ("Lan", "Lan"),
        ("  Lan   Anh ", "Lan Anh"),
        ("Nguyễn Lân", "Nguyễn Lân"),
        (unicodedata.normalize("NFD", "Trường"), "Trường"),
        ("Dì Hoa", "Dì Hoa"),
        ("Công Anh", "Công Anh"),
        ("Ngọc Hoa", "Ngọc Hoa"),
        ("Du Mai", "Du Mai"),
        ("Tổ 12", "Tổ 12"),
        ("Minh 007", "Minh 007"),
    ],
)
def test_an_honest_name_is_kept_as_it_was_typed(raw: str, name: str) -> None:
    assert Name.parse(raw) == Name(name)


@pytest.mark.parametrize(
    ("raw", "key"),
    [
        pytest.param("Lan Anh Hoa", "name_long", id="eleven characters"),
        pytest.param("", "name_letters", id="nothing"),
        pytest.param("Lan!", "name_letters", id="a sign"),
        pytest.param("lan.vn", "name_letters", id="an address"),
        pytest.param("Lan\nHoa\u200b", "name_letters", id="invisible"),
        pytest.param("Лан", "name_letters", id="another script"),
        pytest.param("☎", "name_letters", id="a symbol"),
        pytest.param("113", "name_letters", id="only digits"),
        pytest.param("a 0912 34", "name_refused", id="a number"),
        pytest.param("lan vn", "name_refused", id="an address with a space"),
        pytest.param("www lan", "name_refused", id="an address's beginning"),
        pytest.param("Fuck", "name_refused", id="english"),
        pytest.param("f u c k", "name_refused", id="spaced"),
        pytest.param("5h1t", "name_refused", id="digits for letters"),
        pytest.param("Đĩ", "name_refused", id="vietnamese with accents"),
        pytest.param("dit me", "name_refused", id="vietnamese without"),
        pytest.param("ĐỊT", "name_refused", id="capitals"),
        pytest.param("Công an", "name_refused", id="the police"),
        pytest.param("MobiFone", "name_refused", id="an operator"),
        pytest.param("V1ettel", "name_refused", id="an operator in disguise"),
    ],
)
def test_a_name_that_offends_or_deceives_is_refused(raw: str, key: str) -> None:
    with pytest.raises(Invalid) as refused:
        Name.parse(raw)
    assert refused.value.key == key
