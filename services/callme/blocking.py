"""Who may ask this subscriber: block one or all, unblock, list."""

from __future__ import annotations

from services.callme import rules
from services.callme.service import Ctx, callme
from vas import Msisdn, Reply

LISTED = 8
"""Numbers that a list shows, the ones blocked last; so many fit one SMS."""


@callme.sms("CHAN {friend}", "BLOCK {friend}")
async def block(ctx: Ctx, friend: Msisdn) -> Reply:
    await ctx.change(ctx.sender, rules.block, ctx.sender, friend)
    return ctx.reply("blocked", friend=friend)


@callme.sms("CHAN HET", "BLOCK ALL")
async def block_all(ctx: Ctx) -> Reply:
    await ctx.change(ctx.sender, rules.block_all)
    return ctx.reply("blocked_all")


@callme.sms("BO CHAN {friend}", "UNBLOCK {friend}")
async def unblock(ctx: Ctx, friend: Msisdn) -> Reply:
    await ctx.change(ctx.sender, rules.unblock, friend)
    return ctx.reply("unblocked", friend=friend)


@callme.sms("BO CHAN HET", "UNBLOCK ALL")
async def unblock_all(ctx: Ctx) -> Reply:
    await ctx.change(ctx.sender, rules.unblock_all)
    return ctx.reply("unblocked_all")


@callme.sms("DS CHAN", "LIST")
async def blocked_numbers(ctx: Ctx) -> Reply:
    me = await ctx.load(ctx.sender)
    if me.blocks_all:
        return ctx.reply("all_are_blocked")
    if not me.blocked:
        return ctx.reply("list_empty")
    shown = [str(Msisdn(digits)) for digits in me.blocked[: -LISTED - 1 : -1]]
    more = ["..."] if len(me.blocked) > LISTED else []
    return ctx.reply("list", count=len(me.blocked), numbers=", ".join([*shown, *more]))
