"""Texts in Vietnamese and English side by side: load, check, render, fold accents. Pure.

A service's texts stand in its `texts.toml`:

    sent = { vi = "Đã nhắn {friend}. Còn {left} lượt.", en = "We asked {friend}. {left} left." }
    menu.title = { vi = "Gọi lại cho tôi", en = "Call me" }        # a menu and its options
    menu.call  = { vi = "Nhờ gọi lại", en = "Ask for a call" }

    [longest]                                                      # for the check that every text fits
    friend = "+491511234567890"
"""

from __future__ import annotations

import re
import string
import tomllib
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from vas import alphabet
from vas.errors import TextError

LANGUAGES: Final = ("vi", "en")

Entries = Mapping[str, Mapping[str, str]]


class Texts:
    """The texts of one service, with the platform's own behind them for keys that it lacks."""

    def __init__(
        self, entries: Entries, *, longest: Mapping[str, str] | None = None, behind: Texts | None = None
    ) -> None:
        self.entries = entries
        self.longest: dict[str, str] = {**(behind.longest if behind else {}), **(longest or {})}
        self._behind = behind
        self._folded: dict[tuple[str, str], tuple[str, bool]] = {}

    @classmethod
    def load(cls, path: Path, *, behind: Texts | None = None) -> Texts:
        """From a TOML file; raises TextError with the file and the reason."""
        try:
            tree = tomllib.loads(path.read_text("utf-8"))
        except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise TextError(f"{path.name}: {error}") from error
        longest = {name: str(value) for name, value in tree.pop("longest", {}).items()}
        try:
            entries = dict(_flat(tree))
        except TextError as error:
            raise TextError(f"{path.name}: {error}") from None
        return cls(entries, longest=longest, behind=behind)

    def has(self, key: str) -> bool:
        return key in self.entries or (self._behind is not None and self._behind.has(key))

    def template(self, key: str, language: str) -> str:
        """The text before its values are put in; raises TextError if there is none."""
        entry = self.entries.get(key)
        if entry is not None:
            return entry.get(language) or entry["vi"]
        if self._behind is not None:
            return self._behind.template(key, language)
        raise TextError(f"there is no text {key!r}")

    def render(self, key: str, language: str, params: Mapping[str, object]) -> str:
        """The text with its values, accents and all; raises TextError if a value is missing."""
        return _filled(self.template(key, language), key, params)

    def sms(self, key: str, language: str, params: Mapping[str, object], *, accents: bool) -> str:
        """The text as an SMS: with accents where they are wanted and it then fits one SMS, else without."""
        plain, too_long = self._plain(key, language)
        if accents and not too_long:
            text = self.render(key, language, params)
            if alphabet.fits_sms(text):
                return text
        return fold(_filled(plain, key, params))

    def _plain(self, key: str, language: str) -> tuple[str, bool]:
        """The template without accents, and whether with accents it is too long whatever its values."""
        found = self._folded.get((key, language))
        if found is None:
            template = self.template(key, language)
            bare = _PLACEHOLDERS("", template)
            found = fold(template), not alphabet.is_gsm(bare) and not alphabet.fits_sms(bare)
            self._folded[key, language] = found
        return found

    def problems(self) -> Iterator[str]:
        """What is wrong with each text: a language missing, other placeholders, or too long for one SMS.

        A text that fits one SMS also fits one USSD screen (182 septets against 160). Accents may be
        dropped to make it fit; with its longest values it must then be at most 160 septets.
        """
        for key, entry in self.entries.items():
            missing = [language for language in LANGUAGES if not entry.get(language)]
            if missing:
                yield f"{key}: no text in {' and '.join(missing)}"
                continue
            names = {language: _placeholders(entry[language]) for language in LANGUAGES}
            if names["vi"] != names["en"]:
                yield f"{key}: placeholders differ: vi {sorted(names['vi'])}, en {sorted(names['en'])}"
            for name in sorted(names["vi"] - set(self.longest)):
                yield f"{key}: [longest] has no value for {{{name}}}"
            for language in LANGUAGES:
                if names[language] <= set(self.longest):
                    text = fold(entry[language].format_map(self.longest))
                    if not alphabet.fits_sms(text):
                        yield f"{key} ({language}): does not fit one SMS with its longest values: {text!r}"


def fitting(text: str, *, accents: bool, screen: bool = False) -> str:
    """The text with its accents where they are wanted and fit one SMS (or one USSD screen), else without."""
    fits = alphabet.fits_ussd if screen else alphabet.fits_sms
    return text if accents and fits(text) else fold(text)


def fold(text: str) -> str:
    """Without accents: `Gọi lại đi` becomes `Goi lai di`; all else stays as it is."""
    if text.isascii():
        return text
    decomposed = unicodedata.normalize("NFD", text.translate(_UNMARKED))
    return unicodedata.normalize("NFC", _MARKS("", decomposed))


_MARKS = re.compile("[\u0300-\u036f]+").sub
"""Combining diacritical marks, all that Vietnamese has."""
_UNMARKED = str.maketrans({"đ": "d", "Đ": "D", "“": '"', "”": '"', "‘": "'", "’": "'", "–": "-", "—": "-", "…": "..."})


_PLACEHOLDERS = re.compile(r"\{[^{}]*\}").sub


def _filled(template: str, key: str, params: Mapping[str, object]) -> str:
    if "{" not in template:
        return template
    try:
        return template.format_map(params)
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise TextError(f"text {key!r}: {type(error).__name__} {error}") from error


def _placeholders(template: str) -> set[str]:
    return {name.partition(".")[0] for _, name, _, _ in string.Formatter().parse(template) if name}


def _flat(tree: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, dict[str, str]]]:
    for name, value in tree.items():
        key = f"{prefix}{name}"
        if not isinstance(value, dict):
            raise TextError(f'{key}: expected {{ vi = "…", en = "…" }}')
        if set(value) <= set(LANGUAGES) and all(isinstance(text, str) for text in value.values()):
            yield key, value
        else:
            yield from _flat(value, f"{key}.")
