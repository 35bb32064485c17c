"""The tables of config.toml. The docstring below a setting says what it means, also to whoever wrote a wrong value."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from vas.config_values import (
    Address,
    Ascii,
    CommandStatus,
    Duration,
    Listen,
    Number,
    Prefix,
    Secret,
    ShortCode,
    StatusKey,
    StoreUrl,
    TimeZone,
)
from vas.messages import RTHROTTLED, RX_T_APPN

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


class Section(BaseModel):
    """A table of config.toml."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Store(Section):
    """[store]: where everything is kept, and for how long."""

    url: StoreUrl = Field(default="sqlite:///var/vas.db", repr=False)
    """Address of the database."""
    keep: Duration = Field(default=timedelta(days=90), ge=DAY, le=3650 * DAY)
    """How long finished messages are kept."""
    seen_for: Duration = Field(default=timedelta(hours=72), ge=HOUR, le=30 * DAY)
    """How long a redelivered message is recognised; longer than the SMSC goes on trying."""
    batch_limit: int = Field(default=500, ge=1, le=10_000)
    """Commands in one database transaction, at most."""

    db_grace: Duration = Field(default=timedelta(seconds=60), ge=SECOND, le=HOUR)
    """How long links to SMSCs are kept while a shared database is not there; what comes in is refused meanwhile."""
    commit_timeout: Duration = Field(default=timedelta(seconds=4), ge=SECOND, le=timedelta(minutes=1))
    """How long a shared database may take for one transaction; shorter than half of smsc_response_timer."""
    lease: Duration = Field(default=timedelta(seconds=5), ge=2 * SECOND, le=timedelta(minutes=1))
    """How long after its last sign of life a node's binds and messages are taken over by the others."""


class Admin(Section):
    """[admin]: HTTP for operations."""

    listen: Listen = Address("127.0.0.1", 8080)
    """Host and port of the operations' listener."""
    first_key_file: Path = Path("var/admin.key")
    """File of mode 0600 that the first start writes the first key to."""


class Web(Section):
    """[web]: HTTP for subscribers."""

    listen: Listen = Address("127.0.0.1", 8081)
    """Host and port of the subscribers' listener."""


class Log(Section):
    """[log]: what is logged, to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least important event that is logged."""
    format: Literal["console", "json"] = "console"
    """Lines for people, or one JSON object a line."""
    bodies: bool = False
    """Whether the texts of messages may be logged."""


class Account(Section):
    """[accounts.NAME]: one SMSC account. Lengths are those of SMPP 3.4 §4.1."""

    host: str = Field(default="", max_length=255)
    """Host name or address of the SMSC; needed unless `outbind` is set."""
    port: int = Field(default=2775, ge=1, le=65_535)
    """TCP port of the SMSC."""
    system_id: Ascii = Field(max_length=15)
    """Who we are to the SMSC."""
    password: Secret = Field(default=SecretStr(""), max_length=8)
    """What proves it: at most 8 characters."""
    system_type: Ascii = Field(default="", max_length=12)
    """The kind of system we are, where the SMSC asks for it."""
    bind: Literal["transceiver", "transmitter+receiver"] = "transceiver"
    """One connection for both directions, or a pair."""
    binds: int = Field(default=1, ge=1, le=64)
    """Connections, or pairs of them."""
    window: int = Field(default=50, ge=1, le=1000)
    """Requests that may be unanswered at a time, a connection."""
    rate: float = Field(default=0, ge=0, le=100_000, allow_inf_nan=False)
    """PDUs a second over all connections of the account; 0 is no limit."""
    address_range: Ascii = Field(default="", max_length=40)
    """The addresses that this bind serves, as the SMSC spells them."""
    source_ton: int = Field(default=0, ge=0, le=255)
    """Type of number of the short codes that we send from."""
    source_npi: int = Field(default=0, ge=0, le=255)
    """Numbering plan of the short codes that we send from."""
    dest_ton: int = Field(default=1, ge=0, le=255)
    """Type of number of the subscribers that we send to; 1 is international."""
    dest_npi: int = Field(default=1, ge=0, le=255)
    """Numbering plan of the subscribers that we send to; 1 is E.164."""
    service_type: Ascii = Field(default="", max_length=5)
    """service_type of what we send as SMS."""
    registered_delivery: Literal["asked", "all", "none"] = "asked"
    """Delivery receipts: where a service asks for one, for everything, or never."""
    validity: Duration | None = Field(default=None, ge=SECOND, le=63 * DAY)
    """How long the SMSC keeps trying to deliver; not set: as long as it likes."""
    enquire_every: Duration = Field(default=timedelta(seconds=30), ge=SECOND, le=HOUR)
    """Silence after which the SMSC is asked whether it is there."""
    response_timer: Duration = Field(default=timedelta(seconds=10), ge=SECOND, le=HOUR)
    """How long we wait for the SMSC's response."""
    smsc_response_timer: Duration = Field(default=timedelta(seconds=10), ge=SECOND, le=HOUR)
    """How long the SMSC waits for ours before it delivers again."""
    later_status: CommandStatus = RX_T_APPN
    """command_status that makes this SMSC deliver again later."""
    full_status: CommandStatus = RTHROTTLED
    """command_status that makes this SMSC slow down."""
    message_id_tlv: int | None = Field(default=None, ge=1, le=0xFFFF)
    """Tag of the TLV in which this SMSC gives a deliver_sm an identity; not set: it has none."""
    receipt_id: Literal["same", "hex_to_dec", "dec_to_hex", "strip0", "auto"] = "same"
    """How the id in a submit_sm_resp becomes the one in the receipt; "auto": find out."""
    receipt_by_text: bool = False
    """Whether a text that reads as a receipt is one, whatever esm_class says."""
    receipt_reference: bool = False
    """Whether submissions carry a user_message_reference, for an SMSC whose receipts have no id."""
    ussd_dialect: Annotated[str, Field(pattern=r"^[a-z0-9]+(_[a-z0-9]+)*$", max_length=32)] = "spec"
    """How this SMSC carries USSD: a shipped dialect, or one of [ussd_dialects.NAME]."""
    alphabet: Literal["gsm", "gsm_packed", "latin1", "ascii"] = "gsm"
    """What data_coding 0 means to this SMSC."""
    national: tuple[Literal["turkish", "spanish", "portuguese"], ...] = ()
    """National shift tables that may be used where they are cheaper than UCS-2."""
    long_messages: Literal["udh", "udh16", "sar", "payload"] = "udh"
    """How the segments of a long message are marked."""
    statuses: dict[
        StatusKey,
        Literal["throttle", "transient", "session", "permanent"],
    ] = {}
    """What a command_status of this SMSC's own means: { 0x0442 = "throttle" }."""
    interface_version: Literal["3.3", "3.4", "5.0"] = "3.4"
    """The SMPP version that we speak; 3.3 sends no optional parameters."""
    tls: bool = False
    """Whether the connection is TLS, 1.2 or later."""
    tls_ca: Path | None = None
    """PEM file of who signs the SMSC's certificate; not set: the system's authorities."""
    tls_certificate: Path | None = None
    """PEM file of our own certificate, where the SMSC asks for one."""
    tls_key: Path | None = None
    """PEM file of the key to tls_certificate."""
    tls_server_name: str = Field(default="", max_length=253)
    """The name in the SMSC's certificate; empty: that of host."""
    outbind: Listen | None = None
    """Where we wait for the SMSC to connect and send outbind: "0.0.0.0:2776"; by host, if set, we submit."""
    outbind_system_id: Ascii = Field(default="", max_length=15)
    """Who the SMSC must say it is in outbind."""
    outbind_password: Secret = Field(default=SecretStr(""), max_length=8)
    """What it must prove that with; needed with outbind, unless tls_ca says who may connect."""
    waiting_max: int = Field(default=10_000, ge=1, le=1_000_000)
    """Submissions that wait for the window or the rate, at most."""
    patience: Duration = Field(default=timedelta(seconds=30), le=HOUR)
    """How long submissions wait while no connection is up."""
    reconnect_first: Duration = Field(default=SECOND, gt=timedelta(0), le=HOUR)
    """The longest pause before a first reconnect; it doubles with every failure."""
    reconnect_max: Duration = Field(default=timedelta(minutes=1), ge=SECOND, le=HOUR)
    """The longest pause before any reconnect."""
    refused_every: Duration = Field(default=timedelta(minutes=5), ge=SECOND, le=DAY)
    """Pause after a refused system_id or password, since an SMSC may lock an account after a few tries."""


