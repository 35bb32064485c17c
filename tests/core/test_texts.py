"""Texts in two languages: what is checked, and what a subscriber reads."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vas import Context, Reply, Service, fits_sms, fold
from vas.errors import TextError
from vas.selfcare import selfcare
from vas.service import PLATFORM_TEXTS
from vas.texts import Texts, fitting

INSTALLED = [entry.load() for entry in entry_points(group="vas.services")]


@pytest.mark.parametrize(
    "texts",
    [PLATFORM_TEXTS, *(service.texts for service in (selfcare, *INSTALLED))],
    ids=["platform", *(service.name for service in (selfcare, *INSTALLED))],
)
def test_every_text_is_there_in_both_languages_with_the_same_values_and_fits_one_sms(texts: Texts) -> None:
    assert list(texts.problems()) == []


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ({"vi": "một"}, "no text in en"),
        ({"vi": "", "en": "one"}, "no text in vi"),
        ({"vi": "{a}", "en": "{b}"}, "placeholders differ"),
        ({"vi": "{b}", "en": "{b}"}, "[longest] has no value for {b}"),
        ({"vi": "một " * 41, "en": "one"}, "(vi): does not fit one SMS"),
        ({"vi": "{a}" + "x" * 151, "en": "one {a}"}, "(vi): does not fit one SMS"),
        ({"vi": "[" * 81, "en": "one"}, "(vi): does not fit one SMS"),
        ({"vi": "😀", "en": "😀" * 36}, "(en): does not fit one SMS"),
    ],
)
def test_what_is_wrong_with_a_text_is_said(entry: dict[str, str], problem: str) -> None:
    found = list(Texts({"key": entry}, longest={"a": "0123456789"}).problems())
    assert any(each.startswith("key") and problem in each for each in found)


@pytest.mark.parametrize(
    ("toml", "why"),
    [
        ('sent = "text"', r"texts\.toml: sent: expected"),
        ("sent = { vi = 3, en = 4 }", r"texts\.toml: sent\.vi: expected"),
        ("sent = ", "texts.toml"),
        (None, "texts.toml"),
    ],
)
def test_a_file_that_cannot_be_used_says_what_is_wrong(tmp_path: Path, toml: str | None, why: str) -> None:
    path = tmp_path / "texts.toml"
    if toml is not None:
        path.write_text(toml, "utf-8")
    with pytest.raises(TextError, match=why):
        Texts.load(path)


def test_menus_are_written_as_tables(tmp_path: Path) -> None:
    path = tmp_path / "texts.toml"
    path.write_text('[menu]\ntitle = { vi = "Chọn", en = "Choose" }\n[menu.call]\nvi = "Gọi"\nen = "Call"\n', "utf-8")
    texts = Texts.load(path)
    assert (texts.template("menu.title", "en"), texts.template("menu.call", "vi")) == ("Choose", "Gọi")


ONE = Texts({"hello": {"vi": "Chào {name}", "en": "Hello {name}"}, "here": {"vi": "Đây"}})


def test_a_missing_value_is_an_error_that_names_the_text() -> None:
    with pytest.raises(TextError, match=r"'hello'.*name"):
        ONE.render("hello", "vi", {"nobody": "Lan"})


def test_a_missing_text_is_an_error_that_names_it() -> None:
    with pytest.raises(TextError, match="'bye'"):
        ONE.render("bye", "vi", {})


def test_a_text_without_english_is_read_in_vietnamese() -> None:
    assert ONE.render("here", "en", {}) == "Đây"


def test_a_service_says_the_platforms_texts_in_its_own_words() -> None:
    texts = Texts({"apology": {"vi": "Xin lỗi", "en": "Sorry"}}, behind=PLATFORM_TEXTS)
    assert texts.render("apology", "en", {}) == "Sorry"
    assert "accents" in texts.render("accents_on", "en", {})


@pytest.mark.parametrize(
    ("text", "accents", "read"),
    [
        pytest.param("Đã nhờ bạn", True, "Đã nhờ bạn", id="it fits"),
        pytest.param("Đã nhờ bạn", False, "Da nho ban", id="not wanted"),
        pytest.param("ợ" * 70, True, "ợ" * 70, id="just fits"),
        pytest.param("ợ" * 71, True, "o" * 71, id="just does not"),
        pytest.param("a" * 160, True, "a" * 160, id="none to drop"),
    ],
)
def test_accents_are_dropped_only_where_they_must_be(text: str, accents: bool, read: str) -> None:
    assert fitting(text, accents=accents) == read
    assert Texts({"key": {"vi": text}}).sms("key", "vi", {}, accents=accents) == read
    assert Texts({"key": {"vi": "{value}"}}).sms("key", "vi", {"value": text}, accents=accents) == read


@given(st.text(st.sampled_from("aợĐ{ €😀"), max_size=200), st.booleans())
def test_an_sms_with_values_is_the_filled_text_made_to_fit(value: str, accents: bool) -> None:
    texts = Texts({"key": {"vi": "Đã nhờ {value}"}})
    assert texts.sms("key", "vi", {"value": value}, accents=accents) == fitting(f"Đã nhờ {value}", accents=accents)


def test_a_screen_holds_more_than_an_sms() -> None:
    assert fitting("ợ" * 80, accents=True, screen=True) == "ợ" * 80
    assert fitting("ợ" * 81, accents=True, screen=True) == "o" * 81


@pytest.mark.parametrize(
    ("accented", "plain"),
    [
        ("Gọi lại đi", "Goi lai di"), ("ĐẦU SỐ", "DAU SO"), ("ươ ưu ễ ỹ", "uo uu e y"), ("Go\u0323i", "Goi"),
        ("“đúng” – không…", '"dung" - khong...'), ("100€ @ 5%", "100€ @ 5%"), ("😀 중", "😀 중"),
    ],
)  # fmt: skip
def test_folding_drops_accents_and_nothing_else(accented: str, plain: str) -> None:
    assert fold(accented) == plain


def test_everything_that_vietnamese_is_written_with_fits_the_sms_alphabet_without_accents() -> None:
    letters = "àáảãạăằắẳẵặâầấẩẫậèéẻẽẹêềếểễệìíỉĩịòóỏõọôồốổỗộơờớởỡợùúủũụưừứửữựỳýỷỹỵđ"
    folded = fold(letters + letters.upper())
    assert folded.isascii()
    assert fits_sms(folded)


async def test_each_subscriber_reads_their_own_language(toy: Any) -> None:
    service: Service = toy.service()
    service.texts = Texts({"here": {"vi": "Đây", "en": "Here"}}, behind=PLATFORM_TEXTS)

    @service.sms("HERE")
    async def here(ctx: Context) -> Reply:
        return ctx.reply("here")

    async with toy.network(service) as network:
        lan = network.phone("0912345678")
        assert await lan.text("HERE", "9000") == "Đây"
        await lan.text("LANG EN", "9000")
        assert await lan.text("HERE", "9000") == "Here"
        assert await network.phone("0987654321").text("HERE", "9000") == "Đây"
        await network.phone("0987654321").text("DAU TAT", "9000")
        assert await network.phone("0987654321").text("HERE", "9000") == "Day"


async def test_the_installations_language_is_for_who_has_chosen_none(toy: Any) -> None:
    service: Service = toy.service()
    service.texts = Texts({"here": {"vi": "Đây", "en": "Here"}}, behind=PLATFORM_TEXTS)

    @service.sms("HERE")
    async def here(ctx: Context) -> Reply:
        return ctx.reply("here")

    async with toy.network(service, language="en") as network:
        assert await network.phone("0912345678").text("HERE", "9000") == "Here"
