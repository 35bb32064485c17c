"""The texts of call-me and of the platform's own commands: both languages, the same values, one SMS each."""

from __future__ import annotations

import pytest

from services.callme import callme
from vas import Service, fits_sms, fold
from vas.selfcare import selfcare


@pytest.mark.parametrize("service", [callme, selfcare], ids=lambda service: service.name)
def test_every_text_is_there_in_both_languages_and_fits_one_sms(service: Service) -> None:
    assert list(service.texts.problems()) == []


@pytest.mark.parametrize("language", ["vi", "en"])
def test_the_longest_advert_leaves_the_number_and_the_name_whole(language: str) -> None:
    caller = "+491511234567890 (ABCDEFGHIJ)"
    text = callme.texts.render("please_call_advert", language, {"caller": caller, "advert": "ợ" * 90})

    assert caller in fold(text)
    assert fits_sms(fold(text))


@pytest.mark.parametrize("language", ["vi", "en"])
def test_help_is_the_same_for_everybody(language: str) -> None:
    assert "{" not in callme.texts.template("help", language)
