"""config.toml and the environment: what is read, and what is said about mistakes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, get_args

import msgspec
import pytest
from pydantic import SecretStr

from gateway.dialects.receipt_ids import ReceiptId
from gateway.settings import AccountSettings, Alphabet, LongMessages
from vas.config import Settings, effective, load
from vas.config_dialects import UssdDialect
from vas.config_problems import without_password
from vas.config_sections import Account, Admin, Log, Platform, Route, Section, ServiceSection, Store, Web
from vas.config_values import Address
from vas.durations import parse_duration, spell_duration
from vas.errors import ConfigError
from vas.messages import Msisdn

SHIPPED = Path(__file__).parent.parent / "config.toml"
ACCOUNT = '[accounts.main]\nhost = "smsc"\nsystem_id = "vas"\n'
OTHER_ACCOUNT = '\n[accounts.backup]\nhost = "smsc2"\nsystem_id = "vas"\n'
OUTBIND = '\n[accounts.called]\nsystem_id = "vas"\noutbind = "127.0.0.1:0"\n'
SECTIONS: dict[str, type[Section]] = {
    "store": Store,
    "admin": Admin,
    "web": Web,
    "log": Log,
    "accounts": Account,
    "ussd_dialects": UssdDialect,
    "routes": Route,
    "platform": Platform,
    "services": ServiceSection,
}

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(text: str) -> Path:
        file = tmp_path / "config.toml"
        file.write_text(text, encoding="utf-8")
        return file

    return written


def refusal(file: Path, environ: dict[str, str] | None = None) -> list[str]:
    """The lines of the error, without the file's folder."""
    with pytest.raises(ConfigError) as caught:
        load(file, environ or {})
    return str(caught.value).replace(f"{file.parent}/", "").splitlines()


def test_the_shipped_file_works_as_it_stands() -> None:
    settings = load(SHIPPED, {})

    assert settings.accounts["main"].password.get_secret_value() == "secret"
    assert settings.services["callme"].short_codes == ("9105",)
    assert settings.services["callme"].own["daily_limit"] == 5
    assert settings.platform.trial_numbers == ()


def test_the_shipped_file_shows_every_setting() -> None:
    text = SHIPPED.read_text(encoding="utf-8")
    sections = dict(re.findall(r"^(?:# )?\[+(\w+)[^\]]*\]+(.*?)(?=^(?:# )?\[|\Z)", text, re.MULTILINE | re.DOTALL))

    assert set(SECTIONS) == set(Settings.model_fields)
    for name, model in SECTIONS.items():
        shown = set(re.findall(r"^(?:# )?(\w+) = ", sections[name], re.MULTILINE))
        assert set(model.model_fields) <= shown, f"[{name}]"


def test_what_the_shipped_file_shows_in_comments_is_accepted_and_is_the_default(write: Write) -> None:
    text = SHIPPED.read_text(encoding="utf-8")
    uncommented = re.sub(r"^# (\w+ = |\[\S+\]$)", r"\1", text, flags=re.MULTILINE) + OTHER_ACCOUNT
    without_a_default = {
        *("validity", "statuses", "tls_ca", "tls_certificate", "tls_key"),
        *("outbind", "outbind_password"),
    }

    shown, plain = (load(write(spelled), {}).accounts["main"] for spelled in (uncommented, text))

    differing = {name for name in Account.model_fields if getattr(shown, name) != getattr(plain, name)}
    assert differing == without_a_default


def test_an_empty_file_gives_the_defaults(write: Write) -> None:
    settings = load(write(""), {})

    assert settings.admin.listen == Address("127.0.0.1", 8080)
    assert settings.store.seen_for == timedelta(hours=72)
    assert settings.accounts == {}


