"""How the values of config.toml are spelled: addresses, numbers, durations, secrets."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, NamedTuple
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, InstanceOf, PlainSerializer, SecretStr

from vas.config_problems import without_password
from vas.durations import parse_duration, spell_duration
from vas.errors import Refused
from vas.messages import Msisdn

SQLITE_FILE = re.compile(r"sqlite:///(?!:memory:)(?P<path>[^?]+)").fullmatch
_HOST = r"(?:[^/?#@:,\[\]\s]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?"
_DISTANT = re.compile(
    rf"postgresql://(?:[^/?#@\[\]\s]*@)?(?P<hosts>{_HOST}(?:,{_HOST})*)/[^/?#@\s]+(?:\?\S*)?"
).fullmatch
_ONE_THAT_WRITES = re.compile(r"[?&]target_session_attrs=(read-write|primary)(&|$)").search


class Address(NamedTuple):
    """Where a listener waits."""

    host: str
    port: int

    @classmethod
    def parse(cls, spelled: object) -> Address:
        """From `127.0.0.1:8080` or `[::1]:8080`; port 0 takes any free one. Raises ValueError."""
        if isinstance(spelled, Address):
            return spelled
        host, _, port = str(spelled).rpartition(":")
        if not host or not (port.isascii() and port.isdigit()) or int(port) > 65_535:
            raise ValueError('must be a host and a port, as in "127.0.0.1:8080"')
        return cls(host.removeprefix("[").removesuffix("]"), int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _timezone(name: object) -> ZoneInfo:
    try:
        return name if isinstance(name, ZoneInfo) else ZoneInfo(str(name))
    except (KeyError, ValueError, OSError):
        raise ValueError("must be a name of the time zone database") from None


def _number(raw: object) -> Msisdn:
    try:
        return raw if isinstance(raw, Msisdn) else Msisdn.parse(str(raw))
    except Refused:
        raise ValueError("must be a subscriber's number") from None


def _ascii_secret(secret: SecretStr) -> SecretStr:
    if not secret.get_secret_value().isascii():
        raise ValueError("must be ASCII")
    return secret


def _status_key(key: object) -> object:
    """A key of a TOML table is text, `0x0442` too."""
    try:
        return int(key, 0) if isinstance(key, str) else key
    except ValueError:
        raise ValueError("must be a command_status, as 0x0442") from None


def _prefix(digits: str) -> str:
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 15) or digits.startswith("0"):
        raise ValueError('must be the beginning of an international number, without + or 00, as in "8491"')
    return digits


def _store_url(url: str) -> str:
    distant = _DISTANT(url)
    if not (SQLITE_FILE(url) or distant):
        raise ValueError(
            'must be "sqlite:///PATH" or "postgresql://USER:PASSWORD@HOST/DATABASE", where a password spells '
            "@ / ? # [ ] % and spaces %40 %2F %3F %23 %5B %5D %25 %20"
        )
    if distant and "," in distant["hosts"] and not _ONE_THAT_WRITES(url):
        raise ValueError("several hosts need ?target_session_attrs=read-write: else a standby may be taken")
    return url


Duration = Annotated[timedelta, BeforeValidator(parse_duration), PlainSerializer(spell_duration, when_used="json")]
Listen = Annotated[Address, BeforeValidator(Address.parse), PlainSerializer(str, when_used="json")]
TimeZone = Annotated[InstanceOf[ZoneInfo], BeforeValidator(_timezone), PlainSerializer(str, when_used="json")]
Number = Annotated[
    InstanceOf[Msisdn], BeforeValidator(_number), PlainSerializer(lambda number: number.digits, when_used="json")
]
Ascii = Annotated[str, Field(pattern=r"^[ -~]*$")]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*(_[a-z0-9]+)*$", max_length=32)]
ShortCode = Annotated[str, Field(pattern=r"^[0-9]{2,15}$")]
Prefix = Annotated[str, AfterValidator(_prefix)]
CommandStatus = Annotated[int, Field(ge=1, le=0xFFFF_FFFF)]
Secret = Annotated[SecretStr, AfterValidator(_ascii_secret)]
StatusKey = Annotated[CommandStatus, BeforeValidator(_status_key), PlainSerializer("0x{:04X}".format)]
StoreUrl = Annotated[str, AfterValidator(_store_url), PlainSerializer(without_password, when_used="json")]
