"""The sender's name, their state, and help."""

from __future__ import annotations

from services.callme import rules
from services.callme.names import Name
from services.callme.service import Ctx, callme
from vas import Reply


@callme.sms("TEN {name}", "NAME {name}")
async def set_name(ctx: Ctx, name: str) -> Reply:
    text = Name.parse(name).text
    await ctx.change(ctx.sender, rules.named, text)
    return ctx.reply("named", name=text)


@callme.sms("XOA TEN", "NAME OFF")
async def remove_name(ctx: Ctx) -> Reply:
    await ctx.change(ctx.sender, rules.named, "")
    return ctx.reply("name_removed")


@callme.sms("TC", "STATUS")
async def state(ctx: Ctx) -> Reply:
    me = await ctx.load(ctx.sender)
    day, week, month = rules.left(me, ctx.now.date(), ctx.config)
    adverts = (await ctx.subscriber()).adverts
    return ctx.reply(
        "state", day=day, week=week, month=month, name=me.name or ctx.say("none"),
        blocked=ctx.say("everybody") if me.blocks_all else len(me.blocked), adverts=ctx.say("yes" if adverts else "no"),
    )  # fmt: skip


@callme.sms("HD", "HELP", "CM", "CALLME", "GOI")
async def help_text(ctx: Ctx) -> Reply:
    return ctx.reply("help")
