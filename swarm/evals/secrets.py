"""Keep secrets out of what is recorded: known ones by their value, others by their shape."""

import base64
import html
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, quote_plus

MIN_LENGTH = 8
"""Shorter values are words that stand everywhere."""
HIDDEN = "«hidden»"

_SHAPES = {
    "private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    "Anthropic key": re.compile(r"\bsk-ant-[A-Za-z0-9_-]{20,}"),
    "OpenAI key": re.compile(r"\bsk-(?:proj-)?[A-Za-z0-9_-]{32,}"),
    "AWS key": re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
    "Google key": re.compile(r"\bAIza[A-Za-z0-9_-]{35}\b"),
    "GitHub token": re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{60,})"),
    "Slack token": re.compile(r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}"),
    "Telegram token": re.compile(r"\b\d{8,12}:AA[A-Za-z0-9_-]{32,}"),
    "Stripe key": re.compile(r"\b[rs]k_live_[A-Za-z0-9]{20,}"),
    "JSON web token": re.compile(r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[\w-]{10,}"),
    "password in an address": re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s/:@\"']+:[^\s/@\"']{4,}@"),
}


@dataclass(frozen=True, slots=True)
class Find:
    """A secret that was found."""

    what: str
    """Its kind, or the name of the setting; never the secret itself."""
    where: str


class Secrets:
    """Known secrets in the forms in which they travel, and the shapes of common unknown ones."""

    def __init__(self, known: Iterable[tuple[str, str]]) -> None:
        """Take secrets as (name, value)."""
        forms = {
            form: name
            for name, value in known
            if len(value) >= MIN_LENGTH
            for form in encoded(value)
        }
        # The longest first, so that what holds another is hidden whole.
        self._forms = dict(sorted(forms.items(), key=lambda item: -len(item[0])))

    def hidden(self, text: str) -> str:
        """Return the text with every known and every likely secret replaced."""
        for form in self._forms:
            text = text.replace(form, HIDDEN)
        for shape in _SHAPES.values():
            text = shape.sub(HIDDEN, text)
        return text

    def hidden_in(self, value: Any) -> Any:
        """Return a document with every secret in its texts replaced, each text as it reads."""
        if isinstance(value, str):
            return self.hidden(value)
        if isinstance(value, dict):
            return {self.hidden(key): self.hidden_in(item) for key, item in value.items()}
        return [self.hidden_in(item) for item in value] if isinstance(value, list) else value

    def found_in(self, value: Any, where: str) -> list[Find]:
        """Return what in the texts of a document is, or looks like, a secret."""
        # Written down, a text is escaped, and what is escaped twice looks like nothing known.
        return [find for text in _texts(value) for find in self.found(text, where)]

    def found(self, text: str, where: str) -> list[Find]:
        """Return what in the text is, or looks like, a secret."""
        finds = [Find(name, where) for form, name in self._forms.items() if form in text]
        finds += [Find(what, where) for what, shape in _SHAPES.items() if shape.search(text)]
        return finds


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield str(key)
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


def is_same_but_hidden(recorded: Any, got: Any) -> bool:
    """Say whether two documents are the same, where what was hidden may have been anything."""
    if recorded == got:
        return True
    if isinstance(recorded, str) and isinstance(got, str) and HIDDEN in recorded:
        return _fits(recorded.split(HIDDEN), got)
    if isinstance(recorded, dict) and isinstance(got, dict):
        return recorded.keys() == got.keys() and all(
            is_same_but_hidden(value, got[key]) for key, value in recorded.items()
        )
    if isinstance(recorded, list) and isinstance(got, list):
        return len(recorded) == len(got) and all(map(is_same_but_hidden, recorded, got))
    return False


def _fits(parts: Sequence[str], text: str) -> bool:
    """Say whether a text holds the parts in their order, with anything between two of them."""
    first, *middle, last = parts
    if len(text) < len(first) + len(last) or not text.startswith(first):
        return False
    at, end = len(first), len(text) - len(last)
    for part in middle:
        found = text.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return text.endswith(last)


def encoded(value: str) -> Iterator[str]:
    """Give a secret in the forms in which texts carry it.

    As it is, escaped for JSON, HTML and addresses (twice), in hexadecimal, in base64 at each of
    its three alignments (as other bytes may stand before it), in its address-safe form, and
    backwards.
    """
    data = value.encode()
    yield value
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield json.dumps(json.dumps(value))[3:-3]
    yield json.dumps(json.dumps(value, ensure_ascii=False), ensure_ascii=False)[3:-3]
    yield html.escape(value)
    yield quote(value, safe="")
    yield quote_plus(value)
    yield "".join(f"%{byte:02x}" for byte in data)
    yield "".join(f"%{byte:02X}" for byte in data)
    yield data.hex()
    yield data.hex().upper()
    yield value[::-1]
    for shift in range(3):
        # Signs that also depend on what stands before or after are left off.
        text = base64.b64encode(b"\0" * shift + data).decode().rstrip("=")
        inner = text[(0, 2, 3)[shift] : len(text) - 1]
        if len(inner) >= MIN_LENGTH:
            yield inner
            yield inner.replace("+", "-").replace("/", "_")
