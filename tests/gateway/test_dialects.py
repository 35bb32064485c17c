"""USSD dialects as values: the shipped ones, and those of config.toml."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from gateway.dialects import ussd, ussd_dialects
from gateway.dialects.ussd_dialects import DIALECTS, Dialect, derived
from gateway.pdus.pdu import DeliverSm, SubmitSm, decode
from gateway.simulator import dialects as simulated
from vas import config_dialects
from vas.config import load
from vas.config_dialects import ShippedDialect, UssdDialect
from vas.errors import ConfigError

SHIPPED = Path(__file__).parents[2] / "config.toml"
PAGE = (Path(__file__).parents[2] / "docs" / "ussd-dialects.md").read_text("utf-8")
ACCOUNT = '[accounts.main]\nhost = "smsc"\nsystem_id = "vas"\n'

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(text: str) -> Path:
        file = tmp_path / "config.toml"
        file.write_text(text, encoding="utf-8")
        return file

    return written


def of(section: UssdDialect) -> Dialect:
    return derived(section.like, section.changes)


def test_every_shipped_dialect_can_be_named_in_the_settings() -> None:
    assert get_args(ShippedDialect) == tuple(DIALECTS)
    assert get_args(config_dialects.Coding) == get_args(ussd_dialects.Coding)


def test_everything_in_a_dialect_can_be_set() -> None:
    assert set(UssdDialect.model_fields) == {"like", *Dialect.__struct_fields__}


def test_what_the_shipped_file_shows_of_a_dialect_is_spec() -> None:
    shown = re.search(r"^# \[ussd_dialects\.ours\]\n((?:#.*\n)+)", SHIPPED.read_text("utf-8"), re.MULTILINE)
    assert shown
    table = tomllib.loads(re.sub(r"^# (?=\w+ =)", "", shown[1], flags=re.MULTILINE))
    dialect = of(UssdDialect.model_validate(table))
    assert set(table) == set(UssdDialect.model_fields)
    assert dialect == derived("spec", {"session_tag": 0x1500})


def test_a_dialect_of_ones_own_is_a_shipped_one_with_changes(write: Write) -> None:
    settings = load(
        write(
            ACCOUNT
            + 'ussd_dialect = "ours"\n[ussd_dialects.ours]\nlike = "6d"\nsession = "tlv"\nsession_tag = 0x1500\n'
            'ends = [17, 35]\nservice_type = "PSSR"\ncodings = { 0x0F = "gsm_packed" }\necho = [0x4901]\n'
            'add = { 0x4902 = "00 1f" }\n'
        ),
        {},
    )
    ours = of(settings.ussd_dialects[settings.accounts["main"].ussd_dialect])
    assert (ours.session, ours.session_tag, ours.ends) == ("tlv", 0x1500, frozenset({17, 35}))
    assert (ours.service_type, ours.codings, ours.echo) == (b"PSSR", {0x0F: "gsm_packed"}, (0x4901,))
    assert ours.add == {0x4902: b"\x00\x1f"}
    assert ours.dialled_in == DIALECTS["6d"].dialled_in != DIALECTS["spec"].dialled_in


@pytest.mark.parametrize("name", list(DIALECTS))
def test_an_account_may_name_every_shipped_dialect(name: str, write: Write) -> None:
    assert load(write(ACCOUNT + f'ussd_dialect = "{name}"'), {}).accounts["main"].ussd_dialect == name


@pytest.mark.parametrize(
    ("text", "line"),
    [
        pytest.param(
            ACCOUNT + 'ussd_dialect = "mika"\n[ussd_dialects.ours]\n',
            'accounts.main.ussd_dialect: there is no dialect "mika"; there are: '
            "spec, 6d, mica, tata, scag, bercut, nowsms, msisdn, ours",
            id="an unknown dialect",
        ),
        pytest.param(
            '[ussd_dialects.mica]\nlike = "spec"',
            "ussd_dialects.mica: a shipped dialect has this name; choose another, and name the shipped one in like",
            id="the name of a shipped one",
        ),
        pytest.param(
            '[ussd_dialects.ours]\nsession = "tlv"',
            'ussd_dialects.ours.session_tag: needed with session = "tlv": the tag of the TLV that holds the session',
            id="no tag",
        ),
        pytest.param(
            "[ussd_dialects.ours]\nsesion = 1",
            'ussd_dialects.ours.sesion = 1: no such setting; did you mean "session"?',
            id="a slip",
        ),
        pytest.param(
            '[ussd_dialects.ours]\nadd = { 0x4901 = "zz" }',
            'ussd_dialects.ours.add.0x4901 = "zz": must be octets in hexadecimal, as "00 1f" (TLVs that everything we',
            id="no octets",
        ),
        pytest.param(
            '[ussd_dialects.ours]\ncodings = { fifteen = "gsm" }',
            "ussd_dialects.ours.codings.fifteen",
            id="no data_coding",
        ),
        pytest.param("[ussd_dialects.ours]\nends = [256]", "ussd_dialects.ours.ends[0] = 256: must be", id="no octet"),
        pytest.param('[ussd_dialects.ours]\nservice_type = "USSDXX"', "ussd_dialects.ours.service_type", id="too long"),
    ],
)
def test_a_wrong_dialect_is_refused_in_words(text: str, line: str, write: Write) -> None:
    file = write(text)
    with pytest.raises(ConfigError) as caught:
        load(file, {})
    [said] = str(caught.value).splitlines()
    assert said.removeprefix(f"{file}: ").startswith(line)


def test_the_worked_example_of_the_page_is_right() -> None:
    *_, captured, settings, answer = PAGE.split("```")[1::2]
    settings = settings.removeprefix("toml")
    dialect = of(UssdDialect.model_validate(tomllib.loads(settings)["ussd_dialects"]["ours"]))
    pdu = decode(octets(captured))
    assert isinstance(pdu, DeliverSm)
    heard = ussd.read(pdu, pdu.short_message, dialect)
    assert heard
    assert (heard.turn.dialogue, heard.turn.begin, heard.text) == ("84912345678/0a0b0c0d", True, "*105#")
    screen = SubmitSm(tlvs=ussd.write(heard.turn.token, True, dialect).tlvs)
    assert screen.encode().endswith(b"\0" + octets(answer))


def test_the_page_has_every_shipped_dialect_and_every_name_that_it_uses_is_a_setting() -> None:
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) == set(DIALECTS)
    assert set(re.findall(r"`(\w+) = ", PAGE)) <= set(UssdDialect.model_fields)


def octets(dump: str) -> bytes:
    """What stands before two spaces in each line of a dump."""
    return bytes.fromhex("".join(re.split(r" {2,}", line)[0] for line in dump.splitlines()))


@pytest.mark.parametrize("name", get_args(simulated.Dialect))
def test_the_simulator_which_was_written_apart_understands_the_same(name: simulated.Dialect) -> None:
    dialect = derived("bercut", {"suffix_form": "hex"}) if name == "bercut_hex" else DIALECTS[name]
    session = 0x5A if simulated.names_sessions(name) else None
    turns: list[tuple[simulated.What, str, bool, bool]] = [
        ("dial", "*105*0912345678#", True, False),
        ("answer", "1", False, False),
        ("abort", "", False, True),
        ("noticed", "", False, True),
    ]
    for what, text, begin, ended in turns:
        pdu = simulated.deliver(simulated.Turn(what, "84912345678", "105", text, 0x5A, 2), name)
        heard = ussd.read(pdu, pdu.short_message, dialect)
        assert heard
        assert (heard.turn.begin, heard.turn.ended, heard.text) == (begin, ended, text)
        for more in (True, False):
            around = ussd.write(heard.turn.token, more, dialect)
            shown = simulated.read(around.tlvs, around.source_addr or b"105", name)
            assert shown
            assert (shown.session, shown.ends) == (session, not more)