def test_values_come_typed(write: Write) -> None:
    settings = load(
        write(
            ACCOUNT + 'validity = "24h"\nlater_status = 0x14\n'
            '[platform]\ntrial_numbers = ["0912 345 678"]\n[web]\nlisten = "[::1]:0"\n'
        ),
        {},
    )

    assert settings.accounts["main"].validity == timedelta(hours=24)
    assert settings.accounts["main"].later_status == 0x14
    assert settings.platform.trial_numbers == (Msisdn("84912345678"),)
    assert settings.platform.timezone.key == "Asia/Ho_Chi_Minh"
    assert settings.web.listen == Address("::1", 0)
    assert str(settings.web.listen) == "[::1]:0"


def test_the_environment_overrides_the_file_and_leaves_its_neighbours(write: Write) -> None:
    file = write(ACCOUNT + "port = 2775\nwindow = 7\n[services.callme]\nenabled = false\ndaily_limit = 5\n")

    settings = load(
        file,
        {
            "VAS_ACCOUNTS__MAIN__PORT": "2776",
            "VAS_ACCOUNTS__MAIN__PASSWORD": "123456",
            "VAS_ADMIN__LISTEN": "0.0.0.0:9000",
            "VAS_SERVICES__CALLME__ENABLED": "true",
            "VAS_SERVICES__CALLME__SHORT_CODES": '["9105"]',
            "VAS_SERVICES__CALLME__DAILY_LIMIT": "9",
            "VAS_CONFIG": "not a setting",
            "HOME": "/root",
        },
    )

    main, callme = settings.accounts["main"], settings.services["callme"]
    assert (main.port, main.window, main.host) == (2776, 7, "smsc")
    assert main.password.get_secret_value() == "123456"
    assert settings.admin.listen == Address("0.0.0.0", 9000)  # noqa: S104
    assert (callme.enabled, callme.short_codes, callme.own) == (True, ("9105",), {"daily_limit": 9})


