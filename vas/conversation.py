"""One turn of a USSD talk: one key press, one unit of work."""

from __future__ import annotations

from collections.abc import Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any

from vas.errors import TalkChanged
from vas.journal import Entry, Journal
from vas.messages import Msisdn
from vas.replies import Reply
from vas.routing import Route, Target
from vas.running import Screen, bury, run_handler
from vas.store.ids import shard_of
from vas.store.rows import OutboxRow, TalkRow
from vas.subscribers import DOCUMENT, Subscriber
from vas.talk import Again, Talk, Waiting
from vas.texts import fitting
from vas.unit import Unit

if TYPE_CHECKING:
    from vas.command import Command

SCREEN_SECONDS = 60
"""A screen that could not leave within this time has nobody left to read it."""
MASKED = "•••"
"""Stands in the inbox for a text that held a secret."""
RESUME = "resume"


async def run_turn(command: Command, unit: Unit, sender: Msisdn) -> None:
    """Run the key press; what the phone shows next is in `command.made.screen`."""
    turn = command.inbound.ussd
    assert turn is not None
    stored = await unit.batch.talk_of(sender.digits)
    subscriber = await unit.document(DOCUMENT, Subscriber, sender)
    if turn.ended:
        if stored is not None and not stored.dialogue and not turn.shown:
            # A question that we pushed was refused, or nobody answered it: there is nothing to go on with.
            unit.batch.end_talk(sender.digits)
        why = "what needed no answer was shown" if turn.shown else "the subscriber hung up"
        command.finish(unit, sender, _legible(command), "ended", "", None, why=why)
        return
    if turn.begin:
        await _begin(command, unit, sender, subscriber, stored)
    elif stored is None or not _continues(stored, command.inbound.account, turn.dialogue):
        _show(command, unit, sender, subscriber, "talk_expired")
    else:
        await _go_on(command, unit, sender, subscriber, stored)


def _continues(stored: TalkRow, account: str, dialogue: str) -> bool:
    """Whether an answer belongs to the talk; the first one to a pushed talk says which dialogue it is in."""
    return not stored.dialogue or (stored.account, stored.dialogue) == (account, dialogue)


async def begin(command: Command, unit: Unit, sender: Msisdn, subscriber: Subscriber, route: Route) -> None:
    """Run a talk from its beginning."""
    inbound = command.inbound
    dialled = inbound.text if not route.secret else route.mounted.ussd_base + "#"
    await _run(command, unit, sender, subscriber, route, Journal(), list(route.answers), unit.id, dialled)


async def _begin(command: Command, unit: Unit, sender: Msisdn, subscriber: Subscriber, stored: TalkRow | None) -> None:
    inbound = command.inbound
    route = command.core.router.ussd(inbound.text)
    if route is None:
        _show(command, unit, sender, subscriber, "help_nothing_here")
        return
    journal = Journal()
    dialled = inbound.text if not route.secret else route.mounted.ussd_base + "#"
    if stored is not None and not route.answers and _resumable(command, unit, stored, dialled):
        journal = Journal.decode(stored.journal)
        if not journal.entries or journal.entries[0].step != RESUME:
            journal.entries.insert(0, Entry(RESUME, question=True))
    await _run(command, unit, sender, subscriber, route, journal, list(route.answers), unit.id, dialled)


def _resumable(command: Command, unit: Unit, stored: TalkRow, dialled: str) -> bool:
    recent = unit.batch.now_ms - stored.updated_ms <= command.core.resume_for.total_seconds() * 1000
    answered = any(entry.done for entry in Journal.decode(stored.journal).entries if entry.question)
    return recent and answered and stored.dialled == dialled


async def _go_on(command: Command, unit: Unit, sender: Msisdn, subscriber: Subscriber, stored: TalkRow) -> None:
    route = command.core.router.ussd(stored.dialled)
    if route is None or route.mounted.name != stored.service:
        unit.batch.end_talk(sender.digits)
        _show(command, unit, sender, subscriber, "talk_changed")
        return
    journal, answers = Journal.decode(stored.journal), [command.inbound.text]
    if journal.entries and journal.entries[0].step == RESUME:
        choice = answers[0].strip()
        if choice in ("1", "2"):
            answers.clear()
            journal = Journal(journal.entries[1:] if choice == "1" else [])
    await _run(command, unit, sender, subscriber, route, journal, answers, stored.id, stored.dialled)


