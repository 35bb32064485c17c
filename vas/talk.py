"""Talk: a USSD conversation, run anew from its journal on every key press. Pure.

A screen holds 182 septets or 80 UCS-2 characters (GSM 04.80 Annex A, 160 octets). `0` goes back, `00`
to the first question, `98` to the next page of a long menu.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from typing import Any, TypeVar

from vas import alphabet
from vas.context import Context
from vas.errors import Invalid, ServiceError
from vas.journal import Entry, restored
from vas.secret import Secret
from vas.service import parser
from vas.store.ids import id_ms, moment
from vas.texts import fitting, fold

T = TypeVar("T")

BACK, START, MORE = "0", "00", "98"
SHORTEST_LINE = 10
"""Characters of an option, its number among them, that stay however long a menu's title is."""


class Waiting(BaseException):
    """A question is on the screen; not an Exception, so that no service swallows it."""

    def __init__(self, screen: str) -> None:
        self.screen = screen


class Again(BaseException):
    """The journal was taken back: run the handler anew from it."""


class Talk(Context[Any, Any]):
    """A conversation. `answers`: what was just typed, or what was dialled in advance; may be empty."""

    answers: list[str]
    secret_used = False
    """Whether an answer of this turn was a secret."""

    @property
    def hides_answers(self) -> bool:
        """Whether this turn's text must not be written anywhere: a secret, or answers that no question took."""
        return self.secret_used or bool(self.answers)

    @property
    def today(self) -> date:
        return moment(id_ms(self.id)).astimezone(self._platform.timezone).date()

    async def ask(self, key: str, kind: Callable[..., T] | type[T] = str, **params: object) -> T:  # type: ignore[assignment]
        """Ask for a value: an Msisdn, an int, a text. What cannot be one is asked again."""
        if kind is Secret:
            raise ServiceError(f"{key}: ask for a secret with talk.ask_secret")
        entry = self._question(key)
        if entry.done:
            return restored(entry.value, kind)  # type: ignore[no-any-return]
        raw = self._answer(lambda: self.say(key, **params), navigate=kind is not int)
        try:
            entry.value = parser(kind)(raw)
        except Invalid as wrong:
            question = self.say(key, **params)
            raise Waiting(self._screen(f"{self.say(wrong.key, **wrong.params)}\n{question}", question)) from None
        entry.done = True
        return entry.value  # type: ignore[no-any-return]

    async def ask_secret(self, key: str, **params: object) -> Secret:
        """Ask for a PIN: given in its own turn, and never stored, logged or replayed."""
        entry = self._question(key)
        entry.secret = True
        if entry.done:
            return Secret()
        raw = self._answer(lambda: self.say(key, **params), navigate=True)
        self.secret_used = True
        entry.done = True
        return Secret(raw)

    async def choose(self, key: str, options: Sequence[object], **params: object) -> str:
        """A numbered menu; the option that was on the screen beside the digit, as text.

        The title is the text `key.title`, an option's label the text `key.option`, or the option itself.
        """
        entry = self._question(key)
        if entry.done:
            return str(entry.value)
        if entry.shown is None:
            entry.shown = [str(option) for option in options]
        pages = self._pages(key, entry.shown, params)
        raw = self._turn_page(entry, pages)
        if not raw.isascii() or not raw.isdigit() or not 1 <= int(raw) <= len(entry.shown):
            raise Waiting(self._screen(f"{self.say('talk_not_a_choice')}\n{pages[entry.page]}", pages[entry.page]))
        entry.value = entry.shown[int(raw) - 1]
        entry.done = True
        return str(entry.value)

    def _question(self, step: str) -> Entry:
        return self._journal.recorded(step) or self._journal.record(step, done=False, question=True)

    def _turn_page(self, entry: Entry, pages: list[str]) -> str:
        """The answer to a menu, after paging; shows the page if there is none."""
        if entry.page and self.answers[:1] == [BACK]:
            self.answers.pop(0)
            entry.page -= 1
            raise Waiting(pages[entry.page])
        raw = self._answer(lambda: pages[entry.page], navigate=True)
        if raw == MORE and entry.page + 1 < len(pages):
            entry.page += 1
            raise Waiting(pages[entry.page])
        return raw

    def _answer(self, screen: Callable[[], str], *, navigate: bool) -> str:
        """What was typed for the open question; shows the screen if nothing was."""
        if not self.answers:
            raise Waiting(self._screen(screen()))
        raw = self.answers.pop(0).strip()
        if navigate and raw in (BACK, START):
            went = self._journal.restart() if raw == START else self._journal.back()
            if went:
                raise Again
        return raw

    def _screen(self, text: str, otherwise: str = "") -> str:
        """The text as one screen; `otherwise`, a shorter text, if it does not fit."""
        screen = fitting(text, accents=self.accents, screen=True)
        return screen if alphabet.fits_ussd(screen) or not otherwise else self._screen(otherwise)

    def _pages(self, key: str, shown: list[str], params: dict[str, object]) -> list[str]:
        title = self.say(f"{key}.title", **params)
        lines = [f"{number}. {self._label(key, option)}" for number, option in enumerate(shown, 1)]
        whole = "\n".join([title, *lines])
        if self.accents and alphabet.fits_ussd(whole):
            return [whole]
        return _paged(
            fold(title), [fold(line) for line in lines], fold(self.say("talk_more")), fold(self.say("talk_back"))
        )

    def _label(self, key: str, option: str) -> str:
        text = f"{key}.{option}"
        return self.say(text) if self._service.texts.has(text) else option


def _paged(title: str, lines: list[str], more: str, back: str) -> list[str]:
    """Screens of at most 182 septets each; every screen but the last offers `more`, every one but the first `back`."""
    pages: list[str] = []
    rest = lines
    while rest:
        count = len(rest)
        while not alphabet.fits_ussd(page := _page(title, rest, count, [back] if pages else [], more)) and count > 1:
            count -= 1
        while not alphabet.fits_ussd(page) and len(rest[0]) > SHORTEST_LINE:
            # One line alone is too long: its end is not shown.
            rest = [rest[0][:-1], *rest[1:]]
            page = _page(title, rest, 1, [back] if pages else [], more)
        pages.append(page)
        rest = rest[count:]
    return pages or [title]


def _page(title: str, rest: list[str], count: int, back: list[str], more: str) -> str:
    """A screen with the first `count` of the lines that are left."""
    return "\n".join([title, *rest[:count], *back, *([more] if count < len(rest) else [])])
