"""`vas explain` says which handler a text reaches, and why."""

from __future__ import annotations

from typer.testing import CliRunner

from tests.core.toys import CODE, Toy
from vas import Context, Msisdn, Reply, Secret, Service, Talk
from vas.__main__ import app
from vas.explaining import explanation
from vas.routing import Router
from vas.selfcare import selfcare
from vas.testing import mount


def router(toy: Toy) -> Router:
    service = toy.service()
    answering(service)
    return Router(toy.mounted(service), mount(selfcare))


def answering(service: Service) -> None:
    @service.sms("CM {friend}", "GOI {friend}")
    async def call_back(ctx: Context, friend: Msisdn) -> None: ...

    @service.sms("PAY {amount} {pin:secret}")
    async def pay(ctx: Context, amount: int, pin: Secret) -> None: ...

    @service.ussd("#")
    async def menu(talk: Talk) -> Reply:
        return talk.reply("done", x="")


def test_an_error_is_shown_as_it_is_also_with_brackets_in_it() -> None:
    shown = CliRunner().invoke(app, ["phone", "[bold]12[/x]"])
    assert shown.exit_code == 2
    assert "'[bold]12[/x]' is no phone number" in shown.output


def test_it_names_the_handler_the_pattern_and_the_values(toy: Toy) -> None:
    told = explanation(router(toy), "goi 0912 345 678", CODE)
    assert told.found
    assert "toy.call_back" in told.text
    assert "test_explain.py:" in told.text
    assert "GOI {friend}" in told.text
    assert "friend = 84912345678" in told.text


def test_it_says_which_value_will_be_refused(toy: Toy) -> None:
    assert "number_short_code" in explanation(router(toy), "CM 9105", CODE).text


def test_it_shows_no_secret(toy: Toy) -> None:
    told = explanation(router(toy), "PAY 5 739146", CODE)
    assert told.found
    assert "739146" not in told.text
    assert "amount = 5" in told.text


def test_it_says_what_would_match_when_nothing_does(toy: Toy) -> None:
    told = explanation(router(toy), "HELLO", CODE)
    assert not told.found
    assert "CM {friend}" in told.text
    assert "LANG {language}" in told.text


def test_it_says_when_the_code_is_none_of_ours(toy: Toy) -> None:
    told = explanation(router(toy), "HELLO", "1234").text
    assert f"1234 is no short code of ours, which are: {CODE}." in told
    assert "What would match" not in told


def test_the_platforms_own_commands_work_at_every_code(toy: Toy) -> None:
    assert "selfcare.choose_language" in explanation(router(toy), "LANG EN", CODE).text


def test_it_says_what_was_dialled_in_advance(toy: Toy) -> None:
    told = explanation(router(toy), "*100*1*0912345678#", "")
    assert told.found
    assert "toy.menu" in told.text
    assert "1, 0912345678" in told.text


def test_it_asks_where_the_text_goes(toy: Toy) -> None:
    told = explanation(router(toy), "CM 0912345678", "")
    assert not told.found
    assert CODE in told.text
