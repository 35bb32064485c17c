"""Triggers: `CM {friend}` and `*{friend}#`: compile, match, detect clashes. Pure.

Words match without regard to case and accents; `GỌI` and `goi` are the same. A placeholder takes what
its annotation says: a number may contain spaces, the last text takes the rest of the message.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cached_property, lru_cache

from vas.errors import ServiceError, TriggerClash
from vas.texts import fold

LONGEST_TEXT = 2_000
"""Characters of a message that are looked at; the rest cannot be a command."""


class Kind(Enum):
    """What a placeholder accepts in an SMS, as a regular expression."""

    NUMBER = r"[+0-9(][0-9 .\-()/+]*|\S+"
    WORD = r"\S+"
    REST = r"\S.*"


@dataclass(frozen=True)
class Placeholder:
    name: str
    kind: Kind
    secret: bool = False


Part = str | Placeholder
"""A folded upper-case word, or a placeholder."""

_PLACEHOLDER = re.compile(r"\{(\w+)(:secret)?\}")
_USSD_ARGUMENT = {Kind.NUMBER: r"\+?[0-9]{3,15}", Kind.WORD: r"[^*#]+", Kind.REST: r"[^*#]+"}


@dataclass(frozen=True)
class Trigger:
    """One pattern of one handler. `rank` orders candidates: more words first, then fewer placeholders."""

    pattern: str
    parts: tuple[Part, ...]
    target: object

    @cached_property
    def rank(self) -> tuple[int, int]:
        words = sum(isinstance(part, str) for part in self.parts)
        return (-words, len(self.parts) - words)

    @cached_property
    def secrets(self) -> frozenset[str]:
        """The names of the placeholders that are secrets."""
        return frozenset(part.name for part in self.parts if isinstance(part, Placeholder) and part.secret)

    @cached_property
    def regex(self) -> re.Pattern[str]:
        source = ""
        for at, part in enumerate(self.parts):
            before = self.parts[at - 1] if at else None
            if at:
                # People write CM0912345678: between a word and a number the space may be missing.
                glued = isinstance(before, str) and isinstance(part, Placeholder) and part.kind is Kind.NUMBER
                source += r"(?:\s*(?=[+0-9])|\s+)" if glued else r"\s+"
            source += re.escape(part) if isinstance(part, str) else f"(?P<{part.name}>{part.kind.value})"
        return re.compile(source + rf"[\s{_ENDINGS}]*", re.DOTALL)

    def match(self, folded: str, text: str) -> dict[str, str] | None:
        """The placeholders' values, cut from `text`; `folded` is the same text, its characters in the same places."""
        found = self.regex.fullmatch(folded)
        if found is None:
            return None
        return {name: text[found.start(name) : found.end(name)].strip() for name in found.groupdict()}


def sms_trigger(pattern: str, kinds: Mapping[str, Kind], target: object) -> Trigger:
    """Compile `CM {friend}`; raises ServiceError if the pattern can never match or names no parameter."""
    parts: list[Part] = []
    for word in pattern.split():
        placeholder = _PLACEHOLDER.fullmatch(word)
        if placeholder is None:
            if "{" in word or "}" in word:
                raise ServiceError(f"trigger {pattern!r}: write a placeholder as a word of its own: {{name}}")
            parts.append(folded_upper(word))
            continue
        name, secret = placeholder.groups()
        if name not in kinds:
            raise ServiceError(f"trigger {pattern!r}: the handler has no parameter {name!r}")
        parts.append(Placeholder(name, kinds[name], bool(secret)))
    if not parts or not isinstance(parts[0], str):
        raise ServiceError(f"trigger {pattern!r}: it must begin with a word, or it would take every message")
    for part in parts[:-1]:
        if isinstance(part, Placeholder) and part.kind is Kind.REST:
            raise ServiceError(f"trigger {pattern!r}: nothing can match after {{{part.name}}}, which takes the rest")
    return Trigger(pattern, tuple(parts), target)


def folded_upper(text: str) -> str:
    return fold(text).upper()


def _in_place(text: str) -> str:
    """Folded and in upper case, every character where it was; one that would become several stays."""
    return text.upper() if text.isascii() else "".join(map(_folded_character, text))


@lru_cache(4_096)
def _folded_character(character: str) -> str:
    folded = folded_upper(character)
    return folded if len(folded) == 1 else character


