"""Voice notes written down by a server, with every attempt on the books before there is an order."""

import math

from swarm.channels.voice.base import key_of
from swarm.channels.voice.config import VoiceConfig
from swarm.channels.voice.length import at_most_s, seconds_of
from swarm.core.errors import InvalidInput, LimitExceeded, ModelError, Transient
from swarm.ledger.book import Caller, CallKey
from swarm.ledger.prices import UnknownPrice
from swarm.ledger.unplaced import MeteredVoice, unplaced
from swarm.llm.transcription import Transcriptions, read_transcript, transcript_request

ROLE = "transcriber"
NODE = "voice"
MAX_SIGNS = 8_000
"""Longest transcript; an hour of quick speech has more, but no order needs it."""


class PaidTranscriber:
    """Ask a server for the words of each note, once; the same note again is read from the books."""

    def __init__(
        self, config: VoiceConfig, *, server: Transcriptions, metered: MeteredVoice
    ) -> None:
        """Take where notes are sent, and what pays for it."""
        self._config = config
        self._server = server
        self._metered = metered

    async def transcribe(self, content: bytes, *, name: str) -> str:
        """Return the words of a note; see `Transcriber.transcribe`.

        Raises:
            InvalidInput: Also where no budget covers it, and where the server does not answer.
        """
        exact = seconds_of(content)
        if exact is not None and exact > self._config.longest_s:
            raise InvalidInput(
                f"{name} is longer than {self._config.longest_s} seconds, the longest I listen to: "
                "say it shorter, or write it."
            )
        digest = key_of(content)
        line = unplaced(digest)
        request = transcript_request(
            self._config.model,
            digest=digest,
            seconds=at_most_s(content),
            language=self._config.language,
        )
        if exact is not None:
            self._metered.known_seconds[line] = max(math.ceil(exact), 1)
        try:
            with self._server.lending(digest, content, name):
                answer = await self._metered.call(
                    CallKey(line, NODE, 0), request, Caller(ROLE, None, "")
                )
            return read_transcript(answer)[:MAX_SIGNS]
        except (LimitExceeded, UnknownPrice) as error:
            raise InvalidInput(f"I did not listen to {name}: {error}") from error
        except Transient as error:
            raise InvalidInput(
                f"{name} could not be written down now ({error}): send it again later, or write it."
            ) from error
        except ModelError as error:
            raise InvalidInput(
                f"{name} could not be written down ({error}): write it instead."
            ) from error
        finally:
            self._metered.forget(line)
