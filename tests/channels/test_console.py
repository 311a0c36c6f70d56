"""The terminal as a channel."""

import asyncio
import io
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from swarm.channels.console import MAX_LINE_BYTES, ConsoleChannel
from swarm.core.errors import InvalidInput
from swarm.core.message import InboundMessage, OutboundKind, OutboundMessage
from swarm.core.text import MAX_ORDER_BYTES, order_text


async def heard(data: bytes, tmp_path: Path) -> list[InboundMessage]:
    """Return what is heard of a file with this content."""
    (tmp_path / "input").write_bytes(data)
    messages: list[InboundMessage] = []

    async def hear(message: InboundMessage) -> None:
        messages.append(message)

    file = os.fdopen(os.open(tmp_path / "input", os.O_RDONLY))
    with file:
        await ConsoleChannel(file, io.StringIO()).run(hear)
    return messages


async def texts(data: bytes, tmp_path: Path) -> list[str]:
    return [message.text for message in await heard(data, tmp_path)]


async def test_each_line_of_a_file_is_a_message(tmp_path: Path) -> None:
    messages = await heard("Schreib einen Text für uns.\nTwo\n".encode(), tmp_path)
    assert [message.text for message in messages] == ["Schreib einen Text für uns.", "Two"]
    first = messages[0]
    assert (first.channel, first.chat_id, first.thread_id) == ("console", "console", None)
    assert first.sender_id == str(os.getuid())
    assert first.received_at.tzinfo is not None


async def test_every_line_of_every_run_has_its_own_update_id(tmp_path: Path) -> None:
    ids = [m.update_id for _ in range(3) for m in await heard(b"same\nsame\n", tmp_path)]
    assert len(set(ids)) == 6


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", []),
        (b"\n \n\t\n", []),
        (b"no line feed", ["no line feed"]),
        (b"one\r\ntwo\r\n", ["one", "two"]),
        (b"a \\\nb\\\nc\nd\n", ["a \nb\nc", "d"]),
        (b"a\\\r\nb\r\n", ["a\nb"]),
        (b"open\\", ["open\\"]),
        (b"open\\\n", ["open"]),
        (b"bad \xff byte\n", ["bad \ufffd byte"]),
    ],
)
async def test_lines_become_messages(tmp_path: Path, data: bytes, expected: list[str]) -> None:
    assert await texts(data, tmp_path) == expected


async def test_an_endless_line_is_held_in_bounded_memory_and_stays_too_long(
    tmp_path: Path,
) -> None:
    long, after = await texts(b"x" * (5 * MAX_LINE_BYTES) + b"\nafter\n", tmp_path)
    assert MAX_ORDER_BYTES < len(long) <= MAX_LINE_BYTES
    assert after == "after"
    with pytest.raises(InvalidInput):
        order_text(long)


async def test_a_message_of_endless_lines_is_bounded_too(tmp_path: Path) -> None:
    long, after = await texts((b"x" * 1000 + b"\\\n") * 2000 + b"end\nafter\n", tmp_path)
    assert len(long) <= MAX_LINE_BYTES
    assert after == "after"


async def test_lines_of_a_pipe_are_heard_as_they_come() -> None:
    reading, writing = os.pipe()
    queue: asyncio.Queue[str] = asyncio.Queue()

    async def hear(message: InboundMessage) -> None:
        await queue.put(message.text)

    with os.fdopen(reading) as file:
        running = asyncio.ensure_future(ConsoleChannel(file, io.StringIO()).run(hear))
        os.write(writing, b"one\ntw")
        assert await queue.get() == "one"
        os.write(writing, b"o\n")
        assert await queue.get() == "two"
        os.write(writing, b"three")
        os.close(writing)
        await running
        assert queue.get_nowait() == "three"


async def test_a_waiting_channel_ends_when_cancelled_and_can_run_again() -> None:
    reading, writing = os.pipe()
    queue: asyncio.Queue[str] = asyncio.Queue()

    async def hear(message: InboundMessage) -> None:
        await queue.put(message.text)

    with os.fdopen(reading) as file:
        channel = ConsoleChannel(file, io.StringIO())
        for _ in range(2):
            running = asyncio.ensure_future(channel.run(hear))
            os.write(writing, b"line\n")
            assert await queue.get() == "line"
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
        os.close(writing)


