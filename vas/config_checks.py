"""What single settings cannot say: those that contradict one another, and the files they name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from vas.config_dialects import ShippedDialect, UssdDialect
from vas.config_problems import Key, near
from vas.config_sections import Account, Route
from vas.config_values import SQLITE_FILE

if TYPE_CHECKING:
    from vas.config import Settings

Mistake = tuple[Key, str]
"""Where it is, and what to do about it."""

_WITH_TLVS = {"long_messages": ("sar", "payload"), "receipt_reference": (True,)}
"""Settings that need optional parameters, and with which values."""
_NO_TLVS = "needs interface_version 3.4 or 5.0: 3.3 has no optional parameters"


_NO_WAY_OUT = (
    "needed, since by this outbind the account only receives: set it for the transmitter, or interface_version"
    ' = "5.0" with bind = "transceiver", or let a last route without prefixes and short_codes carry the replies'
)


def mistakes(settings: Settings) -> Iterator[Mistake]:
    """Everything that does not fit together, in the order of the file."""
    for name, account in settings.accounts.items():
        for key, said in _of_account(account):
            yield ("accounts", name, key), said
        if account.ussd_dialect not in (known := (*get_args(ShippedDialect), *settings.ussd_dialects)):
            said = f'there is no dialect "{account.ussd_dialect}"; there are: {", ".join(known)}'
            yield ("accounts", name, "ussd_dialect"), said
        if _only_receives(account) and not any(_fits_all(route) for route in settings.routes):
            yield ("accounts", name, "host"), _NO_WAY_OUT
    for name, dialect in settings.ussd_dialects.items():
        for place, said in _of_dialect(name, dialect):
            yield ("ussd_dialects", name, *place), said
    yield from _of_store(settings)
    yield from _of_routes(settings.routes, settings.accounts)
    if settings.accounts and all(account.interface_version == "3.3" for account in settings.accounts.values()):
        for name, service in settings.services.items():
            if service.enabled and service.ussd:
                yield ("services", name, "ussd"), _NO_TLVS + "; no account has it"


def _of_store(settings: Settings) -> Iterator[Mistake]:
    if SQLITE_FILE(settings.store.url):
        return
    for name, account in settings.accounts.items():
        if settings.store.commit_timeout >= account.smsc_response_timer / 2:
            said = f"must be shorter than half of accounts.{name}.smsc_response_timer: else no answer would be in time"
            yield ("store", "commit_timeout"), said


def _of_account(account: Account) -> Iterator[tuple[str, str]]:
    if not account.host and account.outbind is None:
        yield "host", "needed, unless outbind is set (host name or address of the SMSC)"
    if account.tls:
        yield from _of_tls(account)
    if account.outbind and not account.outbind_password.get_secret_value() and not (account.tls and account.tls_ca):
        yield "outbind_password", "needed with outbind, or tls with tls_ca: else anybody who connects is the SMSC"
    if account.interface_version == "3.3":
        for key, values in _WITH_TLVS.items():
            if getattr(account, key) in values:
                yield key, _NO_TLVS
    if account.reconnect_first > account.reconnect_max:
        yield "reconnect_first", "must be no longer than reconnect_max"


def _only_receives(account: Account) -> bool:
    """Whether the SMSC calls us, is answered with bind_receiver, and is not called for what we submit."""
    both_ways = account.bind == "transceiver" and account.interface_version == "5.0"
    return account.outbind is not None and not account.host and not both_ways


def _of_tls(account: Account) -> Iterator[tuple[str, str]]:
    if account.tls_certificate and not account.tls_key:
        yield "tls_key", "needed with tls_certificate: name the PEM file of its key"
    if account.tls_key and not account.tls_certificate:
        yield "tls_certificate", "needed with tls_key: name the PEM file of the certificate"
    for key in ("tls_ca", "tls_certificate", "tls_key"):
        file: Path | None = getattr(account, key)
        if file is not None and not file.is_file():
            yield key, f"there is no file {file}"


def _of_dialect(name: str, dialect: UssdDialect) -> Iterator[tuple[tuple[str, ...], str]]:
    if name in get_args(ShippedDialect):
        yield (), "a shipped dialect has this name; choose another, and name the shipped one in like"
    if dialect.session == "tlv" and dialect.session_tag is None:
        yield ("session_tag",), 'needed with session = "tlv": the tag of the TLV that holds the session'


def _of_routes(routes: Sequence[Route], accounts: Mapping[str, Account]) -> Iterator[Mistake]:
    for place, route in enumerate(routes):
        for at, name in enumerate(route.accounts):
            if name not in accounts:
                yield ("routes", place, "accounts", at), f'there is no account "{name}"{near(name, accounts)}'
            elif name in route.accounts[:at]:
                yield ("routes", place, "accounts", at), f'"{name}" is named twice'
            elif _only_receives(accounts[name]):
                yield ("routes", place, "accounts", at), f'"{name}" only receives: it has outbind and no host'
        yield from _unreachable(route, place, routes[:place])


def _fits_all(route: Route) -> bool:
    return not route.prefixes and not route.short_codes


def _unreachable(route: Route, place: int, earlier: Sequence[Route]) -> Iterator[Mistake]:
    """What of a route can never fit, since an earlier one takes it first."""
    for at, prefix in enumerate(route.prefixes):
        if all(_taken(prefix, code, earlier) for code in route.short_codes or ("",)):
            first = _taken(prefix, (route.short_codes or ("",))[0], earlier)
            yield ("routes", place, "prefixes", at), f'"{prefix}" is never reached: {first} takes it first'
    if not route.prefixes:
        taken = [_taken("", code, earlier) for code in route.short_codes or ("",)]
        if all(taken):
            yield ("routes", place), f"it is never reached: {taken[0]} takes everything first"


def _taken(prefix: str, code: str, earlier: Sequence[Route]) -> str:
    """The earlier route that takes all numbers of a prefix at a short code; an empty one stands for all."""
    for place, route in enumerate(earlier):
        numbers = not route.prefixes or any(prefix.startswith(shorter) for shorter in route.prefixes)
        if numbers and (not route.short_codes or code in route.short_codes):
            return f"routes[{place}]"
    return ""
