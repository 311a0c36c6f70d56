"""What the operator does about a WhatsApp number at the terminal, over the strict server."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from swarm.app import App
from swarm.runtime.people import PersonRole
from swarm.settings import load
from tests.channels.whatsapp.chats import config
from tests.cli.terminal import Terminal
from tests.servers.whatsapp import Person, WhatsAppServer


class Meta:
    """The strict server in a thread of its own: commands have a loop of theirs."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.server = WhatsAppServer()
        self.ada: Person = self._run(self._start())

    async def _start(self) -> Person:
        await self.server.__aenter__()
        return self.server.person("Ada")

    def _run(self, work: object) -> Person:
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(10)  # type: ignore[arg-type]

    def stop(self) -> None:
        end = self.server.__aexit__(None, None, None)
        asyncio.run_coroutine_threadsafe(end, self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()

    def later(self, text: str, port: int) -> None:
        """Let Ada write as soon as the company's door is open."""
        self.server.webhook_url = f"http://127.0.0.1:{port}/whatsapp"

        async def write() -> None:
            for _ in range(600):
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    await writer.wait_closed()
                    self.ada.says(text)
                    return
                await asyncio.sleep(0.05)

        asyncio.run_coroutine_threadsafe(write(), self.loop)


@pytest.fixture
def meta() -> Iterator[Meta]:
    found = Meta()
    yield found
    found.stop()


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.fixture
def terminal(
    meta: Meta,
    port: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Terminal:
    found = Terminal(tmp_path / "home", monkeypatch, capsys)
    good = config(meta.server)
    for name in ("token", "app_secret", "verify_token"):
        found.set(**{f"SWARM_WHATSAPP__{name.upper()}": getattr(good, name).get_secret_value()})
    found.set(
        SWARM_WHATSAPP__PHONE_ID=good.phone_id,
        SWARM_WHATSAPP__BASE_URL=good.base_url,
        SWARM_WHATSAPP__LISTEN=f"127.0.0.1:{port}",
        SWARM_WHATSAPP__FOUNDERS=meta.ada.id,
    )
    found.run("init")
    return found


def known(terminal: Terminal, ada: Person) -> None:
    """Let Ada have written once, long ago."""
    app = App(load({"SWARM_HOME": str(terminal.home)}))
    app.store.write(
        lambda c: app.people.admit(
            c, channel="whatsapp", platform_id=ada.id, name="Ada", role=PersonRole.FOUNDER,
            chat_id=ada.id, by="test",
        )
    )  # fmt: skip
    app.close()


def findings(terminal: Terminal) -> list[str]:
    found = terminal.run("doctor", "--json").document["findings"]
    return [f"{f['text']} -> {f['remedy']}" for f in found if f["name"] == "whatsapp"]


def test_the_doctor_says_which_number_it_is_and_what_is_amiss(
    terminal: Terminal, meta: Meta
) -> None:
    text = "\n".join(findings(terminal))
    assert "+1 555 078 3881" in text
    assert "no template is set" in text
    assert "nothing was heard" in text
    terminal.set(SWARM_WHATSAPP__TOKEN="ended")
    assert "ended or was revoked" in "\n".join(findings(terminal))
    assert meta.server.token not in text


def test_a_channel_is_tried_out_both_ways(terminal: Terminal, meta: Meta, port: int) -> None:
    seen = terminal.run("channels", "test", "whatsapp", "--wait", "1")
    assert (seen.code, "No founder" in seen.err) == (2, True)
    known(terminal, meta.ada)
    meta.later("/status", port)
    seen = terminal.run("channels", "test", "whatsapp", "--wait", "60", "--json")
    assert seen.code == 0, seen.out + seen.err
    assert seen.document == {"channel": "whatsapp", "sent": "sent", "heard": "text"}
    assert any("A test of this channel" in one.text for one in meta.ada.chat.sent)


def test_outside_the_window_the_test_message_waits_and_is_said_to(
    terminal: Terminal, meta: Meta
) -> None:
    known(terminal, meta.ada)
    seen = terminal.run("channels", "test", "whatsapp", "--wait", "3", "--json")
    assert seen.document["sent"] == "pending"
    assert seen.code != 0
    assert meta.ada.chat.sent == []
    listed = terminal.run("channels", "list").out
    assert "window is closed" in listed


def test_at_night_a_test_message_comes_all_the_same(
    terminal: Terminal, meta: Meta, port: int
) -> None:
    known(terminal, meta.ada)
    terminal.set(SWARM_QUIET_HOURS__ZONE="UTC", SWARM_QUIET_HOURS__HOURS="00:01-00:00")
    meta.later("hello", port)
    seen = terminal.run("channels", "test", "whatsapp", "--wait", "60", "--json")
    assert seen.document["sent"] == "sent"