async def test_lines_already_read_outlive_a_failure_of_the_hearer(tmp_path: Path) -> None:
    (tmp_path / "input").write_bytes(b"one\ntwo\nthree\n")
    seen: list[str] = []

    async def hear(message: InboundMessage) -> None:
        seen.append(message.text)
        if message.text == "one":
            raise RuntimeError("no store")

    with os.fdopen(os.open(tmp_path / "input", os.O_RDONLY)) as file:
        channel = ConsoleChannel(file, io.StringIO())
        with pytest.raises(RuntimeError):
            await channel.run(hear)
        await channel.run(hear)
    assert seen == ["one", "two", "three"]


async def test_a_terminal_works_and_stays_blocking_for_the_shell() -> None:
    keyboard, terminal = pty.openpty()
    queue: asyncio.Queue[str] = asyncio.Queue()

    async def hear(message: InboundMessage) -> None:
        await queue.put(message.text)

    with os.fdopen(terminal) as file:
        running = asyncio.ensure_future(ConsoleChannel(file, io.StringIO()).run(hear))
        os.write(keyboard, b"typed\n")
        assert await queue.get() == "typed"
        assert os.get_blocking(terminal)
        os.write(keyboard, b"\x04")
        await running
    os.close(keyboard)


@pytest.mark.parametrize("is_reversed", [False, True])
async def test_a_terminal_that_is_gone_ends_the_channel(is_reversed: bool) -> None:
    # One end of a terminal that is gone reads as empty, the other as an input error.
    keyboard, terminal = pty.openpty()[:: -1 if is_reversed else 1]

    async def hear(message: InboundMessage) -> None:
        raise AssertionError(message)

    with os.fdopen(terminal) as file:
        running = asyncio.ensure_future(ConsoleChannel(file, io.StringIO()).run(hear))
        await asyncio.sleep(0)
        os.close(keyboard)
        await running


SCRIPT = """
import asyncio, sys
from swarm.channels.console import ConsoleChannel

async def main():
    async def hear(message):
        print("heard", message.text, flush=True)
        if message.text == "stop":
            running.cancel()
    running = asyncio.ensure_future(ConsoleChannel(sys.stdin, sys.stdout).run(hear))
    await asyncio.wait([running])

asyncio.run(main())
"""


def test_a_process_ends_although_its_input_is_still_open() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={}
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"stop\n")
        process.stdin.flush()
        assert process.stdout.read() == b"heard stop\n"
        assert process.wait(timeout=30) == 0


def test_a_process_without_input_ends_at_once() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        stdin=subprocess.DEVNULL, capture_output=True, env={}, timeout=30, check=True,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == (b"", b"")


def message(
    text: str, order_id: str | None = "o-7", files: tuple[str, ...] = ()
) -> OutboundMessage:
    return OutboundMessage(
        "console", "console", None, OutboundKind.ANSWER, text, order_id=order_id, files=files
    )


async def test_an_answer_is_printed_with_its_order_in_front_and_its_files_below(
    tmp_path: Path,
) -> None:
    out = io.StringIO()
    with os.fdopen(os.open(os.devnull, os.O_RDONLY)) as nothing:
        channel = ConsoleChannel(nothing, out)
        first = await channel.send(message("Done.", files=("/ws/a.md", "/ws/b.md")))
        second = await channel.send(message("Hello", order_id=None))
    assert out.getvalue() == "[o-7] Done.\n/ws/a.md\n/ws/b.md\nHello\n"
    assert first != second


async def test_a_text_cannot_steer_the_terminal() -> None:
    out = io.StringIO()
    with os.fdopen(os.open(os.devnull, os.O_RDONLY)) as nothing:
        channel = ConsoleChannel(nothing, out)
        await channel.send(
            message("a\x1b[2Jb\x07\u202ec\rd", order_id="\x1b]0;x", files=("\x1b[1m",))
        )
    assert not set(out.getvalue()) & {"\x1b", "\x07", "\u202e", "\r"}


async def test_a_terminal_without_unicode_shows_what_it_can() -> None:
    raw = io.BytesIO()
    with os.fdopen(os.open(os.devnull, os.O_RDONLY)) as nothing:
        out = io.TextIOWrapper(raw, encoding="ascii")
        await ConsoleChannel(nothing, out).send(message("für"))
        assert raw.getvalue() == b"[o-7] f?r\n"