def test_the_process_own_environment_is_not_read(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAS_LOG__LEVEL", "debug")

    assert load(write(""), {}).log.level == "info"


def test_an_account_is_all_that_the_gateway_must_know(write: Write) -> None:
    [(name, account)] = load(write(ACCOUNT), {}).accounts.items()
    password = account.password.get_secret_value()

    handed_over = AccountSettings(name=name, **{**dict(account), "password": password, "outbind_password": ""})

    assert set(Account.model_fields) == set(AccountSettings.__struct_fields__) - {"name"}
    assert handed_over == AccountSettings(name="main", host="smsc", port=2775, system_id="vas")


@pytest.mark.parametrize(
    ("setting", "known"), [("receipt_id", ReceiptId), ("alphabet", Alphabet), ("long_messages", LongMessages)]
)
def test_every_dialect_of_the_gateway_can_be_chosen(setting: str, known: object) -> None:
    assert get_args(Account.model_fields[setting].annotation) == get_args(known)


def test_relative_paths_start_at_the_folder_of_the_file(write: Write) -> None:
    file = write(ACCOUNT + 'tls_ca = "pem/ca.pem"')

    settings = load(file, {})

    assert settings.store.url == f"sqlite:///{file.parent}/var/vas.db"
    assert settings.admin.first_key_file == file.parent / "var/admin.key"
    assert settings.accounts["main"].tls_ca == file.parent / "pem/ca.pem"
    assert settings.accounts["main"].tls_key is None


def test_absolute_paths_and_distant_databases_stay(write: Write) -> None:
    assert load(write('[store]\nurl = "sqlite:////srv/vas.db"'), {}).store.url == "sqlite:////srv/vas.db"
    assert load(write('[store]\nurl = "postgresql://vas@db/vas"'), {}).store.url == "postgresql://vas@db/vas"


def test_settings_cannot_be_changed(write: Write) -> None:
    settings = load(write(""), {})

    with pytest.raises(ValueError, match="frozen"):
        settings.log.level = "debug"
    with pytest.raises(ValueError, match="frozen"):
        settings.log = settings.log


@pytest.mark.parametrize(
    ("text", "line"),
    [
        pytest.param(
            ACCOUNT + "prot = 2775",
            'config.toml: accounts.main.prot = 2775: no such setting; did you mean "port"?',
            id="unknown key with a near one",
        ),
        pytest.param("[store]\nzzz = 1", "config.toml: store.zzz: no such setting", id="unknown key like no other"),
        pytest.param(
            '\nhost = "smsc"\n' + ACCOUNT,
            "config.toml: host: no such setting outside any table (line 2); it belongs below [accounts.NAME]",
            id="outside any table",
        ),
        pytest.param(
            'listen = "127.0.0.1:0"',
            "config.toml: listen: no such setting outside any table (line 1); it belongs below [admin] or [web]",
            id="outside any table, of two",
        ),
        pytest.param("zzz = 1", "config.toml: zzz: no such setting outside any table (line 1)", id="of no table"),
        pytest.param("[storr]\na = 1", 'config.toml: storr: no such setting; did you mean "store"?', id="section"),
        pytest.param(
            ACCOUNT + "port = 99999",
            "config.toml: accounts.main.port = 99999: must be less than or equal to 65535 (TCP port of the SMSC)",
            id="out of bounds",
        ),
        pytest.param(
            '[accounts.main]\nhost = "smsc"',
            "config.toml: accounts.main.system_id: needed, and not set (who we are to the SMSC)",
            id="missing",
        ),
        pytest.param(
            "[store]\nkeep = 5",
            "config.toml: store.keep = 5: must be a whole number and its unit, ms, s, m, h or d, "
            'as in "30s" (how long finished messages are kept)',
            id="duration without a unit",
        ),
        pytest.param(
            '[store]\nseen_for = "1s"',
            'config.toml: store.seen_for = "1s": must be greater than or equal to 1 hour '
            "(how long a redelivered message is recognised; longer than the SMSC goes on trying)",
            id="duration out of bounds",
        ),
        pytest.param(
            '[platform]\ntrial_numbers = ["0912345678", "x"]',
            'config.toml: platform.trial_numbers[1] = "x": must be a subscriber\'s number '
            "(when not empty, only these numbers are served)",
            id="one of a list",
        ),
        pytest.param(
            '[platform]\ntimezone = "Asia/Saigonn"',
            'config.toml: platform.timezone = "Asia/Saigonn": must be a name of the time zone database '
            "(where a day begins and ends)",
            id="time zone",
        ),
        pytest.param(
            '[admin]\nlisten = "8080"',
            'config.toml: admin.listen = "8080": must be a host and a port, as in "127.0.0.1:8080" '
            "(host and port of the operations' listener)",
            id="address",
        ),
        pytest.param(
            '[store]\nurl = "sqlite:///:memory:"',
            'config.toml: store.url = "sqlite:///:memory:": must be "sqlite:///PATH" or '
            '"postgresql://USER:PASSWORD@HOST/DATABASE", where a password spells '
            "@ / ? # [ ] % and spaces %40 %2F %3F %23 %5B %5D %25 %20 "
            "(address of the database)",
            id="database that forgets",
        ),
        pytest.param(
            '[store]\nurl = "postgresql://vas:hunter2@a,b/vas"',
            'config.toml: store.url = "postgresql://vas:•••@a,b/vas": several hosts need '
            "?target_session_attrs=read-write: else a standby may be taken "
            "(address of the database)",
            id="hosts of which some only read",
        ),
        pytest.param(
            '[store]\nurl = "postgresql://vas@db/vas"\n' + ACCOUNT + 'smsc_response_timer = "8s"',
            "config.toml: store.commit_timeout: must be shorter than half of accounts.main.smsc_response_timer: "
            "else no answer would be in time",
            id="answers that would be too late",
        ),
        pytest.param(
            "[services.callme]\nshort_codes = []",
            "config.toml: services.callme.enabled: needed, and not set "
            "(whether the service is switched on: true or false)",
            id="service neither on nor off",
        ),
        pytest.param(
            '[accounts.Main]\nhost = "smsc"\nsystem_id = "vas"',
            "config.toml: accounts.Main: a name is at most 32 small letters, digits and single _, "
            "and begins with a letter",
            id="name that the environment could not spell",
        ),
        pytest.param("accounts = 5", "config.toml: accounts = 5: must be a valid dictionary", id="no table"),
    ],
)
def test_a_mistake_is_named_with_its_key_its_value_and_what_was_meant(write: Write, text: str, line: str) -> None:
    assert refusal(write(text)) == [line]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        pytest.param(
            '[accounts.main]\nsystem_id = "vas"',
            ["accounts.main.host: needed, unless outbind is set (host name or address of the SMSC)"],
            id="nowhere to connect to",
        ),
        pytest.param(
            '[accounts.main]\nsystem_id = "vas"\noutbind = "127.0.0.1:0"\noutbind_password = "s"',
            [
                "accounts.main.host: needed, since by this outbind the account only receives: set it for the "
                'transmitter, or interface_version = "5.0" with bind = "transceiver", or let a last route without '
                "prefixes and short_codes carry the replies"
            ],
            id="account that only receives, and nobody submits for it",
        ),
        pytest.param(
            ACCOUNT + OUTBIND + 'outbind_password = "s"\n[[routes]]\naccounts = ["main", "called"]',
            ['routes[0].accounts[1]: "called" only receives: it has outbind and no host'],
            id="route to an account that only receives",
        ),
        pytest.param(
            ACCOUNT + 'outbind = "127.0.0.1:0"',
            [
                "accounts.main.outbind_password: needed with outbind, or tls with tls_ca: "
                "else anybody who connects is the SMSC"
            ],
            id="outbind that proves nothing",
        ),
        pytest.param(
            ACCOUNT + 'tls = true\ntls_certificate = "config.toml"',
            ["accounts.main.tls_key: needed with tls_certificate: name the PEM file of its key"],
            id="certificate without its key",
        ),
        pytest.param(
            ACCOUNT + 'tls = true\ntls_key = "config.toml"',
            ["accounts.main.tls_certificate: needed with tls_key: name the PEM file of the certificate"],
            id="key without its certificate",
        ),
        pytest.param(
            ACCOUNT + 'tls = true\ntls_ca = "pem/ca.pem"',
            ["accounts.main.tls_ca: there is no file pem/ca.pem"],
            id="file that is not there",
        ),
        pytest.param(
            ACCOUNT + 'interface_version = "3.3"\nlong_messages = "sar"\nreceipt_reference = true\n'
            '[services.callme]\nenabled = true\nussd = "*105"',
            [
                "accounts.main.long_messages: needs interface_version 3.4 or 5.0: 3.3 has no optional parameters",
                "accounts.main.receipt_reference: needs interface_version 3.4 or 5.0: 3.3 has no optional parameters",
                "services.callme.ussd: needs interface_version 3.4 or 5.0: 3.3 has no optional parameters; "
                "no account has it",
            ],
            id="SMPP 3.3 with what it lacks",
        ),
        pytest.param(
            ACCOUNT + 'reconnect_first = "5m"',
            ["accounts.main.reconnect_first: must be no longer than reconnect_max"],
            id="pauses that cannot grow",
        ),
        pytest.param(
            ACCOUNT + '[[routes]]\naccounts = ["main", "mian", "main"]',
            [
                'routes[0].accounts[1]: there is no account "mian"; did you mean "main"?',
                'routes[0].accounts[2]: "main" is named twice',
            ],
            id="route to nowhere",
        ),
        pytest.param(
            ACCOUNT + '[[routes]]\naccounts = ["main"]\n[[routes]]\naccounts = ["main"]\nshort_codes = ["9105"]',
            ["routes[1]: it is never reached: routes[0] takes everything first"],
            id="route after one that takes all",
        ),
        pytest.param(
            ACCOUNT + '[[routes]]\naccounts = ["main"]\nprefixes = ["849"]\nshort_codes = ["9105"]\n'
            '[[routes]]\naccounts = ["main"]\nprefixes = ["8491", "8481"]\nshort_codes = ["9105"]',
            ['routes[1].prefixes[0]: "8491" is never reached: routes[0] takes it first'],
            id="prefix within an earlier one",
        ),
    ],
)
def test_settings_that_do_not_fit_together_are_told_with_what_to_do(write: Write, text: str, lines: list[str]) -> None:
    assert refusal(write(text)) == [f"config.toml: {line}" for line in lines]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(
            ACCOUNT + OUTBIND + 'outbind_password = "s"\n[[routes]]\naccounts = ["main"]',
            id="one account takes what another submits",
        ),
        pytest.param(
            OUTBIND + 'outbind_password = "s"\nbind = "transceiver"\ninterface_version = "5.0"',
            id="the SMSC connects to us, for both directions",
        ),
        pytest.param(
            ACCOUNT + '[[routes]]\naccounts = ["main"]\nprefixes = ["8491"]\nshort_codes = ["9105"]\n'
            '[[routes]]\naccounts = ["main"]\nprefixes = ["8491"]',
            id="a general route after a special one",
        ),
        pytest.param(ACCOUNT + 'tls_ca = "not/yet/there.pem"', id="a file that nothing needs"),
    ],
)
def test_settings_that_fit_together_are_accepted(write: Write, text: str) -> None:
    load(write(text), {})


