"""The menu of the service's USSD code: each way ends in the handler that a text would reach."""

from __future__ import annotations

from services.callme import asking, blocking, profile
from services.callme.names import NAME_LENGTH, Name
from services.callme.rules import Friend
from services.callme.service import callme
from vas import Msisdn, Reply, Talk, speak


@callme.ussd("#")
async def menu(talk: Talk) -> Reply:
    match await talk.choose("menu", ["call", "block", "name", "language", "state", "help"]):
        case "call":
            return await asking.call_back(talk, (await talk.ask("which_friend", Friend)).number)
        case "block":
            return await _block(talk)
        case "name":
            return await _name(talk)
        case "language":
            await talk.change_subscriber(talk.sender, speak, await talk.choose("language", ["vi", "en"]))
            return talk.reply("language_set")
        case "state":
            return await profile.state(talk)
        case _:
            return await profile.help_text(talk)


async def _block(talk: Talk) -> Reply:
    match await talk.choose("blocking", ["one", "all", "undo", "list"]):
        case "one":
            return await blocking.block(talk, await talk.ask("which_to_block", Msisdn))
        case "all":
            return await blocking.block_all(talk)
        case "undo":
            return await _unblock(talk)
        case _:
            return await blocking.blocked_numbers(talk)


async def _unblock(talk: Talk) -> Reply:
    me = await talk.load(talk.sender)
    if not me.blocked and not me.blocks_all:
        return talk.reply("list_empty")
    numbers = [] if me.blocks_all else [str(Msisdn(digits)) for digits in reversed(me.blocked)]
    choice = await talk.choose("unblocking", ["all", *numbers])
    return await (blocking.unblock_all(talk) if choice == "all" else blocking.unblock(talk, Msisdn.parse(choice)))


async def _name(talk: Talk) -> Reply:
    name = (await talk.load(talk.sender)).name
    if name and await talk.choose("naming", ["set", "remove"], name=name) == "remove":
        return await profile.remove_name(talk)
    return await profile.set_name(talk, (await talk.ask("which_name", Name, limit=NAME_LENGTH)).text)