class Route(Section):
    """[[routes]]: which account carries a message; the first route that fits decides."""

    accounts: tuple[str, ...] = Field(min_length=1)
    """Names of accounts in the order of preference: where one is not up, the next takes the message."""
    prefixes: tuple[Prefix, ...] = ()
    """Beginnings of the subscribers' numbers that it is for: "8491"; not set: all."""
    short_codes: tuple[ShortCode, ...] = ()
    """Short codes whose messages it is for; not set: all."""
    lane: Literal["reply", "bulk"] | None = None
    """How its messages are queued: before others as replies are, or after them; not set: as the service thought."""


class Platform(Section):
    """[platform]: what holds for all services."""

    timezone: TimeZone = ZoneInfo("Asia/Ho_Chi_Minh")
    """Where a day begins and ends."""
    language: Literal["vi", "en"] = "vi"
    """Language of a subscriber who has not chosen one."""
    trial_numbers: tuple[Number, ...] = ()
    """When not empty, only these numbers are served."""
    own_numbers: tuple[Annotated[str, Field(pattern=r"^[0-9]{2,15}$")], ...] = ()
    """Numbers that we send from besides the short codes: nothing they send is answered."""
    help_per_hour: int = Field(default=3, ge=0, le=60)
    """Help texts to one number in an hour, at most."""
    credits: int = Field(default=10_000, ge=1, le=1_000_000)
    """Commands taken and not yet finished, at most; beyond it the SMSC is asked to wait."""
    parts_wait: Duration = Field(default=timedelta(minutes=10), ge=SECOND, le=DAY)
    """How long the parts of a long message wait for those that are missing."""
    parts_max: int = Field(default=100_000, ge=255, le=10_000_000)
    """Parts that wait, at most; beyond it the SMSC keeps what would begin another long message."""
    parts_each: int = Field(default=255, ge=255, le=10_000)
    """Parts of one subscriber that wait, at most; beyond it their oldest message is given up."""


class ServiceSection(Section):
    """[services.NAME]: where a service is reached; all other keys are the service's own."""

    model_config = ConfigDict(extra="allow")

    enabled: bool
    """Whether the service is switched on: true or false."""
    short_codes: tuple[ShortCode, ...] = ()
    """Short codes at which the service takes SMS."""
    ussd: Annotated[str, Field(pattern=r"^\*[0-9]+(\*[0-9]+)*$", max_length=20)] | None = None
    """What is dialled for the service, without the closing #: "*105"; not set: no USSD."""
    accents: bool = True
    """Whether its texts have Vietnamese accents where they fit; false: none has."""

    @property
    def own(self) -> Mapping[str, Any]:
        """The service's own keys as they were written."""
        return self.__pydantic_extra__ or {}

    def __repr_args__(self) -> list[tuple[str, object]]:
        return [(name, getattr(self, name)) for name in type(self).model_fields]