@pytest.mark.parametrize(
    ("route", "said"),
    [
        ("accounts = []", "routes[0].accounts = []: tuple must have at least 1 item"),
        ('prefixes = ["8491"]', "routes[0].accounts: needed, and not set"),
        (
            'accounts = ["main"]\nprefixes = ["0912"]',
            'routes[0].prefixes[0] = "0912": must be the beginning of an inter',
        ),
    ],
)
def test_a_route_that_says_nothing_is_refused(write: Write, route: str, said: str) -> None:
    [line] = refusal(write(f"{ACCOUNT}[[routes]]\n{route}"))

    assert line.startswith(f"config.toml: {said}")


def test_routes_can_come_from_the_environment(write: Write) -> None:
    [line] = refusal(write(ACCOUNT), {"VAS_ROUTES": '[{"accounts": ["mian"]}]'})

    assert line == 'VAS_ROUTES[0].accounts[0]: there is no account "mian"; did you mean "main"?'


def test_all_mistakes_are_told_at_once_also_those_of_the_environment(write: Write) -> None:
    lines = refusal(
        write('[log]\nlevel = "loud"\n[web]\nlisten = "x"'),
        {"VAS_ADMIM__LISTEN": "x:1", "VAS_PLATFORM__TRIAL_NUMBERS": "0912345678", "VAS_LOG__BODIES": "perhaps"},
    )

    named = [re.split(" = |: no", line)[0] for line in lines]
    assert sorted(named) == [
        "VAS_ADMIM__LISTEN",
        "VAS_LOG__BODIES",
        "VAS_PLATFORM__TRIAL_NUMBERS",
        "config.toml: log.level",
        "config.toml: web.listen",
    ]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(ACCOUNT + 'password = "hunter2hunter2"', id="too long"),
        pytest.param(ACCOUNT + "password = 22446688", id="of a wrong type"),
        pytest.param(ACCOUNT + 'passwrod = "hunter2"', id="under a misspelt key"),
        pytest.param(ACCOUNT + 'pw = "hunter2"', id="under a key of their own"),
        pytest.param('[accounts.main]\nhost = "smsc"\npassword = "hunter2"', id="beside a missing key"),
        pytest.param('[store]\nurl = "mysql://vas:hunter2@db/vas"', id="in an address"),
        pytest.param('[store]\nurl = "mysql://db/vas?user=vas&password=hunter2"', id="in an address's query"),
        *(
            pytest.param(f'[store]\nurl = "postgresql://vas:hun{mark}hunter2@db/vas"', id=f"with {mark!r} in it")
            for mark in "@/?#[ "
        ),
    ],
)
def test_no_message_shows_a_secret(write: Write, text: str) -> None:
    said = "\n".join(refusal(write(text)))

    assert "hunter" not in said
    assert "22446688" not in said


