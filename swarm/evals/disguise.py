"""A customer's identity, replaced wherever a recording would tell it.

The pseudonym is the same in all recordings of one company, and nobody can go back from it: the key
that it is made with never leaves the company's folder, and without it the few digits of a phone
number could be tried out.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from swarm.store.audit_key import FILE as KEY_FILE
from swarm.store.audit_key import AuditKey

PREFIX = "customer-"
DIGITS = 8
"""Fewer than a phone number has: a pseudonym is never taken for one."""
MIN_SIGNS = 3
"""Shorter parts of a name are syllables of other words."""
_WORD = re.compile(r"\w+")
_REACHED_AT = re.compile(
    r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"
    # Nine digits and more: a date has eight, and no price so many.
    r"|(?<![\w.,])\+?\(?\d(?:[ .()/-]{0,2}\d){8,14}(?!\w)"
)
"""Addresses and phone numbers."""


def pseudonym_of(home: Path, customer: str) -> str:
    """Return by which name a customer goes in this company's recordings.

    Args:
        home: The company's folder.
        customer: `<channel>:<platform id>`.
    """
    AuditKey.load_or_create(home / KEY_FILE)
    key = hashlib.sha256(b"pseudonyms\0" + (home / KEY_FILE).read_bytes()).digest()
    number = int.from_bytes(hmac.digest(key, customer.encode(), "sha256")[:8]) % 10**DIGITS
    # Digits alone: letters could be words, by which the language of a text is told.
    return f"{PREFIX}{number:0{DIGITS}d}"


def reached_at(texts: Iterable[str]) -> set[str]:
    """Return the addresses and phone numbers that stand in texts."""
    return {found for text in texts for found in _REACHED_AT.findall(text)}


class Disguise:
    """Put a pseudonym where somebody is named."""

    def __init__(self, pseudonym: str, told: Iterable[str], *, spared: Iterable[str] = ()) -> None:
        """Take what the person is known by.

        Args:
            pseudonym: What stands there instead.
            told: Names, ids, addresses, numbers; each part of a name counts by itself.
            spared: Texts whose words are the company's own, and name nobody, whoever is called so.
        """
        self.pseudonym = pseudonym
        own = {word.lower() for text in spared for word in _WORD.findall(text)}
        forms = {form for name in told for form in _forms(name, own)}
        # The longest first, so that what holds another is replaced whole.
        by_length = sorted(forms, key=lambda form: (-len(form), form))
        either = "|".join(map(re.escape, by_length))
        self._named = re.compile(rf"(?<!\w)(?:{either})(?!\w)", re.IGNORECASE) if either else None

    def text(self, text: str) -> str:
        """Return a text in which the person is not named."""
        return text if self._named is None else self._named.sub(self.pseudonym, text)

    def within(self, value: Any) -> Any:
        """Return a document in whose texts the person is not named; its keys are no texts."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {key: self.within(item) for key, item in value.items()}
        return [self.within(item) for item in value] if isinstance(value, list) else value


def _forms(name: str, own: set[str]) -> Iterator[str]:
    """Give the ways in which a text may say a name: whole, by its parts, escaped for JSON."""
    words = _WORD.findall(name)
    long = [word for word in words if len(word) >= MIN_SIGNS and not word.isdecimal()]
    telling = [word for word in long if word.lower() not in own]
    whole = name.strip()
    # A number's groups tell nothing by themselves.
    is_telling = telling or not any(word.isalpha() for word in words)
    for form in {*telling, *([whole] if is_telling and len(whole) >= MIN_SIGNS else [])}:
        yield form
        yield json.dumps(form)[1:-1]