async def _run(
    command: Command, unit: Unit, sender: Msisdn, subscriber: Subscriber, route: Route, journal: Journal,
    answers: list[str], talk_id: int, dialled: str,
) -> None:  # fmt: skip
    """Run the handler from the top until it waits, ends, or goes back to an earlier question."""
    inbound, core = command.inbound, command.core
    target = Target(route.mounted, route.handler)
    secret = route.secret or (journal.open is not None and journal.open.secret)
    while True:
        journal.at = 0
        talk = Talk(unit, route.mounted, core.platform, sender, subscriber, journal, account=inbound.account)
        talk.id = talk_id
        talk.answers = answers
        try:
            if journal.entries and journal.entries[0].step == RESUME:
                raise Waiting(_resume_screen(talk))
            # Nobody waits for what a pushed talk begins with, so there is nobody to apologise to.
            apology = "" if command.pushed else "apology"
            ran = await run_handler(core, target, talk, partial(_start, route, talk), by_sms=False, apology=apology)
        except Again:
            unit = unit.drop()
            continue
        except Waiting as waiting:
            if talk.hides_answers or secret:
                dialled = route.mounted.ussd_base + "#"
            _keep_talk(command, talk.unit, sender, route, talk_id, dialled, journal)
            _finish(command, talk, route, "asking", waiting.screen, secret)
            return
        break
    talk.unit.batch.end_talk(sender.digits)
    secret = secret or talk.hides_answers
    if isinstance(ran.error, TalkChanged):
        ran.text = talk.say("talk_changed")
    elif ran.error is not None:
        # A replay would have nobody at the other end.
        bury(core, "command", talk.unit.id, sender.digits, target, ran, None, secret=secret)
    if ran.suspended is not None:
        command.wait(talk, ran, route, "talk")
        ran.text = talk.say("talk_will_text")
    _finish(command, talk, route, ran.result, ran.text, secret)


def _start(route: Route, talk: Talk) -> Coroutine[Any, Any, Reply | None]:
    return route.handler.run(talk, **route.handler.parse(route.values))


def _resume_screen(talk: Talk) -> str:
    reason = [talk.say("talk_not_a_choice")] if talk.answers else []
    lines = [*reason, talk.say("resume.title"), f"1. {talk.say('resume.go_on')}", f"2. {talk.say('resume.start')}"]
    return fitting("\n".join(lines), accents=talk.accents, screen=True)


def _keep_talk(
    command: Command, unit: Unit, sender: Msisdn, route: Route, talk_id: int, dialled: str, journal: Journal
) -> None:
    turn = command.inbound.ussd
    assert turn is not None
    unit.batch.put_talk(
        TalkRow(
            shard_of(sender.digits), sender.digits, talk_id, command.inbound.account, turn.dialogue, dialled,
            route.mounted.name, journal.encode(), unit.batch.now_ms,
        )
    )  # fmt: skip


def _finish(command: Command, talk: Talk, route: Route, result: str, text: str, secret: bool) -> None:
    screen = fitting(text, accents=talk.accents, screen=True)
    if screen or not command.pushed:
        row = _screen_row(command, talk.unit, talk.sender, route.mounted.name, screen, result == "asking")
        talk.unit.send(row)
        if not command.pushed:
            command.made.screen = Screen(row, screen, result == "asking", command.inbound)
    hidden = secret or talk.hides_answers
    command.finish(talk.unit, talk.sender, MASKED if hidden else command.inbound.text, result, screen, route)


def _show(command: Command, unit: Unit, sender: Msisdn, subscriber: Subscriber, key: str) -> None:
    """A last screen that no handler had a part in."""
    core = command.core
    mounted = core.router.fallback
    talk = Talk(unit, mounted, core.platform, sender, subscriber)
    screen = fitting(talk.say(key, code=command.inbound.text), accents=talk.accents, screen=True)
    row = _screen_row(command, unit, sender, mounted.name, screen, False)
    unit.send(row)
    command.made.screen = Screen(row, screen, False, command.inbound)
    command.finish(unit, sender, _legible(command), "unmatched", screen, None, why=key)


def _legible(command: Command) -> str:
    """The text as it may be written when no handler says so: an answer may have been for a secret."""
    turn, text = command.inbound.ussd, command.inbound.text
    return text if not text or (turn is not None and turn.begin) else MASKED


def _screen_row(command: Command, unit: Unit, sender: Msisdn, service: str, text: str, more: bool) -> OutboxRow:
    now_ms, core = unit.batch.now_ms, command.core
    source = command.inbound.to
    kind = "ussd" if not command.pushed else "push" if more else "notice"
    return OutboxRow(
        shard_of(sender.digits), sender.digits, unit.batch.new_id(), unit.id, sender.digits, service, kind, source,
        command.inbound.account, text, "screen" if more else "last_screen", b"", "", False, True, now_ms,
        now_ms + (SCREEN_SECONDS * 1000 if more else int(core.platform.validity.total_seconds() * 1000)), now_ms,
        # It leaves by the bind that its turn came in on, so from here or not at all.
        owner=core.me if kind == "ussd" else None,
    )  # fmt: skip
