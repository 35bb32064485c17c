"""The way out of a session: both sides get their responses, then unbind, then the connection closes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.links.session_rules import LinkState
from gateway.pdus.pdu import Pdu, Unbind, UnbindResp

if TYPE_CHECKING:
    from gateway.links.link import Link

CLOSE_SECONDS = 1.0
"""How long an SMPP 5.0 peer that unbound has for closing the connection."""
BY_US, BY_THE_SMSC = "unbind", "unbind by the SMSC"


class Leaving:
    """Who asked a link to unbind, and what is still due."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._loop = asyncio.get_running_loop()
        self._request: Pdu | None = None
        """The SMSC's unbind, until it is answered."""
        self._leave_by = 0.0
        self._asked_to_unbind = False
        self._asked_about_answers = False

    def begin(self) -> None:
        """Unbind as soon as both sides have their responses, or the response timer is over."""
        if self._link.state is LinkState.BOUND:
            self._go(BY_US)

    def asked(self, unbind: Pdu) -> None:
        """The SMSC unbinds."""
        link = self._link
        if link.state is LinkState.BOUND or (link.state is LinkState.UNBINDING and not self._asked_to_unbind):
            self._request = unbind
            self._go(BY_THE_SMSC)
            return
        link.write(UnbindResp(unbind.sequence))
        if link.state is LinkState.OPEN:
            link.close(BY_THE_SMSC)

    def _go(self, why: str) -> None:
        self._link.state = LinkState.UNBINDING
        self._link.error = self._link.error or why
        self._leave_by = self._loop.time() + self._link.requests.response_seconds

    def go_on(self, now: float) -> None:
        """Take the next step, if it is time for it."""
        link = self._link
        if now < self._leave_by:
            if link.requests or not link.answers.settled:
                return
            if self._request is not None and link.answers.unconfirmed and not self._asked_about_answers:
                # An SMSC that leaves answers nothing more by itself that would show that it has our answers.
                self._asked_about_answers = True
                link.enquire(lambda _: None)
                return
        if self._request is not None:
            link.write(UnbindResp(self._request.sequence))
            self._unbound()
        elif not self._asked_to_unbind:
            self._asked_to_unbind = True
            link.request(Unbind(), lambda _: link.close(BY_US))

    def _unbound(self) -> None:
        """From SMPP 5.0 on an unbound connection stands until who asked closes it."""
        if self._link.settings.interface_version != "5.0":
            self._link.close(BY_THE_SMSC)
            return
        self._link.state = LinkState.UNBOUND
        self._loop.call_later(CLOSE_SECONDS, self._link.close, BY_THE_SMSC)
