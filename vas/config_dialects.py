"""[ussd_dialects.NAME] of config.toml. docs/ussd-dialects.md has the meaning of each setting, and an example."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer

from vas.config_sections import Section

ShippedDialect = Literal["spec", "6d", "mica", "tata", "scag", "bercut", "nowsms", "msisdn"]
Coding = Literal["gsm", "gsm_packed", "ucs2", "latin1", "ascii", "binary"]


def _number(key: object) -> object:
    """A key of a TOML table is text, `0x0F` too."""
    try:
        return int(key, 0) if isinstance(key, str) else key
    except ValueError:
        raise ValueError("must be a number, as 0x0F") from None


def _octets(spelled: object) -> object:
    try:
        return bytes.fromhex(spelled) if isinstance(spelled, str) else spelled
    except ValueError:
        raise ValueError('must be octets in hexadecimal, as "00 1f"') from None


def _ascii(octets: bytes) -> bytes:
    if not octets.isascii():
        raise ValueError("must be ASCII")
    return octets


Octet = Annotated[int, BeforeValidator(_number), Field(ge=0, le=0xFF)]
Tag = Annotated[int, BeforeValidator(_number), Field(ge=1, le=0xFFFF)]
OctetKey = Annotated[Octet, PlainSerializer("0x{:02X}".format)]
TagKey = Annotated[Tag, PlainSerializer("0x{:04X}".format)]
Hex = Annotated[bytes, BeforeValidator(_octets), Field(max_length=64), PlainSerializer(bytes.hex, when_used="json")]
ServiceType = Annotated[bytes, Field(max_length=5), AfterValidator(_ascii)]
Operations = Annotated[frozenset[Octet], PlainSerializer(sorted, when_used="json")]


class UssdDialect(Section):
    """[ussd_dialects.NAME]: how one more kind of USSD gateway speaks. What is not set is as in the dialect `like`."""

    like: ShippedDialect = "spec"
    """The shipped dialect that it starts from."""
    session: (
        Literal["msisdn", "user_message_reference", "its_15_1", "its_spec", "its_opaque", "address_suffix", "tlv"]
        | None
    ) = None
    """Where the number of a dialogue is."""
    session_tag: Tag | None = None
    """Tag of the TLV that holds it, where session is "tlv"."""
    suffix_of: Literal["code", "msisdn"] | None = None
    """The address that it is appended to, where session is "address_suffix"."""
    suffix_form: Literal["decimal", "hex"] | None = None
    """How that number is written."""
    suffix_digits: int | None = Field(default=None, ge=0, le=20)
    """How many digits at the end of the address it has; 0: all after the last #."""
    numbers_pushes: bool | None = None
    """Whether we choose the session of a dialogue that we begin."""
    end_bit: bool | None = None
    """Whether the lowest bit of its_session_info ends a dialogue."""
    begins: Operations | None = None
    """The ussd_service_op of a deliver_sm that opens a dialogue."""
    ends: Operations | None = None
    """The ussd_service_op of a deliver_sm after which nothing can be shown."""
    ask: Octet | None = None
    """The ussd_service_op of a screen that waits for an answer."""
    close: Octet | None = None
    """The ussd_service_op of a last screen."""
    push: Octet | None = None
    """The ussd_service_op of a question with which we begin a dialogue."""
    notice: Octet | None = None
    """The ussd_service_op of a screen without an answer with which we begin and end one."""
    service_type_in: ServiceType | None = None
    """The service_type that says USSD where ussd_service_op is missing; "": only ussd_service_op does."""
    service_type: ServiceType | None = None
    """The service_type of what we send."""
    dialled_in: Literal["short_message", "destination_addr", "either"] | None = None
    """Where the dialled string is."""
    complete: bool | None = None
    """Whether the gateway takes * and # off the dialled string, so that they are put back."""
    codings: dict[OctetKey, Coding] | None = None
    """What a data_coding of a deliver_sm means: { 0x0F = "gsm_packed" }."""
    alphabet: Literal["gsm", "gsm_packed", "latin1", "ascii"] | None = None
    """How text of seven bits travels."""
    gsm_octet: Octet | None = None
    """The data_coding of a screen in that alphabet."""
    ucs2_octet: Octet | None = None
    """The data_coding of a screen in UCS-2."""
    echo: tuple[Tag, ...] | None = None
    """Tags of the TLVs that an answer gives back as they came."""
    add: dict[TagKey, Hex] | None = None
    """TLVs that everything we send carries: { 0x4901 = "01" }."""

    @property
    def changes(self) -> Mapping[str, object]:
        """What is set, without `like`."""
        return {name: getattr(self, name) for name in self.model_fields_set if name != "like"}
