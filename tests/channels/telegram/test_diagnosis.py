"""What is commonly wrong with a bot, in words."""

from pydantic import SecretStr

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