def test_every_secret_setting_is_named_like_one() -> None:
    secrets = [
        name
        for model in SECTIONS.values()
        for name, field in model.model_fields.items()
        if field.annotation is SecretStr
    ]

    assert secrets == ["password", "outbind_password"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(b"[store\n", "at line 1", id="no TOML"),
        pytest.param(b"[log]\nlevel = 'info'\nlevel = 'info'", "Cannot overwrite", id="key given twice"),
        pytest.param(b"# \xff", "utf-8", id="no UTF-8"),
    ],
)
def test_a_file_that_is_no_toml_is_refused_with_the_reason(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(content)

    [line] = refusal(file)

    assert line.startswith("config.toml: cannot be read: ")
    assert said in line


def test_a_missing_file_is_refused_with_what_to_do(tmp_path: Path) -> None:
    assert refusal(tmp_path / "vas.toml") == [
        "vas.toml: there is no such file; start from the config.toml of the distribution"
    ]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://vas:hunter2@a:1,b:2/vas", "postgresql://vas:•••@a:1,b:2/vas"),
        ("postgresql://vas:hun:ter@2@db/vas", "postgresql://vas:•••@db/vas"),
        ("postgresql://vas:hun/ter2@db/vas", "postgresql://vas:•••@db/vas"),
        ("postgresql://vas:hun ter2@db/vas", "postgresql://vas:•••@db/vas"),
        ("postgresql://db/vas?user=vas&password=hunter2&x=1", "postgresql://db/vas?user=vas&password=•••&x=1"),
        ("postgresql://vas@db:5432/vas", "postgresql://vas@db:5432/vas"),
    ],
)
def test_no_part_of_a_database_s_password_is_shown(url: str, shown: str) -> None:
    assert without_password(url) == shown
    assert without_password(f"{url} is not there") == f"{shown} is not there"