class SmsTriggers:
    """All triggers of one short code, found by their first word."""

    def __init__(self, triggers: Iterable[Trigger]) -> None:
        self._by_word: dict[str, list[Trigger]] = {}
        for trigger in sorted(triggers, key=lambda trigger: trigger.rank):
            same_word = self._by_word.setdefault(str(trigger.parts[0]), [])
            for other in same_word:
                if _clash(trigger, other):
                    raise TriggerClash(f"triggers {other.pattern!r} and {trigger.pattern!r} match the same messages")
                if _takes_all(other, trigger):
                    raise TriggerClash(
                        f"trigger {trigger.pattern!r} can never match: {other.pattern!r} takes its messages"
                    )
            same_word.append(trigger)

    def match(self, text: str) -> tuple[Trigger, dict[str, str]] | None:
        """The most exact trigger that matches the whole text, and its placeholders' values."""
        text = unicodedata.normalize("NFC", text[:LONGEST_TEXT]).strip()
        folded = _in_place(text)
        words = folded.split(None, 1)
        if not words:
            return None
        for trigger in self._candidates(words[0]):
            values = trigger.match(folded, text)
            if values is not None:
                return trigger, values
        return None

    def may_hold_secret(self, text: str) -> bool:
        """Whether the text begins as a command with a secret does."""
        folded = folded_upper(text).lstrip()
        return any(trigger.secrets and folded.startswith(str(trigger.parts[0])) for trigger in self)

    def _candidates(self, word: str) -> list[Trigger]:
        found = self._by_word.get(word.rstrip(_ENDINGS))
        if found is not None:
            return found
        glued = [known for known in self._by_word if word.startswith(known) and word[len(known)] in "+0123456789"]
        return self._by_word[max(glued, key=len)] if glued else []

    def __iter__(self) -> Iterator[Trigger]:
        return (trigger for triggers in self._by_word.values() for trigger in triggers)


_ENDINGS = ".!?…"
"""Punctuation that may follow a command."""


def _clash(one: Trigger, other: Trigger) -> bool:
    """Whether both match some text and neither is the more exact one."""
    if one.rank != other.rank or len(one.parts) != len(other.parts):
        return False
    return all(
        a == b or isinstance(a, Placeholder) or isinstance(b, Placeholder)
        for a, b in zip(one.parts, other.parts, strict=True)
    )


def _takes_all(one: Trigger, other: Trigger) -> bool:
    """Whether `one`, tried first and ending in what takes the rest, leaves nothing for the longer `other`."""
    last = one.parts[-1]
    if isinstance(last, str) or last.kind is not Kind.REST or len(one.parts) >= len(other.parts):
        return False
    return all(a == b or isinstance(a, Placeholder) for a, b in zip(one.parts[:-1], other.parts, strict=False))


@dataclass(frozen=True)
class Dialled:
    """A USSD pattern after its base: `*{friend}#`, or `#` for the menu."""

    pattern: str
    base: str
    names: tuple[str, ...]
    secrets: tuple[str, ...]
    regex: re.Pattern[str]
    target: object


def ussd_trigger(pattern: str, base: str, kinds: Mapping[str, Kind], target: object) -> Dialled:
    """Compile `*{friend}#` behind a base such as `*105`; raises ServiceError for what nobody can dial."""
    if not re.fullmatch(r"(\*(\{\w+(:secret)?\}|[0-9]+))*#", pattern):
        raise ServiceError(f"USSD trigger {pattern!r}: write *{{name}}# or *1#, or # for the menu")
    source, at, names, secrets = re.escape(base), 0, [], []
    for placeholder in _PLACEHOLDER.finditer(pattern):
        name = placeholder[1]
        if name not in kinds:
            raise ServiceError(f"USSD trigger {pattern!r}: the handler has no parameter {name!r}")
        source += re.escape(pattern[at : placeholder.start()]) + f"(?P<{name}>{_USSD_ARGUMENT[kinds[name]]})"
        names.append(name)
        if placeholder[2]:
            secrets.append(name)
        at = placeholder.end()
    return Dialled(pattern, base, tuple(names), tuple(secrets), re.compile(source + re.escape(pattern[at:])), target)


class UssdTriggers:
    """All dialled patterns of all bases."""

    def __init__(self, patterns: Iterable[Dialled]) -> None:
        self._exact = sorted(patterns, key=lambda dialled: len(dialled.names))
        for at, dialled in enumerate(self._exact):
            for other in self._exact[:at]:
                if len(dialled.names) == len(other.names) and _same_codes(dialled, other):
                    both = " and ".join(each.base + each.pattern for each in (other, dialled))
                    raise TriggerClash(f"USSD triggers {both} match the same code")
        self._menus = {dialled.base: dialled for dialled in self._exact if dialled.pattern == "#"}

    def match(self, code: str) -> tuple[Dialled, dict[str, str], list[str]] | None:
        """The pattern of a dialled code, its values, and the answers given in advance.

        `*105*1*0912345678#` fits no pattern of its own, so it opens the menu of `*105` and answers
        its first questions with `1` and `0912345678`.
        """
        code = code.strip()
        if not code.endswith("#"):
            code += "#"
        for dialled in self._exact:
            found = dialled.regex.fullmatch(code)
            if found:
                return dialled, found.groupdict(), []
        for base in sorted(self._menus, key=len, reverse=True):
            if code.startswith(base + "*"):
                return self._menus[base], {}, code[len(base) + 1 : -1].split("*")
        return None

    def __iter__(self) -> Iterator[Dialled]:
        return iter(self._exact)


def _same_codes(one: Dialled, other: Dialled) -> bool:
    """Whether some code fits both."""
    ones, others = ((each.base + each.pattern).split("*") for each in (one, other))
    return len(ones) == len(others) and all(a == b or "{" in a + b for a, b in zip(ones, others, strict=True))
