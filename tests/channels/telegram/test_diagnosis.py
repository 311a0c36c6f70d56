"""What is commonly wrong with a bot, in words."""

import asyncio

from pydantic import SecretStr
from telegram import Bot

from swarm.channels.telegram.config import TelegramConfig
from swarm.channels.telegram.diagnosis import diagnose
from tests.servers.telegram import TelegramServer


async def said(config: TelegramConfig, *, has_founder: bool = True) -> str:
    found = [m async for m in diagnose(config, has_founder=has_founder)]
    return "\n".join(f"{m.text} -> {m.remedy}" for m in found)


async def test_what_is_wrong_is_said_with_what_helps() -> None:
    assert "no token" in await said(TelegramConfig())
    assert "@BotFather" in await said(TelegramConfig(token=SecretStr("hunter2")))
    async with TelegramServer() as server:
        token = SecretStr(server.token)
        good = TelegramConfig(token=token, base_url=server.base_url, groups=(-77,))
        text = await said(good, has_founder=False)
        assert "swarm pairing invite" in text
        assert f"the bot is @{server.bot.user.username}" in text
        assert "privacy mode is on" in text
        assert "not in the group -77" in text
        wrong = TelegramConfig(token=SecretStr("999999:" + "x" * 35), base_url=server.base_url)
        text = await said(wrong)
        assert "xxxxx" not in text
        assert "does not accept the token" in text or "does not know the bot" in text
        gone = TelegramConfig(token=token, base_url="http://127.0.0.1:9")
        text = await said(gone)
        assert "cannot be reached" in text
        assert server.token not in text


async def test_what_stands_in_the_way_of_topics_is_said() -> None:
    async with TelegramServer() as server:
        ada = server.person("Ada")
        ada.starts()
        plain = server.group("Plain", ada, is_bot_admin=True)
        forum = server.group("Forum", ada, is_forum=True)
        good = server.group("Good", ada, is_forum=True, is_bot_admin=True)
        config = TelegramConfig(
            token=SecretStr(server.token),
            base_url=server.base_url,
            groups=(plain.id, forum.id, good.id, ada.id),
            topics=True,
        )
        text = await said(config)
        assert f"group {plain.id} has no topics" in text
        assert f"may not manage topics in the group {forum.id}" in text
        assert str(good.id) not in text
        assert f"{ada.id} is a person" in text


async def test_what_stands_in_the_way_of_delivery_is_said() -> None:
    async with TelegramServer() as server:
        ada = server.person("Ada")
        ada.starts()
        for number in range(101):
            ada.says(f"message {number}")
        token = SecretStr(server.token)
        config = TelegramConfig(token=token, base_url=server.base_url)
        assert "messages wait at Telegram" in await said(config)
        # Nobody listens there.
        async with Bot(server.token, base_url=config.api_url) as bot:
            await bot.set_webhook("https://127.0.0.1:8443/elsewhere")
        async with asyncio.timeout(10):
            while "could not deliver" not in (text := await said(config)):  # noqa: ASYNC110  # asked of a server
                await asyncio.sleep(0.05)
        assert "a webhook is set" in text
        hooked = TelegramConfig(
            token=token, base_url=server.base_url, webhook_url="https://ours.example/hook"
        )
        assert "another address is set" in await said(hooked)
