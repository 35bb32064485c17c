"""What is said in `vas demo`: who does what, and everything that must come of it."""

from __future__ import annotations

from dataclasses import dataclass

DAILY_LIMIT = 3
CODE = "9105"


@dataclass(frozen=True)
class Person:
    name: str
    number: str


LAN = Person("Lan", "0912345678")
MINH = Person("Minh", "0987654321")
HOA = Person("Hoa", "0961234567")
TOM = Person("Tom", "0905111222")


@dataclass(frozen=True)
class Arrival:
    """What must arrive at a phone, and words that must be in it."""

    who: Person
    words: tuple[str, ...]


@dataclass(frozen=True)
class Step:
    """What somebody does, and everything that must come of it: nothing else may arrive anywhere."""

    who: Person
    does: str
    """`*105#`: dials; `1`: answers the screen; `9105: text`: texts."""
    screen: tuple[str, ...] = ()
    arrivals: tuple[Arrival, ...] = ()


@dataclass(frozen=True)
class Scene:
    """Steps that show one thing."""

    shows: str
    steps: tuple[Step, ...]


def _dials(who: Person, code: str, *screen: str, then: Arrival | None = None) -> Step:
    return Step(who, code, screen, (then,) if then else ())


def _texts(who: Person, text: str, *arrivals: Arrival) -> Step:
    return Step(who, f"{CODE}: {text}", (), arrivals)


def _gets(who: Person, *words: str) -> Arrival:
    return Arrival(who, words)


SCRIPT = (
    Scene(
        "Lan has no credit left and asks Minh to ring back, by USSD.",
        (_dials(LAN, "*105*0987654321#", MINH.number, "2", then=_gets(MINH, LAN.number, "CHAN")),),
    ),
    Scene(
        "The same by SMS, in Vietnamese, with the number as people write it.",
        (_texts(LAN, "GỌI 0961 234 567", _gets(LAN, HOA.number, "1"), _gets(HOA, LAN.number)),),
    ),
    Scene(
        "Hoa opens the menu and takes a name; it then stands beside her number.",
        (
            _dials(HOA, "*105#", "1. ", "6. "),
            _dials(HOA, "3", "10"),
            _dials(HOA, "Chị Hoa", "Chị Hoa"),
            _dials(HOA, "*105*0912345678#", LAN.number, then=_gets(LAN, HOA.number, "Chi Hoa")),
        ),
    ),
    Scene(
        "Minh blocks Hoa: the menu's first answers can be dialled at once.",
        (_dials(MINH, "*105*2*1*0961234567#", HOA.number),),
    ),
    Scene(
        "So Hoa, a blocked sender, is told no, and Minh hears nothing.",
        (_texts(HOA, "CM 0987654321", _gets(HOA, MINH.number, "không nhận")),),
    ),
    Scene(
        "Tom prefers English, and mistypes; each phone reads its own language.",
        (
            _texts(TOM, "LANG EN", _gets(TOM, "English")),
            _texts(TOM, "CM 105", _gets(TOM, "service number")),
            _texts(TOM, "call me pls", _gets(TOM, "HD", CODE)),
            _texts(LAN, "CM +84 905 111 222", _gets(LAN, TOM.number, "0"), _gets(TOM, LAN.number, "asks you")),
        ),
    ),
    Scene(
        "Lan's requests of today are spent, and she looks up what is left.",
        (
            _dials(LAN, "*105*0905111222#", f"{DAILY_LIMIT}"),
            _texts(LAN, "TC", _gets(LAN, "0,")),
        ),
    ),
)