@pytest.mark.parametrize(
    "url",
    [
        pytest.param(
            "postgresql://vas:hunter2@a:5432,b:5433/vas?target_session_attrs=read-write",
            id="several, one of which writes",
        ),
        pytest.param("postgresql://vas:h%2Fu:nt%40er2@10.0.0.1:5432/vas", id="a password of odd characters"),
        pytest.param("postgresql://[::1]:5432/vas?user=vas", id="IPv6"),
    ],
)
def test_addresses_of_databases_that_are_taken(write: Write, url: str) -> None:
    assert load(write(f'[store]\nurl = "{url}"'), {}).store.url == url


def test_the_effective_settings_are_plain_and_mask_every_secret(write: Write) -> None:
    settings = load(
        write(
            ACCOUNT + 'password = "hunter2"\n[store]\nurl = "postgresql://vas:hunter2@db/vas"\nkeep = "36h"\n'
            '[services.m2u]\nenabled = true\nbank_token = "hunter2"\nfee = 500\nbank = {secret = "hunter2"}\n'
        ),
        {},
    )

    shown = effective(settings)

    assert "hunter2" not in json.dumps(shown)
    assert "hunter2" not in repr(settings)
    assert shown["store"]["url"] == "postgresql://vas:•••@db/vas"
    assert shown["store"]["keep"] == "36h"
    assert shown["services"]["m2u"]["fee"] == 500
    assert shown["platform"]["timezone"] == "Asia/Ho_Chi_Minh"


def test_a_secret_that_is_not_set_is_shown_as_such(write: Write) -> None:
    main = effective(load(write(ACCOUNT + 'password = "hunter2"\n'), {}))["accounts"]["main"]
    assert (main["password"], main["outbind_password"]) == ("•••", "")


class Config(msgspec.Struct, frozen=True):
    """A service's settings."""

    advert: str
    daily_limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 5
    pair_pause: timedelta = timedelta(minutes=10)
    remind_after: timedelta | None = None
    lines: list[str] = []

    def __post_init__(self) -> None:
        if self.daily_limit > 50 and not self.lines:
            raise ValueError("a daily_limit over 50 needs lines")


