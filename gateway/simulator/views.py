"""What the simulator's HTTP takes and shows, as JSON."""

from __future__ import annotations

from typing import Annotated

import msgspec

from gateway.simulator.exchange import HAPPENINGS_KEPT
from gateway.simulator.faults import Fault, Kind
from gateway.simulator.phone import PhoneState, Received, Screen

SHOWN = 100
"""The latest messages that GET /phones/{msisdn} shows."""
LISTED = 500
"""The phones that GET /phones lists, those first made first."""

HELP = f"""An SMSC with phones. In a browser this address is a page with phones to play with.

GET  /status                      binds, phones, what is owed
GET  /events                      what happens on all phones, one JSON object in each line, until you close;
                                  ?last=100: first the latest that happened, then an empty line
GET  /phones                      the first {LISTED}
GET  /phones/{{msisdn}}             its state, its screen, its balance, its latest {SHOWN} messages
GET  /phones/{{msisdn}}/events      what arrives, one JSON object in each line, until you close
POST /phones/{{msisdn}}/sms         {{"to": "9105", "text": "CM 0912345678"}}
POST /phones/{{msisdn}}/dial        {{"code": "*105#"}}
POST /phones/{{msisdn}}/answer      {{"text": "1"}}
POST /phones/{{msisdn}}/hang_up
POST /phones/{{msisdn}}/switch_off
POST /phones/{{msisdn}}/switch_on
POST /phones/{{msisdn}}/out_of_service
POST /phones/{{msisdn}}/fill        its memory is full, until it is switched on
POST /phones/{{msisdn}}/balance     {{"balance": 20000}}, in đồng
POST /phones/{{msisdn}}/language    {{"language": "vi"}}
GET  /faults                      those that hold, the kinds there are, the numbers with faults of their own
POST /faults                      {{"kind": "status", "status": "RTHROTTLED", "every": 3}}
DELETE /faults/{{id}}
DELETE /faults
POST /links/drop                  break every connection, as a fallen line does
POST /outbind                     {{"host": "127.0.0.1", "port": 2776}}: call an ESME that waits for it
"""


class PhoneView(msgspec.Struct, frozen=True):
    number: str
    state: PhoneState
    in_dialogue: bool
    screen: Screen | None
    inbox: list[Received]
    balance: int = 0
    """In đồng."""
    language: str = "vi"


class PhoneLine(msgspec.Struct, frozen=True):
    number: str
    state: PhoneState
    in_dialogue: bool
    messages: int


class Sent(msgspec.Struct, frozen=True):
    """The simulator's ids of the deliver_sm that carry it."""

    ids: list[int]


class BindView(msgspec.Struct, frozen=True):
    session: int
    account: str
    mode: str
    delivered: int
    submitted: int


class Status(msgspec.Struct, frozen=True):
    binds: list[BindView]
    phones: int
    owed: int
    outcomes: dict[str, int]
    """Attempts to deliver, by how they ended."""
    submitted: int
    late_answers: int


class FaultView(msgspec.Struct, frozen=True):
    id: int
    fault: Fault
    struck: int
    words: str
    """What it meets, when, and what happens then."""


class FaultsView(msgspec.Struct, frozen=True):
    faults: list[FaultView]
    kinds: dict[Kind, str]
    magic: dict[str, str]
    """What befalls numbers that end so; empty where they are as any other."""


Last = Annotated[int, msgspec.Meta(ge=0, le=HAPPENINGS_KEPT)]


class Added(msgspec.Struct, frozen=True):
    id: int


class Outbind(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    host: str
    port: Annotated[int, msgspec.Meta(ge=1, le=65_535)]
