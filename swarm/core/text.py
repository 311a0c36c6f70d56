"""Texts from outside, made safe to store, show and send."""

import re
import unicodedata

from swarm.core.errors import InvalidInput

MAX_ORDER_BYTES = 256 * 1024
"""Longest order accepted, in UTF-8 bytes: about 60,000 tokens, more than a brief ever needs."""

# Overrides and isolates reorder what a person sees, so that an approval could show another text
# than the one that runs (Unicode TR 36).
_BIDI = dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C])
_CONTROL = {c: None for c in range(32) if chr(c) not in "\t\n"} | dict.fromkeys(range(127, 160))

_ODD = re.compile(r"[^\t\n -~]")
"""What is not plain ASCII; a text without any is clean."""


def clean_text(text: str) -> str:
    """Normalise a text from outside: NFC, line feeds, no controls, no bidi marks, no surrogates.

    Lone surrogates become U+FFFD, because no database and no wire can carry them.
    """
    if not _ODD.search(text):
        return text
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return unicodedata.normalize("NFC", text.translate(_CONTROL).translate(_BIDI))


def order_text(text: str) -> str:
    """Clean the text of an order.

    Raises:
        InvalidInput: Nothing is left of it, or it is longer than `MAX_ORDER_BYTES`.
    """
    cleaned = clean_text(text).strip()
    if not cleaned:
        raise InvalidInput("The order is empty: write what you want done.")
    size = len(cleaned.encode())
    if size > MAX_ORDER_BYTES:
        raise InvalidInput(
            f"The order has {size:,} bytes, the limit is {MAX_ORDER_BYTES:,}: put the material in "
            "files and name them in a shorter order."
        )
    return cleaned


def slug(text: str, *, length: int = 40) -> str:
    """Return lower-case ASCII words joined by dashes, at most `length` signs, never empty."""
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    words = re.findall(r"[a-z0-9]+", ascii_text.lower())
    return "-".join(words)[:length].strip("-") or "result"


def shorten(text: str, length: int) -> str:
    """Return one line of at most `length` signs, with an ellipsis where something was left out."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: max(length - 1, 0)] + "…"
