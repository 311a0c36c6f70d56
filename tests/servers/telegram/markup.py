"""Telegram's HTML: parsed byte by byte as the service does, refused in its words.

Offsets in refusals are bytes of the UTF-8 text that was sent; offsets of entities are UTF-16 units
of the text that is left.
"""

import re
from dataclasses import dataclass
from typing import Any, TypeAlias

from tests.servers.telegram.refusals import Refusal, bad

Entity: TypeAlias = dict[str, Any]
KINDS = {
    "b": "bold",
    "strong": "bold",
    "i": "italic",
    "em": "italic",
    "u": "underline",
    "ins": "underline",
    "s": "strikethrough",
    "strike": "strikethrough",
    "del": "strikethrough",
    "span": "spoiler",
    "tg-spoiler": "spoiler",
    "code": "code",
    "pre": "pre",
    "blockquote": "blockquote",
    "a": "text_link",
    "tg-emoji": "custom_emoji",
}
NAMED = {b"lt": "<", b"gt": ">", b"amp": "&", b"quot": '"'}
SPACES = b" \t\r\n\0\x0b"
END = 0
REFERENCE = re.compile(rb"&(?:#x([0-9a-fA-F]+)|#([0-9]+)|([a-zA-Z]+));?")


def units(text: str) -> int:
    """Count the UTF-16 units of a text."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


@dataclass(slots=True)
class Formatted:
    """A text and the entities in it."""

    text: str
    entities: list[Entity]


@dataclass(slots=True)
class _Open:
    tag: str
    argument: str
    is_expandable: bool
    offset: int


def cannot_parse(reason: str) -> Refusal:
    """Refuse markup."""
    return bad(f"can't parse entities: {reason}")


def parse_html(source: str) -> Formatted:
    """Parse a text in HTML mode.

    Raises:
        Refusal: The markup is not what Telegram takes.
    """
    return _Html(source).parse()


class _Html:
    def __init__(self, source: str) -> None:
        # The end is marked by a zero byte, which is what Telegram's parser runs into.
        self._bytes = source.replace("\0", " ").encode("utf-8", "replace") + b"\0\0"
        self._size = len(self._bytes) - 2
        self._text = bytearray()
        self._units = 0
        self._entities: list[Entity] = []
        self._stack: list[_Open] = []

    def parse(self) -> Formatted:
        at = 0
        while at < self._size:
            byte = self._bytes[at]
            if byte == ord("&"):
                at = self._reference(at)
            elif byte == ord("<"):
                is_end = self._bytes[at + 1] == ord("/")
                at = self._close(at) if is_end else self._start(at)
            else:
                self._append(byte)
                at += 1
        if self._stack:
            tag = self._stack[-1].tag
            raise cannot_parse(f'Can\'t find end tag corresponding to start tag "{tag}"')
        entities = sorted(self._entities, key=lambda e: (e["offset"], -e["length"]))
        return Formatted(self._text.decode("utf-8", "replace"), merged(entities))

    def _reference(self, at: int) -> int:
        found = REFERENCE.match(self._bytes, at)
        decoded = _decoded(found) if found else None
        if found is None or decoded is None:
            self._append(ord("&"))
            return at + 1
        for byte in decoded.encode():
            self._append(byte)
        return found.end()

    def _skip(self, at: int, stop: bytes) -> int:
        while self._bytes[at] not in stop and at < self._size:
            at += 1
        return at

    def _spaces(self, at: int) -> int:
        while at < self._size and self._bytes[at] in SPACES:
            at += 1
        return at

    def _start(self, begin: int) -> int:
        at = self._skip(begin + 1, SPACES + b">")
        if at >= self._size:
            raise cannot_parse(f"Unclosed start tag at byte offset {begin}")
        tag = self._bytes[begin + 1 : at].decode("utf-8", "replace").lower()
        if tag not in KINDS:
            raise cannot_parse(f'Unsupported start tag "{tag}" at byte offset {begin}')
        opened = _Open(tag, "", False, self._units)
        while True:
            at = self._spaces(at)
            if self._bytes[at] == ord(">"):
                break
            at = self._attribute(at, opened, begin)
        if tag == "span" and opened.argument != "spoiler":
            raise cannot_parse(f'Tag "span" must have class "tg-spoiler" at byte offset {begin}')
        self._stack.append(opened)
        return at + 1

    def _attribute(self, at: int, opened: _Open, begin: int) -> int:
        start = at
        at = self._skip(at, SPACES + b"=>/\"'")
        name = self._bytes[start:at].decode("utf-8", "replace").lower()
        if not name:
            where = f'in the tag "{opened.tag}" at byte offset {begin}'
            raise cannot_parse(f"Empty attribute name {where}")
        at = self._spaces(at)
        if self._bytes[at] != ord("="):
            if opened.tag == "blockquote" and name == "expandable" and at < self._size:
                opened.is_expandable = True
                return at
            where = f'of the tag "{opened.tag}" at byte offset {begin}'
            raise cannot_parse(f"Expected equal sign in declaration of an attribute {where}")
        at = self._spaces(at + 1)
        if at >= self._size:
            raise cannot_parse(f'Unclosed start tag "{opened.tag}" at byte offset {begin}')
        value, at = self._value(at)
        if at >= self._size:
            raise cannot_parse(f"Unclosed start tag at byte offset {begin}")
        _take(opened, name, value)
        return at

    def _value(self, at: int) -> tuple[str, int]:
        quote = self._bytes[at]
        if quote not in b"\"'":
            start = at
            token = re.compile(rb"[A-Za-z0-9.\-]*").match(self._bytes, at)
            assert token is not None
            at = token.end()
            if self._bytes[at] not in SPACES + b">":
                raise cannot_parse(f"Unexpected end of name token at byte offset {start}")
            return token.group().decode().lower(), at
        end = self._bytes.find(bytes([quote]), at + 1, self._size)
        if end < 0:
            return "", self._size
        raw = REFERENCE.sub(
            lambda m: d.encode() if (d := _decoded(m)) is not None else m.group(),
            self._bytes[at + 1 : end],
        )
        return raw.decode("utf-8", "replace"), end + 1

    def _close(self, begin: int) -> int:
        if not self._stack:
            raise cannot_parse(f"Unexpected end tag at byte offset {begin}")
        at = self._skip(begin + 2, SPACES + b">")
        name = self._bytes[begin + 2 : at].decode("utf-8", "replace").lower()
        at = self._spaces(at)
        if self._bytes[at] != ord(">"):
            raise cannot_parse(f"Unclosed end tag at byte offset {begin}")
        opened = self._stack[-1]
        if name and name != opened.tag:
            expected = f'expected "</{opened.tag}>", found "</{name}>"'
            raise cannot_parse(f"Unmatched end tag at byte offset {begin}, {expected}")
        self._stack.pop()
        self._add(opened)
        return at + 1

    def _append(self, byte: int) -> None:
        self._text.append(byte)
        if byte & 0xC0 != 0x80:
            # The first byte of a character; one of four bytes is two units.
            self._units += 1 + (byte >= 0xF0)

    def _add(self, opened: _Open) -> None:
        length = self._units - opened.offset
        if length <= 0:
            return
        entity: Entity = {"type": KINDS[opened.tag], "offset": opened.offset, "length": length}
        if opened.tag == "a":
            url = opened.argument or self._text.decode("utf-8", "replace")
            if "." not in url and "://" not in url:
                return
            entity["url"] = url
        elif opened.tag == "tg-emoji":
            entity["custom_emoji_id"] = opened.argument
        elif opened.tag == "blockquote" and opened.is_expandable:
            entity["type"] = "expandable_blockquote"
        elif opened.tag == "code" and opened.argument:
            entity["language"] = opened.argument
        self._entities.append(entity)


def merged(entities: list[Entity]) -> list[Entity]:
    """Join `<pre><code class=...>` to one entity, as Telegram shows it."""
    pre = [e for e in entities if e["type"] == "pre"]
    kept = []
    for entity in entities:
        same = [
            p for p in pre if (p["offset"], p["length"]) == (entity["offset"], entity["length"])
        ]
        if entity["type"] == "code" and same:
            if "language" in entity:
                same[0]["language"] = entity["language"]
            continue
        if entity["type"] == "code":
            entity.pop("language", None)
        kept.append(entity)
    return kept


def _decoded(found: re.Match[bytes]) -> str | None:
    hexadecimal, decimal, name = found.groups()
    if name is not None:
        return NAMED.get(name)
    code = int(hexadecimal, 16) if hexadecimal else int(decimal)
    if code == 0 or code >= 0x10FFFF or 0xD800 <= code <= 0xDFFF or len(found.group()) > 11:
        return None
    return chr(code)


def _take(opened: _Open, name: str, value: str) -> None:
    match opened.tag, name:
        case ("a", "href") | ("tg-emoji", "emoji-id"):
            opened.argument = value
        case ("code", "class") if value.startswith("language-"):
            opened.argument = value.removeprefix("language-")
        case ("span", "class") if value.startswith("tg-"):
            opened.argument = value.removeprefix("tg-")
        case ("blockquote", "expandable"):
            opened.is_expandable = True
        case _:
            pass