@dataclass(frozen=True)
class PlainConfig:
    """The same, as a dataclass."""

    advert: str
    daily_limit: int = 5
    pair_pause: timedelta = timedelta(minutes=10)


def service(write: Write, keys: str, environ: dict[str, str] | None = None) -> Settings:
    return load(write(f"[services.callme]\nenabled = true\n{keys}"), environ or {})


def test_a_service_gets_its_own_keys_in_its_own_shape(write: Write) -> None:
    settings = service(write, 'advert = "x"\npair_pause = "1h"\nremind_after = "30s"', {})

    assert settings.service_settings("callme", Config) == Config(
        advert="x", pair_pause=timedelta(hours=1), remind_after=timedelta(seconds=30)
    )


def test_the_shape_may_be_a_dataclass(write: Write) -> None:
    settings = service(write, 'advert = "x"\npair_pause = "1h"')

    assert settings.service_settings("callme", PlainConfig) == PlainConfig("x", 5, timedelta(hours=1))


def test_the_environment_overrides_a_services_own_key(write: Write) -> None:
    settings = service(write, 'advert = "x"\ndaily_limit = 3', {"VAS_SERVICES__CALLME__DAILY_LIMIT": "4"})

    assert settings.service_settings("callme", Config).daily_limit == 4


def test_all_mistakes_in_a_services_keys_are_told_at_once(write: Write) -> None:
    settings = service(
        write,
        'daily_limt = 3\npair_pause = 10\nshort_code = "9105"\napi_token = "hunter2"\nlines = [1]',
        {"VAS_SERVICES__CALLME__DAILY_LIMIT": "0"},
    )

    with pytest.raises(ConfigError) as caught:
        settings.service_settings("callme", Config)

    assert re.sub(r"\S*/config.toml", "config.toml", str(caught.value)).splitlines() == [
        'config.toml: services.callme.daily_limt = 3: no such setting; did you mean "daily_limit"?',
        'config.toml: services.callme.short_code: no such setting; did you mean "short_codes"?',
        "config.toml: services.callme.api_token: no such setting",
        "config.toml: services.callme.advert: needed, and not set",
        "VAS_SERVICES__CALLME__DAILY_LIMIT = 0: expected `int` >= 1",
        "config.toml: services.callme.pair_pause = 10: must be a whole number and its unit, ms, s, m, h or d, "
        'as in "30s"',
        "config.toml: services.callme.lines = [1]: expected `str`, got `int` - at `$[0]`",
    ]


class Bank(msgspec.Struct, frozen=True):
    """Settings with a secret."""

    bank_token: str


def test_a_services_own_secret_is_not_shown_even_where_it_is_wrong(write: Write) -> None:
    settings = service(write, "bank_token = 22446688")

    with pytest.raises(ConfigError, match=r"bank_token = •••: expected `str`, got `int`"):
        settings.service_settings("callme", Bank)


def test_what_a_services_shape_itself_refuses_is_told_with_its_section(write: Write) -> None:
    settings = service(write, 'advert = "x"\ndaily_limit = 60')

    with pytest.raises(ConfigError, match=r"services\.callme: a daily_limit over 50 needs lines"):
        settings.service_settings("callme", Config)


@pytest.mark.parametrize(
    ("spelled", "duration"),
    [
        ("0s", timedelta(0)),
        ("500ms", timedelta(milliseconds=500)),
        ("90s", timedelta(seconds=90)),
        ("10m", timedelta(minutes=10)),
        ("36h", timedelta(hours=36)),
        ("90d", timedelta(days=90)),
    ],
)
def test_a_duration_is_read_and_spelled_the_same_way(spelled: str, duration: timedelta) -> None:
    assert parse_duration(spelled) == duration
    assert spell_duration(duration) == spelled


@pytest.mark.parametrize(
    "spelled", ["", "30", "s", "-5s", "1.5h", "30 s", "1h30m", "9999999999s", "٣s", 30, True, None]
)
def test_what_is_no_duration_is_refused(spelled: object) -> None:
    with pytest.raises(ValueError, match="unit"):
        parse_duration(spelled)
