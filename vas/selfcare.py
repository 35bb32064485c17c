"""The platform's own commands, the same behind every short code: language, adverts, accents."""

from __future__ import annotations

from typing import Any, Literal

from vas.context import Context
from vas.replies import Reply
from vas.service import Service
from vas.subscribers import speak, want_accents, want_adverts

selfcare = Service(__name__)


@selfcare.sms("NGON NGU {language}", "LANG {language}", "LANGUAGE {language}")
async def choose_language(ctx: Context[Any, Any], language: Literal["vi", "en"]) -> Reply:
    await ctx.change_subscriber(ctx.sender, speak, language)
    return ctx.reply("language_set")


@selfcare.sms("QC BAT", "QC ON")
async def accept_adverts(ctx: Context[Any, Any]) -> Reply:
    await ctx.change_subscriber(ctx.sender, want_adverts, True)
    return ctx.reply("adverts_on")


@selfcare.sms("QC TAT", "QC OFF")
async def refuse_adverts(ctx: Context[Any, Any]) -> Reply:
    await ctx.change_subscriber(ctx.sender, want_adverts, False)
    return ctx.reply("adverts_off")


@selfcare.sms("DAU BAT", "DAU ON")
async def write_accents(ctx: Context[Any, Any]) -> Reply:
    await ctx.change_subscriber(ctx.sender, want_accents, True)
    return ctx.reply("accents_on")


@selfcare.sms("DAU TAT", "DAU OFF")
async def drop_accents(ctx: Context[Any, Any]) -> Reply:
    await ctx.change_subscriber(ctx.sender, want_accents, False)
    return ctx.reply("accents_off")
