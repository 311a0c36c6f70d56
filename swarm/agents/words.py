"""Whose words a call's arguments are: what somebody else wrote before carries no secret of ours."""

import re
from typing import Any

from swarm.tools.base import Arguments

MIN_CHARS = 4
"""Shorter texts stand in any text by chance and prove nothing."""
MAX_HEARD = 2_000_000
"""How much of what strangers said is kept to compare with, in characters."""


class Words:
    """The founder's words, and strangers', to compare arguments with."""

    def __init__(self, founder_words: str) -> None:
        self._founder = founder_words
        self._heard: list[str] = []
        self._size = 0

    def heard(self, text: str) -> None:
        """Take note of words that came from outside."""
        if self._size + len(text) <= MAX_HEARD:
            self._heard.append(text)
            self._size += len(text)

    def are_founders(self, args: Arguments) -> bool:
        """Return whether every argument stands word for word in what the founder wrote."""
        texts = _texts(args)
        return bool(texts) and all(_stands_in(text, self._founder) for text in texts)

    def are_known(self, args: Arguments) -> bool:
        """Return whether every argument was written by the founder or by a stranger before.

        Such a call tells nobody anything they did not know: it carries nothing of what the task
        has read in private.
        """
        texts = _texts(args)
        known = (self._founder, *self._heard)
        return bool(texts) and all(any(_stands_in(t, text) for text in known) for t in texts)


def _texts(args: Arguments) -> list[str]:
    """Return every value that the model gave, as text."""
    found: list[str] = []

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                found.append(str(key))
                walk(item)
        elif isinstance(value, list):
            for item in value:
                walk(item)
        elif value is not None:
            found.append(str(value))

    walk(list(args.model_dump(mode="json", exclude_unset=True).values()))
    return found


def _stands_in(text: str, words: str) -> bool:
    """Return whether the text stands in the words as a whole: nothing glued to its ends."""
    if len(text) < MIN_CHARS:
        return False
    pattern = rf"(?:^|(?<=[\s\"'(<\[{{,;])){re.escape(text)}(?=$|[\s\"')>\]}},;]|[.:!?](?:\s|$))"
    return text in words and re.search(pattern, words) is not None
