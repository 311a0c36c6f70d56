"""Whisper on this machine, by faster-whisper: nothing a person says leaves it."""

import asyncio
import io
from pathlib import Path
from typing import Any

from swarm.channels.voice.config import VoiceConfig
from swarm.core.errors import ConfigError, InvalidInput

RATE = 16_000
"""Samples in a second, as the model wants them."""
MAX_SIGNS = 8_000
"""Longest transcript; an hour of quick speech has more, but no order needs it."""


class WhisperTranscriber:
    """Write down notes one after the other; the model is loaded with the first."""

    def __init__(self, config: VoiceConfig, *, cache: Path) -> None:
        """Take the settings; nothing is loaded yet.

        Args:
            config: With a model.
            cache: Where a model that is named by its size is downloaded to.
        """
        self._config = config
        self._cache = cache
        self._model: Any = None
        self._turn = asyncio.Lock()

    async def transcribe(self, content: bytes, *, name: str) -> str:
        """Return the words of a note; see `Transcriber.transcribe`.

        Raises:
            ConfigError: The extra is not installed, or there is no such model.
        """
        async with self._turn:
            return await asyncio.to_thread(self._transcribe, content, name)

    def _transcribe(self, content: bytes, name: str) -> str:
        samples = self._decode(content, name)
        if self._model is None:
            self._model = self._load()
        pieces, _ = self._model.transcribe(samples, language=self._language(), vad_filter=True)
        return " ".join(piece.text.strip() for piece in pieces)[:MAX_SIGNS].strip()

    def _language(self) -> str | None:
        return self._config.language or None

    def _load(self) -> Any:
        try:
            from faster_whisper import WhisperModel
        except ImportError as error:
            raise ConfigError(_MISSING) from error
        wanted = self._config.model
        is_here = Path(wanted).is_dir()
        try:
            return WhisperModel(
                wanted,
                device="cpu",
                compute_type="int8",
                cpu_threads=self._config.threads,
                download_root=str(self._cache / "whisper"),
                local_files_only=is_here,
            )
        except (OSError, RuntimeError, ValueError) as error:
            raise ConfigError(
                f"voice.model: {wanted} cannot be loaded: name the folder of a Whisper model in "
                "CTranslate2's form, or a size such as `small`."
            ) from error

    def _decode(self, content: bytes, name: str) -> Any:
        """Return the samples of a note, as 32-bit floats; what is too long is never held whole."""
        try:
            import av
            import numpy
        except ImportError as error:
            raise ConfigError(_MISSING) from error
        most = self._config.longest_s * RATE
        kept: list[Any] = []
        count = 0
        try:
            with av.open(io.BytesIO(content), mode="r", metadata_errors="ignore") as container:
                resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
                for frame in container.decode(audio=0):
                    for piece in resampler.resample(frame):
                        kept.append(piece.to_ndarray().reshape(-1))
                        count += kept[-1].size
                    if count > most:
                        raise InvalidInput(
                            f"{name} is longer than {self._config.longest_s} seconds, the longest I "
                            "listen to: say it shorter, or write it."
                        )
        except (av.FFmpegError, IndexError) as error:
            raise InvalidInput(f"I cannot hear {name}: it is no sound I know.") from error
        joined = numpy.concatenate(kept) if kept else numpy.zeros(0, dtype=numpy.int16)
        return joined.astype(numpy.float32) / 32_768.0


_MISSING = "Voice notes need the extra `voice`: `pip install 'swarm[voice]'`, then start again."
