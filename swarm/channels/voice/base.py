"""What every engine does that writes down what somebody said."""

import hashlib
from typing import Protocol


class Transcriber(Protocol):
    """Turn a voice note into text. What it hears is data, never a command."""

    async def transcribe(self, content: bytes, *, name: str) -> str:
        """Return the words of a note; empty where nobody speaks.

        Args:
            content: The file as it was sent, such as OGG with Opus.
            name: What the note is called in messages to its sender.

        Raises:
            InvalidInput: It cannot be read, or is too long; the text says so to its sender.
        """


def key_of(content: bytes) -> str:
    """Name a note by its bytes: heard again, it is not paid for again."""
    return hashlib.sha256(content).hexdigest()[:32]
