"""Whisper in a process of its own, there while notes come.

Its model takes more memory than all of whoever listens, and one interpreter computes one thing at a
time.

`python -m swarm.channels.voice.apart` hears: its first line says how, then each note is a line that
names it and counts its bytes, and the bytes. Each answer is a line.
"""

import asyncio
import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import structlog

from swarm.channels.voice.config import VoiceConfig
from swarm.channels.voice.whisper import WhisperTranscriber
from swarm.core.errors import ConfigError, InvalidInput

log = structlog.get_logger("swarm.voice")

KEEP_S = 120.0
"""How long the process is kept after a note, in seconds: to load a model takes some."""
END_S = 2.0
"""How long it may take to end by itself, in seconds."""
_LONGEST = 1024 * 1024
_KINDS: dict[str, type[Exception]] = {"invalid": InvalidInput, "config": ConfigError}


class WhisperApart:
    """Have notes written down by a process of its own, one after the other."""

    def __init__(self, config: VoiceConfig, *, cache: Path, keep_s: float = KEEP_S) -> None:
        """Take the settings; nothing is started yet.

        Args:
            config: With a model.
            cache: Where a model that is named by its size is downloaded to.
            keep_s: How long the process is kept after a note, in seconds.
        """
        self._settings = config.model_dump_json(exclude={"api_base", "api_key"})
        self._cache = cache
        self._keep_s = keep_s
        self._turn = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._ending: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """Return the process id of what hears; None while none is there."""
        return None if self._process is None else self._process.pid

    async def transcribe(self, content: bytes, *, name: str) -> str:
        """Return the words of a note; see `Transcriber.transcribe`.

        Raises:
            ConfigError: The extra is not installed, or there is no such model.
        """
        async with self._turn:
            self._stay()
            try:
                told = await self._asked(content, name)
            except BaseException:
                # Half a note in its ears, it would take the next one for the rest.
                await self._end()
                raise
            self._ending = asyncio.create_task(self._end_later())
        kind = _KINDS.get(told.get("error", ""))
        if kind is not None:
            raise kind(str(told["text"]))
        return str(told["text"])

    async def close(self) -> None:
        """End the process; a later note starts another."""
        async with self._turn:
            self._stay()
            await self._end()

    def _stay(self) -> None:
        """Call the end off that was to come."""
        ending, self._ending = self._ending, None
        if ending is not None:
            ending.cancel()

    async def _asked(self, content: bytes, name: str) -> dict[str, Any]:
        process = self._process or await self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(_line({"name": name, "bytes": len(content)}) + content)
            await process.stdin.drain()
            answer = await process.stdout.readline()
        except OSError:
            answer = b""
        if not answer:
            code = await process.wait()
            log.warning("what hears voice notes ended", code=code)
            raise InvalidInput(
                f"I could not listen to {name}: the program that hears ended, perhaps for want of "
                "memory. Send it again, or write it."
            )
        told: dict[str, Any] = json.loads(answer)
        return told

    async def _started(self) -> asyncio.subprocess.Process:
        self._process = process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "swarm.channels.voice.apart"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            limit=_LONGEST,
        )
        assert process.stdin is not None
        told = {"settings": self._settings, "cache": str(self._cache)}
        process.stdin.write(_line(told))
        return process

    async def _end_later(self) -> None:
        try:
            await asyncio.sleep(self._keep_s)
        finally:
            # Also where the loop ends. A note that came meanwhile has put another in this one's place.
            if self._ending is asyncio.current_task():
                self._ending = None
                async with self._turn:
                    await self._end()

    async def _end(self) -> None:
        """Let the process go: the end of its notes ends it, and what does not end is killed."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(END_S):
                    await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


def _line(document: dict[str, Any]) -> bytes:
    return json.dumps(document).encode() + b"\n"


def main() -> None:
    """Hear notes until there are no more of them."""
    notes = sys.stdin.buffer
    # Libraries may print; what they say is no answer.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    told = json.loads(notes.readline())
    config = VoiceConfig.model_validate_json(told["settings"])
    engine = WhisperTranscriber(config, cache=Path(told["cache"]))
    with asyncio.Runner() as runner:
        while note := _note(notes):
            name, content = note
            answers.write(_line(runner.run(_heard(engine, name, content))))
            answers.flush()


def _note(notes: IO[bytes]) -> tuple[str, bytes] | None:
    head = notes.readline()
    if not head:
        return None
    told = json.loads(head)
    content = notes.read(told["bytes"])
    return (told["name"], content) if len(content) == told["bytes"] else None


async def _heard(engine: WhisperTranscriber, name: str, content: bytes) -> dict[str, str]:
    try:
        return {"text": await engine.transcribe(content, name=name)}
    except InvalidInput as error:
        return {"error": "invalid", "text": str(error)}
    except ConfigError as error:
        return {"error": "config", "text": str(error)}


if __name__ == "__main__":
    main()
