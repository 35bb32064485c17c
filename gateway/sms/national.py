"""The national language tables of 3GPP TS 23.038 Annex A for Turkish, Spanish and Portuguese. Pure.

A locking shift table stands in the place of the default alphabet for a whole segment, a single shift table in the
place of its extension. A segment names them in its user data header, 3GPP TS 23.040 §9.2.3.24.15 and .16.
"""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import NamedTuple

from gateway.sms.style import Nation
from vas.alphabet import BASIC, EXTENSION, SevenBit

IDENTIFIERS: dict[Nation, int] = {"turkish": 1, "spanish": 2, "portuguese": 3}
"""National Language Identifiers, 3GPP TS 23.038 §6.2.1.2.4; 0 is the default."""

LOCKING = {
    1: "@£$¥€éùıòÇ\nĞğ\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bŞşßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "İABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§çabcdefghijklmnopqrstuvwxyzäöñüà",
    3: "@£$¥êéúíóç\nÔô\rÁáΔ_ªÇÀ∞^\\€Ó|\x1bÂâÊÉ !\"#º%&'()*+,-./0123456789:;<=>?"
    "ÍABCDEFGHIJKLMNOPQRSTUVWXYZÃÕÚÜ§~abcdefghijklmnopqrstuvwxyzãõ`üà",
}
"""§A.3.1 and §A.3.3; there is none for Spanish."""
SINGLE = {
    1: EXTENSION | {0x47: "Ğ", 0x49: "İ", 0x53: "Ş", 0x63: "ç", 0x67: "ğ", 0x69: "ı", 0x73: "ş"},
    2: EXTENSION | {
        0x09: "ç", 0x41: "Á", 0x49: "Í", 0x4F: "Ó", 0x55: "Ú", 0x61: "á", 0x69: "í", 0x6F: "ó", 0x75: "ú",
    },
    3: EXTENSION | {
        0x05: "ê", 0x09: "ç", 0x0B: "Ô", 0x0C: "ô", 0x0E: "Á", 0x0F: "á", 0x12: "Φ", 0x13: "Γ", 0x15: "Ω",
        0x16: "Π", 0x17: "Ψ", 0x18: "Σ", 0x19: "Θ", 0x1F: "Ê", 0x41: "À", 0x49: "Í", 0x4F: "Ó", 0x55: "Ú",
        0x5B: "Ã", 0x5C: "Õ", 0x61: "Â", 0x69: "í", 0x6F: "ó", 0x75: "ú", 0x7B: "ã", 0x7C: "õ", 0x7F: "â",
    },
}  # fmt: skip
"""§A.2.1 to §A.2.3; each has all of the default extension."""


_TABLES = {
    (locking, single): SevenBit(LOCKING.get(locking, BASIC), SINGLE.get(single, EXTENSION))
    for locking, single in product([0, *LOCKING], [0, *SINGLE])
}


class Shifts(NamedTuple):
    """The identifiers of the languages whose tables a segment uses; 0: the default one."""

    locking: int = 0
    single: int = 0


def table(shifts: Shifts) -> SevenBit:
    """The alphabet under the shifts. A language without a table has the default, as §6.2.1.2.1 asks."""
    locking, single = shifts
    return _TABLES[locking if locking in LOCKING else 0, single if single in SINGLE else 0]


@cache
def combinations(nations: tuple[Nation, ...]) -> tuple[Shifts, ...]:
    """Every pair of tables that these nations allow, without the default pair."""
    identifiers = sorted({IDENTIFIERS[nation] for nation in nations})
    pairs = product([0, *(one for one in identifiers if one in LOCKING)], [0, *identifiers])
    return tuple(Shifts(*pair) for pair in pairs if any(pair))
