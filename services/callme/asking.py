"""Asking a friend to call back, and what becomes of the request."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from services.callme import rules
from services.callme.service import Ctx, callme
from vas import Msisdn, Outcome, Refused, Reply


@callme.sms("CM {friend}", "CALLME {friend}", "GOI {friend}")
@callme.ussd("*{friend}#")
async def call_back(ctx: Ctx, friend: Msisdn) -> Reply:
    now, config = ctx.now, ctx.config
    if (await ctx.subscriber()).status == "locked":
        raise Refused("locked")
    me = await ctx.change(ctx.sender, rules.spend, ctx.sender, rules.reachable(friend), now, config)
    told = (await ctx.load(friend)).told
    await ctx.change(friend, rules.receive, friend, ctx.sender, now.date(), config.received_daily_limit)
    key, params = await _wording(ctx, friend, told)
    later = rules.quiet_until(now, config.quiet)
    caller = rules.shown(ctx.sender, me.name)
    await ctx.send(friend, key, then=settle, at=later, valid=config.reach_within, caller=caller, **params)
    left = rules.left(me, now.date(), config).now
    if later is not None:
        return ctx.reply("sent_later", friend=friend, time=f"{later:%H:%M}", left=left)
    return ctx.reply("sent", friend=friend, left=left)


async def _wording(ctx: Ctx, friend: Msisdn, told: bool) -> tuple[str, dict[str, Any]]:
    """The text for the friend and its values: the first one says how to block, a later one may carry an advert."""
    if not told:
        return "please_call_first", {"number": ctx.sender}
    if ctx.config.adverts and (await ctx.subscriber(friend)).adverts:
        advert = rules.advert_of(ctx.config.adverts, ctx.now.date())
        return "please_call_advert", {"advert": advert.en if await ctx.language_of(friend) == "en" else advert.vi}
    return "please_call", {}


@callme.outcome
async def settle(ctx: Ctx, outcome: Outcome) -> None:
    """An expired request is repeated once, if it is the sender's last one to this friend; one that failed or that
    operations cancelled is undone.

    An unknown one counts as received: where receipts get lost, friends would be reminded of what they have read.
    """
    if outcome.result not in ("failed", "cancelled", "expired"):
        return
    friend, asked_at = outcome.to, outcome.sent_at.astimezone(ctx.now.tzinfo)
    first = outcome.key == "please_call_first"
    they = await ctx.change(friend, rules.not_received, asked_at.date(), first)
    me = await ctx.load(ctx.sender)
    if outcome.result != "expired" or rules.blocks(they, ctx.sender) or not rules.is_latest(me, friend, asked_at):
        await _undo(ctx, friend, asked_at)
        return
    await ctx.send(
        friend, "please_call_again", then=settle_reminder,
        at=rules.quiet_until(ctx.now, ctx.config.quiet), valid=ctx.config.reach_within,
        caller=rules.shown(ctx.sender, me.name), when=f"{asked_at:%H:%M %d/%m}", asked_at=asked_at.isoformat(),
    )  # fmt: skip


@callme.outcome
async def settle_reminder(ctx: Ctx, outcome: Outcome) -> None:
    if outcome.result in ("failed", "cancelled", "expired"):
        await _undo(ctx, outcome.to, datetime.fromisoformat(outcome.params["asked_at"]))


async def _undo(ctx: Ctx, friend: Msisdn, asked_at: datetime) -> None:
    await ctx.change(ctx.sender, rules.give_back, friend, asked_at)
    await ctx.send(ctx.sender, "not_reached", at=rules.quiet_until(ctx.now, ctx.config.quiet), friend=friend)
