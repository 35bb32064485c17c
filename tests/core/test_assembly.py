"""config.toml → a running platform: what cannot be put together stops the start with what to do."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from tests.core.toys import Toy
from vas import Context, Secret, Service, Talk, assembly
from vas.config import load
from vas.errors import ConfigError, ServiceError, TriggerClash
from vas.routing import Router
from vas.selfcare import selfcare
from vas.testing import mount


def configured(folder: Path, text: str) -> list[object]:
    path = folder / "config.toml"
    path.write_text(text, "utf-8")
    return list(assembly.mounted_services(load(path, {})))


def test_the_configuration_of_the_distribution_can_be_put_together() -> None:
    settings = load(Path(__file__).parents[2] / "config.toml", {})
    router = assembly.router(settings)
    assert "callme" in router.mounted
    assert router.own_numbers == {"9105"}


def test_a_service_that_is_not_installed_is_named_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"services\.callmee: no such service is installed; there are: .*callme"):
        configured(tmp_path, "[services.callmee]\nenabled = true\n")


def test_a_service_that_is_switched_off_need_not_be_installed(tmp_path: Path) -> None:
    assert configured(tmp_path, "[services.gone]\nenabled = false\n") == []


def test_an_entry_point_that_is_no_service_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assembly, "entry_points", lambda group: [EntryPoint("odd", "os:sep", group)])
    with pytest.raises(ConfigError, match=r"services\.odd: os:sep is not a vas\.Service"):
        configured(tmp_path, "[services.odd]\nenabled = true\n")


def test_a_services_wrong_setting_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"services\.callme\.daily_limitt.*daily_limit"):
        configured(tmp_path, "[services.callme]\nenabled = true\ndaily_limitt = 3\n")


def test_a_service_that_could_send_from_no_number_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"services\.callme\.short_codes: .*needs at least one"):
        configured(tmp_path, '[services.callme]\nenabled = true\nussd = "*105"\n')


@pytest.mark.parametrize(
    "url, file", [("sqlite:////var/lib/vas.db", Path("/var/lib/vas.db")), ("postgresql://vas:secret@db/vas", None)]
)
def test_only_the_embedded_database_is_a_file(tmp_path: Path, url: str, file: Path | None) -> None:
    path = tmp_path / "config.toml"
    path.write_text(f'[store]\nurl = "{url}"\n', "utf-8")
    assert assembly.sqlite_file(load(path, {})) == file


def answering(service: Service, *patterns: str) -> Service:
    @service.sms(*patterns)
    async def answer(ctx: Context) -> None: ...

    return service


def test_triggers_of_two_services_at_one_code_clash_and_code_and_services_are_named(toy: Toy) -> None:
    one, two = answering(toy.service("one"), "HELLO"), answering(toy.service("two"), "HELLO")
    with pytest.raises(TriggerClash, match=r"short code 9000 \(one, two\): .*'HELLO'"):
        Router([mount(one, short_codes=["9000"]), mount(two, short_codes=["9000"])], mount(selfcare))


def test_the_same_trigger_at_two_codes_is_no_clash(toy: Toy) -> None:
    one, two = answering(toy.service("one"), "HELLO"), answering(toy.service("two"), "HELLO")
    router = Router([mount(one, short_codes=["9000"]), mount(two, short_codes=["9001"])], mount(selfcare))
    found = router.sms("9001", "hello")
    assert found is not None
    assert found.mounted.name == "two"


@pytest.mark.parametrize("base", ["105", "*105#"])
def test_a_ussd_base_is_written_as_it_is_dialled_without_its_end(toy: Toy, base: str) -> None:
    service = toy.service()

    @service.ussd("#")
    async def menu(talk: Talk) -> None: ...

    with pytest.raises(ConfigError, match=r'write it as "\*105"'):
        Router([mount(service, ussd=base)], mount(selfcare))


def test_a_handler_that_is_not_async_stops_the_start(toy: Toy) -> None:
    service = toy.service()
    with pytest.raises(ServiceError, match="async def"):

        @service.sms("HELLO")  # type: ignore[type-var]
        def hello(ctx: Context) -> None: ...


def test_a_placeholder_without_a_parameter_stops_the_start(toy: Toy) -> None:
    service = toy.service()

    @service.sms("HELLO {name}")
    async def hello(ctx: Context) -> None: ...

    with pytest.raises(ServiceError, match="no parameter 'name'"):
        Router([mount(service, short_codes=["9000"])], mount(selfcare))


def test_a_parameter_without_a_placeholder_stops_the_start(toy: Toy) -> None:
    service = toy.service()

    @service.sms("HELLO")
    async def hello(ctx: Context, name: str) -> None: ...

    with pytest.raises(ServiceError, match="'name'"):
        Router([mount(service, short_codes=["9000"])], mount(selfcare))


@pytest.mark.parametrize(("sms", "ussd", "kind"), [
    ("PAY {pin}", "#", Secret), ("PAY {pin:secret}", "#", str),
    ("PAY", "*{pin}#", Secret), ("PAY", "*{pin:secret}#", str),
])  # fmt: skip
def test_what_only_the_trigger_or_only_the_handler_calls_a_secret_stops_the_start(
    toy: Toy, sms: str, ussd: str, kind: type
) -> None:
    service = toy.service()

    async def pay(ctx: Context, pin: object = None) -> None: ...

    pay.__annotations__["pin"] = kind
    service.sms(sms)(pay)
    service.ussd(ussd)(pay)
    with pytest.raises(ServiceError, match=r"\{pin:secret\} and is a vas\.Secret"):
        Router([mount(service, short_codes=["9000"], ussd="*100")], mount(selfcare))


def test_a_service_that_cannot_be_imported_is_named_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = EntryPoint("broken", "no_such_module_at_all:service", assembly.SERVICES)
    monkeypatch.setattr(assembly, "entry_points", lambda group: [entry])
    with pytest.raises(ConfigError, match=r"services\.broken: .*cannot be loaded: ModuleNotFoundError"):
        configured(tmp_path, "[services.broken]\nenabled = true\n")


def test_a_text_without_its_english_stops_the_start(tmp_path: Path, toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = tmp_path / "texts.toml"
    texts.write_text('hello = { vi = "Chào" }')

    class Entry:
        name, value = "half", "half:half"

        def load(self) -> Service:
            return Service("half", texts=texts)

    monkeypatch.setattr(assembly, "entry_points", lambda group: [Entry()])
    with pytest.raises(ConfigError, match=r"services\.half: texts\.toml: hello: no text in en"):
        configured(tmp_path, "[services.half]\nenabled = true\n")
