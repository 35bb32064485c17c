"""USSD dialogues between phones and ESMEs, in the dialect of each account."""

from __future__ import annotations

import asyncio
import re
from itertools import count

from gateway.simulator import dialects
from gateway.simulator.delivery import Mo
from gateway.simulator.dialects import Shown, Turn
from gateway.simulator.exchange import Exchange, Said
from gateway.simulator.phone import NO_ANSWER, Dialogue, Phone, PhoneState, Screen
from gateway.simulator.settings import Account
from gateway.simulator.wire import RINVOPTPARAMVAL, Mt
from vas.alphabet import fits_ussd
from vas.errors import SmppError

RSUBMITFAIL = 0x45

_code = re.compile(r"[*#]+([0-9]+)[0-9*#]*#").fullmatch
_digits = re.compile(r"[0-9]+").search


class Dialogues:
    """Opened by a phone that dials, or by an ESME that pushes; one at a time on each phone."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._numbers = count()

    # --- from a phone

    def dial(self, phone: Phone, code: str) -> Mo:
        match = _code(code)
        if match is None or not fits_ussd(code):
            raise ValueError(f"{code!r} is no USSD code such as *105#")
        name, account = self._exchange.serving(match[1])
        phone.dialogue = self._dialogue(match[1], name, account)
        self._exchange.tell(phone, Said("dial", code, code, self._exchange.clock()))
        return self._say(phone, phone.dialogue, "dial", code)

    def answer(self, phone: Phone, text: str) -> Mo:
        if phone.dialogue is None or not fits_ussd(text):
            raise ValueError("an answer has at most 182 septets, or 80 UCS-2 units")
        phone.dialogue.sequence += 1
        self._exchange.tell(phone, Said("answer", phone.dialogue.code, text, self._exchange.clock()))
        return self._say(phone, phone.dialogue, "answer", text)

    def hang_up(self, phone: Phone) -> Mo:
        if phone.dialogue is None:
            raise ValueError("no dialogue is open")
        self._exchange.tell(phone, Said("hang_up", phone.dialogue.code, "", self._exchange.clock()))
        return self._abort(phone, phone.dialogue)

    def _dialogue(self, code: str, name: str, account: Account, number: int | None = None) -> Dialogue:
        if number is None:
            number = dialects.session_of(next(self._numbers), account.ussd)
        return Dialogue(number, code, name, account.ussd, account.alphabet)

    def _say(self, phone: Phone, dialogue: Dialogue, what: dialects.What, text: str) -> Mo:
        turn = Turn(what, phone.number, dialogue.code, text, dialogue.number, dialogue.sequence)
        pdu = dialects.deliver(turn, dialogue.dialect, dialogue.alphabet)
        mo = self._exchange.owe("ussd", text, pdu, dialogue.account)
        if what in ("dial", "answer"):
            dialogue.turn = mo.id
            seconds = self._exchange.settings.ussd_timer.total_seconds()
            asyncio.get_running_loop().call_later(seconds, self._unanswered, phone, mo)
        return mo

    def _abort(self, phone: Phone, dialogue: Dialogue) -> Mo:
        phone.end()
        dialogue.sequence += 1
        return self._say(phone, dialogue, "abort", "")

    def _unanswered(self, phone: Phone, mo: Mo) -> None:
        if phone.awaits(mo) and phone.dialogue is not None:
            self._abort(phone, phone.dialogue)
            self._fail(phone, mo)

    def _forgotten(self, phone: Phone, screen: Screen) -> None:
        """Nobody has answered the screen that its phone still shows."""
        if phone.screen is screen and phone.dialogue is not None and phone.dialogue.turn == screen.turn:
            self._abort(phone, phone.dialogue)
            phone.show(Screen(NO_ANSWER, more=False, at=self._exchange.clock(), turn=screen.turn))

    def dropped(self, mo: Mo) -> None:
        """The ESME refused a turn for good."""
        phone = self._exchange.phones.get(mo.sender)
        if phone is not None and phone.awaits(mo):
            self._fail(phone, mo)

    def _fail(self, phone: Phone, mo: Mo) -> None:
        phone.show(Screen(NO_ANSWER, more=False, at=self._exchange.clock(), turn=mo.id))

    # --- to a phone

    def take(self, phone: Phone, mt: Mt, shown: Shown) -> None:
        """A screen for the dialogue that it names, or one that the ESME begins; raises SmppError."""
        dialogue = phone.dialogue
        if dialogue is not None and self._names(dialogue, shown):
            if shown.op not in (dialects.USSR_REQUEST, dialects.PSSR_RESPONSE):
                raise SmppError(RINVOPTPARAMVAL)
            self._show(phone, Screen(mt.text, not shown.ends, mt.at, dialogue.turn))
        elif shown.op in (dialects.USSR_REQUEST, dialects.USSN_REQUEST) and shown.session not in phone.over:
            self._push(phone, mt, shown)
        else:
            raise SmppError(RINVOPTPARAMVAL)

    @staticmethod
    def _names(dialogue: Dialogue, shown: Shown) -> bool:
        return shown.session == dialogue.number or not dialects.names_sessions(dialogue.dialect)

    def _push(self, phone: Phone, mt: Mt, shown: Shown) -> None:
        """Network-initiated: USSR is answered by the subscriber, USSN by the phone itself."""
        if phone.dialogue is not None:
            raise SmppError(RINVOPTPARAMVAL if shown.session is not None else RSUBMITFAIL)
        if phone.state not in (PhoneState.REACHABLE, PhoneState.FULL):
            raise SmppError(RSUBMITFAIL)
        code = _digits(mt.source)
        account = self._exchange.settings.account(mt.account)
        dialogue = self._dialogue(code[0] if code else mt.source, mt.account, account, shown.session)
        if shown.ends:
            self._say(phone, dialogue, "noticed", "")
            phone.over.append(dialogue.number)
            self._show(phone, Screen(mt.text, False, mt.at, mt.id))
            return
        dialogue.turn = mt.id
        phone.dialogue = dialogue
        self._show(phone, Screen(mt.text, True, mt.at, mt.id))

    def _show(self, phone: Phone, screen: Screen) -> None:
        phone.show(screen)
        if screen.more:
            seconds = self._exchange.settings.answer_timer.total_seconds()
            asyncio.get_running_loop().call_later(seconds, self._forgotten, phone, screen)
