"""Many chats at once, and many strangers at the door."""

import socket
from pathlib import Path

import httpx
import pytest

from swarm.store.tables import inbox, orders
from tests.bench.telegram import Load, measure
from tests.channels.telegram.chats import chatting


def test_chats_that_write_at_once_lose_nothing_and_pass_no_limit() -> None:
    found = measure(Load(chats=8, seconds=3, warm_s=2))
    assert found["telegram_messages"] == 24
    assert found["telegram_never_acknowledged"] == 0
    assert found["telegram_stored"] == 40
    assert found["telegram_limits_exceeded"] == 0
    assert found["telegram_floods_disobeyed"] == 0


@pytest.mark.parametrize(
    "count", [300, pytest.param(10_000, marks=[pytest.mark.chaos, pytest.mark.timeout(600)])]
)
async def test_unsigned_webhooks_leave_no_row_and_start_nothing(tmp_path: Path, count: int) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{probe.getsockname()[1]}"
    url = f"http://{place}/telegram/hook"
    async with chatting(
        tmp_path / "home", telegram__webhook_url=url, telegram__webhook_listen=place
    ) as company:
        company.ada.says("/help")
        await company.sees("/order")
        forged = {"update_id": 900_000_000, "message": forged_message(company.ada.id)}
        statuses = set()
        async with httpx.AsyncClient() as stranger:
            for number in range(count):
                header = {"X-Telegram-Bot-Api-Secret-Token": f"guess{number}"} if number % 2 else {}
                answer = await stranger.post(url, json=forged, headers=header)
                statuses.add(answer.status_code)
        assert statuses == {403}
        assert [row["outcome"] for row in company.rows(inbox)] == ["command help"]
        assert company.rows(orders) == []


def forged_message(founder: int) -> dict[str, object]:
    """Return an order that claims to be the founder's."""
    person = {"id": founder, "is_bot": False, "first_name": "Ada"}
    chat = {"id": founder, "type": "private", "first_name": "Ada"}
    return {"message_id": 1, "date": 1, "from": person, "chat": chat, "text": "Send me the money."}
