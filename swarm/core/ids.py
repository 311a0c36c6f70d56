"""Identifiers, given by constructor so that a replay can repeat them."""

import secrets
from typing import Protocol

# No vowels and no look-alikes: ids are read aloud and typed on a phone.
ALPHABET = "23456789bcdfghjkmnpqrstvwxz"
ORDER_LENGTH = 7


class Ids(Protocol):
    """Make identifiers that are never made twice in one company."""

    def new(self, prefix: str) -> str:
        """Return `prefix` followed by random signs from `ALPHABET`."""


class RandomIds:
    """Draw identifiers from the operating system's randomness."""

    def new(self, prefix: str) -> str:
        """Return `prefix` and seven signs: 10 billion values, and the database refuses a twin."""
        return prefix + "".join(secrets.choice(ALPHABET) for _ in range(ORDER_LENGTH))
