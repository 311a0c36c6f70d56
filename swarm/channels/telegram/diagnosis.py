"""What is commonly wrong with a bot's set-up, each with what helps. Asks Telegram, changes nothing."""

import re
from collections.abc import AsyncIterator
from typing import Any

from swarm.channels.mistakes import Mistake
from swarm.channels.telegram.config import TelegramConfig
from swarm.core.registry import Registry

PARTS = Registry("part of telegram", {"line": "swarm.channels.telegram.vendor:Line"})
_TOKEN = re.compile(r"\d{3,}:[A-Za-z0-9_-]{20,}")
MANY_PENDING = 100


async def diagnose(config: TelegramConfig, *, has_founder: bool) -> AsyncIterator[Mistake]:
    """Look at everything that can be wrong, the fatal things first."""
    if config.token is None:
        yield Mistake("no token is set: nothing listens to Telegram")
        return
    if not _TOKEN.fullmatch(config.token.get_secret_value()):
        yield Mistake(
            "the token is not of the form 123456:ABC…",
            "copy all of what @BotFather wrote after `Use this token`",
            is_fatal=True,
        )
        return
    if not has_founder:
        yield Mistake(
            "nobody may write to the bot: no founder is set and nobody was let in",
            "`swarm pairing invite`, then send its code to the bot, or set SWARM_TELEGRAM__FOUNDERS",
        )
    line = PARTS.load("line")(config)
    try:
        async for mistake in _asked(line, config):
            yield mistake
    finally:
        await line.close()


async def _asked(line: Any, config: TelegramConfig) -> AsyncIterator[Mistake]:
    try:
        name = await line.open()
    except Exception as error:  # noqa: BLE001  # told apart in words
        yield _unreachable(error, config)
        return
    yield Mistake(f"the bot is @{name}")
    async for mistake in _delivery(line, config):
        yield mistake
    async for mistake in _groups(line, config):
        yield mistake


def _unreachable(error: Exception, config: TelegramConfig) -> Mistake:
    text = str(error).lower()
    is_refused = type(error).__name__ == "InvalidToken" and "not found" not in text
    if is_refused or "unauthorized" in text:
        return Mistake(
            "Telegram does not accept the token: it was revoked, or belongs to another server",
            "ask @BotFather for the token (/token) and set SWARM_TELEGRAM__TOKEN",
            is_fatal=True,
        )
    if "not found" in text:
        return Mistake(
            f"{config.base_url} does not know the bot or the method",
            "is SWARM_TELEGRAM__BASE_URL a Bot API server, without the token at its end?",
            is_fatal=True,
        )
    return Mistake(
        f"{config.base_url} cannot be reached ({type(error).__name__})",
        "is the network up, and is api.telegram.org allowed by the firewall or proxy?",
        is_fatal=True,
    )


async def _delivery(line: Any, config: TelegramConfig) -> AsyncIterator[Mistake]:
    hook = await line.bot.get_webhook_info()
    if hook.url and not config.webhook_url:
        yield Mistake(
            "a webhook is set, so that polling is refused until it is taken away",
            "`swarm up` takes it away; if another program set it, give it a bot of its own",
        )
    if config.webhook_url and hook.url and hook.url != config.webhook_url:
        yield Mistake(
            "another address is set as the webhook than SWARM_TELEGRAM__WEBHOOK_URL",
            "start `swarm up`, which sets it; if it changes back, another program uses this bot",
        )
    if hook.last_error_message:
        yield Mistake(
            f"Telegram could not deliver to the webhook: {hook.last_error_message[:200]}",
            "is the address public, with a good certificate, and does it lead to "
            f"{config.webhook_listen}?",
        )
    if hook.pending_update_count > MANY_PENDING:
        yield Mistake(
            f"{hook.pending_update_count} messages wait at Telegram",
            "`swarm up` takes them; they are thrown away by Telegram after a day",
        )


async def _groups(line: Any, config: TelegramConfig) -> AsyncIterator[Mistake]:
    if not config.groups:
        return
    if not line.bot.bot.can_read_all_group_messages:
        yield Mistake(
            "privacy mode is on: in groups the bot sees commands, mentions and replies alone",
            "that is enough to order by @mention; else /setprivacy at @BotFather, then remove the "
            "bot from the group and add it again",
        )
    for group in config.groups:
        try:
            chat = await line.bot.get_chat(group)
        except Exception:  # noqa: BLE001  # whatever the reason, the group is not there for us
            yield Mistake(
                f"the bot is not in the group {group}",
                "add it there; a group that became a supergroup has a new id, which begins with -100",
            )
            continue
        if chat.type == "private":
            yield Mistake(f"{group} is a person, not a group", "write it under telegram.founders")
        elif config.topics:
            async for mistake in _topics(line, group, chat):
                yield mistake


async def _topics(line: Any, group: int, chat: Any) -> AsyncIterator[Mistake]:
    """Look whether orders can have topics of their own in a group."""
    if not chat.is_forum:
        yield Mistake(
            f"the group {group} has no topics, so that orders get none of their own",
            "switch Topics on in the group's settings, or telegram.topics off",
        )
        return
    me = await line.bot.get_chat_member(group, line.bot.id)
    if not getattr(me, "can_manage_topics", False):
        yield Mistake(
            f"the bot may not manage topics in the group {group}: orders stay where they are given",
            "make it an administrator there, with the right to manage topics",
        )
